"""What moves: tracks of the last poses, and speed, acceleration and turning from them.

All by frame times. A value over ``over_ms`` is the slope of a straight line through the points
from now back to the newest that is at least so old (least squares): where the frame rate allows
more than two points, a jitter of one frame counts little. A track that was
interrupted for longer than ``gap_ns`` begins anew, so that there is no value rather than a jump.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from realtime_cropzoom.trigger.look import AnySpot, Look, Spot


@dataclass(frozen=True, slots=True)
class Slope:
    """How a track changes, and when: at the middle of the points it was made of."""

    vx: float
    """Per second."""
    vy: float
    middle_s: float
    """Seconds from the newest time, so at most 0."""


class Track:
    """The last places of a spot."""

    __slots__ = ("_gap_ns", "_spot", "keep_ns", "points")

    def __init__(self, spot: Spot, gap_ns: int) -> None:
        self._spot = spot
        self._gap_ns = gap_ns
        self.keep_ns = 0
        """How far back somebody will ask; set by those who do."""
        self.points: deque[tuple[int, float, float]] = deque()
        """(captured_ns, x, y), oldest first."""

    def feed(self, look: Look) -> None:
        """Take in a look."""
        if self._spot.seen(look):
            self._add(look.captured_ns, self._spot.x, self._spot.y)

    def reset(self) -> None:
        """Forget everything."""
        self.points.clear()

    def _add(self, at_ns: int, x: float, y: float) -> None:
        points = self.points
        if points and at_ns - points[-1][0] > self._gap_ns:
            points.clear()
        points.append((at_ns, x, y))
        oldest_ns = at_ns - self.keep_ns
        while len(points) > 2 and points[1][0] <= oldest_ns:
            points.popleft()


class HeadingTrack(Track):
    """The last directions from one spot to another, in degrees that go on counting at a full turn."""

    __slots__ = ("_tip",)

    def __init__(self, base: Spot, tip: Spot, gap_ns: int) -> None:
        super().__init__(base, gap_ns)
        self._tip = tip

    def feed(self, look: Look) -> None:
        """Take in a look."""
        if self._spot.seen(look) and self._tip.seen(look):
            degrees = direction_deg(self._spot, self._tip)
            if degrees is not None:
                before = self.points[-1][1] if self.points else degrees
                self._add(look.captured_ns, before + turned_deg(before, degrees), 0.0)


def direction_deg(base: AnySpot, tip: AnySpot) -> float | None:
    """Return the direction from one spot to another, 0 ≤ it < 360: 0 along x, 90 along y. None where they coincide."""
    dx, dy = tip.x - base.x, tip.y - base.y
    if dx == 0.0 and dy == 0.0:
        return None
    degrees = math.degrees(math.atan2(dy, dx)) % 360.0
    return degrees if degrees < 360.0 else 0.0  # of a tiny negative number the remainder is rounded to 360


def turned_deg(before: float, after: float) -> float:
    """Return the shorter way from one direction to another, −180 ≤ it < 180."""
    return (after - before + 180.0) % 360.0 - 180.0


def slope(track: Track, newest_ns: int, over_ns: int) -> Slope | None:
    """Return how a track changes over the ``over_ns`` before ``newest_ns``; None where it is shorter."""
    n, st, stt, sx, stx, sy, sty = 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    x0 = y0 = 0.0
    for at_ns, x, y in reversed(track.points):
        t = (at_ns - newest_ns) * 1e-9
        if t > 0.0:
            continue
        if n == 0:
            x0, y0 = x, y
        n += 1
        st += t
        stt += t * t
        sx += x - x0
        stx += t * (x - x0)
        sy += y - y0
        sty += t * (y - y0)
        if newest_ns - at_ns >= over_ns:
            break
    else:
        return None
    spread = n * stt - st * st
    return Slope((n * stx - st * sx) / spread, (n * sty - st * sy) / spread, st / n) if spread > 0.0 else None


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

    def read(self, look: Look) -> float | None:
        """Return its value, computed once a look."""
        if self._number != look.number:
            self._number = look.number
            self._value = self.compute(look)
        return self._value

    def compute(self, look: Look) -> float | None:
        """Return its value."""
        raise NotImplementedError


class Likelihood(Quantity):
    """How sure the model is of a keypoint."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        super().__init__(f"likelihood of {name}", "")
        self._name = name

    def compute(self, look: Look) -> float | None:
        """Return it as it is."""
        likelihood = look.keypoints.get(self._name, (None, None, None))[2]
        if likelihood is None or not math.isfinite(likelihood):
            self.why = f"no likelihood of {self._name}"
            return None
        return likelihood


