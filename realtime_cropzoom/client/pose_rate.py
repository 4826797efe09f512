"""How far apart the poses of a stream are, and how old they usually are: what "young enough" means for it. Pure."""

from __future__ import annotations

import math
from collections import deque

_KEPT = 64
_ENOUGH = 4
"""So many poses before their own times count for more than what the hello says."""
_INTERVALS = 2.5
"""One frame may be missing, and the next one a little late."""
_UNKNOWN_MS = 100.0
"""The age allowed while nothing is known of the rate."""
_SHORTEST_MS = 50.0
"""As ``max_age_ms`` of rules: at high rates the pauses of a busy computer are longer than 2.5 intervals."""
_LONGEST_INTERVAL_MS = 1000.0
_LARGEST_LATENCY_MS = 250.0
_SLOWER_AT_MOST = 4.0
"""A stream that has become much slower than its camera is in trouble: that must not count as its rate."""


class PoseRate:
    """Of one camera."""

    def __init__(self) -> None:
        self.nominal_fps: float | None = None
        """What the hello says."""
        self._intervals_ms: deque[float] = deque(maxlen=_KEPT)
        self._ages_ms: deque[float] = deque(maxlen=_KEPT)
        self._last: tuple[str, int] | None = None
        """Run, and captured_ns of its last pose."""

    def note(self, run: str, captured_ns: int, age_ms: float) -> None:
        """Take in a pose that was so old when it arrived."""
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
        """Time from one pose to the next, as it usually is; None while that is not known."""
        nominal_ms = 1000 / self.nominal_fps if self.nominal_fps and self.nominal_fps > 0 else None
        if len(self._intervals_ms) < _ENOUGH:
            return nominal_ms
        measured_ms = _middle(self._intervals_ms)
        return measured_ms if nominal_ms is None else min(measured_ms, _SLOWER_AT_MOST * nominal_ms)

    @property
    def usual_age_ms(self) -> float:
        """The age up to which the newest pose tells where the animal is: 2.5 intervals and the usual latency."""
        interval_ms = self.interval_ms
        if interval_ms is None:
            return _UNKNOWN_MS
        latency_ms = _middle(self._ages_ms) if self._ages_ms else 0.0
        age_ms = _INTERVALS * min(interval_ms, _LONGEST_INTERVAL_MS) + min(latency_ms, _LARGEST_LATENCY_MS)
        return max(_SHORTEST_MS, age_ms)


def _middle(values: deque[float]) -> float:
    return sorted(values)[len(values) // 2]
