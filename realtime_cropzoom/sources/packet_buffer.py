"""The compressed frames behind the one that was captured last, so that a recorder can have them as they came.

A frame that is not captured, because it was old or nobody was ready for it, may still be what the
next ones are made from. So the trail keeps all since the last captured frame, or since the last key
frame, whichever is later. Where one is damaged, all is left out up to the next key frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import av
from av.bitstream import BitStreamFilterContext

from realtime_cropzoom.sources.encoded import PIXELS, CodecParameters, CodedFrame, EncodedFrames, NotCopyable

_CODECS = ("h264", "hevc", "mjpeg")
_UNCOMPRESSED = ("rawvideo", "wrapped_avframe")
_LONGEST_BYTES = 64 << 20
"""A sender that sends no key frame in so many bytes must not fill the memory."""
_START = b"\0\0\1"
_KEYS = {"h264": {5}, "hevc": {*range(16, 22)}}
"""Kinds of NAL units that hold a picture with which decoding may begin."""
_PICTURES = {"h264": range(1, 6), "hevc": range(32)}
_PARAMETERS = {"h264": {7}, "hevc": {33}}


class PacketBuffer:
    """Of one stream, used in the thread that reads it. Where nothing can be kept it does nothing, and says why."""

    def __init__(self, stream: Any, *, keep: bool) -> None:
        """``stream`` is PyAV's, open for reading, with a decoder that is set up and has decoded nothing yet."""
        self._why_not = _obstacle(stream) if keep else PIXELS
        self._codec: str = stream.codec_context.name
        self._frames: list[CodedFrame] = []
        self._bytes = 0
        self._began = False
        self._coding: CodecParameters | None = None
        self._filter: BitStreamFilterContext | None = None
        self._parameters: bytes = b""
        """Those that the stream does not repeat with its key frames."""
        extradata = bytes(stream.codec_context.extradata or b"")
        if not self._why_not and self._codec in _KEYS and extradata[:1] == b"\1":
            self._filter = BitStreamFilterContext(f"{self._codec}_mp4toannexb", stream)
        elif self._codec in _KEYS:
            self._parameters = extradata

    def add(self, packet: av.Packet[Any], frames: Sequence[av.VideoFrame]) -> None:
        """Keep a packet that has been decoded to ``frames``: to its own, or it is of no use to anybody."""
        if self._why_not:
            return
        if len(frames) != 1 or frames[0].pts != packet.pts:
            self.spoil()
            return
        data = self._plain(packet)
        kinds = set(_kinds(self._codec, data))
        is_key = bool(frames[0].key_frame) and (self._codec not in _KEYS or bool(kinds & _KEYS[self._codec]))
        if is_key:
            self.spoil()
            self._began = True
            if self._codec in _KEYS and not kinds & _PARAMETERS[self._codec]:
                data = self._parameters + data
        if self._began:
            self._frames.append(CodedFrame(data, is_key))
            self._bytes += len(data)
        if self._bytes > _LONGEST_BYTES:
            self.spoil()

    def spoil(self) -> None:
        """Leave out everything up to the next key frame."""
        self._frames, self._bytes, self._began = [], 0, False

    def coding(self, width: int, height: int) -> CodecParameters | NotCopyable:
        """Return how frames of this size are compressed, or why they cannot be had so; asked at the first frame."""
        if not self._why_not and not self._frames:
            self._why_not = NotCopyable("its key frames do not stand alone, so that nothing can begin with them")
        if self._why_not:
            return self._why_not
        self._coding = CodecParameters(self._codec, width, height, self._frames[0].data)
        return self._coding

    def take(self) -> EncodedFrames | None:
        """Return the frame that was just decoded, with those before it that it needs; None where one is missing."""
        if not self._frames or self._coding is None:
            return None
        frames, self._frames, self._bytes = tuple(self._frames), [], 0
        return EncodedFrames(self._coding, frames)

    def _plain(self, packet: av.Packet[Any]) -> bytes:
        """Copy the bytes: the buffer may be one of a camera's driver, which has few. H.264 and H.265 as Annex B."""
        data = bytes(packet)
        if self._filter is None:
            return data
        return b"".join(bytes(filtered) for filtered in self._filter.filter(av.Packet(data)))


def _obstacle(stream: Any) -> NotCopyable | None:
    """Return why the stream's packets are of no use, None if they are."""
    context = stream.codec_context
    if context.name in _UNCOMPRESSED:
        return NotCopyable(f"its pictures come uncompressed ({context.pix_fmt})")
    if context.name not in _CODECS:
        return NotCopyable(f"its codec is {context.name}, and only {', '.join(_CODECS)} can be copied")
    if context.has_b_frames:
        return NotCopyable("it has B-frames, which come in another order than they are shown in")
    return None


def _kinds(codec: str, data: bytes) -> Iterator[int]:
    """Yield the kinds of the NAL units of a frame, up to the first one with a picture in it."""
    at = data.find(_START) if codec in _KEYS else -1
    while 0 <= at < len(data) - len(_START):
        first = data[at + len(_START)]
        kind = first & 31 if codec == "h264" else first >> 1 & 63
        yield kind
        if kind in _PICTURES[codec]:
            return
        at = data.find(_START, at + len(_START))
