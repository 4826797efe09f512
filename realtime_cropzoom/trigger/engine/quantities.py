"""Quantities that conditions compare: distances, directions, and speed, acceleration and turning by frame times."""

from __future__ import annotations

import math

from realtime_cropzoom.trigger.engine.pose_sample import AnySpot, KeypointPosition, PoseSample, is_probability
from realtime_cropzoom.trigger.engine.trajectory import HeadingTrack, Track, direction_deg, slope, turned_deg


class Quantity:
    """A number that a look has, or has not; then ``why`` says why."""

    __slots__ = ("_number", "_value", "unit", "why", "words")

    def __init__(self, words: str, unit: str) -> None:
        self.words = words
        """What it is, as in 'speed of snout'."""
        self.unit = unit
        self.why = ""
        self._number = -1
        self._value: float | None = None

    def read(self, look: PoseSample) -> float | None:
        """Return its value, computed once a look."""
        if self._number != look.number:
            self._number = look.number
            self._value = self.compute(look)
        return self._value

    def compute(self, look: PoseSample) -> float | None:
        """Return its value."""
        raise NotImplementedError


class Likelihood(Quantity):
    """How sure the model is of a keypoint."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        super().__init__(f"likelihood of {name}", "")
        self._name = name

    def compute(self, look: PoseSample) -> float | None:
        """Return it as it is."""
        likelihood = look.keypoints.get(self._name, (None, None, None))[2]
        if likelihood is None or not is_probability(likelihood):
            self.why = f"no likelihood of {self._name}"
            return None
        return likelihood


class Length(Quantity):
    """The way along two or more spots: a distance, or the length of a body."""

    __slots__ = ("_spots",)

    def __init__(self, spots: tuple[AnySpot, ...], unit: str) -> None:
        super().__init__("distance " + "–".join(spot.name for spot in spots), unit)
        self._spots = spots

    def compute(self, look: PoseSample) -> float | None:
        """Return the sum of the distances from each to the next."""
        for spot in self._spots:
            if not spot.seen(look):
                self.why = spot.why
                return None
        total = 0.0
        before = self._spots[0]
        for spot in self._spots[1:]:
            total += math.hypot(spot.x - before.x, spot.y - before.y)
            before = spot
        return total


class Heading(Quantity):
    """The direction from one spot to another."""

    __slots__ = ("_base", "_tip")

    def __init__(self, base: AnySpot, tip: AnySpot) -> None:
        super().__init__(f"heading {base.name}–{tip.name}", "°")
        self._base, self._tip = base, tip

    def compute(self, look: PoseSample) -> float | None:
        """Return degrees, 0 ≤ it < 360."""
        for spot in (self._base, self._tip):
            if not spot.seen(look):
                self.why = spot.why
                return None
        degrees = direction_deg(self._base, self._tip)
        if degrees is None:
            self.why = f"{self._base.name} and {self._tip.name} coincide"
        return degrees


class Angle(Quantity):
    """How far one heading is off another, from the same spot towards a target."""

    __slots__ = ("_to", "_towards")

    def __init__(self, to: Heading, towards: Heading, target: str) -> None:
        super().__init__(f"angle {to.words.removeprefix('heading ')} to {target}", "°")
        self._to, self._towards = to, towards

    def compute(self, look: PoseSample) -> float | None:
        """Return degrees, 0 … 180."""
        a, b = self._to.read(look), self._towards.read(look)
        if a is None or b is None:
            self.why = self._to.why if a is None else self._towards.why
            return None
        return abs(turned_deg(a, b))


class Speed(Quantity):
    """How fast a spot moves; by the filter's velocity where one is set."""

    __slots__ = ("_over_ns", "_spot", "_track")

    def __init__(self, spot: KeypointPosition, track: Track, over_ns: int, unit: str) -> None:
        super().__init__(f"speed of {spot.name}", unit)
        self._spot, self._track, self._over_ns = spot, track, over_ns
        track.keep_ns = max(track.keep_ns, over_ns)

    def compute(self, look: PoseSample) -> float | None:
        """Return the length of the velocity."""
        if not self._spot.seen(look):
            self.why = self._spot.why
            return None
        if look.moving is not None:
            velocity = self._spot.velocity(look)
            if velocity is None:
                self.why = f"no velocity of {self._spot.name} yet"
                return None
            return math.hypot(*velocity)
        found = slope(self._track, look.captured_ns, self._over_ns)
        if found is None:
            self.why = _too_short(self._spot.name, self._over_ns)
            return None
        return math.hypot(found.vx, found.vy)


class Acceleration(Quantity):
    """How the speed of a spot changes, from the older to the newer half of the time; below 0 it brakes."""

    __slots__ = ("_half_ns", "_spot", "_track")

    def __init__(self, spot: KeypointPosition, track: Track, over_ns: int, unit: str) -> None:
        super().__init__(f"acceleration of {spot.name}", unit)
        self._spot, self._track, self._half_ns = spot, track, over_ns // 2
        track.keep_ns = max(track.keep_ns, 4 * over_ns)  # at low rates the older half begins late

    def compute(self, look: PoseSample) -> float | None:
        """Return the change of speed per second."""
        if not self._spot.seen(look):
            self.why = self._spot.why
            return None
        newer = slope(self._track, look.captured_ns, self._half_ns)
        parting_ns = self._track.newest_until(look.captured_ns - self._half_ns)  # the newer half ends, the older begins
        older = None if parting_ns is None else slope(self._track, parting_ns, self._half_ns)
        if newer is None or older is None or parting_ns is None:
            self.why = _too_short(self._spot.name, 2 * self._half_ns)
            return None
        apart_s = newer.middle_s - (older.middle_s + (parting_ns - look.captured_ns) * 1e-9)
        return (math.hypot(newer.vx, newer.vy) - math.hypot(older.vx, older.vy)) / apart_s


class Turning(Quantity):
    """How fast a heading turns: above 0 towards larger headings, which is to the animal's right seen from above."""

    __slots__ = ("_heading", "_over_ns", "_sign", "_track")

    def __init__(self, heading: Heading, track: HeadingTrack, over_ns: int, sign: int) -> None:
        """``sign`` 1 counts turns to the right, −1 to the left, 0 either way."""
        super().__init__(heading.words.replace("heading", "turning"), "°/s")
        self._heading, self._track, self._over_ns, self._sign = heading, track, over_ns, sign
        track.keep_ns = max(track.keep_ns, over_ns)

    def compute(self, look: PoseSample) -> float | None:
        """Return degrees per second."""
        if self._heading.read(look) is None:
            self.why = self._heading.why
            return None
        found = slope(self._track, look.captured_ns, self._over_ns)
        if found is None:
            self.why = _too_short(self._heading.words, self._over_ns)
            return None
        return found.vx * self._sign if self._sign else abs(found.vx)


def _too_short(name: str, over_ns: int) -> str:
    return f"{name} not seen for {over_ns / 1e6:g} ms without a gap yet"
