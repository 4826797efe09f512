"""Cameras of the operating system: their names, modes, options and errors."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from support.pipelines import cropzoom

from realtime_cropzoom.cli.cameras import table
from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.sources.base import SourceInfo, SourceOptions
from realtime_cropzoom.sources.live import camera, v4l2


@pytest.mark.usefixtures("driver")
def test_cameras_are_listed(tmp_path: Path) -> None:
    first, second, third = camera.list_cameras()
    assert (first.spec, first.name) == (f"camera:{tmp_path}/video0", "Integrated Webcam")
    assert [len(found.modes) for found in (first, second, third)] == [3, 3, 0]
    assert third.problem == "no"


@pytest.mark.parametrize(
    ("which", "path"),
    [
        ("1", "/dev/video1"),
        ("/dev/v4l/by-id/usb", "/dev/v4l/by-id/usb"),
        ("side camera", "video2"),
        ("Webcam", "video0"),
    ],
)
@pytest.mark.usefixtures("driver")
def test_a_camera_is_found_by_number_path_or_name(which: str, path: str, tmp_path: Path) -> None:
    assert camera.find_linux_device(which) == (path if path.startswith("/") else str(tmp_path / path))


@pytest.mark.usefixtures("driver")
def test_an_unknown_name_lists_the_cameras() -> None:
    with pytest.raises(SourceError, match=r"no camera has that name; there is Integrated Webcam \(.*video0\), Side"):
        camera.find_linux_device("Ceiling")


def test_differences_from_the_requested_options_are_reported() -> None:
    info = SourceInfo("cam", 640, 480, 60.0, None, live=True)
    assert camera.list_differences(info, "mjpeg", SourceOptions((640, 480), 60.0, "MJPEG")) == []
    assert camera.list_differences(info, "yuyv422", SourceOptions((1280, 720), 100.0, "mjpeg")) == [
        "asked for 1280x720, got 640x480",
        "asked for 100 fps, got 60",
        "asked for pixel format mjpeg, got yuyv422",
    ]
    assert len(camera.list_differences(info, "mjpeg", SourceOptions(roi=(0, 0, 10, 10), trigger=True))) == 2


@pytest.mark.parametrize(
    ("system", "options"),
    [
        ("v4l2", {"video_size": "1280x720", "framerate": "60", "input_format": "mjpeg"}),
        ("dshow", {"video_size": "1280x720", "framerate": "60", "vcodec": "mjpeg"}),
        ("avfoundation", {"video_size": "1280x720", "framerate": "60", "pixel_format": "mjpeg"}),
    ],
)
def test_options_are_translated_for_each_system(system: str, options: dict[str, str]) -> None:
    asked = camera.ffmpeg_options(system, SourceOptions((1280, 720), 60.0, "MJPEG"))
    assert {key: asked[key] for key in options} == options


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOENT, "there is no such camera; plug it in"),
        (errno.EBUSY, "another program uses it"),
        (errno.EACCES, "add yourself to the group 'video'"),
        (errno.ENODEV, "has been unplugged"),
    ],
)
def test_each_error_says_what_to_do(number: int, says: str) -> None:
    assert says in camera.explain_error(OSError(number, "x"))


@pytest.mark.skipif(os.path.exists("/dev/video250"), reason="there is a camera")
def test_a_missing_camera_is_one_line(tmp_path: Path) -> None:
    done = cropzoom("run", "camera:250", "--out", tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "cropzoom: camera:250 cannot be opened: there is no such camera; plug it in. "
        "'cropzoom cameras' lists the connected ones\n"
    )


def test_cameras_are_listed_as_json() -> None:
    done = cropzoom("cameras", "--json")
    assert done.returncode == 0
    assert all({"source", "name", "modes", "problem"} <= set(found) for found in json.loads(done.stdout))


def test_no_camera_is_no_error_and_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from realtime_cropzoom.cli import cameras, main

    monkeypatch.setattr(v4l2, "SYSTEM_FOLDER", tmp_path)
    monkeypatch.setattr(cameras, "_MACHINE_VISION", ())
    assert main.main(["cameras"]) == 0
    assert capsys.readouterr().out.startswith("no camera found. Connect one")


def test_the_table_has_one_line_for_each_mode() -> None:
    modes = [
        {"pixel_format": "mjpeg", "width": 1280, "height": 720, "fps": [30.0, 15.0]},
        {"pixel_format": "gray", "width": 64, "height": 48, "fps": []},
    ]
    lines = table(
        [
            {"source": "camera:/dev/video0", "name": "Webcam", "modes": modes, "problem": ""},
            {"source": "genicam:A", "name": "B", "modes": [], "problem": "in use"},
        ]
    ).splitlines()
    assert lines == [
        "SOURCE              NAME    MODES",
        "camera:/dev/video0  Webcam  mjpeg 1280x720 at 30, 15 fps",
        "                            gray 64x48",
        "genicam:A           B       in use",
    ]
