"""Is that the animal? What speaks against a detection or a pose, and the state that follows from it.

Pure: no threads, no clocks. A network draws a heatmap whatever it is shown, so a likelihood close to 1
proves nothing. Two things do tell: a heatmap of what the network was trained on lies around one point,
and keypoints of an animal are as far from each other as an animal is long. What is usual for a model is
in its own metadata (``Presence``), measured when it was trained.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from realtime_cropzoom.types import ActiveBox, Box, Float32, FrameMeta, Keypoints, State

SMALLEST = 0.02
"""Keypoints that all lie within so much of the box's side are no animal."""
POSE_NOISE = 0.02
"""In box sides: a distance between two keypoints may be off by so much."""
JUMP_NOISE = 0.1
"""In box sides: a keypoint may be off by so much without having moved."""


class Doubt(enum.StrEnum):
    """Why a pose is not plausible."""

    LIKELIHOOD = "likelihood"
    """Too few keypoints are likely."""
    SHARPNESS = "sharpness"
    """Too few heatmaps lie around one point."""
    SHAPE = "shape"
    """Keypoints are closer together, or further apart, than in any animal of the training."""
    JUMP = "jump"
    """The keypoints are further from where they last were than an animal moves."""


@dataclass(frozen=True, slots=True)
class Presence:
    """What a model's answer looks like where there is an animal. The defaults are for models that do not say."""

    min_likelihood: float = 0.1
    """Keypoints from here on count as likely."""
    min_sharpness: float = 0.0
    """Keypoints whose heatmaps are from here on count as sharp; 0 asks nothing."""
    share: float = 0.5
    """So many of the keypoints must be likely, and so many sharp."""
    distances: tuple[tuple[int, int, float, float], ...] = ()
    """Keypoint, keypoint, and their least and largest distance in the training, in box sides."""

    @classmethod
    def from_metadata(cls, described: Any, names: Sequence[str]) -> Presence:
        """Read the entry ``presence`` of a model's metadata; the defaults where there is none.

        Raises KeyError, TypeError or ValueError where it is not what ``to_metadata`` writes.
        """
        if described is None:
            return cls()
        numbers = {key: float(described[key]) for key in ("min_likelihood", "min_sharpness", "share")}
        if not all(0 <= number <= 1 for number in numbers.values()):
            raise ValueError(f"presence: got {numbers}, expected numbers from 0 to 1")
        distances = []
        for one, other, least, most in described.get("distances", ()):
            if not 0 <= float(least) <= float(most) < math.inf:
                raise ValueError(f"presence: got a distance from {least} to {most}, expected least and largest")
            distances.append((names.index(one), names.index(other), float(least), float(most)))
        return cls(**numbers, distances=tuple(distances))

    def to_metadata(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the entry ``presence`` of a model's metadata."""
        return {
            "min_likelihood": self.min_likelihood,
            "min_sharpness": self.min_sharpness,
            "share": self.share,
            "distances": [[names[i], names[j], least, most] for i, j, least, most in self.distances],
        }

    def with_limits(self, min_sharpness: float | None, min_likelihood: float | None = None) -> Presence:
        """Return it with the limits that somebody has set."""
        sharpness = self.min_sharpness if min_sharpness is None else min_sharpness
        likelihood = self.min_likelihood if min_likelihood is None else min_likelihood
        return replace(self, min_sharpness=sharpness, min_likelihood=likelihood)

    def is_sharp(self, found: Keypoints) -> bool:
        """Whether enough heatmaps lie around one point; True where nobody asks, or there are no heatmaps."""
        if self.min_sharpness <= 0 or found.sharpness is None:
            return True
        return bool(np.count_nonzero(found.sharpness >= self.min_sharpness) >= self._enough(found.sharpness))

    def is_likely(self, found: Keypoints) -> bool:
        """Whether enough keypoints are likely. NaN, as a regression model has it, holds nothing against one."""
        unlikely = np.count_nonzero(found.likelihood < self.min_likelihood)
        return bool(len(found.likelihood) - unlikely >= self._enough(found.likelihood))

    def _enough(self, keypoints: Float32) -> int:
        return math.ceil(self.share * len(keypoints))


class PoseJudge:
    """Judges the poses of one camera in the order of their frames, and keeps the state. Use it from one thread."""

    def __init__(
        self, presence: Presence, *, lost_after_ms: float, shape_tolerance: float = 0.4, jump_limit: float = 8.0
    ) -> None:
        """``shape_tolerance`` is a share of the training's distances; ``jump_limit`` is in box sides a second."""
        self._presence = presence
        self._lost_after_ns = lost_after_ms * 1e6
        self._jump_limit = jump_limit
        pairs = presence.distances
        self._one = np.array([pair[0] for pair in pairs], np.intp)
        self._other = np.array([pair[1] for pair in pairs], np.intp)
        least = np.array([pair[2] for pair in pairs]) * max(0.0, 1 - shape_tolerance) - POSE_NOISE
        most = np.array([pair[3] for pair in pairs]) * (1 + shape_tolerance) + POSE_NOISE
        self._least2, self._most2 = np.maximum(least, 0) ** 2, most**2
        self._seen_ns: int | None = None
        """Frame time of the last frame that was ``tracking``."""
        self._last: tuple[int, int, Float32] | None = None
        """Frame time, segment and keypoints of the last pose that was of an animal."""

    def doubt(self, stamp: FrameMeta, box: Box, found: Keypoints) -> Doubt | None:
        """Say what speaks against the pose of a frame, None where nothing does. Each frame once, in order."""
        doubt = self._of_pose(box, found)
        if doubt is not None:
            return doubt
        last, self._last = self._last, (stamp.pts_ns, stamp.segment, found.xy)
        if last is None or last[1] != stamp.segment:
            return None
        limit = (JUMP_NOISE + self._jump_limit * max(0, stamp.pts_ns - last[0]) / 1e9) * max(box.w, box.h)
        moved = found.xy - last[2]
        jumped = np.count_nonzero((moved * moved).sum(axis=1) > limit * limit)
        return Doubt.JUMP if 2 * jumped > len(moved) else None

    def state(self, stamp: FrameMeta, in_force: ActiveBox, doubt: Doubt | None, *, posed: bool) -> State:
        """Return the state of a frame: ``tracking`` only where the box is recent and the pose is of an animal.

        ``posed`` is False for a frame without a pose. A jump does not speak against the animal.
        """
        if posed and in_force.state is State.TRACKING and doubt in (None, Doubt.JUMP):
            self._seen_ns = stamp.pts_ns
            return State.TRACKING
        if self._seen_ns is None or in_force.state is State.SEARCHING:
            return State.SEARCHING
        lost = in_force.state is State.LOST or stamp.pts_ns - self._seen_ns > self._lost_after_ns
        return State.LOST if lost else State.COASTING

    def take_up(self, seen_ns: int | None) -> None:
        """Go on where an earlier pass has stopped: ``seen_ns`` is the frame time of its last ``tracking`` frame."""
        self._seen_ns = seen_ns

    def _of_pose(self, box: Box, found: Keypoints) -> Doubt | None:
        if not self._presence.is_likely(found):
            return Doubt.LIKELIHOOD
        if not self._presence.is_sharp(found):
            return Doubt.SHARPNESS
        return None if self._has_a_shape(box, found.xy) else Doubt.SHAPE

    def _has_a_shape(self, box: Box, xy: Float32) -> bool:
        side = max(box.w, box.h)
        if len(self._one):
            apart = xy[self._one] - xy[self._other]
            apart2 = (apart * apart).sum(axis=1) / (side * side)
            return bool(((apart2 >= self._least2) & (apart2 <= self._most2)).all())
        return len(xy) < 3 or float((xy.max(axis=0) - xy.min(axis=0)).max()) >= SMALLEST * side


def judged(in_force: ActiveBox, state: State) -> ActiveBox:
    """Return the box with the state that the pose leaves it."""
    return in_force if in_force.state is state else replace(in_force, state=state)


def presence_of(described: Mapping[str, Any], names: Sequence[str]) -> Presence:
    """Read it from the whole of a model's metadata. Raises ValueError in words."""
    try:
        return Presence.from_metadata(described.get("presence"), names)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"its metadata 'presence' is not what cropzoom train writes ({error})") from None
