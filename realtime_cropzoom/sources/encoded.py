"""Frames as their sender has compressed them: what a recording that encodes nothing again is made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CodecParameters:
    """How the frames of a stream are compressed."""

    codec: str
    """As FFmpeg calls it: h264, hevc, mjpeg."""
    width: int
    """In pixels, as encoded."""
    height: int
    key_frame: bytes
    """One with which decoding may begin, with all that a decoder must know."""

    def goes_on_as(self, other: CodecParameters) -> bool:
        """Whether the frames of ``other`` may follow in the same file."""
        return (self.codec, self.width, self.height) == (other.codec, other.width, other.height)


@dataclass(frozen=True, slots=True)
class NotCopyable:
    """The answer of a source whose compressed frames a recording cannot take."""

    reason: str
    """A clause with the source as ``it``, for the message to the user."""


PIXELS = NotCopyable("it gives pixels, and no compressed stream")


@dataclass(frozen=True, slots=True)
class CodedFrame:
    """One frame, compressed."""

    data: bytes
    is_key: bool
    """Decoding may begin with it: nothing from here on is made from anything before."""


@dataclass(frozen=True, slots=True)
class EncodedFrames:
    """A captured frame, compressed, after those that were not captured and without which it does not decode."""

    coding: CodecParameters
    frames: tuple[CodedFrame, ...]
    """In the order of decoding; the last one is the captured frame. Never empty."""

    @property
    def begins(self) -> bool:
        """Whether decoding may begin with the first of them."""
        return self.frames[0].is_key

    @property
    def nbytes(self) -> int:
        """Their size in bytes."""
        return sum(len(frame.data) for frame in self.frames)
