"""Looks after the models: one that does not come back cannot be helped, but the run can end, and say so.

A thread of its own, so that nobody needs to wait for the run for a hang to be noticed.
"""

from __future__ import annotations

from collections.abc import Sequence

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import StageError
from realtime_cropzoom.stages.base import POLL_S, Control, Stage


class Watchdog(Stage):
    """Ends the run when a stage has been busy with one frame for too long."""

    def __init__(self, watched: Sequence[Stage], limit_s: float, control: Control) -> None:
        super().__init__("watchdog", control)
        self._watched = watched
        self._limit_ns = round(limit_s * 1e9)

    def work(self) -> None:
        """Watch until all are through, or the run stops."""
        for stage in self._watched:
            while stage.is_alive() and not self.control.stop.is_set():
                stage.join(POLL_S)
                self.look(now_ns())

    def look(self, at_ns: int) -> None:
        """End the run if a stage has been at its frame for longer than the limit."""
        for stage in self._watched:
            busy_since_ns = stage.busy_since_ns  # read once: the stage may be done meanwhile
            if busy_since_ns and at_ns - busy_since_ns > self._limit_ns:
                what = f"the {stage.stage} stage has been busy with one frame for more than {self._limit_ns / 1e9:g} s"
                self.control.fail(stage.stage, StageError(what))
