"""Zones of the arena: circle, rectangle and polygon, in pixels or cm. No I/O.

``depth`` is the signed distance to the edge: positive inside, negative outside. The edge belongs to the zone; rounding
may put a point on the edge of a polygon on either side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

Point = tuple[float, float]
Side = tuple[Point, Point]

MAX_CORNERS = 500
"""Maximum number of corners. Each side is compared with each other side, and each pose with each side."""
_MIN_AREA = 1e-3


class Zone(Protocol):
    """A region of the plane."""

    def contains(self, x: float, y: float) -> bool:
        """Return whether a point is inside. NaN is never inside."""
        ...

    def depth(self, x: float, y: float) -> float:
        """Return the distance of a point to the edge; negative outside."""
        ...

    @property
    def centre(self) -> Point:
        """Target of an angle to the zone."""
        ...


@dataclass(frozen=True, slots=True)
class Circle:
    """A disc."""

    x: float
    y: float
    radius: float
    """Above 0."""

    def contains(self, x: float, y: float) -> bool:
        """Return whether a point is inside."""
        return math.hypot(x - self.x, y - self.y) <= self.radius

    def depth(self, x: float, y: float) -> float:
        """Return the distance of a point to the edge; negative outside."""
        return self.radius - math.hypot(x - self.x, y - self.y)

    @property
    def centre(self) -> Point:
        """The middle."""
        return (self.x, self.y)


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A rectangle with sides along x and y."""

    x: float
    """Smallest x."""
    y: float
    """Smallest y: the upper edge in pixels."""
    w: float
    """Above 0."""
    h: float
    """Above 0."""

    def contains(self, x: float, y: float) -> bool:
        """Return whether a point is inside."""
        return self.x <= x <= self.x + self.w and self.y <= y <= self.y + self.h

    def depth(self, x: float, y: float) -> float:
        """Return the distance of a point to the edge; negative outside."""
        beside = max(self.x - x, x - self.x - self.w)
        above = max(self.y - y, y - self.y - self.h)
        if beside <= 0 and above <= 0:
            return -max(beside, above)
        return -math.hypot(max(beside, 0.0), max(above, 0.0))

    @property
    def centre(self) -> Point:
        """The middle."""
        return (self.x + self.w / 2, self.y + self.h / 2)


@dataclass(frozen=True, slots=True)
class Polygon:
    """A polygon that does not cross itself, convex or not. The last corner is joined to the first."""

    corners: tuple[Point, ...]
    """At least three."""

    def contains(self, x: float, y: float) -> bool:
        """Return whether a point is inside: a ray from it to the right crosses the outline an odd number of times."""
        inside = False
        ax, ay = self.corners[-1]
        for bx, by in self.corners:
            if (ay > y) != (by > y) and x < (bx - ax) * (y - ay) / (by - ay) + ax:
                inside = not inside
            ax, ay = bx, by
        return inside

    def depth(self, x: float, y: float) -> float:
        """Return the distance of a point to the edge; negative outside."""
        nearest = math.inf
        ax, ay = self.corners[-1]
        for bx, by in self.corners:
            nearest = min(nearest, _distance_to_side(x, y, ax, ay, bx, by))
            ax, ay = bx, by
        return nearest if self.contains(x, y) else -nearest

    @property
    def centre(self) -> Point:
        """Centroid of the area; it may be outside of a concave polygon."""
        twice = sx = sy = 0.0
        ox, oy = self.corners[0]
        for (ax, ay), (bx, by) in self._sides():
            cross = (ax - ox) * (by - oy) - (bx - ox) * (ay - oy)
            twice += cross
            sx += (ax + bx - 2 * ox) * cross
            sy += (ay + by - 2 * oy) * cross
        return (ox + sx / (3 * twice), oy + sy / (3 * twice)) if twice else (ox, oy)

    def problem(self) -> str | None:
        """Return why this cannot be a zone, in words; None if it can."""
        if len(set(self.corners)) < 3:
            return f"has {len(set(self.corners))} different corners; expected 3 or more"
        crossing = _first_crossing(self._sides())
        if crossing is not None:
            (a, b), (c, d) = crossing
            return f"crosses itself between {_text(a)}–{_text(b)} and {_text(c)}–{_text(d)}"
        if self.area < _MIN_AREA:
            return "has no area: all its corners are on one line, or it goes back on itself"
        return None

    @property
    def area(self) -> float:
        """Area, in the square of its unit."""
        ox, oy = self.corners[0]
        return abs(sum((ax - ox) * (by - oy) - (bx - ox) * (ay - oy) for (ax, ay), (bx, by) in self._sides())) / 2

    def _sides(self) -> list[Side]:
        return list(zip(self.corners, (*self.corners[1:], self.corners[0]), strict=True))


def polygon(corners: Sequence[Sequence[float]]) -> Polygon:
    """Return the polygon with these corners, each [x, y]."""
    return Polygon(tuple((float(x), float(y)) for x, y in corners))


def _distance_to_side(x: float, y: float, ax: float, ay: float, bx: float, by: float) -> float:
    dx, dy = bx - ax, by - ay
    length2 = dx * dx + dy * dy
    along = 0.0 if length2 == 0.0 else min(1.0, max(0.0, ((x - ax) * dx + (y - ay) * dy) / length2))
    return math.hypot(x - ax - along * dx, y - ay - along * dy)


def _first_crossing(sides: Sequence[Side]) -> tuple[Side, Side] | None:
    """Return two sides that cross; ends that touch do not count. None if there are none.

    Only sides whose ranges of x and y overlap are compared.
    """
    ordered = sorted(sides, key=lambda side: min(side[0][0], side[1][0]))
    for i, (a, b) in enumerate(ordered):
        right, low, high = max(a[0], b[0]), min(a[1], b[1]), max(a[1], b[1])
        for c, d in ordered[i + 1 :]:
            if c[0] > right and d[0] > right:
                break
            if (c[1] < low and d[1] < low) or (c[1] > high and d[1] > high):
                continue
            if _cross_each_other(a, b, c, d):
                return (a, b), (c, d)
    return None


def _cross_each_other(a: Point, b: Point, c: Point, d: Point) -> bool:
    return _turn(a, b, c) * _turn(a, b, d) < 0 and _turn(c, d, a) * _turn(c, d, b) < 0


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])


def _text(point: Point) -> str:
    return f"({point[0]:g}, {point[1]:g})"
