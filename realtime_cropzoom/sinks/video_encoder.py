"""Video encoder: writes frames to a video file that stays readable to its end, even after a crash.

H.264 goes into MP4, which is written frame by frame (fragmented) and converted to an ordinary MP4 on closing,
so that every player reads it. Its times are exact to 6 µs. FFV1 is lossless, in RGB like the frames, and
goes into Matroska, which stores times in milliseconds. Both pass each frame to the operating system as soon
as the next one arrives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
from av.container import OutputContainer
from av.video.reformatter import VideoReformatter

from realtime_cropzoom.sinks.muxer_file import MuxedVideo, PtsTicker
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


class VideoEncoder(MuxedVideo):
    """A video file of frames that are encoded here."""

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
        self._format, self._size, self._fps = _FORMATS[codec], size, fps
        self._pixels = "bgr0" if codec == "ffv1" else "yuv444p" if size[0] % 2 or size[1] % 2 else "yuv420p"
        self._times = PtsTicker(self._format.ticks, _LONGEST_TICKS)
        self._reformatter = VideoReformatter()
        super().__init__(path, self._format.container, self._format.container_options)

    def add_stream(self, container: OutputContainer) -> Any:
        """Add a stream of the codec, and open its encoder."""
        rate = Fraction(self._fps or 30.0).limit_denominator(1001)
        stream: Any = container.add_stream(self._format.encoder, rate=rate, options=self._format.options)
        width, height = stream.width, stream.height = self._size
        stream.pix_fmt = self._pixels
        stream.time_base = stream.codec_context.time_base = Fraction(1, self._format.ticks)
        stream.codec_context.thread_count = 1 if width * height <= _ONE_THREAD_PIXELS else 2
        stream.codec_context.open()
        return stream

    def convert(self, image: UInt8) -> av.VideoFrame | None:
        """Convert an (H, W, 3) uint8 RGB image to a frame with pixels of its own; None after an error."""
        if self.error is not None:
            return None
        try:
            frame = av.VideoFrame.from_numpy_buffer(image, format="rgb24")
            return self._reformatter.reformat(frame, format=self._pixels)
        except Exception as error:  # no fault of the recording may stop the tracking
            self._file.fail(error)
            return None

    def write(self, frame: av.VideoFrame, pts_ns: int) -> None:
        """Encode a frame.

        Args:
            frame: A frame from ``convert``.
            pts_ns: Its frame time (ns).
        """
        frame.pts, frame.time_base = self._times.ticks(pts_ns), Fraction(1, self._format.ticks)
        self._mux(self._encode(frame))
        self._end_frame()

    def close(self) -> None:
        """Write the frames that wait in the encoder and close the file."""
        self._mux(self._encode(None))
        super().close()

    def _encode(self, frame: av.VideoFrame | None) -> Iterator[av.Packet[Any]]:
        yield from self._stream.encode(frame)
