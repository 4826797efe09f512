"""Sources: what yields frames. One file a source, one small protocol."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from realtime_cropzoom.sources.encoded import PIXELS, CodecParameters, EncodedFrames, NotCopyable
from realtime_cropzoom.types import UInt8


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What is known of a source once it is open."""

    name: str
    """Short name, used for the files of a run (a video's stem)."""
    width: int
    """Frame width in pixels, after rotation."""
    height: int
    """Frame height in pixels, after rotation."""
    fps: float | None
    """Nominal frames per second, None where the source does not say."""
    frame_count: int | None
    """Frames the source says it has, None where it does not say or never ends."""
    live: bool = False
    """Frames come when they come, as from a camera or a stream: nobody paces them, and their end is a fault."""
    notes: tuple[str, ...] = ()
    """What a user must know at the start, such as a rate that is not the one asked for."""
    asked_fps: float | None = None
    """The rate that was asked of it; two seconds in, the measured one is held against it."""
    coding: CodecParameters | NotCopyable = PIXELS
    """How its frames come compressed, where ``keep_packets`` asked for that; else why they are not to be had so."""


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    """A frame that is there but not yet copied: the moment it is yielded is its capture time."""

    pts_ns: int
    """Frame time since the source's first frame."""
    device_ns: int | None
    """The source's own timestamp, None where it has none."""
    width: int
    height: int
    copy_to: Callable[[UInt8], None]
    """Writes the RGB pixels into a preallocated (height, width, 3) uint8 array; called at most once,
    before the next frame is asked for."""
    lost_before: int = 0
    """Frames the camera has counted between the one before and this one, which never came."""
    segment: int = 0
    """How often the source has broken off and come back."""
    coded: Callable[[], EncodedFrames | None] | None = None
    """Gives the frame as it came, compressed, and None where what it is made from is missing; called at most
    once, before the next frame is asked for."""
    stale_before: int = 0
    """Frames left out ahead of this one: they had been waiting somewhere, and were old when they came."""


def never() -> bool:
    """Say no: what ``SourceOptions.stopped`` is where there is no run that could end."""
    return False


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How a source is to be opened. What is not given is the source's own choice; it says what it cannot do."""

    size: tuple[int, int] | None = None
    """(W, H) asked of a camera."""
    fps: float | None = None
    """Frames a second asked of a camera."""
    pixel_format: str | None = None
    """As the camera's driver names it: mjpeg, yuyv422, Mono8, BayerRG8."""
    exposure_ms: float | None = None
    gain: float | None = None
    """In the camera's own units (dB for GenICam)."""
    roi: tuple[int, int, int, int] | None = None
    """x, y, w, h in sensor pixels: the part of the sensor that is read out."""
    trigger: bool = False
    """Each frame waits for a pulse on the camera's trigger line."""
    open_timeout_s: float = 10.0
    read_timeout_s: float = 5.0
    """A stream from which nothing comes for so long has broken off."""
    loop: bool = False
    """A file begins anew when it ends."""
    start_s: float = 0.0
    """Where in a file to begin."""
    keep_packets: bool = False
    """Hand on the frames as they came, compressed, beside their pixels."""
    stopped: Callable[[], bool] = never
    """Whether the run has ended: whoever waits long for a device asks it now and then, and gives up."""


def without_password(address: str) -> str:
    """Return what a user gave as a source as it may be shown, sent and written down."""
    return re.sub(r"//[^/@]*@", "//", address)


class Source(Protocol):
    """What yields frames. Opened, read and closed in one and the same thread."""

    info: SourceInfo

    def frames(self) -> Iterator[CapturedFrame]:
        """Yield frames as fast as they can be had; pacing is the capture stage's. Raises SourceError."""
        ...

    def problems(self) -> list[str]:
        """What went wrong without ending the stream (frames that did not decode, a file cut short), in words.

        Of a live source that hangs when the run ends it is asked from another thread.
        """
        ...

    def close(self) -> None:
        """Release everything; may be called twice."""
        ...
