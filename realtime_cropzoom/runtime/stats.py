"""Statistics of a run: latencies and rates, in constant memory for any duration. No I/O.

Latencies are counted in bins whose width is 1 % of their value, so a percentile is exact to 1 %. The
maximum is exact.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

_BASE_MS = 1e-3
"""Upper edge (ms) of the first bin."""
_GROWTH = math.log(1.01)
"""Logarithm of the ratio of the upper edges of two neighbouring bins."""
_BINS = 2200
"""Number of bins. They reach to 1e-3 · 1.01^2200 ms ≈ 3·10⁶ ms."""


class Histogram:
    """A distribution of times in ms. Negative values and NaN do not count."""

    def __init__(self) -> None:
        self._bins = np.zeros(_BINS, np.int64)
        self.count = 0
        self.total = 0.0
        self.max = 0.0

    def add(self, ms: float) -> None:
        """Count one value."""
        if not ms >= 0:
            return
        index = 0 if ms <= _BASE_MS else min(_BINS - 1, int(math.log(ms / _BASE_MS) / _GROWTH) + 1)
        self._bins[index] += 1
        self.count += 1
        self.total += ms
        self.max = max(self.max, ms)

    def percentile(self, q: float) -> float | None:
        """Return the q-th percentile (0–100) in ms, within 1 %; None while empty."""
        if self.count == 0:
            return None
        index = int(np.searchsorted(np.cumsum(self._bins), max(1.0, q / 100 * self.count)))
        middle = _BASE_MS * math.exp((index - 0.5) * _GROWTH) if index else _BASE_MS
        return min(middle, self.max)

    def summary(self) -> dict[str, float | None]:
        """Return p50, p95, p99 and max in ms, rounded to a microsecond."""
        values = {f"p{q}": self.percentile(q) for q in (50, 95, 99)}
        values["max"] = self.max if self.count else None
        return {name: None if v is None else round(v, 3) for name, v in values.items()}


class Rate:
    """Events in the last ``window_s`` seconds, per second."""

    def __init__(self, window_s: float = 1.0, limit: int = 4096) -> None:
        self._window_ns = int(window_s * 1e9)
        self._times: deque[int] = deque(maxlen=limit)

    def add(self, time_ns: int) -> None:
        """Count one event."""
        self._times.append(time_ns)

    def per_second(self, now_ns: int) -> float:
        """Return the rate over the window that ends now (over its filled part, if the limit cut it)."""
        times = list(self._times)
        recent = [t for t in times if t > now_ns - self._window_ns]
        if len(recent) == self._times.maxlen and now_ns > recent[0]:
            return len(recent) * 1e9 / (now_ns - recent[0])
        return len(recent) * 1e9 / self._window_ns
