"""How soon to try again to reach a camera or stream. Pure."""

from __future__ import annotations

from collections import deque

_DELAYS_S = (0.0, 1.0, 2.0, 4.0, 8.0, 12.0)
"""Before the first tries; then the last of them again and again."""
_PER_MINUTE = 5
_MINUTE_S = 60.0


class Pacing:
    """At once, then later and later; never more than five times within a minute.

    One that comes back only to break off again is not tried any faster for it: the tries begin
    anew when a minute has gone by without one.
    """

    def __init__(self) -> None:
        self._tries = deque[int](maxlen=_PER_MINUTE)
        self._step = 0

    def delay_s(self, at_ns: int) -> float:
        """Return how long to wait from ``at_ns`` on before the next try."""
        if self._tries and at_ns - self._tries[-1] >= _MINUTE_S * 1e9:
            self._step = 0
        delay_s = _DELAYS_S[min(self._step, len(_DELAYS_S) - 1)]
        if len(self._tries) == _PER_MINUTE:
            delay_s = max(delay_s, _MINUTE_S - (at_ns - self._tries[0]) / 1e9)
        return delay_s

    def tried(self, at_ns: int) -> None:
        """Count a try."""
        self._tries.append(at_ns)
        self._step += 1
