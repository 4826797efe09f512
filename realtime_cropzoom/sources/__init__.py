"""Sources: what yields frames. One file a source, one small protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

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


@dataclass(frozen=True, slots=True)
class Captured:
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


class Source(Protocol):
    """What yields frames. Opened, read and closed in one and the same thread."""

    info: SourceInfo

    def frames(self) -> Iterator[Captured]:
        """Yield frames as fast as they can be had; pacing is the capture stage's. Raises SourceError."""
        ...

    def problems(self) -> list[str]:
        """What went wrong without ending the stream (frames that did not decode, a file cut short), in words."""
        ...

    def missing(self) -> str:
        """What the source had promised beyond the frames that were there, in words; nothing if it is all there."""
        ...

    def close(self) -> None:
        """Release everything; may be called twice."""
        ...
