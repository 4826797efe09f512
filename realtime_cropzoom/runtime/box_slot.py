"""Box slot: hands detections from the detector thread to the pose thread.

Its schedule decides which box a frame gets; a lock guards the schedule. With the schedule of live
runs ``choose`` never waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from realtime_cropzoom.inference.boxes import BoxRule
from realtime_cropzoom.inference.following import FollowingSchedule
from realtime_cropzoom.inference.schedule import LatestSchedule, Schedule, StateLimits
from realtime_cropzoom.types import ActiveBox, Detection, FrameMeta, Keypoints


class BoxSlot:
    """A schedule that the detector thread feeds and the pose thread queries."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._following = schedule if isinstance(schedule, FollowingSchedule) else None
        self._asked = (-1, False)
        """Index of the last frame that asked for its box, and whether it waits for a detection."""
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
            chosen = self._choose_locked(meta)
            if chosen is None and not self._closed:
                self._changed.wait(timeout_s)
                chosen = self._choose_locked(meta)
            return chosen

    def posed(self, meta: FrameMeta, keypoints: Keypoints | None, at_ns: int) -> None:
        """Pass a pose to a schedule that follows poses, see ``FollowingSchedule.posed``."""
        if self._following is not None:
            with self._changed:
                self._following.posed(meta, keypoints, at_ns)

    def ask(self, newest: int) -> None:
        """Want a detection in the frame ``newest`` or the next one, even if poses give the box."""
        if self._following is not None:
            with self._changed:
                self._following.ask(newest)

    def use_limits(self, limits: StateLimits) -> None:
        """Judge the age of boxes by other limits from the next frame on."""
        with self._changed:
            if isinstance(self._schedule, LatestSchedule | FollowingSchedule):
                self._schedule.limits = limits

    def use_rule(self, rule: Callable[[BoxRule], BoxRule]) -> None:
        """Change the rule by which poses become boxes; ``rule`` returns the new one for the old one."""
        if self._following is not None:
            with self._changed:
                self._following.rule = rule(self._following.rule)

    def needs_detection(self, meta: FrameMeta, timeout_s: float) -> bool | None:
        """Return whether a frame needs a detection. Only a schedule that follows poses can do without.

        Args:
            meta: The frame.
            timeout_s: Maximum wait (s) in lockstep, until the frame has asked for its box.

        Returns:
            None if that is not known yet.
        """
        following = self._following
        if following is None:
            return True
        with self._changed:
            if not following.lockstep:
                return following.wants_detection(meta)
            self._changed.wait_for(lambda: self._asked[0] >= meta.index, timeout_s)
            index, waits = self._asked
            return None if index < meta.index else waits and index == meta.index

    def _choose_locked(self, meta: FrameMeta) -> ActiveBox | None:
        chosen = self._schedule.choose(meta)
        if self._following is not None:
            self._asked = (meta.index, chosen is None)
            self._changed.notify_all()
        return chosen
