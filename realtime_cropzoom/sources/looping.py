"""A file that begins anew when it ends, for trying things out as long as one likes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.sources.base import CapturedFrame, Source


class Looping:
    """Opens a source again and again; frame time goes on over the seam, by one interval."""

    def __init__(self, open_source: Callable[[], Source]) -> None:
        """Open it for the first time. Raises what that raises."""
        self._open = open_source
        self._source = open_source()
        self._problems: dict[str, None] = {}
        self.info = replace(self._source.info, frame_count=None)

    def frames(self) -> Iterator[CapturedFrame]:
        """Yield the frames, round after round, for ever."""
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
        """Say what went wrong, once however often it did."""
        return list(self._problems | dict.fromkeys(self._source.problems()))

    def close(self) -> None:
        """Close the file."""
        self._source.close()
