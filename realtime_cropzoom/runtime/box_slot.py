"""Box slot: hands detections from the detector thread to the pose thread.

Its schedule decides which box a frame gets; a lock guards the schedule. With the schedule of live
runs ``choose`` never waits.
"""

from __future__ import annotations

import threading

from realtime_cropzoom.inference.schedule import Schedule
from realtime_cropzoom.types import ActiveBox, Detection, FrameMeta


class BoxSlot:
    """A schedule that the detector thread feeds and the pose thread queries."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._changed = threading.Condition()
        self._closed = False

    def offer(self, detection: Detection) -> None:
        """Pass a detection to the schedule and wake a waiting ``choose``."""
        with self._changed:
            self._schedule.offer(detection)
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Whether the detector has ended. ``choose`` then never returns more than it does now."""
        return self._closed

    def close(self) -> None:
        """Announce that no further detection follows, and end a waiting ``choose``."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def choose(self, meta: FrameMeta, timeout_s: float) -> ActiveBox | None:
        """Return the box for a frame. A closed slot does not wait.

        Args:
            meta: Index and times of the frame.
            timeout_s: Maximum wait (s) for the next detection or for ``close``.

        Returns:
            The box and its state, or None if the schedule still lacks the detection for this frame.
        """
        with self._changed:
            chosen = self._schedule.choose(meta)
            if chosen is None and not self._closed:
                self._changed.wait(timeout_s)
                chosen = self._schedule.choose(meta)
            return chosen
