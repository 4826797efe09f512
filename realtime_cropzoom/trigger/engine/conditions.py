"""Conditions of rules: each evaluates a pose to true, false, or unknown (None) with a reason.

Logic with three values (Kleene): an unknown part makes ``all`` and ``any`` unknown only if the other parts
do not decide them. A condition with memory (sides, durations) keeps its state over unknown poses for up
to ``bridge_ns`` of capture time, then starts again.
"""

from __future__ import annotations

from collections.abc import Sequence

from realtime_cropzoom.trigger.engine.pose_sample import KeypointPosition, PoseSample
from realtime_cropzoom.trigger.engine.quantities import Quantity
from realtime_cropzoom.trigger.rules.zones import Zone


class Condition:
    """A condition of a rule."""

    __slots__ = ("reason",)

    def __init__(self) -> None:
        self.reason = ""
        """Reason why the last value was unknown."""

    def value(self, sample: PoseSample) -> bool | None:
        """Evaluate a sample: true, false or None (unknown). Called once per sample, in order."""
        raise NotImplementedError

    def describe(self) -> str:
        """Return what held, with the numbers of the last sample."""
        raise NotImplementedError

    def reset(self) -> None:
        """Clear the state from earlier samples."""


class Side(Condition):
    """A keypoint is inside or outside a zone. It has left this side when it is ``margin`` beyond the edge."""

    __slots__ = ("_bridge_ns", "_holds", "_known_ns", "_margin", "_name", "_position", "_wanted", "_zone")

    def __init__(
        self, position: KeypointPosition, zone: Zone, zone_name: str, margin: float, bridge_ns: int, *, inside: bool
    ) -> None:
        super().__init__()
        self._position, self._zone, self._name = position, zone, zone_name
        self._margin = margin
        self._bridge_ns = bridge_ns
        self._wanted = inside
        self._holds = False
        self._known_ns: int | None = None

    def value(self, sample: PoseSample) -> bool | None:
        """Return whether the keypoint is on that side."""
        position = self._position
        if not position.seen(sample):
            self.reason = position.reason
            return None
        if self._margin and self._holds and self._is_recent(sample.captured_ns):
            depth = self._zone.depth(position.x, position.y)
            self._holds = (depth if self._wanted else -depth) >= -self._margin
        else:
            self._holds = self._zone.contains(position.x, position.y) is self._wanted
        self._known_ns = sample.captured_ns
        return self._holds

    def describe(self) -> str:
        """Return where the keypoint was."""
        return self.describe_as("inside" if self._wanted else "outside")

    def describe_as(self, verb: str) -> str:
        """Return where the keypoint was, with another verb."""
        return f"{self._position.name} {verb} {self._name} ({self._position.x:.1f}, {self._position.y:.1f})"

    def reset(self) -> None:
        """Clear the side."""
        self._known_ns, self._holds = None, False

    def _is_recent(self, at_ns: int) -> bool:
        return self._known_ns is not None and at_ns - self._known_ns <= self._bridge_ns


class Crossing(Condition):
    """A keypoint has entered or left a zone: true for the one pose with which a known side becomes the other."""

    __slots__ = ("_before", "_bridge_ns", "_known_ns", "_side", "_verb")

    def __init__(self, side: Side, verb: str, bridge_ns: int) -> None:
        super().__init__()
        self._side, self._verb = side, verb
        self._bridge_ns = bridge_ns
        self._before: bool | None = None
        self._known_ns = 0

    def value(self, sample: PoseSample) -> bool | None:
        """Return whether the keypoint has just come to that side."""
        now = self._side.value(sample)
        if now is None:
            self.reason = self._side.reason
            return None
        before = self._before if sample.captured_ns - self._known_ns <= self._bridge_ns else None
        self._before, self._known_ns = now, sample.captured_ns
        return now and before is False

    def describe(self) -> str:
        """Return where the keypoint was."""
        return self._side.describe_as(self._verb)

    def reset(self) -> None:
        """Clear the side: a keypoint that is seen first has not come from anywhere."""
        self._before = None
        self._side.reset()


class Lasting(Condition):
    """Another condition has held for a time, as far as poses show it."""

    __slots__ = ("_bridge_ns", "_for_ns", "_inner", "_known_ns", "_since_ns")

    def __init__(self, inner: Condition, for_ns: int, bridge_ns: int) -> None:
        super().__init__()
        self._inner, self._for_ns = inner, for_ns
        self._bridge_ns = bridge_ns
        self._since_ns: int | None = None
        self._known_ns = 0

    def value(self, sample: PoseSample) -> bool | None:
        """Return whether it has held for that time."""
        now = self._inner.value(sample)
        if now is None:
            self.reason = self._inner.reason
            return None
        at_ns = sample.captured_ns
        if not now or at_ns - self._known_ns > self._bridge_ns:
            self._since_ns = None
        self._known_ns = at_ns
        if now and self._since_ns is None:
            self._since_ns = at_ns
        return self._since_ns is not None and at_ns - self._since_ns >= self._for_ns

    def describe(self) -> str:
        """Return what held, and for how long."""
        return f"{self._inner.describe()} for {self._for_ns / 1e6:g} ms"

    def reset(self) -> None:
        """Clear the time."""
        self._since_ns = None
        self._inner.reset()


