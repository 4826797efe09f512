"""Frames → one video file that can be read to its end, whatever ends the run.

H.264 goes into MP4, written frame by frame (fragmented) and made an ordinary MP4 when it is
closed, so that every player reads it; its times are exact to 6 µs. FFV1 is lossless, in RGB as
the frames are, and goes into Matroska, which keeps times to the millisecond. Both hand each frame
to the operating system as soon as the next one comes.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
from av.video.reformatter import VideoReformatter

from realtime_cropzoom.errors import SinkError, plainly
from realtime_cropzoom.sinks.muxer_file import OutputFile
from realtime_cropzoom.types import UInt8

Codec = Literal["h264", "ffv1"]

_ONE_THREAD_PIXELS = 1280 * 1024
"""Up to this size one encoding thread is enough, and more of them only take the cores from the models."""
_LONGEST_TICKS = (1 << 31) - 2
"""MP4 cannot show a frame for longer (6.6 h); later times are moved up, as after a night without a camera."""


@dataclass(frozen=True, slots=True)
class _Format:
    """How a codec is written."""

    suffix: str
    container: str
    container_options: dict[str, str]
    encoder: str
    options: dict[str, str]
    ticks: int
    """Of the time base, a second."""


_H264_OPTIONS = {
    # zerolatency: no frame waits in the encoder. The colours are those that the conversion makes, and players ask.
    **{"preset": "ultrafast", "tune": "zerolatency", "crf": "18", "g": "60"},
    **{"colorspace": "smpte170m", "color_range": "tv"},
}
_FORMATS: dict[Codec, _Format] = {
    "h264": _Format(
        ".mp4", "mp4", {"movflags": "hybrid_fragmented+frag_every_frame"}, "libx264", _H264_OPTIONS, 90_000
    ),
    "ffv1": _Format(".mkv", "matroska", {"cluster_time_limit": "0"}, "ffv1", {"level": "3", "slices": "4"}, 1000),
}


def suffix_of(codec: Codec) -> str:
    """Return the ending of a file of this codec."""
    return _FORMATS[codec].suffix


class VideoEncoder:
    """One file. Opened, used and closed in one thread; once open it never raises, but keeps its ``error``."""

    def __init__(self, path: Path, size: tuple[int, int], fps: float | None, codec: Codec) -> None:
        """``size`` is (W, H). Raises SinkError where the file cannot be made."""
        how = self._format = _FORMATS[codec]
        self.muxed = 0
        """Frames given to the file."""
        self.on_disk = 0
        """Those that are in it for certain, whole."""
        self._last_ticks, self._moved_up = -1, 0
        self._reformatter = VideoReformatter()
        self._pixels = "bgr0" if codec == "ffv1" else "yuv444p" if size[0] % 2 or size[1] % 2 else "yuv420p"
        self._file = OutputFile(path)
        try:
            options = {**how.container_options, "flush_packets": "1"}
            self._container = av.open(self._file, "w", format=how.container, options=options)
            rate = Fraction(fps or 30.0).limit_denominator(1001)
            stream: Any = self._container.add_stream(how.encoder, rate=rate, options=how.options)
            self._stream = stream
            stream.width, stream.height, stream.pix_fmt = *size, self._pixels
            stream.time_base = stream.codec_context.time_base = Fraction(1, how.ticks)
            stream.codec_context.thread_count = 1 if size[0] * size[1] <= _ONE_THREAD_PIXELS else 2
            stream.codec_context.open()
        except (av.FFmpegError, OSError, ValueError) as error:
            self._file.close()
            raise SinkError(f"cannot record to {path}: {plainly(error)}") from error

    @property
    def error(self) -> str | None:
        """What went wrong; the file holds what was written before, and takes nothing more."""
        return self._file.error

    def convert(self, image: UInt8) -> av.VideoFrame | None:
        """Return an RGB image as a frame of its own, so that its pixels are no longer needed; None after an error."""
        if self.error is not None:
            return None
        try:
            frame = av.VideoFrame.from_numpy_buffer(image, format="rgb24")
            return self._reformatter.reformat(frame, format=self._pixels)
        except Exception as error:  # whatever ails it: the tracking goes on
            self._file.fail(error)
            return None

    def write(self, frame: av.VideoFrame, pts_ns: int) -> None:
        """Encode a frame that ``convert`` has made, to be shown at ``pts_ns``."""
        frame.pts, frame.time_base = self._ticks(pts_ns), Fraction(1, self._format.ticks)
        self._mux(frame)
        if self.error is None:  # a frame is written out when the next one comes
            self.on_disk = max(0, self.muxed - 1)
            self._file.keep()

    def close(self) -> None:
        """Write what is left, and close the file."""
        self._mux(None)
        try:
            self._container.close()
        except Exception as error:
            self._file.fail(error)
        if self.error is None:
            self.on_disk = self.muxed
        self._file.close()

    def _ticks(self, pts_ns: int) -> int:
        """Later than the frame before, if only by a tick, as a muxer demands."""
        ticks = max(round(pts_ns * self._format.ticks / 1e9) - self._moved_up, self._last_ticks + 1)
        if self.muxed and (too_long := ticks - self._last_ticks - _LONGEST_TICKS) > 0:
            self._moved_up += too_long
            ticks -= too_long
        self._last_ticks = ticks
        return ticks

    def _mux(self, frame: av.VideoFrame | None) -> None:
        if self.error is not None:
            return
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
                self.muxed += 1
        except Exception as error:  # as above
            self._file.fail(error)
