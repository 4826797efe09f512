"""Camera queries of Linux by ioctl: names, modes, and the controls for exposure and gain.

Frames themselves come through PyAV, which offers no such queries. Source of the numbers and structures, which keep
their names here: the kernel's ``include/uapi/linux/videodev2.h``. Decision 0011 says why no library is used.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

SYSTEM_FOLDER = Path("/sys/class/video4linux")
DEVICE_FOLDER = Path("/dev")

CAPABILITY = struct.Struct("16s32s32sIII12x")
FORMAT = struct.Struct("III32sI16x")
FRAME_SIZE = struct.Struct("IIIIIIIII8x")
FRAME_INTERVAL = struct.Struct("IIIIIIIIIII8x")
CONTROL = struct.Struct("Ii")


def _request(direction: int, number: int, size: int) -> int:
    return direction << 30 | size << 16 | ord("V") << 8 | number


VIDIOC_QUERYCAP = _request(2, 0, CAPABILITY.size)
VIDIOC_ENUM_FMT = _request(3, 2, FORMAT.size)
VIDIOC_ENUM_FRAMESIZES = _request(3, 74, FRAME_SIZE.size)
VIDIOC_ENUM_FRAMEINTERVALS = _request(3, 75, FRAME_INTERVAL.size)
VIDIOC_G_CTRL = _request(3, 27, CONTROL.size)
VIDIOC_S_CTRL = _request(3, 28, CONTROL.size)

_CAPTURE_CAPABILITY = 0x1
_BUFFER_CAPTURE = 1
_DISCRETE = 1
V4L2_CID_EXPOSURE_AUTO, V4L2_CID_EXPOSURE_ABSOLUTE, V4L2_CID_GAIN = 0x009A0901, 0x009A0902, 0x00980913
_EXPOSURE_MANUAL = 1
_MAX_ENTRIES = 256
"""Maximum number of entries to read from a list, for drivers that never report its end."""

_FFMPEG_NAMES = {"YUYV": "yuyv422", "UYVY": "uyvy422", "MJPG": "mjpeg", "GREY": "gray", "NV12": "nv12", "H264": "h264",
                 "YU12": "yuv420p", "RGB3": "rgb24", "BGR3": "bgr24", "Y16": "gray16le"}  # fmt: skip
"""FFmpeg's name of a pixel format, by its FourCC."""


@dataclass(frozen=True, slots=True)
class Mode:
    """A pixel format, a frame size, and the frame rates available with them."""

    pixel_format: str
    """Pixel format in the form that ``--pixel-format`` accepts."""
    width: int
    height: int
    fps: tuple[float, ...]
    """Frames per second, highest first; empty if the driver lists none or gives a range."""


@dataclass(frozen=True, slots=True)
class Device:
    """A camera as Linux lists it."""

    path: Path
    name: str
    modes: tuple[Mode, ...]
    problem: str = ""
    """Reason why its modes could not be queried; empty if they could."""


def list_devices() -> list[Device]:
    """Return the connected cameras, without device nodes that provide no pictures, such as those for metadata."""
    devices = []
    for entry in sorted(SYSTEM_FOLDER.glob("video*"), key=lambda p: int("0" + p.name.removeprefix("video"))):
        path = DEVICE_FOLDER / entry.name
        name = (entry / "name").read_text(errors="replace").strip() if (entry / "name").is_file() else entry.name
        try:
            with _opened(path) as fd:
                if _provides_pictures(fd):
                    devices.append(Device(path, name, tuple(_modes(fd))))
        except OSError as error:
            devices.append(Device(path, name, (), error.strerror or str(error)))
    return devices


