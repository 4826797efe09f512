"""Looks after a live run: says when frames stay away, and ends the run when a model does not come back.

A thread of its own, so that nobody needs to wait for the run, or to publish, for that to be noticed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import StageError
from realtime_cropzoom.pipeline.lag import LagWatch
from realtime_cropzoom.runtime.worker import POLL_S, RunControl, Stage
from realtime_cropzoom.types import StreamState

logger = logging.getLogger(__name__)

_DISK_ANSWERS_WITHIN_NS = 2_000_000_000


class Watchdog(Stage):
    """Looks ten times a second."""

    def __init__(
        self,
        watched: Sequence[Stage],
        limit_s: float,
        stream: Callable[[int], StreamState],
        control: RunControl,
        writer: Stage | None = None,
        progress: Callable[[], tuple[int, int, float]] = lambda: (0, 0, 0.0),
    ) -> None:
        """``watched`` may be busy with one frame for ``limit_s``; ``stream`` says whether frames arrive at a time.

        The ``writer`` may be held up by a disk for as long as that takes; it is only said. ``progress`` gives the
        frames captured, those skipped of them, and how old the newest pose was, in ms.
        """
        super().__init__("watchdog", control)
        self._watched = watched
        self._limit_ns = round(limit_s * 1e9)
        self._stream = stream
        self._last_stream = StreamState.LIVE
        self._writer = writer
        self._disk_is_slow = False
        self._progress, self._lag = progress, LagWatch()

    def work(self) -> None:
        """Watch until all are through, or the run stops."""
        for stage in self._watched:
            while stage.is_alive() and not self.control.stop.is_set():
                stage.join(POLL_S)
                at_ns = now_ns()
                self.look_for_hangs(at_ns)
                self.look_for_stalls(at_ns)
                self.look_for_slow_disks(at_ns)
                self.look_for_lag(at_ns)

    def look_for_hangs(self, at_ns: int) -> None:
        """End the run if a stage has been at its frame for longer than the limit: nothing else can be done."""
        for stage in self._watched:
            busy_since_ns = stage.busy_since_ns  # read once: the stage may be done meanwhile
            if busy_since_ns and at_ns - busy_since_ns > self._limit_ns:
                what = f"the {stage.stage} stage has been busy with one frame for more than {self._limit_ns / 1e9:g} s"
                self.control.fail(stage.stage, StageError(what))

    def look_for_lag(self, at_ns: int) -> None:
        """Say it when frames come faster than poses can be made."""
        text = self._lag.look(at_ns, *self._progress())
        if text is not None:
            logger.warning("%s", text)

    def look_for_stalls(self, at_ns: int) -> None:
        """Say it when frames stay away although the connection is there, and when they come again."""
        stream, before = self._stream(at_ns), self._last_stream
        self._last_stream = stream
        if stream is StreamState.STALLED and before is not stream:
            logger.warning("frames stay away, but the source has not broken off")
        elif stream is StreamState.LIVE and before is StreamState.STALLED:
            logger.warning("frames come again")

    def look_for_slow_disks(self, at_ns: int) -> None:
        """Say it when the disk does not take the rows, and when it does again; they are kept meanwhile."""
        since_ns = 0 if self._writer is None else self._writer.busy_since_ns
        slow = bool(since_ns) and at_ns - since_ns > _DISK_ANSWERS_WITHIN_NS
        if slow and not self._disk_is_slow:
            logger.warning("the disk does not answer; the rows of the session are kept in memory until it does")
        elif self._disk_is_slow and not slow:
            logger.warning("the disk answers again")
        self._disk_is_slow = slow
