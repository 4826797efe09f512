"""Track motion: what is known of how an animal moves, where it is expected next, and who could have changed places.

No I/O, no threads, no clocks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from realtime_cropzoom.types import Bool, Box

COAST_NS = 250e6
"""Frame time for which a missing animal is expected to go on as it went (ns). After that it is expected to stand."""


@dataclass(slots=True)
class Motion:
    """What a track knows of its animal."""

    x: float
    y: float
    side: float
    seen_ns: int
    velocity: tuple[float, float] = (0.0, 0.0)
    """Pixels per second."""
    box: Box | None = None
    """None while the animal is missing."""

    @classmethod
    def of(cls, box: Box, pts_ns: int) -> Motion:
        """Return what is known of an animal that was seen for the first time, in a box (frame pixels)."""
        motion = cls(0, 0, 0, pts_ns)
        motion.see(box, pts_ns)
        return motion

    def predict(self, pts_ns: int) -> tuple[float, float]:
        """Return where the animal is expected."""
        seconds = min(pts_ns - self.seen_ns, COAST_NS) / 1e9
        return self.x + self.velocity[0] * seconds, self.y + self.velocity[1] * seconds

    def see(self, box: Box, pts_ns: int) -> None:
        """Take the box of a detection. The velocity is the mean of the last step's and the one before."""
        x, y = box.x + box.w / 2, box.y + box.h / 2
        seconds = (pts_ns - self.seen_ns) / 1e9
        if 0 < seconds <= COAST_NS / 1e9:
            old_x, old_y = self.velocity
            self.velocity = (old_x + (x - self.x) / seconds) / 2, (old_y + (y - self.y) / seconds) / 2
        else:
            self.velocity = (0.0, 0.0)
        self.x, self.y, self.side, self.seen_ns = x, y, float(max(box.w, box.h)), pts_ns
        self.box = box


class Expected(NamedTuple):
    """What is expected of an animal in a frame before its detections are assigned."""

    place: tuple[float, float]
    reach: float
    """How far from there it can be (pixels)."""
    near: float
    """Distance from there up to which it is surely the same animal if it was seen in the last frame (pixels)."""
    seen: bool
    """Whether it was seen in the last frame."""
    missing_ns: int
    """Frame time since it was seen (ns)."""
    uncertain: bool = False
    """Whether it may have been another one: while it is missing, it can then be anywhere."""

    def distance(self, found: Motion) -> float:
        """Return the distance to where an animal was found (pixels); infinite if that is missing."""
        return math.inf if found.box is None else math.dist(self.place, (found.x, found.y))

    def can_be(self, found: Motion) -> bool:
        """Return whether it could be where an animal was found."""
        return self.distance(found) <= self.reach

    def went_on(self, found: Motion) -> bool:
        """Return whether it was seen in the last frame, and found where it was expected."""
        return self.seen and self.distance(found) <= self.near


def could_swap(motions: Sequence[Motion | None], before: Sequence[Expected | None]) -> Bool:
    """Return for each two animals whether they could have changed places, on their own or in a ring with others.

    An animal could be where another one was found if that is within its reach; one that is missing and uncertain could
    be anywhere. One that was found could be the missing one. Those that went on as expected are themselves, whoever was
    missing before: else nobody would be certain while one is missing.

    Args:
        motions: What is known of each animal in this frame; None before it is seen for the first time.
        before: What was expected of it; None if it was not known then.

    Returns:
        (n, n) bool.
    """
    count = len(motions)
    could_be = np.zeros((count, count), bool)
    for index, other in itertools.permutations(range(count), 2):
        one, its, was, its_was = motions[index], motions[other], before[index], before[other]
        if one is None or its is None or was is None or its_was is None:
            continue
        if its.box is not None:
            is_anywhere = was.uncertain and not was.seen and not its_was.went_on(its)
            could_be[index, other] = is_anywhere or was.can_be(its)
        elif one.box is not None:
            could_be[index, other] = its_was.seen or not was.went_on(one)
    for between in range(count):  # Warshall: over any number of others
        could_be |= could_be[:, between, None] & could_be[None, between]
    return could_be & could_be.T
