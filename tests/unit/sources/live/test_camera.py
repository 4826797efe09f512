"""Cameras of the operating system: their names, modes, options and errors."""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

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


class FoundDevice(NamedTuple):
    """What PyAV tells of a device."""

    name: str
    description: str
    media_types: list[str]


SAME, OTHER = "Logitech BRIO", "Integrated Webcam"


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with Windows that has three cameras, two of them of one name, and a microphone."""
    devices = [
        FoundDevice("@device_pnp_1", SAME, ["video"]),
        FoundDevice("@device_pnp_2", OTHER, ["video"]),
        FoundDevice("@device_pnp_3", SAME, ["video"]),
        FoundDevice("@device_cm_4", "Microphone", ["audio"]),
    ]
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr("av.enumerate_input_devices", lambda system: devices if system == "dshow" else [])


@pytest.mark.usefixtures("windows")
def test_cameras_of_windows_are_listed_by_name_if_one_has_it_else_by_number() -> None:
    listed = [(found.spec, found.name) for found in camera.list_cameras()]
    assert listed == [("camera:0", SAME), (f"camera:{OTHER}", OTHER), ("camera:2", SAME)]


@pytest.mark.parametrize(
    ("which", "address"),
    [("0", "video=@device_pnp_1"), ("1", f"video={OTHER}"), ("2", "video=@device_pnp_3"), ("webcam", f"video={OTHER}")],
)
@pytest.mark.usefixtures("windows")
def test_a_camera_of_windows_is_found_by_number_or_name(which: str, address: str) -> None:
    assert camera.find_windows_device(which) == address


@pytest.mark.parametrize("which", ["3", "Ceiling"])
@pytest.mark.usefixtures("windows")
def test_an_unknown_camera_of_windows_lists_those_that_are_there(which: str) -> None:
    with pytest.raises(SourceError, match=rf"camera:{which}: no camera has that name; there is Logitech BRIO"):
        camera.find_windows_device(which)


def test_a_camera_of_macos_is_a_number_or_a_name_without_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = [FoundDevice("0", "FaceTime HD Camera", ["video"])]
    monkeypatch.setattr("av.enumerate_input_devices", lambda system: devices)
    found = [camera.find_mac_device(which) for which in ("0", "facetime")]
    assert found == ["0:none", "FaceTime HD Camera:none"]


def test_a_name_is_tried_where_no_camera_can_be_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("av.enumerate_input_devices", lambda system: [])
    assert camera.find_windows_device("My Camera") == "video=My Camera"
    assert camera.find_mac_device("My Camera") == "My Camera:none"


@pytest.mark.parametrize(("system", "says"), [("win32", "Settings > Privacy > Camera"), ("darwin", "System Settings")])
def test_the_settings_of_each_system_are_named(monkeypatch: pytest.MonkeyPatch, system: str, says: str) -> None:
    monkeypatch.setattr(sys, "platform", system)
    assert says in camera.explain_error(OSError(errno.EIO, "x"))
    assert "group 'video'" not in camera.explain_error(OSError(errno.EACCES, "x"))