class Threshold(Condition):
    """A quantity is within limits. It has left them when it is ``hysteresis`` beyond them."""

    __slots__ = ("_bridge_ns", "_circular", "_high", "_holds", "_hysteresis", "_known_ns", "_last", "_low", "_quantity")

    def __init__(
        self, quantity: Quantity, low: float, high: float, hysteresis: float, bridge_ns: int, *, circular: bool = False
    ) -> None:
        """Both limits are part of the range. ``circular`` numbers are degrees: then ``low`` may be above ``high``."""
        super().__init__()
        self._quantity = quantity
        self._low, self._high = low, high
        self._hysteresis = hysteresis
        self._bridge_ns = bridge_ns
        self._circular = circular
        self._holds = False
        self._known_ns = 0
        self._last = 0.0

    def value(self, sample: PoseSample) -> bool | None:
        """Return whether the number is within the limits."""
        number = self._quantity.read(sample)
        if number is None:
            self.reason = self._quantity.reason
            return None
        slack, at_most = self._hysteresis, self._quantity.at_most
        if at_most and self._low > 0.0:
            self.reason = self._quantity.reason
            return None
        if slack and not (self._holds and sample.captured_ns - self._known_ns <= self._bridge_ns):
            slack = 0.0
        if self._circular:
            holds = self._within_circle(number, slack)
        else:
            holds = self._low - slack <= number <= self._high + slack
        if at_most and not holds:
            self.reason = self._quantity.reason
            return None
        self._known_ns, self._last, self._holds = sample.captured_ns, number, holds
        return holds

    def describe(self) -> str:
        """Return the number."""
        return f"{self._quantity.label} {self._last:.4g}{self._quantity.unit and ' ' + self._quantity.unit}"

    def reset(self) -> None:
        """Clear the hysteresis."""
        self._holds = False

    def _within_circle(self, number: float, slack: float) -> bool:
        width = (self._high - self._low) % 360.0
        return width + 2 * slack >= 360.0 or (number - self._low + slack) % 360.0 <= width + 2 * slack


class StateIs(Condition):
    """The state of the tracking is one of a set."""

    __slots__ = ("_last", "_states")

    def __init__(self, states: frozenset[str]) -> None:
        super().__init__()
        self._states = states
        self._last = ""

    def value(self, sample: PoseSample) -> bool:
        """Return whether it is; never unknown."""
        self._last = sample.state
        return sample.state in self._states

    def describe(self) -> str:
        """Return the state."""
        return f"state {self._last}"


class _Several(Condition):
    __slots__ = ("_answers", "_parts")

    def __init__(self, parts: Sequence[Condition]) -> None:
        super().__init__()
        self._parts = tuple(parts)
        self._answers: list[bool | None] = []

    def _ask(self, sample: PoseSample) -> list[bool | None]:
        """Evaluate every part each time, because parts have memory."""
        self._answers = answers = [part.value(sample) for part in self._parts]
        return answers

    def _explain(self) -> None:
        self.reason = next(p.reason for p, a in zip(self._parts, self._answers, strict=True) if a is None)

    def describe(self) -> str:
        """Return the parts that held; all of them if none did."""
        held = [part.describe() for part, answer in zip(self._parts, self._answers, strict=True) if answer]
        return ", ".join(held or (part.describe() for part in self._parts))

    def reset(self) -> None:
        """Clear all parts."""
        for part in self._parts:
            part.reset()


class All(_Several):
    """All parts hold."""

    __slots__ = ()

    def value(self, sample: PoseSample) -> bool | None:
        """Return False if one part is false, else None if one is unknown."""
        answers = self._ask(sample)
        if False in answers:
            return False
        if None in answers:
            self._explain()
            return None
        return True


class Any(_Several):
    """At least one part holds."""

    __slots__ = ()

    def value(self, sample: PoseSample) -> bool | None:
        """Return True if one part is true, else None if one is unknown."""
        answers = self._ask(sample)
        if True in answers:
            return True
        if None in answers:
            self._explain()
            return None
        return False


class Not(Condition):
    """A condition does not hold."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Condition) -> None:
        super().__init__()
        self._inner = inner

    def value(self, sample: PoseSample) -> bool | None:
        """Return the opposite; unknown stays unknown."""
        answer = self._inner.value(sample)
        if answer is None:
            self.reason = self._inner.reason
            return None
        return not answer

    def describe(self) -> str:
        """Return what did not hold."""
        return f"not: {self._inner.describe()}"

    def reset(self) -> None:
        """Clear the condition."""
        self._inner.reset()
