"""Affine: the crop of top-down models, with zeros outside the frame, and a view that leads back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.inference.geometries import affine, show
from realtime_cropzoom.inference.manifest import Affine
from realtime_cropzoom.types import Box, UInt8

FRAME = (120, 90)
SIDES = st.integers(1, 200)
PLACES = st.floats(-80, 150)


def noise() -> UInt8:
    smooth = np.random.default_rng(0).integers(0, 256, (12, 15, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(smooth, FRAME), np.uint8)


def as_its_maker_does(image: UInt8, box: Box, size: tuple[int, int], padding: float) -> UInt8:
    """The whole frame is warped, by three points."""
    width, height = box.w * padding, box.h * padding
    if width > height * size[0] / size[1]:
        height = width * size[1] / size[0]
    else:
        width = height * size[0] / size[1]
    x, y = box.x + box.w / 2, box.y + box.h / 2
    seen = np.array([[x, y], [x - width / 2, y], [x - width / 2, y - height / 2]], np.float32)
    shown = np.array([[size[0] / 2, size[1] / 2], [0, size[1] / 2], [0, 0]], np.float32)
    return np.asarray(cv2.warpAffine(image, cv2.getAffineTransform(seen, shown), size, flags=cv2.INTER_LINEAR))


@given(PLACES, PLACES, st.integers(10, 120), st.integers(10, 120), st.sampled_from([(48, 64), (64, 64)]))
def test_the_picture_is_that_of_its_maker(x: float, y: float, width: int, height: int, size: tuple[int, int]) -> None:
    """Only the part of the frame that is seen is read; a value may be rounded the other way."""
    box = Box(x, y, width, height)
    picture, _ = show(Affine(), size, noise(), box, "pad")
    theirs = as_its_maker_does(noise(), box, size, 1.25)
    off = np.abs(picture.astype(int) - theirs)
    assert off.max() <= 2
    assert off.mean() < 0.05


@given(PLACES, PLACES, SIDES, SIDES, st.floats(0.5, 3))
def test_the_box_lies_in_the_middle_and_points_go_there_and_back(
    x: float, y: float, width: int, height: int, padding: float
) -> None:
    size = (48, 64)
    view = affine.grown(Box(x, y, width, height), padding, size)
    middle = np.array([[x + width / 2, y + height / 2]], np.float32)
    np.testing.assert_allclose(view.to_input(middle), [[24, 32]], atol=1e-2)
    np.testing.assert_allclose(view.to_frame(view.to_input(middle)), middle, atol=1e-3)
    assert view.w / view.h == pytest.approx(48 / 64)
    assert max(view.w / (width * padding), view.h / (height * padding)) >= 1 - 1e-9
    assert min(view.w / (width * padding), view.h / (height * padding)) == pytest.approx(1)


@pytest.mark.parametrize("edge", ["pad", "clamp"])
def test_outside_the_frame_are_zeros(edge: str) -> None:
    image = np.full((90, 120, 3), 200, np.uint8)
    picture, view = show(Affine(1.0), (64, 64), image, Box(-32, 0, 64, 64), edge)  # type: ignore[arg-type]
    assert (picture[:, :31] == 0).all()
    assert (picture[:, 33:] == 200).all()
    assert view[:4] == (-32, 0, 64, 64)


def test_a_box_outside_the_frame_is_black() -> None:
    picture, _ = show(Affine(), (64, 64), np.full((90, 120, 3), 200, np.uint8), Box(500, 500, 40, 40), "pad")
    assert (picture == 0).all()