def set_controls(path: Path, *, exposure_ms: float | None = None, gain: float | None = None) -> list[str]:
    """Set exposure and gain of a camera.

    Args:
        path: Its device node.
        exposure_ms: Exposure time (ms); None to leave it unchanged.
        gain: Gain in the units of the driver; None to leave it unchanged.

    Returns:
        Messages about values that could not be set or that the driver changed; empty if all were set.

    Raises:
        OSError: if the device cannot be opened.
    """
    problems = []
    with _opened(path) as fd:
        if exposure_ms is not None:
            # A driver without automatic exposure lacks this control, which is no fault.
            _try_control(fd, V4L2_CID_EXPOSURE_AUTO, _EXPOSURE_MANUAL)
            got = _try_control(fd, V4L2_CID_EXPOSURE_ABSOLUTE, round(exposure_ms * 10))
            problems += _compare(
                "exposure", f"{exposure_ms:g} ms", exposure_ms, None if got is None else got / 10, " ms"
            )
        if gain is not None:
            problems += _compare("gain", f"{gain:g}", gain, _try_control(fd, V4L2_CID_GAIN, round(gain)), "")
    return problems


def _compare(what: str, asked_text: str, asked: float, got: float | None, unit: str) -> list[str]:
    if got is None:
        return [f"{what} could not be set to {asked_text}: the driver has no such control, or refuses that value"]
    return [] if abs(got - asked) <= 0.05 * abs(asked) else [f"asked for {what} {asked_text}, got {got:g}{unit}"]


def _try_control(fd: int, control: int, value: int) -> int | None:
    """Set a control and return its value afterwards; None if the driver refuses."""
    try:
        _query(fd, VIDIOC_S_CTRL, CONTROL, control, value)
        got: int = _query(fd, VIDIOC_G_CTRL, CONTROL, control, 0)[1]
    except OSError:
        return None
    return got


def _provides_pictures(fd: int) -> bool:
    capabilities, of_this_node = _query(fd, VIDIOC_QUERYCAP, CAPABILITY, b"", b"", b"", 0, 0, 0)[4:6]
    return bool((of_this_node or capabilities) & _CAPTURE_CAPABILITY)


def _modes(fd: int) -> Iterator[Mode]:
    for _, _, _, _, fourcc in _iter_entries(fd, VIDIOC_ENUM_FMT, FORMAT, lambda i: (i, _BUFFER_CAPTURE, 0, b"", 0)):
        text = struct.pack("<I", fourcc & 0x7FFFFFFF).decode("ascii", "replace").strip()
        pixel_format = _FFMPEG_NAMES.get(text, text)
        for _, _, kind, *numbers in _iter_entries(fd, VIDIOC_ENUM_FRAMESIZES, FRAME_SIZE, partial(_size_entry, fourcc)):
            if kind == _DISCRETE:
                width, height = numbers[:2]
                yield Mode(pixel_format, width, height, _rates(fd, fourcc, width, height))
            else:  # a range: the largest
                yield Mode(pixel_format, numbers[1], numbers[4], ())
                break


def _size_entry(fourcc: int, index: int) -> tuple[int, ...]:
    return (index, fourcc, 0, 0, 0, 0, 0, 0, 0)


def _rates(fd: int, fourcc: int, width: int, height: int) -> tuple[float, ...]:
    blank = (fourcc, width, height, 0, 0, 0, 0, 0, 0, 0)
    found = _iter_entries(fd, VIDIOC_ENUM_FRAMEINTERVALS, FRAME_INTERVAL, lambda index: (index, *blank))
    rates = {round(of / seconds, 3) for _, _, _, _, kind, seconds, of, *_ in found if kind == _DISCRETE and seconds}
    return tuple(sorted(rates, reverse=True))


def _iter_entries(
    fd: int, request: int, layout: struct.Struct, entry: Callable[[int], tuple[Any, ...]]
) -> Iterator[tuple[Any, ...]]:
    """Yield entry 0, 1, … until the driver reports that there is none."""
    for index in range(_MAX_ENTRIES):
        try:
            yield _query(fd, request, layout, *entry(index))
        except OSError:
            return


def _query(fd: int, request: int, layout: struct.Struct, *values: object) -> tuple[Any, ...]:
    import fcntl

    buffer = bytearray(layout.pack(*values))
    fcntl.ioctl(fd, request, buffer)
    return layout.unpack(buffer)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDWR | getattr(os, "O_NONBLOCK", 0))
    try:
        yield fd
    finally:
        os.close(fd)
