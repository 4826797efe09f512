"""Pose sample: one pose as rules see it, and the keypoint positions in it that they may use.

A value is computed at most once per sample: its owner keeps it with the number of the sample. An unknown value has a
``reason`` in words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from realtime_cropzoom.errors import quoted

_MAX_COORDINATE = 1e6
"""Maximum magnitude of a coordinate (pixels or cm). Larger ones are a fault, and their sums overflow."""

_MAX_LIKELIHOOD = 2.0
"""Maximum likelihood. Peaks of SLEAP's maps exceed 1 by some tenths; a pose with a larger value is invalid."""

UNCERTAIN = "uncertain: it may be another animal"
"""Reason why a rule refuses an animal that may have been taken for another one."""

ToArena = Callable[[float, float], tuple[float, float]]

Moving = tuple[float, float, float, float]
"""x, y in frame pixels; vx, vy in pixels per second."""


class ArenaMap(Protocol):
    """Conversion from frame pixels to arena coordinates."""

    def point_to_arena(self, x: float, y: float) -> tuple[float, float]:
        """Convert a point in frame pixels to cm."""
        ...


class Smoother(Protocol):
    """Filter of keypoint positions and velocities. An engine uses one during its life."""

    def update(
        self, captured_ns: int, keypoints: Mapping[str, tuple[float | None, float | None, float | None]]
    ) -> Mapping[str, Moving]:
        """Take the keypoints of a frame; return those that have a filtered position and velocity."""
        ...

    def reset(self) -> None:
        """Clear the state, because the next frame is unrelated to earlier ones."""
        ...

    def another(self) -> Smoother:
        """Return a new one of the same kind, for another animal."""
        ...


@dataclass(slots=True)
class PoseSample:
    """One pose message."""

    number: int
    """Counts samples. Values kept with another number are old."""
    captured_ns: int
    age_ms: float
    """Maximum age when it was received (ms)."""
    state: str
    keypoints: Mapping[str, tuple[float | None, float | None, float | None]]
    moving: Mapping[str, Moving] | None = None
    """From the filter, if one is set."""
    implausible: str | None = None
    """Reason for doubt about the pose, in a word; None if there is none, or the pose was not judged."""
    animal: str = ""
    """Name of the animal, of several in one arena."""
    uncertain: bool = False
    """Whether it may be another animal of the run."""
    exchangeable: bool = False
    """Whether it may be another animal than in the sample before: it is or was uncertain."""
    others: Sequence[PoseSample] = ()
    """The other animals in the same frame."""
    ahead_s: float | None = None
    """Time (s) by which positions are predicted: age and output delay; None without prediction."""
    uncertainty_ns: int = 0
    """Uncertainty of the clocks (ns); it is part of ``age_ms``."""


@dataclass(frozen=True, slots=True)
class Demands:
    """What a rule demands of a pose before it uses it."""

    states: frozenset[str] = frozenset({"tracking"})
    max_age_ms: float = 50.0
    min_likelihood: float = 0.6
    """Minimum likelihood of a keypoint, 0 for any."""
    refuses_implausible: bool = True
    refuses_uncertain: bool = True

    def objection(self, sample: PoseSample) -> str | None:
        """Return the reason why the rule does not trust a pose; None if it does."""
        if sample.state not in self.states:
            return f"state {sample.state}"
        if not sample.age_ms <= self.max_age_ms:
            return f"stale: older than {self.max_age_ms:g} ms"
        if sample.implausible and self.refuses_implausible:
            return f"implausible: {sample.implausible}"
        if sample.uncertain and self.refuses_uncertain:
            return UNCERTAIN
        return None


class KeypointPosition:
    """Position of a keypoint in one space, with the likelihood it needs."""

    __slots__ = ("_keypoint", "_number", "_seen", "_to_arena", "min_likelihood", "name", "reason", "x", "y")

    def __init__(self, name: str, min_likelihood: float, to_arena: ToArena | None) -> None:
        """``min_likelihood`` likelihood, 0 for any; ``to_arena`` where the space is calibrated units."""
        self._keypoint, self.name = name, quoted(name)
        self.min_likelihood = min_likelihood
        self.x = self.y = math.nan
        self.reason = ""
        self._to_arena = to_arena
        self._number = -1
        self._seen = False

    def seen(self, sample: PoseSample) -> bool:
        """Return whether ``x`` and ``y`` are valid for this sample; if not, ``reason`` holds the reason."""
        if self._number != sample.number:
            self._number = sample.number
            self._seen = self._locate(sample)
        return self._seen

    def velocity(self, sample: PoseSample) -> tuple[float, float] | None:
        """Return the filter's velocity in units of this space per second; None if it has none."""
        moving = None if sample.moving is None else sample.moving.get(self._keypoint)
        if moving is None:
            return None
        x, y, vx, vy = moving
        if self._to_arena is None:
            return vx, vy
        (ax, ay), (bx, by) = self._to_arena(x, y), self._to_arena(x + 0.01 * vx, y + 0.01 * vy)
        return (bx - ax) * 100, (by - ay) * 100

    def _locate(self, sample: PoseSample) -> bool:
        x, y, likelihood = sample.keypoints.get(self._keypoint, (None, None, None))
        if likelihood is not None and not (math.isnan(likelihood) or is_likelihood(likelihood)):
            self.reason = f"{self.name} has likelihood {likelihood:g}, which is none"
            return False
        if x is None or y is None or not (math.isfinite(x) and math.isfinite(y)):
            self.reason = f"no {self.name}"
            return False
        if self.min_likelihood > 0.0 and not (likelihood is not None and likelihood >= self.min_likelihood):
            self.reason = f"{self.name} {_likelihood_words(likelihood)} < {self.min_likelihood:g}"
            return False
        if sample.ahead_s is not None:
            moving = None if sample.moving is None else sample.moving.get(self._keypoint)
            if moving is None:
                self.reason = f"no prediction of {self.name} yet"
                return False
            x, y = moving[0] + moving[2] * sample.ahead_s, moving[1] + moving[3] * sample.ahead_s
        if not (-_MAX_COORDINATE < x < _MAX_COORDINATE and -_MAX_COORDINATE < y < _MAX_COORDINATE):
            self.reason = f"{self.name} is at no place"
            return False
        if self._to_arena is None:
            self.x, self.y = x, y
            return True
        self.x, self.y = self._to_arena(x, y)
        self.reason = f"{self.name} is outside what the calibration covers"
        return -_MAX_COORDINATE < self.x < _MAX_COORDINATE and -_MAX_COORDINATE < self.y < _MAX_COORDINATE


class FixedPosition:
    """A fixed position."""

    __slots__ = ("name", "reason", "x", "y")

    def __init__(self, x: float, y: float, name: str) -> None:
        self.x, self.y = x, y
        self.name = name
        self.reason = ""

    def seen(self, sample: PoseSample) -> bool:
        """Return True: a fixed position is always valid."""
        return True


AnyPosition = KeypointPosition | FixedPosition


def is_likelihood(likelihood: float) -> bool:
    """Return whether a likelihood is valid. NaN, infinite, negative or larger values are a fault of the sender."""
    return 0.0 <= likelihood <= _MAX_LIKELIHOOD


def _likelihood_words(likelihood: float | None) -> str:
    known = likelihood is not None and math.isfinite(likelihood)
    return f"likelihood {likelihood:.2f}" if known else "likelihood unknown"
