"""Video encoder: writes frames to a video file that stays readable to its end, even after a crash.

H.264 goes into MP4, which is written frame by frame (fragmented) and converted to an ordinary MP4 on closing,
so that every player reads it. Its times are exact to 6 µs. FFV1 is lossless, in RGB like the frames, and
goes into Matroska, which stores times in milliseconds. Both pass each frame to the operating system as soon
as the next one arrives.
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
"""Maximum frame size (pixels) for a single encoding thread. More threads would only take CPU from the models."""
_LONGEST_TICKS = (1 << 31) - 2
"""Maximum duration (ticks, 6.6 h) of a frame in MP4. After a longer gap, such as a night without a camera, later
times are moved forward."""


@dataclass(frozen=True, slots=True)
class _Format:
    """Container, encoder and options of a codec."""

    suffix: str
    container: str
    container_options: dict[str, str]
    encoder: str
    options: dict[str, str]
    ticks: int
    """Ticks per second of the time base."""


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


def video_suffix(codec: Codec) -> str:
    """Return the file suffix for a codec, with its dot."""
    return _FORMATS[codec].suffix


class VideoEncoder:
    """A video file. One thread opens, writes and closes it. Once open, it stores its ``error`` and never raises."""

    def __init__(self, path: Path, size: tuple[int, int], fps: float | None, codec: Codec) -> None:
        """Create the file.

        Args:
            path: Path of the file.
            size: (width, height) in pixels.
            fps: Nominal frames per second; 30 if None.
            codec: ``h264`` or ``ffv1``.

        Raises:
            SinkError: if the file cannot be created.
        """
        how = self._format = _FORMATS[codec]
        self.muxed = 0
        """Number of frames given to the muxer."""
        self.on_disk = 0
        """Number of frames that are completely in the file for certain."""
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
        """The first error, after which nothing more is written; None if there was none."""
        return self._file.error

    def convert(self, image: UInt8) -> av.VideoFrame | None:
        """Convert an (H, W, 3) uint8 RGB image to a frame with pixels of its own; None after an error."""
        if self.error is not None:
            return None
        try:
            frame = av.VideoFrame.from_numpy_buffer(image, format="rgb24")
            return self._reformatter.reformat(frame, format=self._pixels)
        except Exception as error:  # no error of the recording may stop the tracking
            self._file.fail(error)
            return None

    def write(self, frame: av.VideoFrame, pts_ns: int) -> None:
        """Encode a frame.

        Args:
            frame: A frame from ``convert``.
            pts_ns: Its frame time (ns).
        """
        frame.pts, frame.time_base = self._ticks(pts_ns), Fraction(1, self._format.ticks)
        self._mux(frame)
        if self.error is None:  # a frame is written out when the next one comes
            self.on_disk = max(0, self.muxed - 1)
            self._file.keep()

    def close(self) -> None:
        """Write the remaining data and close the file."""
        self._mux(None)
        try:
            self._container.close()
        except Exception as error:
            self._file.fail(error)
        if self.error is None:
            self.on_disk = self.muxed
        self._file.close()

    def _ticks(self, pts_ns: int) -> int:
        """Return the time in ticks, at least one tick after the previous frame, as the muxer requires."""
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
