"""Zones against independent references."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from realtime_cropzoom.trigger.rules.zones import Circle, Polygon, Rectangle, Zone, polygon

numbers = st.floats(-700, 700, width=32)
sizes = st.floats(1, 500, width=32)
whole = st.integers(-300, 300)


@st.composite
def outlines(draw: st.DrawFn) -> Polygon:
    """A star-shaped outline, convex or not: corners at growing angles round a centre."""
    count = draw(st.integers(3, 9))
    radii = draw(st.lists(st.floats(20, 300), min_size=count, max_size=count))
    first = draw(st.floats(0, 6))
    angles = [first + math.tau * i / count for i in range(count)]
    return polygon([[round(r * math.cos(a)), round(r * math.sin(a))] for r, a in zip(radii, angles, strict=True)])


@given(outlines(), numbers, numbers)
def test_polygon_agrees_with_opencv(zone: Polygon, x: float, y: float) -> None:
    contour = np.array(zone.corners, np.float32)
    expected = cv2.pointPolygonTest(contour, (x, y), True)
    assert zone.depth(x, y) == pytest.approx(expected, abs=1e-2)
    assume(abs(expected) > 1e-2)
    assert zone.contains(x, y) is (expected > 0)


@given(numbers, numbers, sizes, sizes, numbers, numbers)
def test_rectangle_is_the_polygon_of_its_corners(x: float, y: float, w: float, h: float, px: float, py: float) -> None:
    zone = Rectangle(x, y, w, h)
    outline = polygon([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])
    assert zone.depth(px, py) == pytest.approx(outline.depth(px, py), abs=1e-6)
    if abs(zone.depth(px, py)) > 1e-9:  # on the edge itself rounding decides
        assert zone.contains(px, py) is (zone.depth(px, py) > 0)
    assert zone.centre == pytest.approx(outline.centre, abs=1e-3)


@given(numbers, numbers, sizes, numbers, numbers)
def test_circle_is_nearly_the_polygon_of_many_corners(x: float, y: float, r: float, px: float, py: float) -> None:
    zone = Circle(x, y, r)
    turns = [math.tau * i / 400 for i in range(400)]
    outline = polygon([[x + r * math.cos(a), y + r * math.sin(a)] for a in turns])
    assert zone.depth(px, py) == pytest.approx(outline.depth(px, py), abs=r * 1e-4 + 1e-6)
    if abs(zone.depth(px, py)) > 1e-9:  # on the edge itself rounding decides
        assert zone.contains(px, py) is (zone.depth(px, py) > 0)


@given(outlines(), whole, whole)
def test_the_centre_moves_with_the_polygon(zone: Polygon, dx: int, dy: int) -> None:
    assume(zone.problem() is None)
    moved = polygon([[x + dx, y + dy] for x, y in zone.corners])
    x, y = zone.centre
    assert moved.centre == pytest.approx((x + dx, y + dy), abs=1e-3)
    moments = cv2.moments(np.array(zone.corners, np.float32))
    assume(abs(moments["m00"]) > 100)
    assert (x, y) == pytest.approx((moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]), abs=0.5)


@pytest.mark.parametrize("zone", [Circle(1, 2, 3), Rectangle(0, 0, 4, 4), polygon([[0, 0], [4, 0], [0, 4]])])
@pytest.mark.parametrize("x", [math.nan, math.inf, -math.inf, 1e308])
def test_nan_is_in_no_zone(zone: Zone, x: float) -> None:
    assert not zone.contains(x, 1.0)
    assert not zone.contains(1.0, x)
    assert not zone.depth(x, 1.0) >= 0


@pytest.mark.parametrize(
    ("corners", "problem"),
    [
        ([[0, 0], [1, 1], [1, 0], [0, 1]], "crosses itself"),
        ([[0, 0], [1, 1]], "has 2 different corners"),
        ([[0, 0], [1, 1], [0, 0], [1, 1]], "has 2 different corners"),
        ([[0, 0], [1, 1], [3, 3]], "on one line"),
        ([[0, 0], [4, 0], [4, 4], [2, 1], [0, 4]], None),
    ],
)
def test_an_invalid_outline_is_an_error_in_words(corners: list[list[float]], problem: str | None) -> None:
    found = polygon(corners).problem()
    assert found is None if problem is None else problem in (found or "")
