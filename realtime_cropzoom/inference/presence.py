"""Presence of the animal: checks whether a detection or a pose shows an animal, and derives the frame's state.

No I/O, no threads, no clocks. A network gives a heatmap for any image, so a likelihood close to 1 proves
nothing. Two properties distinguish them: the heatmap of an object like the ones in the training lies around one point,
and the distances between the keypoints fit the size of an animal. The usual values of a model are in its
metadata (``Presence``), measured when it was trained.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from realtime_cropzoom.types import ActiveBox, Box, Float32, FrameMeta, Keypoints, State

MIN_EXTENT = 0.02
"""Minimum extent of the keypoints, in box sides. A smaller pose does not show an animal."""
POSE_NOISE = 0.02
"""Maximum error of a distance between two keypoints (box sides)."""
JUMP_NOISE = 0.1
"""Maximum error of the position of a keypoint that does not move (box sides)."""


class Doubt(enum.StrEnum):
    """Why a pose is not plausible."""

    LIKELIHOOD = "likelihood"
    """Too few keypoints are likely."""
    SHARPNESS = "sharpness"
    """Too few heatmaps lie around one point."""
    SHAPE = "shape"
    """Keypoints are closer together, or further apart, than in any animal of the training."""
    JUMP = "jump"
    """Most keypoints moved further since the last pose than an animal can."""


@dataclass(frozen=True, slots=True)
class Presence:
    """Limits that tell an animal in a model's output. The defaults are for models without this metadata."""

    min_likelihood: float = 0.1
    """Minimum likelihood of a likely keypoint."""
    min_sharpness: float = 0.0
    """Minimum sharpness of a sharp heatmap; 0 disables this check."""
    share: float = 0.5
    """Minimum share of keypoints that must be likely, and of heatmaps that must be sharp."""
    distances: tuple[tuple[int, int, float, float], ...] = ()
    """Pairs: two keypoint indices, and the minimum and maximum of their distance in the training (box sides)."""

    @classmethod
    def from_metadata(cls, described: Any, names: Sequence[str]) -> Presence:
        """Read the entry ``presence`` of a model's metadata.

        Args:
            described: The entry; None gives the defaults.
            names: Names of the keypoints, in order.

        Raises:
            KeyError, TypeError, ValueError: if the entry has not the form that ``to_metadata`` writes.
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
        """Return the entry ``presence`` of a model's metadata. ``names`` are the keypoints, in order."""
        return {
            "min_likelihood": self.min_likelihood,
            "min_sharpness": self.min_sharpness,
            "share": self.share,
            "distances": [[names[i], names[j], least, most] for i, j, least, most in self.distances],
        }

    def with_limits(self, min_sharpness: float | None, min_likelihood: float | None = None) -> Presence:
        """Return a copy with the limits of the settings. None keeps the limit of the model."""
        sharpness = self.min_sharpness if min_sharpness is None else min_sharpness
        likelihood = self.min_likelihood if min_likelihood is None else min_likelihood
        return replace(self, min_sharpness=sharpness, min_likelihood=likelihood)

    def is_sharp(self, found: Keypoints) -> bool:
        """Return whether enough heatmaps lie around one point; True if the check is disabled or without heatmaps."""
        if self.min_sharpness <= 0 or found.sharpness is None:
            return True
        sharp = sum(sharpness >= self.min_sharpness for sharpness in found.sharpness.tolist())
        return bool(sharp >= self._enough(found.sharpness))

    def is_likely(self, found: Keypoints) -> bool:
        """Return whether enough keypoints are likely. NaN, as a regression model gives it, is treated as likely."""
        unlikely = sum(likelihood < self.min_likelihood for likelihood in found.likelihood.tolist())
        return bool(len(found.likelihood) - unlikely >= self._enough(found.likelihood))

    def _enough(self, keypoints: Float32) -> int:
        return math.ceil(self.share * len(keypoints))


@dataclass(frozen=True, slots=True)
class JudgeLimits:
    """The limits of a ``PoseJudge``."""

    presence: Presence
    """Limits of the pose model."""
    lost_after_ms: float
    """Time without tracking after which the state is lost (frame time, ms)."""
    shape_tolerance: float = 0.4
    """Tolerance of the distances, relative to the distances in the training."""
    jump_limit: float = 8.0
    """Maximum speed of a keypoint (box sides per second)."""


