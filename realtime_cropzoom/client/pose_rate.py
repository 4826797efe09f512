"""Pose rate: measures the usual interval and age of a camera's poses, and derives the default maximum age."""

from __future__ import annotations

import math
from collections import deque

_WINDOW = 64
"""Number of last poses whose intervals and ages are kept."""
_ENOUGH = 4
"""Minimum number of measured intervals. With fewer, the frame rate in the hello message, which describes a run, is
used."""
_INTERVALS = 2.5
"""Maximum age in intervals. One frame may be missing and the next one a little late."""
_UNKNOWN_MS = 100.0
"""Maximum age (ms) while the rate is unknown."""
_SHORTEST_MS = 50.0
"""Minimum of the maximum age (ms), as ``max_age_ms`` of rules. At high rates a busy computer pauses for longer than
2.5 intervals."""
_MAX_INTERVAL_MS = 1000.0
"""Maximum interval (ms) that is used for the age. A slower stream does not allow older poses."""
_MAX_LATENCY_MS = 250.0
"""Maximum latency (ms) that is used for the age. A script that reads late must not get older poses."""
_SLOWER_AT_MOST = 4.0
"""Maximum ratio of the measured to the nominal interval. A stream that is much slower than its camera has a fault, and
its interval must not be used."""


class PoseRate:
    """Measures interval and age of the poses of one camera."""

    def __init__(self) -> None:
        self.nominal_fps: float | None = None
        """Frame rate in the hello message (frames per second); None if unknown."""
        self._intervals_ms: deque[float] = deque(maxlen=_WINDOW)
        self._ages_ms: deque[float] = deque(maxlen=_WINDOW)
        self._last: tuple[str, int] | None = None
        """Run id and ``captured_ns`` of the last pose; None before the first."""

    def note(self, run: str, captured_ns: int, age_ms: float) -> None:
        """Measure the times of a pose. A new run discards the measurements of the last one.

        Args:
            run: Id of the run.
            captured_ns: Capture time of the frame (ns, clock of the publisher).
            age_ms: Age of the frame when the pose arrived (ms); infinite if unknown.
        """
        if self._last is not None and self._last[0] == run and captured_ns > self._last[1]:
            self._intervals_ms.append((captured_ns - self._last[1]) / 1e6)
        if self._last is not None and self._last[0] != run:
            self._intervals_ms.clear()
            self._ages_ms.clear()
        self._last = run, captured_ns
        if math.isfinite(age_ms):
            self._ages_ms.append(age_ms)

    @property
    def interval_ms(self) -> float | None:
        """Usual time from one pose to the next (ms); None while it is unknown."""
        nominal_ms = 1000 / self.nominal_fps if self.nominal_fps and self.nominal_fps > 0 else None
        if len(self._intervals_ms) < _ENOUGH:
            return nominal_ms
        measured_ms = _median(self._intervals_ms)
        return measured_ms if nominal_ms is None else min(measured_ms, _SLOWER_AT_MOST * nominal_ms)

    @property
    def default_max_age_ms(self) -> float:
        """Default maximum pose age (ms): 2.5 intervals + usual latency, at least 50 (100 if unknown)."""
        interval_ms = self.interval_ms
        if interval_ms is None:
            return _UNKNOWN_MS
        latency_ms = _median(self._ages_ms) if self._ages_ms else 0.0
        age_ms = _INTERVALS * min(interval_ms, _MAX_INTERVAL_MS) + min(latency_ms, _MAX_LATENCY_MS)
        return max(_SHORTEST_MS, age_ms)


def _median(values: deque[float]) -> float:
    """Return the median; of an even number of values, the upper of the two in the middle."""
    return sorted(values)[len(values) // 2]
