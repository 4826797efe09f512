"""Firing limits of a rule whose condition holds: refractory time, firing probability, counts and on-times.

Times are engine times (``now_ns``), not capture times. Each would-be firing takes one random draw from the
rule's own generator, so a replay draws the same numbers. Sham trials count for the refractory time and for
the number per minute, so that they are spread like real ones, but they use up no other limit.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence

_MINUTE_NS = 60_000_000_000


class RateBudget:
    """Budget of firings and on-time, of one rule or of the session."""

    __slots__ = ("fired", "max_fired", "max_on_ns", "on_ns", "whose")

    def __init__(self, whose: str, max_fired: int | None, max_on_s: float | None) -> None:
        self.whose = whose
        self.max_fired: int | None
        self.max_on_ns: int | None
        self.set_limits(max_fired, max_on_s)
        self.fired = 0
        self.on_ns = 0
        """Total on-time (ns): pulses and holds."""

    def set_limits(self, max_fired: int | None, max_on_s: float | None) -> None:
        """Set the limits. What was used of the earlier ones stays used."""
        self.max_fired = max_fired
        self.max_on_ns = None if max_on_s is None else round(max_on_s * 1e9)

    def left_ns(self) -> int | None:
        """Return the remaining on-time (ns); None if there is no limit."""
        return None if self.max_on_ns is None else self.max_on_ns - self.on_ns

    def used_up(self, pulse_ns: int | None) -> str | None:
        """Return the limit that one more pulse (None: a hold) would exceed, in words; None if there is none."""
        if self.max_fired is not None and self.fired >= self.max_fired:
            return f"max_fired {self.max_fired} of the {self.whose} is used up"
        return self.time_used_up(pulse_ns)

    def time_used_up(self, pulse_ns: int | None = None) -> str | None:
        """Return the limit on on-time, in words, if it does not allow one more pulse; else None.

        Args:
            pulse_ns: Duration of the pulse (ns); None for a hold, which needs any time to be left.
        """
        left_ns = self.left_ns()
        if left_ns is not None and (left_ns <= 0 if pulse_ns is None else pulse_ns > left_ns):
            return f"max_on_s {(self.max_on_ns or 0) / 1e9:g} of the {self.whose} is used up"
        return None


class FiringLimits:
    """Firing limits of one rule."""

    def __init__(
        self,
        seed: str,
        *,
        probability: float,
        refractory_ns: int,
        max_per_minute: int | None,
        minutes: Sequence[tuple[float, float]] | None,
        budget: RateBudget,
    ) -> None:
        self._random = random.Random(seed)
        self._probability = probability
        self._refractory_ns = refractory_ns
        self._max_per_minute = max_per_minute
        self._spans_ns = (
            None if minutes is None else [(round(a * _MINUTE_NS), round(b * _MINUTE_NS)) for a, b in minutes]
        )
        self._recent_ns: deque[int] = deque()
        self.ready_ns: int | None = None
        """Time (ns) at which the refractory time ends; None before the first firing."""
        self.budget = budget

    def continue_from(self, earlier: FiringLimits) -> None:
        """Count on from the limits of an earlier rule of this name: what it has used up stays used up."""
        self._random, self._recent_ns, self.ready_ns = earlier._random, earlier._recent_ns, earlier.ready_ns
        self.budget.fired, self.budget.on_ns = earlier.budget.fired, earlier.budget.on_ns

    def refusal(self, now_ns: int, armed_ns: int, session: RateBudget, pulse_ns: int | None) -> str | None:
        """Return the reason why the rule must not fire now; None if it may.

        Args:
            now_ns: Engine time (ns).
            armed_ns: Engine time (ns) at which the rule was armed.
            session: Budget of the session.
            pulse_ns: Duration (ns) of the pulse; None for a hold.
        """
        if not self.in_span(now_ns, armed_ns):
            return "outside its minutes"
        if self.ready_ns is not None and now_ns < self.ready_ns:
            return "refractory"
        while self._recent_ns and now_ns - self._recent_ns[0] >= _MINUTE_NS:
            self._recent_ns.popleft()
        if self._max_per_minute is not None and len(self._recent_ns) >= self._max_per_minute:
            return f"max_per_minute {self._max_per_minute} reached"
        return self.budget.used_up(pulse_ns) or session.used_up(pulse_ns)

    def draw(self) -> bool:
        """Return whether this firing is real. A rule with probability 1 takes no random draw."""
        return self._probability >= 1.0 or self._random.random() < self._probability

    def passed(self, now_ns: int) -> None:
        """Note a firing, real or sham."""
        if self._max_per_minute is not None:
            self._recent_ns.append(now_ns)
        self.rest(now_ns)

    def rest(self, now_ns: int) -> None:
        """Start the refractory time."""
        if self._refractory_ns:
            self.ready_ns = now_ns + self._refractory_ns

    def in_span(self, now_ns: int, armed_ns: int) -> bool:
        """Return whether the time since arming is in a span in which the rule may fire."""
        if self._spans_ns is None:
            return True
        return any(begin <= now_ns - armed_ns < end for begin, end in self._spans_ns)

    def span_end_ns(self, now_ns: int, armed_ns: int) -> int | None:
        """Return the engine time (ns) at which the current span ends; None if there is no such end."""
        ends = [end for begin, end in self._spans_ns or () if begin <= now_ns - armed_ns < end]
        return armed_ns + max(ends) if ends else None
