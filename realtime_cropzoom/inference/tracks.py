"""Tracks: which detection of a frame is which animal, by position alone. No I/O, no threads, no clocks.

The number of animals is fixed. A track predicts where its animal is, at constant velocity; the Hungarian assignment
gives each detection to one track at most. Tracks that were seen in the last frame choose first, then those that are
missing, and then those that no animal has had yet. A track without a detection is missing: nothing takes its place.

Position tells two animals apart only while they are apart. Two tracks *meet* when their bodies overlap, when each could
have made the step of the other, or when one goes missing beside the other. Then a swap cannot be excluded, and both
are uncertain until both are seen again, apart from each other. Which of the two is which afterwards is a guess, so each
track counts its meetings. A detection that no track has, close to an animal, may be an animal, too: it is met as others
are.

Lengths are in sides of the animal's box, so that the limits hold for any size of the picture.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from realtime_cropzoom.errors import ConfigError, install_advice
from realtime_cropzoom.types import Box, Float64

MAX_ANIMALS = 16
"""Maximum number of animals of a run."""
_COAST_NS = 250e6
"""Frame time for which a missing animal is expected to go on as it went (ns). After that it is expected to stand."""
_NEVER = 1e9
"""Cost of an assignment that is not possible (pixels)."""


class Spotted(NamedTuple):
    """One animal that the detector found in a frame."""

    box: Box
    """The crop region (frame pixels)."""
    score: float = 1.0
    """How sure the detector is. It decides only if there are more detections than animals."""

    @property
    def centre(self) -> tuple[float, float]:
        """The centre of the box (frame pixels)."""
        return self.box.x + self.box.w / 2, self.box.y + self.box.h / 2


@dataclass(frozen=True, slots=True)
class TrackLimits:
    """Limits of the tracks, in sides of an animal's box."""

    body: float = 0.5
    """Side of the square around the centre that stands for the body: usually a box is twice as long as the animal."""
    part: float = 1.25
    """Factor of the body's side by which two animals must be apart until their meeting is over."""
    noise: float = 0.25
    """Maximum error of the predicted position right after a detection."""
    speed: float = 4.0
    """Maximum speed with which an animal departs from its prediction (sides per second)."""


class Track(NamedTuple):
    """One animal in one frame."""

    number: int
    """Number of the animal, from 1. At first sight they are numbered from left to right."""
    box: Box | None
    """The crop region (frame pixels); None while the animal is missing."""
    uncertain: bool
    """Whether a swap with another animal cannot be excluded since the last time that both were apart."""
    meetings: int
    """Number of times that the track became uncertain. Between two equal numbers it is the same animal."""


@dataclass(slots=True)
class _Motion:
    """What a track knows of its animal."""

    x: float
    y: float
    side: float
    seen_ns: int
    velocity: tuple[float, float] = (0.0, 0.0)
    """Pixels per second."""
    box: Box | None = None
    """None while the animal is missing."""

    def predict(self, pts_ns: int) -> tuple[float, float]:
        """Return where the animal is expected."""
        seconds = min(pts_ns - self.seen_ns, _COAST_NS) / 1e9
        return self.x + self.velocity[0] * seconds, self.y + self.velocity[1] * seconds

    def reach(self, pts_ns: int, limits: TrackLimits) -> float:
        """Return how far from there it can be (pixels)."""
        return self.side * (limits.noise + limits.speed * max(0, pts_ns - self.seen_ns) / 1e9)

    def see(self, spotted: Spotted, pts_ns: int) -> None:
        """Take a detection. The velocity is the mean of the last step's and the one before."""
        x, y = spotted.centre
        seconds = (pts_ns - self.seen_ns) / 1e9
        if 0 < seconds <= _COAST_NS / 1e9:
            old_x, old_y = self.velocity
            self.velocity = (old_x + (x - self.x) / seconds) / 2, (old_y + (y - self.y) / seconds) / 2
        else:
            self.velocity = (0.0, 0.0)
        self.x, self.y, self.side, self.seen_ns = x, y, float(max(spotted.box.w, spotted.box.h)), pts_ns
        self.box = spotted.box


