"""Videos that ``crop`` and ``predict`` leave: H.264 in MP4, which every player reads."""

from __future__ import annotations

import contextlib
import os
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av

from realtime_cropzoom.errors import SinkError, explain
from realtime_cropzoom.files.atomic import partial_path
from realtime_cropzoom.sinks.muxer_file import PtsTicker
from realtime_cropzoom.sources.container import file_url
from realtime_cropzoom.types import UInt8

_TICKS = 90_000
"""Of the time base: whole numbers of it make the frame times of all usual rates."""


class VideoWriter:
    """Writes frames with their times; the file gets its name when it is complete. Use it in a ``with``."""

    def __init__(self, final: Path, size: tuple[int, int], fps: float | None, *, quality: int = 18) -> None:
        """``size`` is (W, H), made even where it is odd. ``quality`` is x264's crf. Raises SinkError."""
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
        """Write an RGB frame of the given size, shown ``pts_ns`` after the first. Raises SinkError."""
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        if (frame.width, frame.height) != self._size:  # one column or row more, for an odd size
            frame = frame.reformat(*self._size)
        frame.pts, frame.time_base = self._times.ticks(pts_ns), Fraction(1, _TICKS)
        self._mux(frame)

    def commit(self) -> None:
        """Write what is left and give the file its name. Raises SinkError."""
        self._mux(None)
        try:
            self._container.close()
            os.replace(self._partial, self.final)
        except (av.FFmpegError, OSError) as error:
            raise SinkError(f"cannot write {self.final}: {explain(error)}") from error

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._partial.exists():
            with contextlib.suppress(av.FFmpegError, OSError):  # the disk is full: there is nothing to keep
                self._container.close()
            self._partial.unlink(missing_ok=True)

    def _mux(self, frame: av.VideoFrame | None) -> None:
        try:
            self._container.mux(self._stream.encode(frame))
        except (av.FFmpegError, OSError) as error:
            raise SinkError(f"cannot write {self.final}: {explain(error)}") from error
