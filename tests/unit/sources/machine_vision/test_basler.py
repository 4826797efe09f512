"""Basler cameras: settings, triggers and failed grabs of pylon's emulated cameras."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.pipelines import check_complete, cropzoom_threads, make_settings, wait_for

from realtime_cropzoom.errors import ConfigError, SourceError
from realtime_cropzoom.pipeline.pipeline import Pipeline
from realtime_cropzoom.sources.base import CapturedFrame, SourceOptions
from realtime_cropzoom.sources.machine_vision.basler import BaslerCamera, list_cameras, open_basler
from realtime_cropzoom.types import UInt8

SOON_S = 30.0

# On Linux pylon ends its waits by SIGALRM, with a handler of its own. The usual time limit of a test takes that signal
# for itself: then a wait of pylon never ends, or its alarm is taken for the end of the time.
pytestmark = pytest.mark.timeout(method="thread")


@pytest.fixture(scope="module")
def emulator() -> None:
    """Set the variable before pylon first looks for cameras: it reads it only then.

    Tests that share this stand on one worker, one after the other, so that no other test comes between pylon and its
    signal.
    """
    os.environ["PYLON_CAMEMU"] = "2"
    pytest.importorskip("pypylon", reason="pypylon is not installed: pip install 'realtime-cropzoom[basler]'")


def opened(rest: str = "", **asked: Any) -> BaslerCamera:
    return open_basler(rest, SourceOptions(**{"size": (256, 192), "fps": 100.0, **asked}))


def read(source: BaslerCamera, count: int, before: Callable[[int], None] = lambda _: None) -> list[Any]:
    """Return ``count`` frames with their pixels. ``before(i)`` is called before frame i."""
    taken: list[tuple[CapturedFrame, UInt8]] = []
    for index, captured in enumerate(source.frames()):
        image = np.zeros((captured.height, captured.width, 3), np.uint8)
        captured.copy_to(image)
        taken.append((captured, image))
        if index + 1 == count:
            break
        before(index + 1)
    return taken


def fail_grabs(source: BaslerCamera, count: int) -> None:
    """Make the next grabs fail, as if packets were lost."""
    source.nodes.set_integer("ForceFailedBufferCount", count)
    source.execute("ForceFailedBuffer")


@pytest.mark.usefixtures("emulator")
def test_cameras_are_listed_and_opened_by_serial_number() -> None:
    found = list_cameras()
    assert [c["id"] for c in found] == ["basler:0815-0000", "basler:0815-0001"]
    assert (found[0]["vendor"], found[0]["model"], found[0]["interface"]) == ("Basler", "Emulation", "BaslerCamEmu")
    names = []
    for rest in ("", "0815-0001", "Basler Emulation (0815-0001)"):
        source = opened(rest)
        source.close()
        names.append(source.info.name)
    assert names == ["Emulation-0815-0000", "Emulation-0815-0001", "Emulation-0815-0001"]
    with pytest.raises(SourceError, match="Basler camera 4711 not found; connected: Emulation 0815-0000, Emulation 08"):
        opened("4711")


@pytest.mark.usefixtures("emulator")
@pytest.mark.parametrize(
    "name", ["Mono8", "Mono10", "Mono12", "Mono16", "BayerRG8", "BayerGR12", "RGB8Packed", "BGR8Packed"]
)
def test_each_pixel_format_is_read(name: str) -> None:
    """The emulator's picture is a ramp that moves by one pixel per frame, equal in all colours."""
    source = opened(pixel_format=name)
    try:
        assert (source.info.width, source.info.height) == (256, 192)
        assert source.info.live
        assert source.info.asked_fps == 100.0
        taken = read(source, 3)
    finally:
        source.close()
        source.close()
    for captured, image in taken:
        assert (captured.width, captured.height, captured.lost_before) == (256, 192, 0)
        assert len(np.unique(image)) > 200
    assert any("upper 8 of" in note for note in source.info.notes) == name.endswith(("10", "12", "16"))
    if name.startswith("Mono"):
        assert all((image[..., 0] == image[..., 1]).all() for _, image in taken)
        assert not np.array_equal(taken[0][1], taken[1][1])


@pytest.mark.usefixtures("emulator")
def test_settings_are_applied_and_differences_reported() -> None:
    source = opened(size=None, roi=(64, 32, 200, 100), fps=50.0, exposure_ms=5.0, gain=3.0)
    try:
        assert (source.info.width, source.info.height, source.info.fps) == (200, 100, 50.0)
        assert source.info.notes == ()
        assert (source.nodes.integer("OffsetX"), source.nodes.integer("OffsetY")) == (64, 32)
        assert source.nodes.integer("ExposureTime") == 5000
    finally:
        source.close()
    source = opened(size=(100, 9000), fps=1e6, gain=1000.0)
    source.close()
    assert source.info.notes == (
        "asked for 100x9000, got 100x4096",
        "100x4096 is cut from the middle of 4096x4096; --roi selects another part",
        "asked for gain 1000 dB, got 48 dB",
        "asked for frame rate 1e+06 fps, got 5000 fps",
    )
    with pytest.raises(SourceError, match="pixel format Mono12p is not available; expected one of M"):
        opened(pixel_format="Mono12p")
    with pytest.raises(ConfigError, match="expected basler:NAME"):
        opened("0815-0000,trigger=Line1")


