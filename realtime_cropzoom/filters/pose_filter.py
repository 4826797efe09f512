"""All keypoints of an animal, each followed by a filter of its own, at the times of the frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from realtime_cropzoom.messaging.message import FilteredKeypoint

MIN_LIKELIHOOD = 0.3
HOLD_MS = 150.0
MAX_HORIZON_MS = 100.0
"""No prediction goes further: an animal that is asked about later than that may have turned."""


class FilteredPoint(NamedTuple):
    """A keypoint at one moment; all NaN where the filter does not know where it is."""

    x: float
    """Pixels, in the space of the poses that came in."""
    y: float
    vx: float
    """Pixels per second."""
    vy: float
    sigma: float
    """Standard deviation of x, and of y, in pixels; NaN where the filter knows none."""


UNKNOWN = FilteredPoint(math.nan, math.nan, math.nan, math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class FilteredPose:
    """All keypoints at one moment."""

    time_ns: int
    """On the clock that the filter was given its times of."""
    points: tuple[FilteredPoint, ...]
    """In the order of the keypoints."""


class PointFilter(Protocol):
    """Follows one keypoint that is known to be somewhere."""

    def start(self, x: float, y: float, likelihood: float) -> None:
        """Begin anew at a measured place, at rest."""
        ...

    def advance(self, seconds: float) -> None:
        """Let time go by."""
        ...

    def correct(self, x: float, y: float, likelihood: float) -> bool:
        """Take a measurement in; False where it is too far away to be believed, and nothing has changed."""
        ...

    def point(self, ahead_s: float = 0.0) -> FilteredPoint:
        """Where the keypoint will be ``ahead_s`` from now if nothing changes."""
        ...


class PoseFilter:
    """One ``PointFilter`` a keypoint, and what they have in common: time, likelihood, and when to begin anew.

    A keypoint that is not measured (not finite, or its likelihood too low) or not believed goes on as
    it was going, for ``hold_ms``. After that what is measured next is where it is; until something is,
    it is unknown. A likelihood of NaN is that of a model that gives none, and counts as 1. Times may be
    irregular; time that runs backwards, a gap longer than ``hold_ms``, or another segment of the stream
    begins everything anew.
    """

    def __init__(self, points: Sequence[PointFilter], *, min_likelihood: float, hold_ms: float) -> None:
        self._points = points
        self._min_likelihood = min_likelihood
        self._hold_ns = hold_ms * 1e6
        self._time_ns: int | None = None
        self._segment = 0
        self._seen_ns: list[int | None] = [None] * len(points)
        """When each keypoint was last measured and believed; None where it is unknown."""

    def reset(self) -> None:
        """Forget everything: what comes next is another recording, or another stretch of it."""
        self._time_ns = None
        self._seen_ns = [None] * len(self._points)

    def update(self, time_ns: int, xy: Any, likelihood: Any, segment: int = 0) -> FilteredPose:
        """Take in a pose and return where everything is at ``time_ns``.

        ``xy`` (K, 2) and ``likelihood`` (K,) are arrays, or sequences of floats; NaN where there is none.
        """
        elapsed_ns = 0 if self._time_ns is None else time_ns - self._time_ns
        if not 0 <= elapsed_ns <= self._hold_ns or segment != self._segment:
            self.reset()
        self._time_ns, self._segment = time_ns, segment
        seconds = elapsed_ns / 1e9
        places, sure = _floats(xy), _floats(likelihood)
        for k, ((x, y), p) in enumerate(zip(places, sure, strict=True)):
            self._follow(k, seconds, x, y, p)
        return self.predict(time_ns)

    def predict(self, at_ns: int) -> FilteredPose:
        """Return where everything will be at ``at_ns``; no further ahead of the last pose than MAX_HORIZON_MS."""
        ahead_s = 0.0 if self._time_ns is None else min(max(0, at_ns - self._time_ns) / 1e9, MAX_HORIZON_MS / 1e3)
        pairs = zip(self._points, self._seen_ns, strict=True)
        return FilteredPose(at_ns, tuple(UNKNOWN if seen is None else p.point(ahead_s) for p, seen in pairs))

    def _follow(self, k: int, seconds: float, x: float, y: float, likelihood: float) -> None:
        point, seen_ns, time_ns = self._points[k], self._seen_ns[k], self._time_ns
        assert time_ns is not None
        if likelihood != likelihood:  # NaN
            likelihood = 1.0
        measured = math.isfinite(x) and math.isfinite(y) and likelihood >= self._min_likelihood
        if seen_ns is not None:
            point.advance(seconds)
            if measured and point.correct(x, y, likelihood):
                self._seen_ns[k] = time_ns
                return
            if time_ns - seen_ns <= self._hold_ns:
                return
        if measured:
            point.start(x, y, likelihood)
        self._seen_ns[k] = time_ns if measured else None


def _floats(values: Any) -> Any:
    return values.tolist() if hasattr(values, "tolist") else values


def predict(
    keypoint: FilteredKeypoint, horizon_ms: float, *, max_horizon_ms: float = MAX_HORIZON_MS
) -> tuple[float | None, float | None]:
    """Return [x, y] ``horizon_ms`` after the frame was captured, at the velocity it had; None where it is unknown.

    ``horizon_ms`` is the age of the pose now, measured (``now − captured``), plus what the output still
    takes. One below zero counts as zero, and one above ``max_horizon_ms`` as that.
    """
    x, y, vx, vy = keypoint.x, keypoint.y, keypoint.vx, keypoint.vy
    if x is None or y is None or vx is None or vy is None:
        return None, None
    seconds = min(max(0.0, horizon_ms), max_horizon_ms) / 1e3
    return x + vx * seconds, y + vy * seconds