class Length(Quantity):
    """The way along two or more spots: a distance, or the length of a body."""

    __slots__ = ("_spots",)

    def __init__(self, spots: tuple[AnySpot, ...], unit: str) -> None:
        super().__init__("distance " + "–".join(spot.name for spot in spots), unit)
        self._spots = spots

    def compute(self, look: Look) -> float | None:
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

    def compute(self, look: Look) -> float | None:
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
    """How far one direction from a spot is off another."""

    __slots__ = ("_to", "_towards")

    def __init__(self, base: AnySpot, tip: AnySpot, target: AnySpot) -> None:
        super().__init__(f"angle {base.name}–{tip.name} to {target.name}", "°")
        self._to, self._towards = Heading(base, tip), Heading(base, target)

    def compute(self, look: Look) -> float | None:
        """Return degrees, 0 … 180."""
        a, b = self._to.read(look), self._towards.read(look)
        if a is None or b is None:
            self.why = self._to.why if a is None else self._towards.why
            return None
        return abs(turned_deg(a, b))


class Speed(Quantity):
    """How fast a spot moves; by the filter's velocity where one is set."""

    __slots__ = ("_over_ns", "_spot", "_track")

    def __init__(self, spot: Spot, track: Track, over_ns: int, unit: str) -> None:
        super().__init__(f"speed of {spot.name}", unit)
        self._spot, self._track, self._over_ns = spot, track, over_ns
        track.keep_ns = max(track.keep_ns, over_ns)

    def compute(self, look: Look) -> float | None:
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

    def __init__(self, spot: Spot, track: Track, over_ns: int, unit: str) -> None:
        super().__init__(f"acceleration of {spot.name}", unit)
        self._spot, self._track, self._half_ns = spot, track, over_ns // 2
        track.keep_ns = max(track.keep_ns, 4 * over_ns)  # at low rates the older half begins late

    def compute(self, look: Look) -> float | None:
        """Return the change of speed per second."""
        if not self._spot.seen(look):
            self.why = self._spot.why
            return None
        newer = slope(self._track, look.captured_ns, self._half_ns)
        parting_ns = self._parting_ns(look.captured_ns)
        older = None if parting_ns is None else slope(self._track, parting_ns, self._half_ns)
        if newer is None or older is None or parting_ns is None:
            self.why = _too_short(self._spot.name, 2 * self._half_ns)
            return None
        apart_s = newer.middle_s - (older.middle_s + (parting_ns - look.captured_ns) * 1e-9)
        return (math.hypot(newer.vx, newer.vy) - math.hypot(older.vx, older.vy)) / apart_s

    def _parting_ns(self, now_ns: int) -> int | None:
        """The point at which the newer half ends and the older begins."""
        for at_ns, _, _ in reversed(self._track.points):
            if now_ns - at_ns >= self._half_ns:
                return at_ns
        return None


class Turning(Quantity):
    """How fast a heading turns: above 0 towards larger headings, which is to the animal's right seen from above."""

    __slots__ = ("_heading", "_over_ns", "_sign", "_track")

    def __init__(self, heading: Heading, track: HeadingTrack, over_ns: int, sign: int) -> None:
        """``sign`` 1 counts turns to the right, −1 to the left, 0 either way."""
        super().__init__(heading.words.replace("heading", "turning"), "°/s")
        self._heading, self._track, self._over_ns, self._sign = heading, track, over_ns, sign
        track.keep_ns = max(track.keep_ns, over_ns)

    def compute(self, look: Look) -> float | None:
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
