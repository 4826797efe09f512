"""Copies: poses that lie on an animal of which another track tells already. No I/O.

Where animals are near each other, a box shows more than one, and the pose model may find the wrong one in it. Two
animals never have all keypoints in the same place, so one of two such poses is a copy: that whose box lies further from
it. A pose that lies far from the middle of its box, and nearer to that of another one, is not of its animal either.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from realtime_cropzoom.types import Box, Keypoints

_SAME = 0.1
"""Median distance of the keypoints below which two poses are the same (box sides): a fifth of an animal's length."""
_FAR = 0.25
"""Distance from the middle of its box from which on a pose may be of another animal (box sides)."""


def find_copies(poses: Sequence[Keypoints], boxes: Sequence[Box]) -> set[int]:
    """Return the places of the poses that are not of the animal in the middle of their box.

    Args:
        poses: The poses in one frame (frame pixels).
        boxes: The boxes in which they were found.
    """
    offsets = [[_offset(pose, box) for box in boxes] for pose in poses]
    copies = {
        place
        for place, (own, box) in enumerate(zip(offsets, boxes, strict=True))
        if _FAR * max(box.w, box.h) < own[place] < math.inf and min(own) < own[place]
    }
    for one, other in itertools.combinations(range(len(poses)), 2):
        if not {one, other} & copies and _are_same(poses[one], poses[other], boxes[one]):
            copies.add(one if offsets[one][one] > offsets[other][other] else other)
    return copies


def _are_same(one: Keypoints, other: Keypoints, box: Box) -> bool:
    distances = np.hypot(*(one.xy - other.xy).T)
    known = distances[np.isfinite(distances)]
    return len(known) > 0 and float(np.median(known)) < _SAME * max(box.w, box.h)


def _offset(pose: Keypoints, box: Box) -> float:
    """Return the distance from the centre of a box to the mean of its keypoints (pixels); infinite without any."""
    known = pose.xy[np.isfinite(pose.xy).all(axis=1)]
    if len(known) == 0:
        return math.inf
    x, y = known.mean(axis=0)
    return math.hypot(x - (box.x + box.w / 2), y - (box.y + box.h / 2))