class PoseJudge:
    """Checks the poses of one camera in the order of their frames, and keeps the state. Use it from one thread."""

    def __init__(self, limits: JudgeLimits) -> None:
        """Judge by these limits."""
        from realtime_cropzoom.inference import kernels  # here, because settings need only the limits

        self._kernels = kernels
        self._set_limits(limits)
        self._changes: deque[tuple[int, JudgeLimits]] = deque()
        """Limits that apply from the frame of that index on."""
        self._seen_ns: int | None = None
        """Frame time of the last frame with state ``tracking`` (ns); None before the first."""
        self._last: tuple[int, int, Float32] | None = None
        """Frame time (ns), segment and keypoints of the last pose that showed an animal."""

    def change_from(self, frame: int, limits: JudgeLimits) -> None:
        """Judge by other limits from a frame on. Call it in the thread that judges, with the frames in order.

        Args:
            frame: Index of the first frame.
            limits: The limits.
        """
        self._changes.append((frame, limits))

    def _set_limits(self, limits: JudgeLimits) -> None:
        presence, shape_tolerance = limits.presence, limits.shape_tolerance
        self._presence = presence
        self._lost_after_ns = limits.lost_after_ms * 1e6
        self._jump_limit = limits.jump_limit
        pairs = presence.distances
        self._one = np.array([pair[0] for pair in pairs], np.intp)
        self._other = np.array([pair[1] for pair in pairs], np.intp)
        least = np.array([pair[2] for pair in pairs]) * max(0.0, 1 - shape_tolerance) - POSE_NOISE
        most = np.array([pair[3] for pair in pairs]) * (1 + shape_tolerance) + POSE_NOISE
        self._least2, self._most2 = np.maximum(least, 0) ** 2, most**2

    def _apply_changes(self, frame: int) -> None:
        while self._changes and self._changes[0][0] <= frame:
            self._set_limits(self._changes.popleft()[1])

    def doubt(self, meta: FrameMeta, box: Box, found: Keypoints) -> Doubt | None:
        """Check the pose of a frame. Call it once per frame, in order.

        Args:
            meta: The frame.
            box: The box that was cropped (frame pixels).
            found: The keypoints (frame pixels).

        Returns:
            Why the pose is not plausible; None if it is.
        """
        if self._changes:
            self._apply_changes(meta.index)
        doubt = self._of_pose(box, found)
        if doubt is not None:
            return doubt
        last, self._last = self._last, (meta.pts_ns, meta.segment, found.xy)
        if last is None or last[1] != meta.segment:
            return None
        limit = (JUMP_NOISE + self._jump_limit * max(0, meta.pts_ns - last[0]) / 1e9) * max(box.w, box.h)
        return Doubt.JUMP if 2 * self._kernels.count_moved(found.xy, last[2], limit) > len(found.xy) else None

    def state(self, meta: FrameMeta, active: ActiveBox, doubt: Doubt | None, *, posed: bool) -> State:
        """Return the state of a frame: ``tracking`` only if the box is recent and the pose shows an animal.

        Args:
            meta: The frame.
            active: The active box of the frame.
            doubt: Result of ``doubt``. A jump does not prevent ``tracking``.
            posed: Whether the frame has a pose.
        """
        if self._changes:
            self._apply_changes(meta.index)
        if posed and active.state is State.TRACKING and doubt in (None, Doubt.JUMP):
            self._seen_ns = meta.pts_ns
            return State.TRACKING
        if self._seen_ns is None or active.state is State.SEARCHING:
            return State.SEARCHING
        lost = active.state is State.LOST or meta.pts_ns - self._seen_ns > self._lost_after_ns
        return State.LOST if lost else State.COASTING

    @property
    def seen_ns(self) -> int | None:
        """Frame time (ns) of the last frame with state ``tracking``; None before the first. Any thread may read it."""
        return self._seen_ns

    def restore(self, seen_ns: int | None) -> None:
        """Continue an earlier pass; ``seen_ns`` is the frame time (ns) of its last ``tracking`` frame, or None."""
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
            return bool(self._kernels.has_distances(xy, self._one, self._other, self._least2, self._most2, side))
        there = xy[np.isfinite(xy[:, 0])]
        return len(there) < 3 or float(np.ptp(there, axis=0).max()) >= MIN_EXTENT * side


def with_state(active: ActiveBox, state: State) -> ActiveBox:
    """Return the active box with the state that the judgement of the pose gave."""
    return active if active.state is state else replace(active, state=state)


def read_presence(described: Mapping[str, Any] | None, names: Sequence[str]) -> Presence:
    """Read the limits from a model's manifest.

    Args:
        described: Its entry ``presence``; None gives the defaults.
        names: Names of the keypoints, in order.

    Raises:
        ValueError: if the entry is not valid.
    """
    try:
        return Presence.from_metadata(described, names)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"its metadata 'presence' is not what cropzoom train writes ({error})") from None
