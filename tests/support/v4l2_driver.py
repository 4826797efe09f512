"""A webcam's driver: answers ioctl for device nodes in a folder, as Linux does."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from realtime_cropzoom.sources.live import v4l2


class Driver:
    """Answers ioctl as a webcam's driver does, for the device files in a folder."""

    MODES = (("MJPG", (1280, 720), (30, 15)), ("MJPG", (640, 480), (60,)), ("YUYV", (640, 480), (30,)))

    def __init__(self) -> None:
        self.controls = {v4l2.V4L2_CID_EXPOSURE_AUTO: 3, v4l2.V4L2_CID_EXPOSURE_ABSOLUTE: 157, v4l2.V4L2_CID_GAIN: 0}
        self.gain_limit = 100

    def ioctl(self, fd: int, request: int, buffer: bytearray) -> int:
        if b"not a camera" in os.pread(fd, 100, 0):
            raise OSError(errno.ENOTTY, "no")
        requests: dict[int, tuple[struct.Struct, Callable[..., tuple[Any, ...]]]] = {
            v4l2.VIDIOC_QUERYCAP: (v4l2.CAPABILITY, self._capability),
            v4l2.VIDIOC_ENUM_FMT: (v4l2.FORMAT, self._format),
            v4l2.VIDIOC_ENUM_FRAMESIZES: (v4l2.FRAME_SIZE, self._size),
            v4l2.VIDIOC_ENUM_FRAMEINTERVALS: (v4l2.FRAME_INTERVAL, self._interval),
            v4l2.VIDIOC_S_CTRL: (v4l2.CONTROL, self._set),
            v4l2.VIDIOC_G_CTRL: (v4l2.CONTROL, lambda control, _: (control, self.controls[control])),
        }
        layout, answer = requests[request]
        try:
            buffer[:] = layout.pack(*answer(*layout.unpack(buffer)))
        except (IndexError, KeyError):
            raise OSError(errno.EINVAL, "Invalid argument") from None
        return 0

    def _capability(self, *_: Any) -> tuple[Any, ...]:
        return b"uvcvideo", b"Webcam", b"usb-1", 6, 0x84A00001, 0x04200001

    def _format(self, index: int, *_: Any) -> tuple[Any, ...]:
        names = list(dict.fromkeys(name for name, _, _ in self.MODES))
        return index, 1, 0, b"", int.from_bytes(names[index].encode(), "little")

    def _sizes(self, fourcc: int) -> list[tuple[tuple[int, int], tuple[int, ...]]]:
        name = fourcc.to_bytes(4, "little").decode()
        return [(size, rates) for n, size, rates in self.MODES if n == name]

    def _size(self, index: int, fourcc: int, *_: Any) -> tuple[Any, ...]:
        return index, fourcc, 1, *self._sizes(fourcc)[index][0], 0, 0, 0, 0

    def _interval(self, index: int, fourcc: int, width: int, height: int, *_: Any) -> tuple[Any, ...]:
        rates = dict(self._sizes(fourcc))[width, height]
        return index, fourcc, width, height, 1, 1, rates[index], 0, 0, 0, 0

    def _set(self, control: int, value: int) -> tuple[int, int]:
        self.controls[control]  # KeyError: the driver lacks it
        self.controls[control] = min(value, self.gain_limit) if control == v4l2.V4L2_CID_GAIN else value
        return control, value


def make_nodes(folder: Path) -> None:
    """Create three device nodes: two cameras, and one that is not a camera."""
    for number, name in ((0, "Integrated Webcam"), (2, "Side Camera"), (10, "Top Camera")):
        (folder / "sys" / f"video{number}").mkdir(parents=True)
        (folder / "sys" / f"video{number}" / "name").write_text(name + "\n")
        (folder / f"video{number}").write_bytes(b"a camera" if number != 10 else b"not a camera")
