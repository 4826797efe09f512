"""Video writer of offline commands: H.264 in MP4, which every player reads."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av

from realtime_cropzoom.errors import SinkError, explain
from realtime_cropzoom.files.atomic import partial_path
from realtime_cropzoom.files.replacing import replace_file
from realtime_cropzoom.sinks.muxer_file import PtsTicker
from realtime_cropzoom.sources.container import file_url
from realtime_cropzoom.types import UInt8

_TICKS = 90_000
"""Ticks per second of the time base. Frame times of all usual rates are whole numbers of ticks."""


class VideoWriter:
    """Writes frames with their times. The file gets its name when it is complete. Use it as a context manager."""

    def __init__(self, final: Path, size: tuple[int, int], fps: float | None, *, quality: int = 18) -> None:
        """Open the file under a temporary name.

        Args:
            final: The file.
            size: (W, H) of the frames (pixels). H.264 needs even numbers: an odd one is increased by 1.
            fps: Frame rate in the header; None writes 30. The frame times do not depend on it.
            quality: Constant rate factor (crf) of x264; lower is better.

        Raises:
            SinkError: if the file cannot be written.
        """
        self.final = final
        self._partial = partial_path(final)
        self._size = (size[0] + size[0] % 2, size[1] + size[1] % 2)
        self._times = PtsTicker(_TICKS)
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            self._container = av.open(file_url(self._partial), "w", format="mp4")
            rate = Fraction(fps or 30.0).limit_denominator(1001)
            self._stream = self._container.add_stream("libx264", rate=rate, options={"crf": str(quality)})
        except (av.FFmpegError, OSError, ValueError) as error:
            raise SinkError(f"cannot write {final}: {explain(error)}") from error
        self._stream.width, self._stream.height = self._size
        self._stream.pix_fmt = "yuv420p"
        self._stream.time_base = self._stream.codec_context.time_base = Fraction(1, _TICKS)

    def write(self, image: UInt8, pts_ns: int) -> None:
        """Write a frame.

        Args:
            image: (H, W, 3) uint8, RGB.
            pts_ns: Frame time (ns).

        Raises:
            SinkError: if the frame cannot be written.
        """
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        if (frame.width, frame.height) != self._size:  # adds a row or column to an odd size
            frame = frame.reformat(*self._size)
        frame.pts, frame.time_base = self._times.ticks(pts_ns), Fraction(1, _TICKS)
        self._mux(frame)

    def commit(self) -> None:
        """Write the remaining frames and rename the file to its final name. Raises SinkError if that fails."""
        self._mux(None)
        try:
            self._container.close()
            replace_file(self._partial, self.final)
        except (av.FFmpegError, OSError) as error:
            raise SinkError(f"cannot write {self.final}: {explain(error)}") from error

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._partial.exists():
            with contextlib.suppress(av.FFmpegError, OSError):  # a full disk: the file is deleted in any case
                self._container.close()
            self._partial.unlink(missing_ok=True)

    def _mux(self, frame: av.VideoFrame | None) -> None:
        try:
            self._container.mux(self._stream.encode(frame))
        except (av.FFmpegError, OSError) as error:
            raise SinkError(f"cannot write {self.final}: {explain(error)}") from error
