"""Looping source: repeats a file when it ends, for trials of any length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.sources.base import CapturedFrame, Source


class LoopingSource:
    """Source that opens another one again at its end. Frame time continues across the seam by one interval."""

    def __init__(self, open_source: Callable[[], Source]) -> None:
        """Open the source for the first time. Errors of ``open_source`` are passed on."""
        self._open = open_source
        self._source = open_source()
        self._problems: dict[str, None] = {}
        self.info = replace(self._source.info, frame_count=None)

    def frames(self) -> Iterator[CapturedFrame]:
        """Yield the frames, round after round, without end.

        Raises:
            SourceError: if the source has no frame, or cannot be read or opened again.
        """
        begins_ns, round_ = 0, 0
        while True:
            pts_ns, interval_ns = None, round(1e9 / (self.info.fps or 30.0))
            for captured in self._source.frames():
                if pts_ns is not None:
                    interval_ns = captured.pts_ns - pts_ns
                pts_ns = captured.pts_ns
                yield replace(captured, pts_ns=begins_ns + pts_ns, device_ns=None if round_ else captured.device_ns)
            if pts_ns is None:
                raise SourceError(f"{self.info.name} has no frame to repeat")
            begins_ns, round_ = begins_ns + pts_ns + interval_ns, round_ + 1
            self._problems.update(dict.fromkeys(self._source.problems()))
            self._source.close()
            self._source = self._open()

    def problems(self) -> list[str]:
        """Return the messages of all rounds, each one once."""
        return list(self._problems | dict.fromkeys(self._source.problems()))

    def close(self) -> None:
        """Close the file."""
        self._source.close()
