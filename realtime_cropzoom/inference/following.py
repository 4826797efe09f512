"""Following: the box of a frame lies around the pose before it, and the detector runs only when that is not enough.

No I/O, no threads, no clocks; ages are frame time. A detection is wanted while no plausible pose gives a box, and every
few seconds as a check: a box that drifted away from the animal with its pose would never come back by itself.
"""

from __future__ import annotations

from dataclasses import replace

from realtime_cropzoom.inference.boxes import BoxRule
from realtime_cropzoom.inference.schedule import StateLimits
from realtime_cropzoom.types import ActiveBox, Box, BoxOrigin, Detection, FrameMeta, Keypoints, State


class FollowingSchedule:
    """Schedule that uses the box around the last plausible pose."""

    def __init__(self, limits: StateLimits, rule: BoxRule, *, check_s: float, lockstep: bool) -> None:
        """Make the schedule.

        Args:
            limits: Limits on the age of a box.
            rule: How a pose becomes a box.
            check_s: Frame time (s) after which a detection checks the box; 0 for never.
            lockstep: Whether a frame waits for a detection that it wants.
        """
        self.limits, self.rule = limits, rule
        """Limits on the age of a box, and how a pose becomes a box. Both may be replaced between two frames."""
        self._check_ns = check_s * 1e9
        self.lockstep = lockstep
        """Whether a frame waits for a detection that it wants."""
        self._last: Detection | None = None
        """What gives the box."""
        self._is_unused = False
        """Whether ``_last`` is a detection that no frame has used yet."""
        self._follows = False
        """Whether the last pose gave a box."""
        self._seen = -1
        """Index of the last frame in which the detector looked."""
        self._seen_ns = 0
        """Its frame time (ns)."""
        self._asked_from = -1
        """Index of the first frame in which a detection was asked for; -1 before that."""

    def ask(self, newest: int) -> None:
        """Want a detection that counts wherever it lies, although poses may give the box.

        Args:
            newest: Index of the newest captured frame: a detection in it, or else in the next one, is wanted.
        """
        self._asked_from = max(newest, self._seen + 1)

    def wants_detection(self, meta: FrameMeta) -> bool:
        """Return whether a frame needs a detection."""
        is_due = self._check_ns > 0 and meta.pts_ns - self._seen_ns >= self._check_ns
        is_asked = self._seen < self._asked_from <= meta.index
        return self._seen < meta.index and (not self._follows or is_due or is_asked)

    def offer(self, detection: Detection) -> None:
        """Take a detection. While poses give the box, it counts if it was asked for, or lies elsewhere."""
        is_asked = self._seen < self._asked_from <= detection.meta.index
        self._seen, self._seen_ns = detection.meta.index, detection.meta.pts_ns
        if detection.box is None:
            return
        if not self._follows or is_asked or self._last is None or _is_elsewhere(detection.box, self._last.box):
            self._last, self._is_unused = detection, True

    def posed(self, meta: FrameMeta, keypoints: Keypoints | None, at_ns: int) -> None:
        """Take the pose of a frame. It gives no box if its own is older than a detection that no frame has used yet.

        Args:
            meta: The frame.
            keypoints: The pose in frame pixels; None if there is none, or if it is not plausible.
            at_ns: Time (monotonic, ns) at which it was done.
        """
        if self._is_unused:
            return
        box = None if keypoints is None else self.rule.box(keypoints)
        self._follows = box is not None
        if box is not None:
            self._last = Detection(meta, box, at_ns, BoxOrigin.POSE)

    def choose(self, meta: FrameMeta) -> ActiveBox | None:
        """Return the box of a frame; None if it must wait for a detection."""
        if self.lockstep and self.wants_detection(meta):
            return None
        self._is_unused = False
        chosen = self.limits.active_box(self._last, meta)
        if chosen.box is not None and chosen.age_ms < 0:  # found in a later frame than this one
            return replace(chosen, age_ms=0.0, state=State.TRACKING)
        return chosen


def _is_elsewhere(found: Box, followed: Box | None) -> bool:
    """Return whether the centres of two boxes are more than half a side apart."""
    if followed is None:
        return True
    across = abs((found.x + found.w / 2) - (followed.x + followed.w / 2))
    down = abs((found.y + found.h / 2) - (followed.y + followed.h / 2))
    return max(across / followed.w, down / followed.h) > 0.5
