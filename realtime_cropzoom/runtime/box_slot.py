"""Detector → pose: the slot that boxes pass through.

One slot, newest wins; the schedule in it decides what a frame gets. The lock guards the
schedule. Live, ``choose`` never waits.
"""

from __future__ import annotations

import threading

from realtime_cropzoom.inference.schedule import Schedule
from realtime_cropzoom.types import BoxInForce, Detection, Stamp


class BoxSlot:
    """A schedule that one thread feeds and another asks."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._changed = threading.Condition()
        self._closed = False

    def offer(self, detection: Detection) -> None:
        """Hand in a detection."""
        with self._changed:
            self._schedule.offer(detection)
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Whether no detection will come any more: what ``choose`` does not know then it never will."""
        return self._closed

    def close(self) -> None:
        """Say that no detection will come, so that nobody waits for one."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def choose(self, stamp: Stamp, timeout_s: float) -> BoxInForce | None:
        """Return the box in force, or None if it was not there in time. A closed slot does not wait."""
        with self._changed:
            chosen = self._schedule.choose(stamp)
            if chosen is None and not self._closed:
                self._changed.wait(timeout_s)
                chosen = self._schedule.choose(stamp)
            return chosen
