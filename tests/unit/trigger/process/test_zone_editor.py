"""The zone editor: a polygon drawn with the mouse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import yaml
from matplotlib.backend_bases import MouseButton, MouseEvent
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.trigger.process.zone_editor import draw_by_hand, show, zone_line
from realtime_cropzoom.trigger.rules.rules import ZoneShape

MOUSE_EVENTS = [
    ("motion_notify_event", None),
    ("button_press_event", MouseButton.LEFT),
    ("button_release_event", MouseButton.LEFT),
]
"""A click."""


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
