"""Input pixels to frame pixels and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from realtime_cropzoom.inference.geometries.view import View
from realtime_cropzoom.types import Box

CORNERS = st.integers(-3000, 3000) | st.floats(-3000, 3000, width=32)
BOXES = st.builds(Box, CORNERS, CORNERS, st.integers(1, 3000), st.integers(1, 3000))
SIZES = st.tuples(st.integers(16, 1024), st.integers(16, 1024))
POINTS = arrays(np.float32, st.tuples(st.integers(1, 6), st.just(2)), elements=st.floats(-2000, 2000, width=32))


@given(POINTS, BOXES, SIZES)
def test_to_input_undoes_to_frame(xy: np.ndarray, box: Box, size: tuple[int, int]) -> None:
    view = View.of(box, size)
    # What float32 has left after the numbers were as large as a corner or an extrapolated keypoint.
    cell = max(size[0] / box.w, size[1] / box.h)
    assert view.to_input(view.to_frame(xy)) == pytest.approx(xy, abs=1e-3 * (1 + cell), rel=1e-5)


@given(POINTS, BOXES, SIZES)
def test_to_frame_undoes_to_input(xy: np.ndarray, box: Box, size: tuple[int, int]) -> None:
    view = View.of(box, size)
    assert view.to_frame(view.to_input(xy)) == pytest.approx(xy, abs=5e-3, rel=1e-5)


@given(BOXES, SIZES)
def test_the_corners_of_the_input_are_the_corners_of_the_box(box: Box, size: tuple[int, int]) -> None:
    found = View.of(box, size).to_frame(np.array([(0, 0), size], np.float32))
    corner, extent = np.array([box.x, box.y], np.float32), np.array([box.w, box.h], np.float32)
    np.testing.assert_array_equal(found, [corner, corner + extent])


def test_nan_stays_nan_and_leaves_the_others_alone() -> None:
    xy = np.array([[np.nan, np.nan], [128, 128]], np.float32)
    mapped = View.of(Box(10, 20, 240, 240), (256, 256)).to_frame(xy)
    assert np.isnan(mapped[0]).all()
    assert mapped[1].tolist() == [130, 140]


def test_results_are_float32() -> None:
    view, xy = View.of(Box(1, 2, 3, 4), (64, 64)), np.zeros((2, 2), np.float32)
    assert view.to_frame(xy).dtype == view.to_input(xy).dtype == np.float32


def test_a_view_of_a_box_keeps_the_box() -> None:
    assert View.of(Box(1, 2, 3, 4), (64, 48)) == View(1, 2, 3, 4, (64, 48), Box(1, 2, 3, 4))
