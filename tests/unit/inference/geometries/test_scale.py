"""Scale: one factor for both sides, padding right and below, and a map to the frame that keeps the fraction."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from realtime_cropzoom.inference.boxes import unrounded_box
from realtime_cropzoom.inference.geometries import show
from realtime_cropzoom.inference.geometries.scale import input_size
from realtime_cropzoom.inference.manifest import Scale
from realtime_cropzoom.types import Box, UInt8


def noise(height: int = 120, width: int = 160) -> UInt8:
    return np.random.default_rng(0).integers(1, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(
    ("geometry", "region", "size"),
    [
        (Scale(), (161, 120), (161, 120)),
        (Scale(multiple=16), (161, 128), (176, 128)),
        (Scale(0.5, 16), (640, 480), (320, 240)),
        (Scale(0.5, 32), (641, 481), (320, 256)),
        (Scale(0.1, 16), (5, 5), (16, 16)),
        (Scale(1.5, 1), (101, 11), (151, 16)),
    ],
)
def test_the_input_is_the_region_scaled_and_rounded_down_then_a_multiple(
    geometry: Scale, region: tuple[int, int], size: tuple[int, int]
) -> None:
    assert input_size(geometry, region) == size


def test_the_region_is_resized_with_antialiasing_and_zeros_are_added_right_and_below() -> None:
    image, box = noise(), Box(10, 20, 101, 81)
    picture, view = show(Scale(0.5, 16), (64, 48), image, box, "pad")
    small = Image.fromarray(image[20:101, 10:111]).resize((50, 40), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(picture[:40, :50], np.asarray(small))
    assert picture[40:].max() == picture[:, 50:].max() == 0
    assert view == (10, 20, 128, 96, (64, 48), box)


def test_the_picture_may_be_mirrored_instead() -> None:
    image = noise(12, 14)
    picture, _ = show(Scale(multiple=16, border="reflect"), (16, 16), image, Box(0, 0, 14, 12), "pad")
    np.testing.assert_array_equal(picture[:12, 14:], image[:, [12, 11]])
    np.testing.assert_array_equal(picture[12:, :14], image[[10, 9, 8, 7]])


@pytest.mark.parametrize("edge", ["pad", "clamp"])
def test_outside_the_frame_is_zero_whatever_the_edge(edge: str) -> None:
    picture, view = show(Scale(), (32, 32), noise(), Box(-10.5, 110, 32, 32), edge)  # type: ignore[arg-type]
    assert picture[:, :11].max() == picture[10:].max() == 0
    np.testing.assert_array_equal(picture[:10, 11:], noise()[110:, :21])
    assert (view.x, view.y) == (-10.5, 110)


@given(
    st.floats(0.2, 3), st.integers(1, 64), st.tuples(st.integers(1, 900), st.integers(1, 900)),
    st.floats(-200, 700), st.floats(-200, 700),
)  # fmt: skip
def test_points_go_there_and_back(factor: float, multiple: int, sides: tuple[int, int], x: float, y: float) -> None:
    geometry, box = Scale(factor, multiple), Box(x, y, *sides)
    size = input_size(geometry, sides)
    _, view = show(geometry, size, np.zeros((4, 4, 3), np.uint8), box, "pad")
    points = np.array([[0, 0], [3, 5], [size[0], size[1]]], np.float32)
    in_frame = view.to_frame(points)
    np.testing.assert_allclose(in_frame, points / factor + [x, y], rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(view.to_input(in_frame), points, rtol=1e-4, atol=2e-3)


@given(st.floats(0, 2000, width=32), st.floats(0, 2000, width=32), st.sampled_from([32, 96, 160, 192]))
def test_a_crop_has_the_pixels_and_the_corner_of_sleap(x: float, y: float, side: int) -> None:
    """Source: sleap-nn 0.3.5. The corner is c − side/2 + ½; the pixels begin at trunc(corner + side/2) − side/2."""
    box = unrounded_box(np.array([[x, y]]), side)
    for found, centre, pixel in zip(box[:2], (x, y), box.pixels()[:2], strict=True):
        corner = float(np.float32(centre) - np.float32(side / 2) + np.float32(0.5))
        assert abs(found - corner) <= 2**-12, "the last bit of a 32-bit number of this size"
        if abs(corner - round(corner)) > 2**-12:  # else the last bit decides
            assert pixel == math.trunc(corner + side / 2) - side // 2
