"""Cameras of the operating system as sources, through PyAV: V4L2 (Linux), DirectShow (Windows), AVFoundation (macOS).

``camera:0`` is the first camera, ``camera:/dev/video2`` a Linux device, and ``camera:Integrated Webcam``
a name as ``cropzoom cameras`` lists it. Opening and listing on Windows and macOS has never run with a real camera.
"""

from __future__ import annotations

import errno
import logging
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import av

from realtime_cropzoom.errors import SourceError, explain
from realtime_cropzoom.sources.base import SourceInfo, SourceOptions
from realtime_cropzoom.sources.live import v4l2
from realtime_cropzoom.sources.live.live_video import LiveVideo
from realtime_cropzoom.sources.live.stream_decoder import LOW_DELAY, StreamAddress

logger = logging.getLogger(__name__)

_FORMATS = {"linux": "v4l2", "win32": "dshow", "darwin": "avfoundation"}
_LIST_HINT = "'cropzoom cameras' lists the connected ones"
_HINTS = {
    errno.ENOENT: f"there is no such camera; plug it in. {_LIST_HINT}",
    errno.ENODEV: f"it has been unplugged; {_LIST_HINT}",
    errno.ENXIO: f"there is no such camera; plug it in. {_LIST_HINT}",
    errno.ENOTTY: f"it is not a camera; {_LIST_HINT}",
    errno.EBUSY: "another program uses it; close that program",
    errno.EINVAL: "it refuses these options; 'cropzoom cameras' lists its modes",
}
_NO_PERMISSION_ON_LINUX = (
    "no permission; add yourself to the group 'video' (sudo usermod -aG video $USER) and log in again"
)
_HINTS_OF = {
    "linux": {
        errno.EBUSY: "another program uses it; close that program ('fuser -v /dev/video*' shows it)",
        errno.EACCES: _NO_PERMISSION_ON_LINUX,
        errno.EPERM: _NO_PERMISSION_ON_LINUX,
    },
    "win32": {
        errno.EIO: "it does not start: another program uses it, it refuses these options, or Settings > Privacy > "
        "Camera keeps programs from it",
    },
    "darwin": {
        errno.EIO: "it does not start: another program uses it, it refuses these options, or System Settings > "
        "Privacy & Security > Camera keeps this terminal from it",
    },
}
"""What an error means on one system, where that differs from the others."""


@dataclass(frozen=True, slots=True)
class ListedCamera:
    """A connected camera."""

    spec: str
    """The SOURCE for ``cropzoom run``."""
    name: str
    modes: tuple[v4l2.Mode, ...] = ()
    problem: str = ""
    """Reason why its modes are unknown; empty if there is none."""


def open_camera(which: str, options: SourceOptions) -> LiveVideo:
    """Open a camera.

    Args:
        which: Index, device path or name of the camera.
        options: Options for opening it. What the camera does not fulfil is listed in the notes of its info.

    Raises:
        SourceError: if the camera cannot be opened; one line that says what to do.
    """
    system = _FORMATS.get(sys.platform)
    if system is None:
        raise SourceError(f"camera:{which}: cameras of {sys.platform} are unknown; expected Linux, Windows or macOS")
    url = _URLS[system](which)
    camera = LiveVideo(
        StreamAddress(
            url,
            f"camera:{which}",
            re.sub(r"[^A-Za-z0-9.-]+", "_", f"camera_{which.removeprefix('/dev/')}").strip("_"),
            explain_error,
            format=system,
            options=ffmpeg_options(system, options),
            timeout_s=(options.open_timeout_s, options.read_timeout_s),
            asked_fps=options.fps,
            stopped=options.stopped,
            keep_packets=options.keep_packets,
        )
    )
    notes = list_differences(camera.info, camera.pixel_format, options) + _set_controls(system, url, options)
    for note in notes:
        logger.warning("camera:%s: %s", which, note)
    camera.info = replace(camera.info, notes=(*camera.info.notes, *(f"camera:{which}: {note}" for note in notes)))
    return camera


def list_differences(info: SourceInfo, pixel_format: str, options: SourceOptions) -> list[str]:
    """Return, in words, the requested options that differ from what the camera provides.

    Args:
        info: Properties of the open camera.
        pixel_format: Its pixel format, as FFmpeg names it.
        options: The requested options.
    """
    differences = []
    if options.size is not None and options.size != (info.width, info.height):
        differences.append(f"asked for {options.size[0]}x{options.size[1]}, got {info.width}x{info.height}")
    if options.fps is not None and info.fps is not None and abs(info.fps - options.fps) > 0.01 * options.fps:
        differences.append(f"asked for {options.fps:g} fps, got {info.fps:.4g}")
    if options.pixel_format is not None and options.pixel_format.lower() != pixel_format:
        differences.append(f"asked for pixel format {options.pixel_format}, got {pixel_format}")
    if options.roi is not None:
        differences.append("it cannot read out a part of the sensor (roi); the whole frame is used")
    if options.trigger:
        differences.append("it cannot be triggered; frames arrive at its own rate")
    return differences


