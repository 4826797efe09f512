"""Tracks: which detection of a frame is which animal, by position alone. No I/O, no threads, no clocks.

The number of animals is fixed. A track predicts where its animal is, at constant velocity; the Hungarian assignment
gives each detection to one track at most. Tracks that were seen in the last frame choose first, then those that are
missing, and then those that no animal has had yet. A track without a detection is missing: nothing takes its place.

Position tells two animals apart only while they are apart. Two tracks *meet* when their bodies overlap, when each could
have made the step of the other, or when one goes missing beside the other. Then a swap cannot be excluded, and both
are uncertain until both are seen again, apart from each other. Which of the two is which afterwards is a guess, so each
track counts its meetings.

A track whose animal nobody has seen yet is met by each that comes back after some time, or jumps: it may be that one. A
detection that no track has is a *stray*. It may be an animal, too, so it is followed and met as others are. A stray
that is not seen for some time is forgotten.

Lengths are in sides of the animal's box, so that the limits hold for any size of the picture.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from realtime_cropzoom.errors import ConfigError, install_advice
from realtime_cropzoom.inference.track_motion import COAST_NS, Expected, Motion, could_swap
from realtime_cropzoom.types import Box

MAX_ANIMALS = 16
"""Maximum number of animals of a run."""
_FORGET_NS = 2e9
"""Frame time after which a stray that is not seen is forgotten (ns): animals lie on each other for about a second."""
_MAX_STRAYS = 16
"""Maximum number of strays that are followed: those that were seen last."""
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


@dataclass(slots=True, eq=False)
class _Stray:
    """A detection that no track has, and those that follow it."""

    motion: Motion
    beside: set[tuple[int, ...]] = field(default_factory=set)
    """Tracks that have met it and not parted, each as a tuple of its index."""


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
        self._motions: list[Motion | None] = [None] * animals
        """One for each animal; None before the animal is seen for the first time."""
        self._met: set[tuple[int, ...]] = set()
        """Pairs of tracks (indices, the lower one first) that have met and not parted."""
        self._strays: list[_Stray] = []
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
        were_uncertain = self._uncertain()
        before = [
            self._expect(motion, pts_ns, uncertain=index in were_uncertain)
            for index, motion in enumerate(self._motions)
        ]
        chosen = self._choose(before, found)
        for index, motion in enumerate(self._motions):
            if motion is not None and index not in chosen:
                motion.box = None
            elif motion is not None:
                motion.see(found[chosen[index]].box, pts_ns)
        left = self._begin(pts_ns, [found[place] for place in range(len(found)) if place not in chosen.values()])
        before += self._follow_strays(pts_ns, left)
        self._mark(pts_ns, before)
        self._mark_unseen(before)
        for index in self._uncertain() - were_uncertain:
            self._meetings[index] += 1
        return tuple(self._track(index) for index in range(len(self._motions)))

    def _expect(self, motion: Motion | None, pts_ns: int, *, uncertain: bool = False) -> Expected | None:
        if motion is None:
            return None
        missing_ns = pts_ns - motion.seen_ns
        return Expected(
            motion.predict(pts_ns),
            motion.side * (self._limits.noise + self._limits.speed * max(0, missing_ns) / 1e9),
            self._limits.body * motion.side,
            motion.box is not None,
            missing_ns,
            uncertain,
        )

    def _choose(self, before: Sequence[Expected | None], found: Sequence[Spotted]) -> dict[int, int]:
        """Return the index of the detection of each track that has one."""
        chosen: dict[int, int] = {}
        for seen in (True, False):
            tracks = {index: was for index, was in enumerate(before) if was is not None and was.seen is seen}
            free = [place for place in range(len(found)) if place not in chosen.values()]
            chosen |= {
                index: free[place] for index, place in self._assign(tracks, [found[place] for place in free]).items()
            }
        return chosen

    def _assign(self, expected: Mapping[int, Expected], found: Sequence[Spotted]) -> dict[int, int]:
        """Return the index of the detection of each expected animal that has one: the sum of distances is least.

        Beyond the reach nothing is possible, and to go missing costs the reach.
        """
        if not expected or not found:
            return {}
        places = np.array([was.place for was in expected.values()])
        limits = np.array([was.reach for was in expected.values()])
        centres = np.array([spotted.centre for spotted in found])
        distances = np.hypot(*(places[:, None] - centres[None]).transpose(2, 0, 1))
        distances[distances > limits[:, None]] = _NEVER
        missing = np.full((len(limits), len(limits)), _NEVER)
        np.fill_diagonal(missing, limits)
        costs, keys = np.hstack([distances, missing]), list(expected)
        return {
            keys[row]: int(column)
            for row, column in zip(*self._assignment(costs), strict=True)
            if column < len(found) and costs[row, column] < _NEVER
        }

    def _begin(self, pts_ns: int, left: Sequence[Spotted]) -> list[Spotted]:
        """Give the surest of the detections that are left to tracks without an animal, from left to right.

        Returns:
            The detections that are left then.
        """
        unborn = [index for index, motion in enumerate(self._motions) if motion is None]
        surest = sorted(left, key=lambda spotted: -spotted.score)[: len(unborn)]
        for index, spotted in zip(unborn, sorted(surest, key=lambda spotted: spotted.centre), strict=False):
            self._motions[index] = Motion.of(spotted.box, pts_ns)
        return [spotted for spotted in left if spotted not in surest]

    def _follow_strays(self, pts_ns: int, left: Sequence[Spotted]) -> list[Expected | None]:
        """Give the detections that are left to strays, and return what was expected of each stray that is kept.

        A stray whose detection a track has taken is missing: the track may have taken it for its animal.
        """
        expected = [self._expect(stray.motion, pts_ns) for stray in self._strays]
        chosen = self._assign({index: was for index, was in enumerate(expected) if was is not None}, left)
        for index, stray in enumerate(self._strays):
            stray.motion.box = None
            if index in chosen:
                stray.motion.see(left[chosen[index]].box, pts_ns)
        new = [spotted for place, spotted in enumerate(left) if place not in chosen.values()]
        known = [
            *zip(self._strays, expected, strict=True),
            *((_Stray(Motion.of(one.box, pts_ns)), None) for one in new),
        ]
        known = [(stray, was) for stray, was in known if pts_ns - stray.motion.seen_ns <= _FORGET_NS]
        known = sorted(known, key=lambda pair: pair[0].motion.seen_ns)[-_MAX_STRAYS:]
        self._strays = [stray for stray, _ in known]
        return [was for _, was in known]

    def _mark(self, pts_ns: int, before: Sequence[Expected | None]) -> None:
        """Find who meets and parts, of the tracks and then the strays."""
        motions, tracks = [*self._motions, *(stray.motion for stray in self._strays)], len(self._motions)
        swappable = could_swap(motions, before)
        for index, other in itertools.combinations(range(len(motions)), 2):
            motion, its = motions[index], motions[other]
            if index >= tracks or motion is None or its is None:
                continue
            met, who = (
                (self._met, (index, other)) if other < tracks else (self._strays[other - tracks].beside, (index,))
            )
            if swappable[index, other] or self._overlap(motion, its, pts_ns, self._limits.part if who in met else 1.0):
                met.add(who)
            elif motion.box is not None and its.box is not None:
                met.discard(who)

    def _mark_unseen(self, before: Sequence[Expected | None]) -> None:
        """Let tracks meet those that nobody had seen yet: an animal that comes back, or jumps, may be one of them."""
        unseen = [index for index, was in enumerate(before[: len(self._motions)]) if was is None]
        for index, (motion, was) in enumerate(zip(self._motions, before, strict=False)):
            if motion is None or motion.box is None or was is None:
                continue
            if (was.missing_ns > COAST_NS and not was.went_on(motion)) or was.distance(motion) > was.near:
                self._met |= {(min(index, other), max(index, other)) for other in unseen}

    def _uncertain(self) -> set[int]:
        """Return the tracks (indices) that may have been taken for another animal."""
        return set(itertools.chain(*self._met, *itertools.chain(*(stray.beside for stray in self._strays))))

    def _overlap(self, one: Motion, other: Motion, pts_ns: int, factor: float) -> bool:
        """Return whether two bodies overlap, where they are seen or else expected."""
        (x, y), (other_x, other_y) = (
            motion.predict(pts_ns) if motion.box is None else (motion.x, motion.y) for motion in (one, other)
        )
        return max(abs(x - other_x), abs(y - other_y)) < factor * self._limits.body * (one.side + other.side) / 2

    def _track(self, index: int) -> Track:
        motion = self._motions[index]
        box = None if motion is None else motion.box
        return Track(index + 1, box, index in self._uncertain(), self._meetings[index])
