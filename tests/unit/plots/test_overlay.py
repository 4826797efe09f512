"""Colours, keypoints, captions and legends, which all pictures share."""

from __future__ import annotations

import numpy as np
import pytest
from support.pictures import colours_in

from realtime_cropzoom.plots.overlay import draw_caption, draw_cross, draw_keypoint, legend_strip, palette
from realtime_cropzoom.types import UInt8

RED = (200, 10, 10)
GREY = (128, 128, 128)


def grey() -> UInt8:
    return np.full((60, 80, 3), GREY, np.uint8)


@pytest.mark.parametrize("radius", [3, 5, 7])
@pytest.mark.parametrize("sure", [True, False])
def test_a_keypoint_is_a_dot_with_a_dark_rim_and_hollow_if_the_model_is_not_sure(radius: int, sure: bool) -> None:
    canvas = grey()
    draw_keypoint(canvas, (40, 30), radius, RED, sure=sure)
    assert tuple(canvas[30, 40]) == (RED if sure else GREY)
    red, green, _ = canvas[30, 40 + radius]
    assert red > green, "colour at its edge"
    assert canvas[30, 40 + radius :].min() < 60, "a rim"
    assert (canvas == GREY).all(axis=2)[:, : 40 - radius - 6].all(), "nothing far from it"


@pytest.mark.parametrize("radius", [3, 7])
@pytest.mark.parametrize("x", [40.0, 40.25, 40.5])
def test_a_keypoint_lies_between_pixels_where_it_is(radius: int, x: float) -> None:
    canvas = grey()
    draw_keypoint(canvas, (x, 30), radius, RED, sure=True)
    drawn = np.abs(canvas.astype(int) - GREY).sum(axis=2)
    rows, columns = np.indices(drawn.shape)
    assert (columns * drawn).sum() / drawn.sum() == pytest.approx(x, abs=0.2)
    assert (rows * drawn).sum() / drawn.sum() == pytest.approx(30, abs=0.2)


@pytest.mark.parametrize("at", [(-1e9, 0.0), (0.0, 1e9), (1e300, -1e300), (-200.0, 30.0)])
def test_what_lies_off_the_picture_is_not_drawn(at: tuple[float, float]) -> None:
    canvas = grey()
    draw_keypoint(canvas, at, 7, RED, sure=True)
    draw_cross(canvas, at, 20, RED)
    assert colours_in(canvas) == {GREY}


@pytest.mark.parametrize("tilted", [False, True])
def test_a_cross_has_its_middle_at_the_point(tilted: bool) -> None:
    canvas = grey()
    draw_cross(canvas, (40, 30), 20, RED, thickness=3, tilted=tilted)
    assert tuple(canvas[30, 40]) == RED
    assert (tuple(canvas[30, 47]) == GREY) == tilted
    assert (tuple(canvas[37, 47]) == GREY) != tilted


def test_a_caption_is_readable_on_white() -> None:
    canvas = np.full((60, 300, 3), 255, np.uint8)
    draw_caption(canvas, "tracking", (20, 40), 0.9)
    assert (canvas.max(axis=2) < 60).mean() > 0.15, "a dark plate"
    assert (canvas[22:38, 24:120] > 240).any(), "white letters on it"


def test_a_legend_takes_as_many_lines_as_the_names_need() -> None:
    names = [f"keypoint_{k}" for k in range(20)]
    assert legend_strip(2000, names[:3]).shape == (20, 2000, 3)
    assert legend_strip(400, names).shape[0] >= 100
    assert len(colours_in(legend_strip(400, names)) & set(palette(20))) == 20


def test_colours_differ() -> None:
    colours = np.array(palette(40), float)
    apart = np.linalg.norm(colours[:, None] - colours[None], axis=2) + 1e3 * np.eye(40)
    assert apart.min() > 10
    assert apart[:8, :8].min() > 60
    assert palette(0) == []
    assert palette(3) == palette(40)[:3], "a model with more keypoints gives the first ones the same colours"
