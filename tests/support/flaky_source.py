"""A live source that breaks off after a few frames."""

from __future__ import annotations

from collections.abc import Iterator

from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.sources.base import CapturedFrame, SourceInfo


class FlakySource:
    """Live source that yields a few gray frames and then fails."""

    def __init__(self, frames: int = 3, size: tuple[int, int] = (8, 6)) -> None:
        self.info = SourceInfo("flaky", *size, None, None, live=True)
        self._frames, self.closed = frames, 0

    def frames(self) -> Iterator[CapturedFrame]:
        for index in range(self._frames):
            yield CapturedFrame(index * 1_000_000, None, self.info.width, self.info.height, lambda out: out.fill(200))
        raise SourceError("unplugged")

    def problems(self) -> list[str]:
        return []

    def close(self) -> None:
        self.closed += 1
