"""Pose filter: filters each keypoint of an animal separately, at the times of the frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from realtime_cropzoom.messaging.message import FilteredKeypoint

MIN_LIKELIHOOD = 0.3
"""Default minimum likelihood of a measurement."""
HOLD_MS = 150.0
"""Default time (ms) for which a keypoint without a measurement is extrapolated."""
MAX_HORIZON_MS = 100.0
"""Maximum time (ms) of a prediction. The animal may have turned after a longer time."""


class FilteredPoint(NamedTuple):
    """A keypoint at one moment; all values are NaN while its position is unknown."""

    x: float
    """Pixels, in the space of the poses given to the filter."""
    y: float
    vx: float
    """Pixels per second."""
    vy: float
    sigma: float
    """Standard deviation of x, and of y, in pixels; NaN if the filter estimates none."""


UNKNOWN = FilteredPoint(math.nan, math.nan, math.nan, math.nan, math.nan)
"""Keypoint whose position is unknown."""


@dataclass(frozen=True, slots=True)
class FilteredPose:
    """All keypoints at one moment."""

    time_ns: int
    """On the clock of the times given to the filter."""
    points: tuple[FilteredPoint, ...]
    """In the order of the keypoints."""


class PointFilter(Protocol):
    """Filters one keypoint whose position is known."""

    def start(self, x: float, y: float, likelihood: float) -> None:
        """Restart at a measured position (px), at rest."""
        ...

    def advance(self, seconds: float) -> None:
        """Advance the filter by ``seconds``."""
        ...

    def correct(self, x: float, y: float, likelihood: float) -> bool:
        """Update with a measured position (px); return False, unchanged, if it is too far away to be plausible."""
        ...

    def point(self, ahead_s: float = 0.0) -> FilteredPoint:
        """Return the keypoint ``ahead_s`` seconds from now, at constant velocity."""
        ...


class PoseFilter:
    """One ``PointFilter`` per keypoint, with common rules for time, likelihood and restarts.

    A measurement that is not finite or has a low likelihood is treated as missing. While measurements are
    missing or implausible, the keypoint is extrapolated for up to ``hold_ms``. Then the filter restarts at
    the next measurement; until one comes, the keypoint is unknown. A likelihood of NaN, from a model that
    gives none, is treated as 1. Times may be irregular. Time that runs backwards, a gap longer than
    ``hold_ms``, or another segment of the stream restarts all keypoints.
    """

    def __init__(self, points: Sequence[PointFilter], *, min_likelihood: float, hold_ms: float) -> None:
        self._points = points
        self._min_likelihood = min_likelihood
        self._hold_ns = hold_ms * 1e6
        self._time_ns: int | None = None
        self._segment = 0
        self._seen_ns: list[int | None] = [None] * len(points)
        """Time (ns) of the last accepted measurement of each keypoint; None while it is unknown."""

    def reset(self) -> None:
        """Forget all keypoints, before another recording or another part of one."""
        self._time_ns = None
        self._seen_ns = [None] * len(self._points)

    def update(self, time_ns: int, xy: Any, likelihood: Any, segment: int = 0) -> FilteredPose:
        """Update with a pose and return all keypoints at the time of its frame.

        Args:
            time_ns: Time of the frame (ns).
            xy: (K, 2) array or sequence of floats, pixels; NaN for a missing keypoint.
            likelihood: (K,) array or sequence of floats; NaN is treated as 1.
            segment: Number of the stream's segment. Another number restarts the filter.
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
        """Return all keypoints at ``at_ns`` (ns), extrapolated by at most ``MAX_HORIZON_MS`` from the last pose."""
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
    """Extrapolate a keypoint of a message at constant velocity.

    Args:
        keypoint: The filtered keypoint.
        horizon_ms: Time (ms) after the capture of the frame: the measured age of the pose
            (``now − captured``) plus the delay of the output. It is limited to 0 … ``max_horizon_ms``.
        max_horizon_ms: Maximum time (ms) of the prediction.

    Returns:
        x and y in pixels, both None if the position or the velocity is unknown.
    """
    x, y, vx, vy = keypoint.x, keypoint.y, keypoint.vx, keypoint.vy
    if x is None or y is None or vx is None or vy is None:
        return None, None
    seconds = min(max(0.0, horizon_ms), max_horizon_ms) / 1e3
    return x + vx * seconds, y + vy * seconds