class Tracks:
    """The tracks of one camera. Use them from one thread, with the frames in order."""

    def __init__(self, animals: int, limits: TrackLimits | None = None) -> None:
        """Make the tracks; no animal has been seen yet.

        Args:
            animals: Number of animals, from 1 to ``MAX_ANIMALS``.
            limits: Limits on movement and distance.

        Raises:
            ConfigError: if the number is out of range, or scipy is not installed.
        """
        if not 1 <= animals <= MAX_ANIMALS:
            raise ConfigError(f"animals: got {animals}, expected a whole number from 1 to {MAX_ANIMALS}")
        try:
            from scipy.optimize import linear_sum_assignment
        except ImportError:
            raise ConfigError(f"several animals: {install_advice('scipy')}") from None
        self._assignment = linear_sum_assignment
        self._limits = limits or TrackLimits()
        self._motions: list[_Motion | None] = [None] * animals
        """One for each animal; None before the animal is seen for the first time."""
        self._met: set[tuple[int, int]] = set()
        """Pairs of tracks (indices, the lower one first) that have met and not parted."""
        self._beside: set[int] = set()
        """Tracks (indices) that have met a detection that is none of the tracks."""
        self._meetings = [0] * animals

    def update(self, pts_ns: int, found: Sequence[Spotted]) -> tuple[Track, ...]:
        """Assign the detections of a frame.

        Args:
            pts_ns: Frame time (ns). It grows from frame to frame.
            found: The detections, in any order. Their order changes nothing.

        Returns:
            All tracks, in order of their numbers.
        """
        found = sorted(found, key=lambda spotted: (*spotted.centre, spotted.box, spotted.score))
        before = list(self._motions)
        were_seen = [motion is not None and motion.box is not None for motion in before]
        predicted = [None if motion is None else motion.predict(pts_ns) for motion in before]
        reach = [0.0 if motion is None else motion.reach(pts_ns, self._limits) for motion in before]
        chosen = self._choose(predicted, reach, were_seen, found)
        for index, motion in enumerate(self._motions):
            if motion is not None and index not in chosen:
                motion.box = None
            elif motion is not None:
                motion.see(found[chosen[index]], pts_ns)
        were_uncertain = self._uncertain()
        left = self._begin(pts_ns, [found[place] for place in range(len(found)) if place not in chosen.values()])
        self._mark(pts_ns, before, predicted, reach, were_seen)
        self._mark_beside(left)
        for index in self._uncertain() - were_uncertain:
            self._meetings[index] += 1
        return tuple(self._track(index) for index in range(len(self._motions)))

    def _choose(
        self,
        predicted: Sequence[tuple[float, float] | None],
        reach: Sequence[float],
        were_seen: Sequence[bool],
        found: Sequence[Spotted],
    ) -> dict[int, int]:
        """Return the index of the detection of each track that has one."""
        known = [index for index, place in enumerate(predicted) if place is not None]
        chosen: dict[int, int] = {}
        for seen in (True, False):
            tracks = [index for index in known if were_seen[index] is seen]
            free = [place for place in range(len(found)) if place not in chosen.values()]
            if not tracks or not free:
                continue
            costs = self._costs([predicted[i] for i in tracks], [reach[i] for i in tracks], [found[p] for p in free])
            for row, column in zip(*self._assignment(costs), strict=True):
                if column < len(free) and costs[row, column] < _NEVER:
                    chosen[tracks[row]] = free[column]
        return chosen

    def _costs(self, predicted: Sequence[object], reach: Sequence[float], found: Sequence[Spotted]) -> Float64:
        """Return distances (tracks, detections + tracks): beyond the reach impossible; missing costs the reach."""
        places, limits = np.array(predicted, np.float64), np.array(reach)
        centres = np.array([spotted.centre for spotted in found])
        distances = np.hypot(*(places[:, None] - centres[None]).transpose(2, 0, 1))
        distances[distances > limits[:, None]] = _NEVER
        missing = np.full((len(limits), len(limits)), _NEVER)
        np.fill_diagonal(missing, limits)
        return np.hstack([distances, missing])

    def _begin(self, pts_ns: int, left: Sequence[Spotted]) -> list[Spotted]:
        """Give the surest of the detections that are left to tracks without an animal, from left to right.

        Returns:
            The detections that are left then.
        """
        unborn = [index for index, motion in enumerate(self._motions) if motion is None]
        surest = sorted(left, key=lambda spotted: -spotted.score)[: len(unborn)]
        for index, spotted in zip(unborn, sorted(surest, key=lambda spotted: spotted.centre), strict=False):
            self._motions[index] = motion = _Motion(0, 0, 0, pts_ns)
            motion.see(spotted, pts_ns)
        return [spotted for spotted in left if spotted not in surest]

    def _mark(
        self,
        pts_ns: int,
        before: Sequence[_Motion | None],
        predicted: Sequence[tuple[float, float] | None],
        reach: Sequence[float],
        were_seen: Sequence[bool],
    ) -> None:
        """Find the pairs that meet and part."""
        for pair in itertools.combinations(range(len(self._motions)), 2):
            one, other = (self._motions[index] for index in pair)
            if one is None or other is None:
                continue
            both_known = all(before[index] is not None for index in pair)
            could_swap = both_known and self._could_swap(pair, predicted, reach, were_seen)
            both_seen = one.box is not None and other.box is not None
            if could_swap or self._overlap(one, other, pts_ns, self._limits.part if pair in self._met else 1.0):
                self._met.add(pair)
            elif both_seen:
                self._met.discard(pair)

    def _mark_beside(self, left: Sequence[Spotted]) -> None:
        """Find the animals that meet, and part from, detections that no track has."""
        for index, motion in enumerate(self._motions):
            if motion is None or motion.box is None:
                continue
            within = motion.side * self._limits.body * (self._limits.part if index in self._beside else 1.0)
            offsets = ((x - motion.x, y - motion.y) for x, y in (spotted.centre for spotted in left))
            if any(max(abs(across), abs(down)) < within for across, down in offsets):
                self._beside.add(index)
            else:
                self._beside.discard(index)

    def _uncertain(self) -> set[int]:
        """Return the tracks (indices) that may have been taken for another animal."""
        return self._beside.union(*self._met)

    def _could_swap(
        self,
        pair: tuple[int, int],
        predicted: Sequence[tuple[float, float] | None],
        reach: Sequence[float],
        were_seen: Sequence[bool],
    ) -> bool:
        """Return whether each animal of a pair could be where the other one was found.

        If one of them is missing and the other one has come back just now, it could be the missing one.
        """
        places = [None if motion is None or motion.box is None else (motion.x, motion.y) for motion in self._motions]

        def can_be(track: int, at: int) -> bool:
            expected, place = predicted[track], places[at]
            return expected is not None and place is not None and math.dist(expected, place) <= reach[track]

        one, other = pair
        if places[one] is not None and places[other] is not None:
            return can_be(one, other) and can_be(other, one)
        came_back, missing = (one, other) if places[one] is not None else (other, one)
        return not were_seen[came_back] and not were_seen[missing] and can_be(missing, came_back)

    def _overlap(self, one: _Motion, other: _Motion, pts_ns: int, factor: float) -> bool:
        """Return whether two bodies overlap, where they are seen or else expected."""
        (x, y), (other_x, other_y) = (
            motion.predict(pts_ns) if motion.box is None else (motion.x, motion.y) for motion in (one, other)
        )
        return max(abs(x - other_x), abs(y - other_y)) < factor * self._limits.body * (one.side + other.side) / 2

    def _track(self, index: int) -> Track:
        motion = self._motions[index]
        box = None if motion is None else motion.box
        return Track(index + 1, box, index in self._uncertain(), self._meetings[index])
