"""Buffer of compressed frames since the last captured one, so that a recorder can copy them.

Later frames may depend on a frame that is not captured, because it was old or no stage was ready for it.
The buffer therefore keeps all frames since the last captured frame, or since the last key frame, whichever
is later. After a damaged frame, all frames up to the next key frame are dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import av
from av.bitstream import BitStreamFilterContext

from realtime_cropzoom.sources.encoded import PIXELS, CodecParameters, EncodedFrame, EncodedFrames, NotCopyable
from realtime_cropzoom.sources.h264 import iter_nal_units

_CODECS = ("h264", "hevc", "mjpeg")
"""Codecs whose frames can be copied."""
_UNCOMPRESSED = ("rawvideo", "wrapped_avframe")
_LONGEST_BYTES = 64 << 20
"""Maximum size (bytes) of the buffer. A sender without key frames must not fill the memory."""
_KEYS = {"h264": {5}, "hevc": {*range(16, 22)}}
"""Types of NAL units that hold a picture at which decoding may begin."""
_PICTURES = {"h264": range(1, 6), "hevc": range(32)}
"""Types of NAL units that hold a slice."""
_PARAMETERS = {"h264": {7}, "hevc": {33}}
"""Types of NAL units that hold a sequence parameter set."""


class PacketBuffer:
    """Buffer of one stream, used by the thread that reads it. If packets cannot be kept, it stores none."""

    def __init__(self, stream: Any, *, keep: bool) -> None:
        """Prepare the buffer; ``coding`` returns the reason if packets cannot be kept.

        Args:
            stream: PyAV stream, open for reading, whose decoder is set up and has decoded nothing yet.
            keep: Whether to keep packets at all.
        """
        self._reason = _obstacle(stream) if keep else PIXELS
        self._codec: str = stream.codec_context.name
        self._frames: list[EncodedFrame] = []
        self._bytes = 0
        self._began = False
        self._coding: CodecParameters | None = None
        self._filter: BitStreamFilterContext | None = None
        self._parameters: bytes = b""
        """Parameter sets that the stream does not repeat with its key frames."""
        extradata = bytes(stream.codec_context.extradata or b"")
        if not self._reason and self._codec in _KEYS and extradata[:1] == b"\1":
            self._filter = BitStreamFilterContext(f"{self._codec}_mp4toannexb", stream)
        elif self._codec in _KEYS:
            self._parameters = extradata

    def add(self, packet: av.Packet[Any], frames: Sequence[av.VideoFrame]) -> None:
        """Keep a decoded packet.

        Args:
            packet: The packet.
            frames: Frames that the decoder returned for it. Unless this is the one frame of the packet, the
                buffer drops everything up to the next key frame.
        """
        if self._reason:
            return
        if len(frames) != 1 or frames[0].pts != packet.pts:
            self.invalidate()
            return
        data = self._to_annexb(packet)
        kinds = set(_iter_unit_types(self._codec, data))
        is_key = bool(frames[0].key_frame) and (self._codec not in _KEYS or bool(kinds & _KEYS[self._codec]))
        if is_key:
            self.invalidate()
            self._began = True
            if self._codec in _KEYS and not kinds & _PARAMETERS[self._codec]:
                data = self._parameters + data
        if self._began:
            self._frames.append(EncodedFrame(data, is_key))
            self._bytes += len(data)
        if self._bytes > _LONGEST_BYTES:
            self.invalidate()

    def invalidate(self) -> None:
        """Drop the buffered packets and all further ones up to the next key frame."""
        self._frames, self._bytes, self._began = [], 0, False

    def coding(self, width: int, height: int) -> CodecParameters | NotCopyable:
        """Return the codec parameters, or the reason why packets cannot be copied. Called at the first frame.

        Args:
            width: Width of the frames in pixels.
            height: Height of the frames in pixels.
        """
        if not self._reason and not self._frames:
            self._reason = NotCopyable("decoding cannot begin at its key frames")
        if self._reason:
            return self._reason
        self._coding = CodecParameters(self._codec, width, height, self._frames[0].data)
        return self._coding

    def take(self) -> EncodedFrames | None:
        """Return and remove the frame just decoded, with the earlier ones that it needs; None if one is missing."""
        if not self._frames or self._coding is None:
            return None
        frames, self._frames, self._bytes = tuple(self._frames), [], 0
        return EncodedFrames(self._coding, frames)

    def _to_annexb(self, packet: av.Packet[Any]) -> bytes:
        """Return a copy of the bytes, H.264 and H.265 as Annex B. A camera's driver may own the buffer, and has few."""
        data = bytes(packet)
        if self._filter is None:
            return data
        return b"".join(bytes(filtered) for filtered in self._filter.filter(av.Packet(data)))


def _obstacle(stream: Any) -> NotCopyable | None:
    """Return the reason why the stream's packets cannot be copied; None if they can."""
    context = stream.codec_context
    if context.name in _UNCOMPRESSED:
        return NotCopyable(f"its frames are uncompressed ({context.pix_fmt})")
    if context.name not in _CODECS:
        return NotCopyable(f"its codec is {context.name}, and only {', '.join(_CODECS)} can be copied")
    if context.has_b_frames:
        return NotCopyable("it has B-frames, whose decoding order differs from their display order")
    return None


def _iter_unit_types(codec: str, data: bytes) -> Iterator[int]:
    """Yield the types of the NAL units of a frame, up to the first one that holds a picture."""
    for unit in iter_nal_units(data) if codec in _KEYS else ():
        kind = unit[0] & 31 if codec == "h264" else unit[0] >> 1 & 63
        yield kind
        if kind in _PICTURES[codec]:
            return
