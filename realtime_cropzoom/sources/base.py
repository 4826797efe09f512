"""Protocol of every source, with the frame that it yields and the options with which it is opened."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from realtime_cropzoom.sources.encoded import PIXELS, CodecParameters, EncodedFrames, NotCopyable
from realtime_cropzoom.types import Picture, UInt8


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """Properties of an open source."""

    name: str
    """Short name, used for the files of a run (a video's stem)."""
    width: int
    """Frame width in pixels, after rotation."""
    height: int
    """Frame height in pixels, after rotation."""
    fps: float | None
    """Nominal frames per second; None if the source does not give it."""
    frame_count: int | None
    """Number of frames that the source declares; None if it declares none or never ends."""
    live: bool = False
    """True for a camera or a stream: the device sets the pace, and the end of its frames is a fault."""
    notes: tuple[str, ...] = ()
    """Messages for the user at the start, such as a frame rate that differs from the requested one."""
    asked_fps: float | None = None
    """Requested frames per second; the measured rate is compared with it. None if no rate was requested."""
    coding: CodecParameters | NotCopyable = PIXELS
    """Codec of the compressed frames if ``keep_packets`` was set; otherwise the reason why there are none."""
    kept: bool = False
    """Whether its frames are kept as they came (``CapturedFrame.image``). A change within the stream may end this."""


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    """A frame that has arrived, not converted or copied yet. Its capture time is the moment at which it is yielded."""

    pts_ns: int
    """Frame time (ns) since the first frame of the source."""
    device_ns: int | None
    """Timestamp (ns) on the clock of the source; None if it has none."""
    width: int
    height: int
    copy_to: Callable[[UInt8], None]
    """Writes the RGB pixels into a preallocated (height, width, 3) uint8 array. It is called at most once,
    before the next frame is requested."""
    lost_before: int = 0
    """Number of frames that the camera counted between the previous frame and this one, but that never arrived."""
    segment: int = 0
    """Number of times that the source was lost and came back."""
    image: Picture | None = None
    """The frame itself, which may be kept and read at any time. None if it must be copied."""
    encoded: Callable[[], EncodedFrames | None] | None = None
    """Returns the compressed frame; None if a frame that it depends on is missing. It is called at most once,
    before the next frame is requested."""
    stale_before: int = 0
    """Number of frames dropped before this one because they waited in a buffer and were old when they arrived."""

    def copied(self) -> UInt8:
        """Return the RGB pixels in a new (height, width, 3) uint8 array. It calls ``copy_to``."""
        pixels = np.empty((self.height, self.width, 3), np.uint8)
        self.copy_to(pixels)
        return pixels


def never() -> bool:
    """Return False: the default of ``SourceOptions.stopped``, for callers without a run that could end."""
    return False


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """Options for opening a source. The source chooses what is not set, and reports what it cannot do."""

    size: tuple[int, int] | None = None
    """Requested (width, height) of a camera's frames in pixels."""
    fps: float | None = None
    """Requested frames per second of a camera, or the rate at which a folder of images is played."""
    pixel_format: str | None = None
    """Pixel format as the camera's driver names it: mjpeg, yuyv422, Mono8, BayerRG8."""
    exposure_ms: float | None = None
    gain: float | None = None
    """Gain in the units of the camera (dB for GenICam)."""
    roi: tuple[int, int, int, int] | None = None
    """Region of the sensor that is read out: (x, y, width, height) in sensor pixels."""
    trigger: bool = False
    """Whether each frame waits for a pulse on the camera's trigger line."""
    open_timeout_s: float = 10.0
    read_timeout_s: float = 5.0
    """Time (s) without data after which a stream is treated as lost."""
    loop: bool = False
    """Whether a file starts again when it ends."""
    start_s: float = 0.0
    """Time (s) in the file at which to start."""
    keep_packets: bool = False
    """Whether to provide the compressed frames in addition to their pixels."""
    stopped: Callable[[], bool] = never
    """Returns whether the run has ended. Code that waits long for a device polls it, and gives up if so."""


def without_password(address: str) -> str:
    """Return a source's address without its user name and password, fit to be shown, sent and stored."""
    return re.sub(r"//[^/@]*@", "//", address)


class Source(Protocol):
    """A source of frames. One and the same thread opens, reads and closes it."""

    info: SourceInfo

    def frames(self) -> Iterator[CapturedFrame]:
        """Yield frames as fast as the source provides them; the capture stage does the pacing.

        Raises:
            SourceError: if the source cannot be read.
        """
        ...

    def problems(self) -> list[str]:
        """Return messages about faults that did not end the stream: frames that did not decode, a truncated file.

        If a live source hangs when the run ends, another thread calls this.
        """
        ...

    def close(self) -> None:
        """Release all resources. It may be called twice."""
        ...
