"""Compressed frames as the sender encoded them, for recordings that copy instead of encoding again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CodecParameters:
    """Codec parameters of a stream's frames."""

    codec: str
    """FFmpeg's name of the codec: h264, hevc, mjpeg."""
    width: int
    """Width in pixels, as encoded."""
    height: int
    key_frame: bytes
    """A frame at which decoding may begin, with all parameters that a decoder needs."""

    def is_compatible_with(self, other: CodecParameters) -> bool:
        """Return whether frames with the parameters ``other`` may follow in the same file."""
        return (self.codec, self.width, self.height) == (other.codec, other.width, other.height)


@dataclass(frozen=True, slots=True)
class NotCopyable:
    """Reason why a recording cannot copy the compressed frames of a source."""

    reason: str
    """A clause that calls the source ``it``, for the message to the user."""


PIXELS = NotCopyable("it provides pixels, not a compressed stream")
"""Reason of sources that have no compressed frames, or were not asked for them."""


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """One compressed frame."""

    data: bytes
    is_key: bool
    """Whether decoding may begin with it: neither it nor a later frame depends on an earlier one."""


@dataclass(frozen=True, slots=True)
class EncodedFrames:
    """A compressed captured frame, preceded by uncaptured frames that it needs for decoding."""

    coding: CodecParameters
    frames: tuple[EncodedFrame, ...]
    """The frames in decoding order; the last one is the captured frame. Never empty."""

    @property
    def starts_with_key_frame(self) -> bool:
        """Whether decoding may begin with the first frame."""
        return self.frames[0].is_key

    @property
    def nbytes(self) -> int:
        """Size of all frames in bytes."""
        return sum(len(frame.data) for frame in self.frames)
