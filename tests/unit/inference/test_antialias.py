"""Antialiased resizing: byte for byte what Pillow does, and so what torchvision does to uint8 pictures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from realtime_cropzoom.inference.antialias import resize_antialiased
from realtime_cropzoom.types import UInt8

SIDES = st.integers(1, 70)


def noise(height: int, width: int) -> UInt8:
    return np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, 3), np.uint8)


def pillow(image: UInt8, size: tuple[int, int]) -> UInt8:
    """Columns first, as torchvision always does; Pillow 13 begins with the rows where that is quicker."""
    narrow = Image.fromarray(image).resize((size[0], image.shape[0]), Image.Resampling.BILINEAR)
    return np.asarray(narrow.resize(size, Image.Resampling.BILINEAR))


@given(SIDES, SIDES, SIDES, SIDES)
def test_it_is_pillows_resize_to_the_byte(height: int, width: int, new_height: int, new_width: int) -> None:
    image = noise(height, width)
    size = (new_width, new_height)
    np.testing.assert_array_equal(resize_antialiased(image, size), pillow(image, size))


@pytest.mark.parametrize("size", [(320, 240), (320, 241), (213, 160), (480, 360), (160, 120), (640, 240), (800, 600)])
def test_frames_too(size: tuple[int, int]) -> None:
    image = noise(481, 640)
    np.testing.assert_array_equal(resize_antialiased(image, size), pillow(image, size))


def test_a_view_is_resized_like_its_copy() -> None:
    part = noise(100, 200)[10:90, 20:180]
    np.testing.assert_array_equal(resize_antialiased(part, (80, 40)), resize_antialiased(part.copy(), (80, 40)))


def test_a_picture_of_the_size_is_not_copied() -> None:
    image = noise(20, 30)
    assert resize_antialiased(image, (30, 20)) is image


@pytest.mark.parametrize("value", [0, 1, 254, 255])
def test_one_colour_stays(value: int) -> None:
    found = resize_antialiased(np.full((97, 131, 3), value, np.uint8), (40, 50))
    assert (found == value).all()
