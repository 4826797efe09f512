"""Zones against independent references."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st
from matplotlib.backend_bases import MouseButton, MouseEvent
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.trigger.process.zone_editor import draw_by_hand, show, zone_line
from realtime_cropzoom.trigger.rules.rules import ZoneShape
from realtime_cropzoom.trigger.rules.zones import Circle, Polygon, Rectangle, Zone, polygon

numbers = st.floats(-700, 700, width=32)
sizes = st.floats(1, 500, width=32)
whole = st.integers(-300, 300)

MOUSE_EVENTS = [
    ("motion_notify_event", None),
    ("button_press_event", MouseButton.LEFT),
    ("button_release_event", MouseButton.LEFT),
]
"""A click."""


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


def test_a_polygon_drawn_with_the_mouse_becomes_a_line_of_a_rules_file() -> None:
    figure = Figure()
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    selector = show(axes, np.zeros((100, 200, 3), np.uint8))
    figure.canvas.draw()
    corners = [(20, 10), (150, 30), (80, 90)]
    for x, y in [*corners, corners[0]]:
        at: Any = axes.transData.transform((x, y))
        for name, button in MOUSE_EVENTS:
            figure.canvas.callbacks.process(name, MouseEvent(name, figure.canvas, at[0], at[1], button))
    line = zone_line(selector.verts)
    assert line == "  my_zone: {polygon_px: [[20, 10], [150, 30], [80, 90]]}"
    zone = yaml.safe_load(line)["my_zone"]
    assert ZoneShape.model_validate(zone).shape().contains(80, 40)


def test_a_window_that_cannot_be_opened_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no window can be opened here"):
        draw_by_hand(np.zeros((10, 10, 3), np.uint8))


def test_a_polygon_needs_three_corners() -> None:
    with pytest.raises(ConfigError, match="has 2 different corners"):
        zone_line([(1, 1), (5, 5)])
