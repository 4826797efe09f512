"""Quantities that conditions compare: distances, directions, and speed, acceleration and turning by capture times."""

from __future__ import annotations

import math

from realtime_cropzoom.errors import quoted
from realtime_cropzoom.trigger.engine.pose_sample import (
    AnyPosition,
    Demands,
    KeypointPosition,
    PoseSample,
    is_likelihood,
)
from realtime_cropzoom.trigger.engine.trajectory import HeadingTrack, Track, direction_deg, slope, turned_deg


class Quantity:
    """A number computed from a sample. If it is unknown, ``reason`` says why."""

    __slots__ = ("_number", "_value", "at_most", "label", "reason", "unit")

    def __init__(self, label: str, unit: str) -> None:
        self.label = label
        """Name of the quantity, such as 'speed of snout'."""
        self.unit = unit
        self.reason = ""
        self.at_most = False
        """Whether the true value may be lower than the last one, for ``reason``."""
        self._number = -1
        self._value: float | None = None

    def read(self, sample: PoseSample) -> float | None:
        """Return its value, computed once per sample; None if it is unknown."""
        if self._number != sample.number:
            self._number = sample.number
            self._value = self.compute(sample)
        return self._value

    def compute(self, sample: PoseSample) -> float | None:
        """Compute its value; None if it is unknown."""
        raise NotImplementedError


