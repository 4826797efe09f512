"""Cameras through a GenTL producer: the one that comes with the package ``genicam`` plays a game in its frames."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.pipelines import check_complete, cropzoom_threads, make_settings, run_to_end

from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.sources.base import CapturedFrame, SourceOptions
from realtime_cropzoom.sources.factory import open_source
from realtime_cropzoom.sources.machine_vision import gentl
from realtime_cropzoom.sources.machine_vision.gentl import GentlCamera, list_cameras, open_gentl
from realtime_cropzoom.types import UInt8


@pytest.fixture
def _producer(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = "harvesters is not installed: pip install 'realtime-cropzoom[genicam]'"
    genicam = pytest.importorskip("genicam", reason=missing)
    pytest.importorskip("harvesters", reason=missing)
    folder = Path(genicam.__file__).parent
    if not list(folder.glob("*.cti")):
        pytest.skip("this version of genicam brings no producer")
    monkeypatch.setenv(gentl.FOLDERS, str(folder))


producer = pytest.mark.usefixtures("_producer")


@pytest.fixture
def camera(_producer: None) -> Iterator[GentlCamera]:
    camera = open_gentl("", SourceOptions(size=(320, 240), fps=100.0))
    yield camera
    camera.close()


def read(source: GentlCamera, count: int) -> list[tuple[CapturedFrame, UInt8]]:
    taken: list[tuple[CapturedFrame, UInt8]] = []
    for captured in source.frames():
        image = np.zeros((captured.height, captured.width, 3), np.uint8)
        captured.copy_to(image)
        taken.append((captured, image))
        if len(taken) == count:
            break
    return taken


@producer
def test_cameras_are_listed_and_opened_by_serial_number() -> None:
    found = list_cameras()
    assert [camera["id"] for camera in found] == ["gentl:0", "gentl:1", "gentl:2"]
    assert found[1]["model"] == "Viky"
    camera = open_source(found[1]["id"])
    assert camera.info.name == "Viky-1"
    camera.close()
    camera.close()


def test_settings_reach_the_camera_and_frames_come_in_order(camera: GentlCamera) -> None:
    assert (camera.info.width, camera.info.height, camera.info.fps) == (320, 240, 100.0)
    frames = read(camera, 20)
    assert all(image.shape == (240, 320, 3) for _, image in frames)
    assert len({image.tobytes() for _, image in frames}) > 1, "its game goes on"
    times = [captured.pts_ns for captured, _ in frames]
    assert times == sorted(set(times))
    assert [captured.lost_before for captured, _ in frames] == [0] * 20
    assert camera._acquirer.timeout_period_on_update_event_data_call == 0, "it would wait with the interpreter's lock"
    assert camera.problems() == []


def test_its_format_that_is_not_supported_is_left_for_another(camera: GentlCamera) -> None:
    """It begins with colours and an alpha channel (RGBa8)."""
    assert camera.nodes.choice("PixelFormat")[0] == "Mono8"
    (_, image), *_ = read(camera, 1)
    assert (image[..., 0] == image[..., 1]).all()


@producer
def test_values_beyond_its_limits_are_set_to_the_limits_and_said() -> None:
    camera = open_gentl("", SourceOptions(size=(5000, 50), fps=900.0))
    assert (camera.info.width, camera.info.height, camera.info.fps) == (800, 100, 200.0)
    assert "asked for 5000x50, got 800x100" in camera.info.notes
    assert "asked for frame rate 900 fps, got 200 fps" in camera.info.notes
    camera.close()


@producer
@pytest.mark.parametrize(
    ("rest", "asked", "says"),
    [
        ("nobody", {}, "camera gentl:nobody not found; connected: Viky 0, Viky 1, Viky 2"),
        ("", {"exposure_ms": 3.0}, "Viky 0 has no setting ExposureTime; leave it out"),
        (",line=Line1", {"trigger": True}, "Viky 0 has no trigger line Line1; it has none"),
        ("", {"pixel_format": "BayerRG8"}, "Viky 0: pixel format BayerRG8 is not available; expected one of Mono8"),
    ],
)
def test_what_it_does_not_have_is_one_line(rest: str, asked: dict[str, Any], says: str) -> None:
    with pytest.raises(SourceError) as refused:
        open_gentl(rest, SourceOptions(**asked))
    assert str(refused.value) == says
    open_gentl("", SourceOptions()).close()  # the refused one is released


@producer
def test_a_camera_that_sends_no_frame_is_lost_after_the_time_given() -> None:
    camera = open_gentl("", SourceOptions(fps=1.0, read_timeout_s=0.3))
    with pytest.raises(SourceError, match=r"Viky-0 has sent nothing for 0\.3 s"):
        read(camera, 3)
    camera.close()


@producer
def test_without_a_producer_the_variable_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(gentl.FOLDERS, str(tmp_path))
    with pytest.raises(SourceError) as refused:
        list_cameras()
    assert str(refused.value) == (
        f"there is no GenTL producer: no .cti file in the folders of GENICAM_GENTL64_PATH ({tmp_path}). Install the "
        "software of the camera's vendor, then open a new terminal"
    )


@producer
def test_a_producer_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "broken.cti").write_bytes(b"no library")
    monkeypatch.setenv(gentl.FOLDERS, str(tmp_path))
    with pytest.raises(SourceError, match=r"broken\.cti cannot be loaded .*install that producer again"):
        list_cameras()


def test_without_harvesters_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "harvesters.core", None)
    with pytest.raises(SourceError, match=r"GenTL cameras need harvesters: .*\[genicam\]"):
        list_cameras()


@producer
def test_on_windows_genicam_means_the_producer_of_the_vendor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    camera = open_source("genicam:2")
    assert camera.info.name == "Viky-2"
    camera.close()


@producer
def test_a_run_tracks_its_frames_and_ends_whole(tmp_path: Path) -> None:
    before = cropzoom_threads()
    settings = make_settings(tmp_path, source="gentl:0", camera_size="320x240", camera_fps=50, frames=30)
    pipeline = run_to_end(settings)
    assert check_complete(pipeline.folder).summary["counts"]["captured"] == 30
    assert cropzoom_threads() <= before
