"""A camera or stream that comes back: opened again when it breaks off, until a limit or the end of the run.

Whoever reads it sees one sequence of frames in which time goes on: frame time jumps by as long
as no frames came. Each time it comes back a new *segment* begins.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from threading import Event

import cv2
import numpy as np

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import SourceError, advised
from realtime_cropzoom.sources.base import Captured, Source, SourceInfo
from realtime_cropzoom.sources.live.pacing import Pacing
from realtime_cropzoom.sources.live.rate_check import RateCheck
from realtime_cropzoom.types import StreamState, UInt8

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Policy:
    """What to do when the frames break off."""

    give_up_after_s: float | None = None
    """So long without frames ends the run; None never does."""
    adapt: bool = False
    """Scale frames of another size to the first one's, instead of refusing them."""


class Reconnecting:
    """A live source and its successors. As any source, used in one thread; ``state`` may be read from others."""

    def __init__(self, source: Source, reopen: Callable[[], Source], policy: Policy, stop: Event) -> None:
        self.info: SourceInfo = source.info
        self.state = StreamState.LIVE
        self.reconnects = 0
        self._source: Source | None = source
        self._reopen, self._policy, self._stop = reopen, policy, stop
        self._problems: list[str] = []
        self._first_ns: int | None = None
        self._last_pts_ns = -1
        self._pacing = Pacing()
        self._gone_ns: int | None = None
        """Since when there are no frames; one that comes back and gives none has not come back."""

    def frames(self) -> Iterator[Captured]:
        """Yield frames until the run stops. Raises SourceError where the limit is reached, or frames changed size."""
        while self._source is not None and not self._stop.is_set():
            reason = "it ended"
            try:
                yield from self._segment(self._source)
            except SourceError as error:
                reason = str(error)
            if self._stop.is_set():
                return
            self._part(self._source)
            self._source = self._come_back(reason)

    def problems(self) -> list[str]:
        """Say what all segments had to say. That it broke off is none: it came back, and ``segment`` tells."""
        return self._problems + (self._source.problems() if self._source else [])

    def close(self) -> None:
        """Release what is open."""
        if self._source is not None:
            self._source.close()

    def _segment(self, source: Source) -> Iterator[Captured]:
        offset_ns: int | None = None
        rate = RateCheck(source.info)
        for captured in source.frames():
            received_ns = now_ns()
            rate.add(received_ns)
            if offset_ns is None:
                begun_ns = received_ns
                self._first_ns = begun_ns if self._first_ns is None else self._first_ns
                offset_ns = begun_ns - self._first_ns - captured.pts_ns
            self._last_pts_ns = max(captured.pts_ns + offset_ns, self._last_pts_ns + 1)
            self.state, self._gone_ns = StreamState.LIVE, None
            yield replace(self._fitted(captured), pts_ns=self._last_pts_ns, segment=self.reconnects)

    def _fitted(self, captured: Captured) -> Captured:
        """A frame as large as the first one was: coordinates keep their meaning."""
        width, height = self.info.width, self.info.height
        if (captured.width, captured.height) == (width, height) or not self._policy.adapt:
            return captured  # the capture stage refuses another size, in words

        def copy_to(out: UInt8) -> None:
            image = np.empty((captured.height, captured.width, 3), np.uint8)
            captured.copy_to(image)
            cv2.resize(image, (width, height), dst=out, interpolation=cv2.INTER_LINEAR)

        return replace(captured, width=width, height=height, copy_to=copy_to)

    def _part(self, source: Source) -> None:
        self.state = StreamState.RECONNECTING
        self._problems += source.problems()
        source.close()

    def _come_back(self, reason: str) -> Source | None:
        """Try until it is there again; None where the run stops. Raises SourceError at the limit."""
        logger.warning("%s broke off: %s; reconnecting", self.info.name, reason)
        self._gone_ns = gone_ns = now_ns() if self._gone_ns is None else self._gone_ns
        while True:
            at_ns, limit_s = now_ns(), self._policy.give_up_after_s
            delay_s, gone_s = self._pacing.delay_s(at_ns), (at_ns - gone_ns) / 1e9
            if limit_s is not None:  # the last try is at the limit, not when the next one would be due
                if gone_s >= limit_s:
                    raise SourceError(f"{self.info.name} has been gone for {gone_s:.0f} s ({reason}); giving up")
                delay_s = min(delay_s, limit_s - gone_s)
            if self._stop.wait(delay_s):
                return None
            self._pacing.tried(now_ns())
            try:
                source = self._reopen()
            except SourceError as error:
                reason = str(error)
                logger.info("%s is not back yet: %s", self.info.name, reason)
            else:
                self.reconnects += 1
                self._welcome(source.info)
                return source

    def _welcome(self, info: SourceInfo) -> None:
        logger.warning("%s is back (segment %d)", self.info.name, self.reconnects)
        if (info.width, info.height) != (self.info.width, self.info.height):
            how = (
                "scaled to the size it began with"
                if self._policy.adapt
                else "refused" + advised("; --changed adapt scales them")
            )
            logger.warning(
                "%s came back as %dx%d instead of %dx%d; its frames are %s",
                self.info.name, info.width, info.height, self.info.width, self.info.height, how,
            )  # fmt: skip
        if info.fps != self.info.fps:
            logger.warning("%s came back with %s fps instead of %s", self.info.name, info.fps, self.info.fps)