@pytest.mark.usefixtures("emulator")
def test_without_a_camera_clock_frame_time_follows_the_host() -> None:
    source = opened()
    try:
        taken = [captured for captured, _ in read(source, 10)]
    finally:
        source.close()
    assert taken[0].pts_ns == 0
    assert all(one.pts_ns < other.pts_ns for one, other in itertools.pairwise(taken))
    assert {captured.device_ns for captured in taken} == {None}  # the emulator's timestamps are all 0


@pytest.mark.usefixtures("emulator")
def test_a_triggered_camera_waits_and_no_pulse_is_no_fault() -> None:
    """No pulses are sent: the emulator loses some software pulses, and may crash."""
    with pytest.raises(SourceError, match="has no trigger line Line7; it has Software, Line1"):
        opened(",line=Line7", trigger=True)
    stop = threading.Event()
    source = open_basler("", SourceOptions(trigger=True, read_timeout_s=0.05, stopped=stop.is_set))
    try:
        assert source.info.notes[-1] == "each frame waits for a pulse on Line1"
        nodes = source.nodes
        assert [nodes.choice(n)[0] for n in ("TriggerMode", "TriggerSource", "TriggerSelector")] == [
            "On", "Line1", "FrameStart",
        ]  # fmt: skip
        ending = threading.Timer(0.4, stop.set)
        ending.start()
        assert list(source.frames()) == []
        ending.join()
    finally:
        source.close()
    source = opened()  # a camera that was left waiting runs free again
    try:
        assert read(source, 2)
    finally:
        source.close()


@pytest.mark.usefixtures("emulator")
def test_failed_grabs_are_dropped_and_counted() -> None:
    source = opened()
    try:
        taken = read(source, 30, lambda index: fail_grabs(source, 3) if index in (5, 15) else None)
    finally:
        source.close()
    lost = [captured.lost_before for captured, _ in taken]
    assert sorted(lost) == [0] * 28 + [3, 3]
    assert source.problems() == [
        "Emulation-0815-0000: 6 frames arrived incomplete and were left out",
        "Emulation-0815-0000: The buffer was incompletely grabbed.",
    ]


@pytest.mark.usefixtures("emulator")
def test_a_camera_whose_grabs_all_fail_is_lost() -> None:
    source = opened(read_timeout_s=0.3)
    try:
        fail_grabs(source, 1000)
        with pytest.raises(SourceError, match=r"no complete frame for 0\.3 s, [0-9]+ incomplete \(The buffer was inc"):
            read(source, 1)
    finally:
        source.close()


@pytest.mark.usefixtures("emulator")
def test_a_silent_camera_is_lost() -> None:
    source = opened(read_timeout_s=0.3)
    try:
        source.nodes.choose("TriggerMode", "On")  # as another program could
        with pytest.raises(SourceError, match=r"Emulation-0815-0000 has sent nothing for 0\.3 s"):
            read(source, 1)
    finally:
        source.close()


@pytest.mark.usefixtures("emulator")
def test_a_run_counts_losses_and_continues_after_a_break(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, camera_size="256x192", camera_fps=60.0, read_timeout_s=0.3)
    sources: list[BaslerCamera] = []

    def open_one() -> BaslerCamera:
        sources.append(open_basler("0815-0001", settings.source_options()))
        return sources[-1]

    pipeline = Pipeline(settings, open_one)
    pipeline.start()
    try:
        wait_for(lambda: pipeline.progress().counts.captured > 10, "frames")
        fail_grabs(sources[0], 3)
        wait_for(lambda: pipeline.progress().lost == 3, "the lost frames to be counted")
        fail_grabs(sources[0], 1000)
        wait_for(lambda: pipeline.progress().segment == 1, "the camera to be opened again")
        before = pipeline.progress().counts.captured
        wait_for(lambda: pipeline.progress().counts.captured > before + 10, "frames of the second segment")
    finally:
        pipeline.stop()
        summary = pipeline.join()
    files = check_complete(pipeline.folder)
    assert sorted(files.timing["segment"].unique()) == [0, 1]
    assert (files.timing["pts_ns"].diff().dropna() > 0).all()
    assert summary["lost"] == 3
    assert any("frames arrived incomplete" in problem for problem in summary["problems"])
    wait_for(lambda: not cropzoom_threads(), "the threads to end", SOON_S)


@pytest.mark.usefixtures("emulator")
def test_a_run_stops_at_once_while_its_camera_is_silent(tmp_path: Path) -> None:
    pipeline = Pipeline(make_settings(tmp_path, source="basler:,line=Software", camera_size="256x192", trigger=True))
    pipeline.start()
    pipeline.stop()
    assert pipeline.join()["reason"] == "stopped"
    wait_for(lambda: not cropzoom_threads(), "the threads to end", SOON_S)


def test_without_pypylon_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypylon", None)
    for attempt in (opened, list_cameras):
        with pytest.raises(SourceError, match=r"need pypylon: .*pip install -e \"\.\[basler\]\""):
            attempt()


def test_without_pypylon_all_else_works() -> None:
    """The library of a vendor is loaded only when one of its cameras is opened."""
    loaded = "realtime_cropzoom.pipeline.pipeline, realtime_cropzoom.sources.machine_vision.basler"
    code = f"import sys, {loaded}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert not {"pypylon", "realtime_cropzoom.sources.machine_vision.aravis"} & set(done.stdout.split())
