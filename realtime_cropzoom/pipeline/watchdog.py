"""Watchdog: thread of a live run that warns if frames or the disk stop, and ends the run if a model call hangs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import StageError
from realtime_cropzoom.pipeline.lag import LagWatch
from realtime_cropzoom.pipeline.lost_animal import LostAnimal
from realtime_cropzoom.runtime.worker import POLL_S, RunControl, Stage
from realtime_cropzoom.types import StreamState

logger = logging.getLogger(__name__)

_DISK_TIMEOUT_NS = 2_000_000_000
"""Duration (ns) of a write to the disk after which the disk is treated as hung."""


class Watchdog(Stage):
    """Checks the run every ``POLL_S`` seconds."""

    def __init__(
        self,
        watched: Sequence[Stage],
        limit_s: float,
        stream: Callable[[int], StreamState],
        control: RunControl,
        writer: Stage | None = None,
        progress: Callable[[], tuple[int, int, float]] = lambda: (0, 0, 0.0),
        lost: LostAnimal | None = None,
    ) -> None:
        """Create the thread without starting it.

        Args:
            watched: The stages that run a model.
            limit_s: Maximum time (s) that such a stage may be busy with one frame.
            stream: Returns the state of the stream at a time (monotonic, ns).
            control: Control of the run.
            writer: The thread that writes to the disk. A disk may hang for any time; the watchdog only warns.
            progress: Returns the number of captured frames, the number of skipped ones, and the age (ms) of the
                newest pose.
            lost: Says that the animal is not found; None to say nothing.
        """
        super().__init__("watchdog", control)
        self._watched = watched
        self._limit_ns = round(limit_s * 1e9)
        self._stream = stream
        self._last_stream = StreamState.LIVE
        self._writer = writer
        self._disk_is_slow = False
        self._progress, self._lag = progress, LagWatch()
        self._lost = lost

    def work(self) -> None:
        """Check until all watched stages have ended, or the run stops."""
        for stage in self._watched:
            while stage.is_alive() and not self.control.stop.is_set():
                stage.join(POLL_S)
                self.check(now_ns())

    def check(self, at_ns: int) -> None:
        """Check everything once, at ``at_ns`` (monotonic, ns)."""
        self._check_models(at_ns)
        self._check_stream(at_ns)
        if self._lost is not None:
            self._lost.check(at_ns, frames_come=self._last_stream is StreamState.LIVE)
        self._check_disk(at_ns)
        self._check_lag(at_ns)

    def _check_models(self, at_ns: int) -> None:
        """End the run if a stage is busy with its frame for too long: a hung call cannot be interrupted."""
        for stage in self._watched:
            busy_since_ns = stage.busy_since_ns  # read once: the stage may finish its frame in between
            if busy_since_ns and at_ns - busy_since_ns > self._limit_ns:
                what = f"the {stage.stage} stage has been busy with one frame for more than {self._limit_ns / 1e9:g} s"
                self.control.fail(stage.stage, StageError(what))

    def _check_stream(self, at_ns: int) -> None:
        """Warn if no frames arrive although the connection is there, and when they arrive again."""
        stream, before = self._stream(at_ns), self._last_stream
        self._last_stream = stream
        if stream is StreamState.STALLED and before is not stream:
            logger.warning("no frames arrive, but the connection is not lost")
        elif stream is StreamState.LIVE and before is StreamState.STALLED:
            logger.warning("frames arrive again")

    def _check_disk(self, at_ns: int) -> None:
        """Warn if the disk does not accept the rows, and when it does again. The rows are kept in memory meanwhile."""
        since_ns = 0 if self._writer is None else self._writer.busy_since_ns
        slow = bool(since_ns) and at_ns - since_ns > _DISK_TIMEOUT_NS
        if slow and not self._disk_is_slow:
            logger.warning("the disk does not answer; the rows of the session are kept in memory until it does")
        elif self._disk_is_slow and not slow:
            logger.warning("the disk answers again")
        self._disk_is_slow = slow

    def _check_lag(self, at_ns: int) -> None:
        """Warn if frames arrive faster than poses are made."""
        text = self._lag.check(at_ns, *self._progress())
        if text is not None:
            logger.warning("%s", text)
