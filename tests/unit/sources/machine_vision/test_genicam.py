"""GenICam cameras: settings, lost packets, loss and return of Aravis' fake GigE Vision camera on loopback."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fake_gige import ADDRESS, FakeCamera, only_one, why_not
from support.pipelines import LONG_S, check_complete, cropzoom_threads, make_settings, wait_for

from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.pipeline.pipeline import Pipeline
from realtime_cropzoom.sources.base import CapturedFrame, SourceOptions
from realtime_cropzoom.sources.machine_vision import aravis
from realtime_cropzoom.sources.machine_vision.genicam import GenicamCamera, list_cameras, open_genicam
from realtime_cropzoom.types import StreamState, UInt8

SOON_S = 30.0
"""Timeout (s) on a busy machine of what ends within 2 s on an idle one."""
_WHY_NOT = why_not()
needs_camera = pytest.mark.skipif(_WHY_NOT is not None, reason=str(_WHY_NOT))


@pytest.fixture
def camera() -> Iterator[FakeCamera]:
    with only_one() as fake:
        yield fake


def opened(rest: str = ADDRESS, **asked: Any) -> GenicamCamera:
    source = open_genicam(rest, SourceOptions(**{"size": (256, 192), "fps": 100.0, **asked}))
    assert isinstance(source, GenicamCamera)
    return source


def read(source: GenicamCamera, count: int) -> list[tuple[CapturedFrame, UInt8]]:
    """Return ``count`` frames with their pixels."""
    taken = []
    for captured in itertools.islice(source.frames(), count):
        image = np.zeros((captured.height, captured.width, 3), np.uint8)
        captured.copy_to(image)
        taken.append((captured, image))
    return taken


def incomplete(source: GenicamCamera) -> int:
    """The number of frames that arrived incomplete."""
    return sum(int(said.split()[1]) for said in source.problems() if "arrived incomplete" in said)


def is_whole(image: UInt8) -> bool:
    """Check that a frame is complete: the pixels of the fake camera depend only on x + y."""
    return np.array_equal(image[1:, :-1], image[:-1, 1:])


@needs_camera
@pytest.mark.parametrize("name", ["Mono8", "Mono16", "RGB8"])
def test_frames_arrive_complete_and_in_order(camera: FakeCamera, name: str) -> None:
    camera.start()
    source = opened(pixel_format=name)
    try:
        assert (source.info.name, source.info.width, source.info.height) == ("Fake-GV01", 256, 192)
        assert source.info.live
        assert (source.info.fps, source.info.asked_fps) == (100.0, 100.0)
        taken = read(source, 8)
    finally:
        source.close()
        source.close()
    assert all(is_whole(image) for _, image in taken)
    for (_, before), (captured, image) in itertools.pairwise(taken):
        assert np.array_equal(image[:, : -1 - captured.lost_before], before[:, 1 + captured.lost_before :])
    grey = all((image[..., 0] == image[..., 2]).all() for _, image in taken)
    assert grey == name.startswith("Mono")
    assert any("upper 8 of 16 bits" in note for note in source.info.notes) == (name == "Mono16")


@needs_camera
@pytest.mark.parametrize("name", ["BayerGB8", "BayerGR8"])
def test_bayer_and_rgb_give_the_same_colours(camera: FakeCamera, name: str) -> None:
    """Only two formats are tested, because Aravis 0.8.26 exchanges BayerRG8 and BayerBG8."""
    camera.start()
    rows = []
    for pixel_format in ("RGB8", name):
        source = opened(pixel_format=pixel_format)
        try:
            rows.append(read(source, 1)[0][1][96, :255].astype(np.int16))
        finally:
            source.close()
    colours, bayer = rows
    # 255 colours go round as frames count on, so one is the other turned by some pixels.
    apart = [np.abs(np.roll(colours, turn, axis=0) - bayer)[2:-2].mean() for turn in range(255)]
    exchanged = [np.abs(np.roll(colours[:, ::-1], turn, axis=0) - bayer)[2:-2].mean() for turn in range(255)]
    assert min(apart) < 3 < min(exchanged)


@needs_camera
def test_settings_are_applied_and_differences_reported(camera: FakeCamera) -> None:
    camera.start()
    source = opened(size=None, roi=(64, 32, 200, 100), fps=50.0, exposure_ms=100.0, gain=1.0)
    try:
        assert (source.info.width, source.info.height, source.info.fps) == (200, 100, 50.0)
        assert source.info.notes == ()
        image = read(source, 1)[0][1]
    finally:
        source.close()
    # Its picture is the ramp 0 … 254 times 1 + gain + log10 of the exposure over 10 ms: here times 3.
    assert not (image[image < 255] % 3).any()
    assert len(np.unique(image)) > 50

    source = opened(size=(100, 9000), fps=1e6, gain=1000.0)
    source.close()
    assert source.info.notes == (
        "asked for 100x9000, got 100x2048",
        "100x2048 is cut from the middle of 2048x2048; --roi selects another part",
        "asked for gain 1000 dB, got 10 dB",
        "asked for frame rate 1e+06 fps, got 1000 fps",
    )


@needs_camera
def test_frame_time_follows_the_camera_and_device_time_is_kept(camera: FakeCamera) -> None:
    camera.start()
    source = opened()
    try:
        taken = [captured for captured, _ in read(source, 10)]
    finally:
        source.close()
    assert taken[0].pts_ns == 0
    for one, other in itertools.pairwise(taken):
        assert one.device_ns is not None
        assert other.device_ns is not None
        assert other.pts_ns - one.pts_ns == other.device_ns - one.device_ns > 0
    assert taken[0].device_ns == pytest.approx(time.time_ns(), abs=LONG_S * 1e9)  # its clock is the time of day


@needs_camera
def test_cameras_are_listed_and_a_missing_one_is_an_error(camera: FakeCamera) -> None:
    camera.start()
    (found,) = [c for c in list_cameras() if c["serial"] == "GV01"]
    assert found["id"] == "genicam:Aravis-Fake-GV01"
    assert (found["vendor"], found["model"]) == ("Aravis", "Fake")
    assert found["interface"].startswith("GigEVision ")
    with pytest.raises(SourceError, match=r"^genicam:nowhere cannot be opened \(Device 'nowhere' not found\); 'cropzo"):
        opened("nowhere")
    with pytest.raises(SourceError, match="pixel format Mono12p is not available; expected one of"):
        opened(pixel_format="Mono12p")
    opened().close()  # what was refused has been let go of


@needs_camera
def test_each_pulse_gives_a_frame_and_no_pulse_is_no_fault(camera: FakeCamera) -> None:
    camera.start()
    with pytest.raises(SourceError, match="Fake-GV01 has no trigger line Line7; it has Line0, Software"):
        opened(f"{ADDRESS},line=Line7", trigger=True)
    source = opened(trigger=True)
    source.close()
    assert source.info.notes[-1] == "each frame waits for a pulse on Line0"

    source = opened(f"{ADDRESS},line=Software", trigger=True, read_timeout_s=0.05)
    taken: list[CapturedFrame] = []
    pulses: list[float] = []
    enough = threading.Event()

    def send_pulses() -> None:
        """A pulse, once the frame of the one before has come, complete or, on a busy machine, not."""
        enough.wait(0.4)  # in which many timeouts pass
        while not enough.is_set():
            pulses.append(time.monotonic())
            source.execute("TriggerSoftware")
            while len(taken) + incomplete(source) < len(pulses) and time.monotonic() < pulses[-1] + LONG_S / 10:
                enough.wait(0.01)

    sending = threading.Thread(target=send_pulses)
    try:
        frames = source.frames()
        sending.start()
        for captured in frames:
            assert pulses, "a frame came before the pulse"
            taken.append(captured)
            assert len(taken) + incomplete(source) <= len(pulses)
            if len(taken) == 4:
                break
        enough.set()
        sending.join()
        assert isinstance(frames, Generator)
        frames.close()
    finally:
        enough.set()
        source.close()
    assert sum(captured.lost_before for captured in taken) >= incomplete(source)


@needs_camera
def test_incomplete_frames_are_dropped_and_counted(camera: FakeCamera) -> None:
    camera.start(lost_per_thousand=4)
    source = opened()
    try:
        taken = read(source, 100)
    finally:
        source.close()
    assert all(is_whole(image) for _, image in taken)
    lost = sum(captured.lost_before for captured, _ in taken)
    assert lost > 0
    assert source.problems()[0].endswith("frames arrived incomplete and were left out")
    # Each picture has moved by a pixel a frame, those that were lost included: the count is right each time.
    for (_, before), (captured, image) in itertools.pairwise(taken):
        moved = (int(image[0, 0, 0]) - int(before[0, 0, 0])) % 255
        assert moved == captured.lost_before + 1


@needs_camera
def test_a_camera_without_complete_frames_is_lost(camera: FakeCamera) -> None:
    camera.start(lost_per_thousand=500)
    source = opened(read_timeout_s=0.3)
    try:
        with pytest.raises(SourceError, match=r"has sent no complete frame for 0\.3 s, [0-9]+ incomplete; see docs"):
            read(source, 1)
    finally:
        source.close()


@needs_camera
def test_a_lost_camera_comes_back_in_a_new_segment(camera: FakeCamera, tmp_path: Path) -> None:
    camera.start(lost_per_thousand=2)
    settings = make_settings(tmp_path, camera_size="256x192", camera_fps=60.0, read_timeout_s=0.5)
    pipeline = Pipeline(settings, lambda: open_genicam(ADDRESS, settings.source_options()))
    pipeline.start()
    try:
        wait_for(lambda: pipeline.progress().counts.captured > 30, "frames")
        camera.kill()
        wait_for(lambda: pipeline.progress().stream == StreamState.RECONNECTING, "the camera's death to be seen")
        camera.start(lost_per_thousand=20)
        wait_for(lambda: pipeline.progress().segment == 1, "the camera to come back")
        before = pipeline.progress().counts.captured
        wait_for(lambda: pipeline.progress().counts.captured > before + 20, "frames of the second segment")
    finally:
        pipeline.stop()
        summary = pipeline.join()
    files = check_complete(pipeline.folder)
    assert sorted(files.timing["segment"].unique()) == [0, 1]
    assert (files.timing["pts_ns"].diff().dropna() > 0).all()
    assert summary["lost"] > 0
    assert any("frames arrived incomplete" in problem for problem in summary["problems"])
    wait_for(lambda: not cropzoom_threads(), "the threads to end", SOON_S)


@needs_camera
def test_a_run_stops_at_once_while_its_camera_is_silent(camera: FakeCamera, tmp_path: Path) -> None:
    camera.start()
    asked = {"camera_size": "256x192", "camera_fps": 60.0, "read_timeout_s": LONG_S}
    pipeline = Pipeline(make_settings(tmp_path, source=f"genicam:{ADDRESS}", **asked))
    pipeline.start()
    wait_for(lambda: pipeline.progress().counts.captured > 10, "frames")
    camera.fall_silent()
    wait_for(lambda: pipeline.progress().stream == StreamState.STALLED, "the silence to be seen")
    pipeline.stop()
    assert pipeline.join()["reason"] == "stopped"
    wait_for(lambda: not cropzoom_threads(), "the reading thread to end, long before its time limit", SOON_S)

    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    with pytest.raises(SourceError, match=r"cannot be opened \(the run has ended\)"):
        open_genicam(ADDRESS, SourceOptions(stopped=stop.is_set))
    with pytest.raises(SourceError, match=r"cannot be opened \(it has not answered for 0\.1 s\)"):
        open_genicam(ADDRESS, SourceOptions(open_timeout_s=0.1))
    assert time.monotonic() - began < SOON_S


def test_without_aravis_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aravis, "_LIBRARIES", ("libnothing.so",))
    monkeypatch.setattr("ctypes.util.find_library", lambda _: None)
    aravis.library.cache_clear()
    try:
        with pytest.raises(SourceError, match=r"need the system library Aravis 0.8: apt install libaravis-0.8-0"):
            opened()
        with pytest.raises(SourceError, match=r"apt install libaravis-0.8-0"):
            list_cameras()
    finally:
        aravis.library.cache_clear()