def list_cameras() -> list[ListedCamera]:
    """Return the cameras of the operating system; empty if the system or PyAV cannot list them."""
    system = _FORMATS.get(sys.platform)
    if system == "v4l2":
        return [ListedCamera(f"camera:{d.path}", d.name, d.modes, d.problem) for d in v4l2.list_devices()]
    found = _devices(system) if system is not None else []
    names = [name for name, _ in found]
    specs = [name if names.count(name) == 1 else str(index) for index, name in enumerate(names)]
    return [ListedCamera(f"camera:{spec}", name) for spec, name in zip(specs, names, strict=True)]


def _devices(system: str) -> list[tuple[str, str]]:
    """Return name and address of the cameras that FFmpeg finds; empty if it cannot list them."""
    if not hasattr(av, "enumerate_input_devices"):  # PyAV has it since 17
        return []
    try:
        found = av.enumerate_input_devices(system)
    except (av.FFmpegError, ValueError) as error:
        logger.warning("cameras cannot be listed: %s", explain(error))
        return []
    videos = [d for d in found if "video" in (getattr(d, "media_types", None) or ["video"])]
    return [(d.description or d.name, d.name) for d in videos]


def find_linux_device(which: str) -> str:
    """Return the device node of a camera, given its number, path or name.

    Raises:
        SourceError: if no camera has that name.
    """
    if which.isdecimal():
        return f"/dev/video{which}"
    if which.startswith("/"):
        return which
    return str(_find_by_name(which, [(d.name, d.path) for d in v4l2.list_devices()]))


def find_windows_device(which: str) -> str:
    """Return DirectShow's address of a camera, given its number or name.

    Raises:
        SourceError: if no camera has that number or name.
    """
    found = _devices("dshow")
    name, address = _choose(which, found)
    return f"video={name if [n for n, _ in found].count(name) <= 1 else address}"


def find_mac_device(which: str) -> str:
    """Return AVFoundation's address of a camera, without sound, given its number or name.

    Raises:
        SourceError: if no camera has that number or name.
    """
    found = _devices("avfoundation")
    return f"{which if which.isdecimal() else _choose(which, found)[0]}:none"


def _choose(which: str, found: list[tuple[str, str]]) -> tuple[str, str]:
    """Return the camera with that number or name; if the system lists none, the name as it is given."""
    if which.isdecimal() and int(which) < len(found):
        return found[int(which)]
    if not found and not which.isdecimal():
        return which, which
    address = _find_by_name(which, found)
    return next(camera for camera in found if camera[1] == address)


_Address = TypeVar("_Address", str, Path)


def _find_by_name(which: str, devices: list[tuple[str, _Address]]) -> _Address:
    """Return the first device with that name, else the first whose name contains it: a camera may have several."""
    for found in (
        [address for name, address in devices if name.lower() == which.lower()],
        [address for name, address in devices if which and which.lower() in name.lower()],
    ):
        if found:
            return found[0]
    there = ", ".join(f"{name} ({address})" for name, address in devices) or "none"
    raise SourceError(f"camera:{which}: no camera has that name; there is {there}")


_URLS: dict[str, Callable[[str], str]] = {
    "v4l2": find_linux_device,
    "dshow": find_windows_device,
    "avfoundation": find_mac_device,
}


def ffmpeg_options(system: str, options: SourceOptions) -> dict[str, str]:
    """Return the options for opening a camera, as FFmpeg names them.

    Args:
        system: FFmpeg's input format for the operating system: v4l2, dshow or avfoundation.
        options: The requested options.
    """
    asked = {"fflags": "nobuffer", **LOW_DELAY}  # frames read to probe the format are discarded
    if options.size is not None:
        asked["video_size"] = "{}x{}".format(*options.size)
    if options.fps is not None:
        asked["framerate"] = f"{options.fps:g}"
    if options.pixel_format is not None:
        compressed = options.pixel_format.lower() in ("mjpeg", "h264", "hevc")
        key = {"v4l2": "input_format", "dshow": "vcodec" if compressed else "pixel_format"}.get(system, "pixel_format")
        asked[key] = options.pixel_format.lower()
    return asked


def _set_controls(system: str, url: str, options: SourceOptions) -> list[str]:
    """Set exposure and gain, which FFmpeg cannot; return messages about those that could not be set."""
    if options.exposure_ms is None and options.gain is None:
        return []
    if system != "v4l2":
        return ["exposure and gain cannot be set through this system; set them with the camera's own program"]
    try:
        return v4l2.set_controls(Path(url), exposure_ms=options.exposure_ms, gain=options.gain)
    except OSError as error:
        return [f"exposure and gain could not be set: {error.strerror or error}"]


def explain_error(error: Exception) -> str:
    """Return what an error of a camera means and what to do about it."""
    hints = _HINTS | _HINTS_OF.get(sys.platform, {})
    return hints.get(getattr(error, "errno", None) or 0, explain(error))