class Likelihood(Quantity):
    """Likelihood of a keypoint."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        super().__init__(f"likelihood of {quoted(name)}", "")
        self._name = name

    def compute(self, sample: PoseSample) -> float | None:
        """Return the likelihood."""
        likelihood = sample.keypoints.get(self._name, (None, None, None))[2]
        if likelihood is None or not is_likelihood(likelihood):
            self.reason = f"no likelihood of {self._name}"
            return None
        return likelihood


class Length(Quantity):
    """Distance between two positions, or length of a chain of keypoints."""

    __slots__ = ("_positions",)

    def __init__(self, positions: tuple[AnyPosition, ...], unit: str) -> None:
        super().__init__("distance " + "–".join(position.name for position in positions), unit)
        self._positions = positions

    def compute(self, sample: PoseSample) -> float | None:
        """Return the sum of the distances from each position to the next."""
        for position in self._positions:
            if not position.seen(sample):
                self.reason = position.reason
                return None
        total = 0.0
        before = self._positions[0]
        for position in self._positions[1:]:
            total += math.hypot(position.x - before.x, position.y - before.y)
            before = position
        return total


class NearestAnimal(Quantity):
    """Distance from a keypoint of an animal to a keypoint of the nearest other animal.

    It is unknown while no other animal can be judged. While some cannot, it is at most the distance to the others.
    """

    __slots__ = ("_demands", "_of", "_to")

    def __init__(self, of: KeypointPosition, to: KeypointPosition, unit: str, demands: Demands) -> None:
        """Measure between animals.

        Args:
            of: The keypoint of this animal.
            to: The keypoint of the others; no other quantity may use this object.
            unit: px or cm.
            demands: What the rule demands of the poses of the others, too.
        """
        super().__init__(f"distance {of.name}–{to.name}", unit)
        self._of, self._to, self._demands = of, to, demands

    def compute(self, sample: PoseSample) -> float | None:
        """Return the distance."""
        self.at_most, self.reason = False, "there is no other animal"
        if not self._of.seen(sample):
            self.reason = self._of.reason
            return None
        nearest = None
        for other in sample.others:
            objection = self._demands.objection(other)
            if objection or not self._to.seen(other):
                self.at_most, self.reason = True, f"{other.animal} is not known ({objection or self._to.reason})"
                continue
            distance = math.hypot(self._to.x - self._of.x, self._to.y - self._of.y)
            if nearest is None or distance < nearest:
                nearest = distance
                self.label = f"distance {self._of.name}–{self._to.name} of {other.animal}"
        return nearest


class Heading(Quantity):
    """Direction from one position to another."""

    __slots__ = ("_base", "_tip")

    def __init__(self, base: AnyPosition, tip: AnyPosition) -> None:
        super().__init__(f"heading {base.name}–{tip.name}", "°")
        self._base, self._tip = base, tip

    def compute(self, sample: PoseSample) -> float | None:
        """Return degrees, 0 ≤ d < 360."""
        for position in (self._base, self._tip):
            if not position.seen(sample):
                self.reason = position.reason
                return None
        degrees = direction_deg(self._base, self._tip)
        if degrees is None:
            self.reason = f"{self._base.name} and {self._tip.name} coincide"
        return degrees


class Angle(Quantity):
    """Angle between a heading and the direction from the same position to a target."""

    __slots__ = ("_to", "_towards")

    def __init__(self, to: Heading, towards: Heading, target: str) -> None:
        super().__init__(f"angle {to.label.removeprefix('heading ')} to {target}", "°")
        self._to, self._towards = to, towards

    def compute(self, sample: PoseSample) -> float | None:
        """Return degrees, 0 ≤ d ≤ 180."""
        a, b = self._to.read(sample), self._towards.read(sample)
        if a is None or b is None:
            self.reason = self._to.reason if a is None else self._towards.reason
            return None
        return abs(turned_deg(a, b))


class Speed(Quantity):
    """Speed of a keypoint: from the filter, or the slope of its track."""

    __slots__ = ("_over_ns", "_position", "_track")

    def __init__(self, position: KeypointPosition, track: Track, over_ns: int, unit: str) -> None:
        super().__init__(f"speed of {position.name}", unit)
        self._position, self._track, self._over_ns = position, track, over_ns
        track.keep_ns = max(track.keep_ns, over_ns)

    def compute(self, sample: PoseSample) -> float | None:
        """Return the speed per second."""
        if not self._position.seen(sample):
            self.reason = self._position.reason
            return None
        if sample.moving is not None:
            velocity = self._position.velocity(sample)
            if velocity is None:
                self.reason = f"no velocity of {self._position.name} yet"
                return None
            return math.hypot(*velocity)
        found = slope(self._track, sample.captured_ns, self._over_ns)
        if found is None:
            self.reason = _too_short(self._position.name, self._over_ns)
            return None
        return math.hypot(found.vx, found.vy)


class Acceleration(Quantity):
    """Change of the speed of a keypoint from the older to the newer half of the time; negative if it brakes."""

    __slots__ = ("_half_ns", "_position", "_track")

    def __init__(self, position: KeypointPosition, track: Track, over_ns: int, unit: str) -> None:
        super().__init__(f"acceleration of {position.name}", unit)
        self._position, self._track, self._half_ns = position, track, over_ns // 2
        track.keep_ns = max(track.keep_ns, 4 * over_ns)  # at low frame rates the older half begins late

    def compute(self, sample: PoseSample) -> float | None:
        """Return the change of speed per second."""
        if not self._position.seen(sample):
            self.reason = self._position.reason
            return None
        newer = slope(self._track, sample.captured_ns, self._half_ns)
        parting_ns = self._track.newest_before(
            sample.captured_ns - self._half_ns
        )  # the newer half ends, the older begins
        older = None if parting_ns is None else slope(self._track, parting_ns, self._half_ns)
        if newer is None or older is None or parting_ns is None:
            self.reason = _too_short(self._position.name, 2 * self._half_ns)
            return None
        apart_s = newer.middle_s - (older.middle_s + (parting_ns - sample.captured_ns) * 1e-9)
        return (math.hypot(newer.vx, newer.vy) - math.hypot(older.vx, older.vy)) / apart_s


class Turning(Quantity):
    """Speed at which a heading turns; positive is to the animal's right, seen from above."""

    __slots__ = ("_heading", "_over_ns", "_sign", "_track")

    def __init__(self, heading: Heading, track: HeadingTrack, over_ns: int, sign: int) -> None:
        """``sign`` is 1 for turns to the right, −1 for turns to the left, 0 for both."""
        super().__init__(heading.label.replace("heading", "turning"), "°/s")
        self._heading, self._track, self._over_ns, self._sign = heading, track, over_ns, sign
        track.keep_ns = max(track.keep_ns, over_ns)

    def compute(self, sample: PoseSample) -> float | None:
        """Return degrees per second."""
        if self._heading.read(sample) is None:
            self.reason = self._heading.reason
            return None
        found = slope(self._track, sample.captured_ns, self._over_ns)
        if found is None:
            self.reason = _too_short(self._heading.label, self._over_ns)
            return None
        return found.vx * self._sign if self._sign else abs(found.vx)


def _too_short(name: str, over_ns: int) -> str:
    return f"{name} not seen for {over_ns / 1e6:g} ms without a gap yet"
