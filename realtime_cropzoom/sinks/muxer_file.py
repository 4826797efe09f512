"""Video files that a muxer writes: readable up to the last complete frame, even if the disk or the process fails."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import av
from av.container import OutputContainer

from realtime_cropzoom.errors import SinkError, error_text, explain


class OutputFile:
    """A new file. After an error nothing more is written, and ``close`` cuts it after the last complete frame."""

    def __init__(self, path: Path) -> None:
        """Create the file ``path``, which must not exist.

        Raises:
            SinkError: if the file cannot be created.
        """
        self.error: str | None = None
        self._kept = 0
        try:
            self._file = path.open("xb", buffering=0)
        except OSError as error:
            raise SinkError(f"cannot record to {path}: {error.strerror}; give another folder with --out") from error

    def write(self, data: bytes) -> int:
        """Write ``data`` unless there was an error before. Errors are stored, because the muxer must not see them."""
        view = memoryview(data)
        try:
            while self.error is None and view:
                view = view[self._file.write(view) or 0 :]
        except OSError as error:
            self.fail(error)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move the file position. The muxer does so once, at the end."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the file position. PyAV treats the file as seekable because this method exists."""
        return self._file.tell()

    def fail(self, error: Exception) -> None:
        """Store the first error, in words."""
        self.error = self.error or error_text(error)

    def keep(self) -> None:
        """Mark the end of a complete frame at the current position."""
        self._kept = self._file.tell()

    def close(self) -> None:
        """Close the file. After an error, cut off the frame that is incomplete."""
        with contextlib.suppress(OSError), self._file:
            if self.error is not None:
                self._file.truncate(self._kept)


class PtsTicker:
    """Converts frame times to ticks of a video file. They always increase, as muxers require."""

    def __init__(self, ticks_per_second: int, max_step: int | None = None) -> None:
        """Create a ticker for one file.

        Args:
            ticks_per_second: Ticks per second of the file's time base.
            max_step: Maximum increase (ticks) from one frame to the next that the container can store; None for no
                limit. After a longer gap, later times are moved forward.
        """
        self._ticks_per_second, self._max_step = ticks_per_second, max_step
        self._last: int | None = None
        self._cut = 0
        """Ticks that were cut from gaps so far."""

    def ticks(self, pts_ns: int) -> int:
        """Return the time of the next frame in ticks, at least one tick after the previous frame.

        Args:
            pts_ns: Its frame time (ns).
        """
        last = -1 if self._last is None else self._last
        ticks = max(round(pts_ns * self._ticks_per_second / 1e9) - self._cut, last + 1)
        if self._last is not None and self._max_step is not None and ticks - last > self._max_step:
            self._cut += ticks - last - self._max_step
            ticks = last + self._max_step
        self._last = ticks
        return ticks


class MuxedVideo(ABC):
    """A video file with one stream. One thread opens, writes and closes it.

    Once open, it stores its ``error`` and never raises: no fault of a recording may stop the tracking.
    """

    def __init__(self, path: Path, container_format: str, options: dict[str, str]) -> None:
        """Create the file.

        Args:
            path: Path of the file.
            container_format: FFmpeg's name of the container format.
            options: Options of the muxer.

        Raises:
            SinkError: if the file cannot be created.
        """
        self.muxed = 0
        """Number of frames given to the muxer."""
        self.on_disk = 0
        """Number of frames that are completely in the file for certain."""
        self._file = OutputFile(path)
        try:
            options = {**options, "flush_packets": "1"}
            self._container: OutputContainer = av.open(self._file, "w", format=container_format, options=options)
            self._stream = self.add_stream(self._container)
        except (av.FFmpegError, OSError, ValueError) as error:
            self._file.close()
            raise SinkError(f"cannot record to {path}: {explain(error)}") from error

    @property
    def error(self) -> str | None:
        """The first error, after which nothing more is written; None if there was none."""
        return self._file.error

    @abstractmethod
    def add_stream(self, container: OutputContainer) -> Any:
        """Add the stream to the container and return it. It may raise errors of FFmpeg."""

    def close(self) -> None:
        """Write the remaining data and close the file."""
        try:
            self._container.close()
        except Exception as error:
            self._file.fail(error)
        if self.error is None:
            self.on_disk = self.muxed
        self._file.close()

    def _mux(self, packets: Iterable[av.Packet[Any]]) -> None:
        """Write packets. The iterable may encode them: its errors are stored, too."""
        if self.error is not None:
            return
        try:
            for packet in packets:
                self._container.mux(packet)
                self.muxed += 1
        except Exception as error:
            self._file.fail(error)

    def _end_frame(self) -> None:
        """Note that all packets of a frame were muxed. The muxer writes a packet when the next one comes."""
        if self.error is None:
            self.on_disk = max(0, self.muxed - 1)
            self._file.keep()
