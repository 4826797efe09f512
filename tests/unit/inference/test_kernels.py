"""Compiled kernels: they give the numbers of NumPy and OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from realtime_cropzoom.inference.crop import fill_input
from realtime_cropzoom.inference.kernels import count_moved, has_distances, scale_and_move, sum_lanes
from realtime_cropzoom.inference.normalise import IMAGENET, values_of

VALUES = values_of(IMAGENET)
SIDES = st.integers(1, 60)
POINTS = arrays.arrays(np.float32, st.tuples(st.integers(1, 6), st.just(2)), elements=st.floats(-500, 500, width=32))


@given(SIDES, SIDES, SIDES, SIDES, st.integers(0, 2**32 - 1))
def test_a_resize_is_that_of_opencv(height: int, width: int, tall: int, wide: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    out = np.empty((3, tall, wide), np.float32)
    fill_input(pixels, out, "fast", VALUES)
    resized = cv2.resize(pixels.astype(np.float32), (wide, tall), interpolation=cv2.INTER_LINEAR)
    expected = (resized.reshape(tall, wide, 3) / 255 - VALUES.mean) / VALUES.std
    np.testing.assert_allclose(out, expected.transpose(2, 0, 1), atol=2e-5)


def test_a_view_of_a_frame_is_resized_like_a_copy() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    of_view, of_copy = np.empty((3, 32, 32), np.float32), np.empty((3, 32, 32), np.float32)
    for view in (frame[10:50, 20:70], frame[::-1, ::2], frame.swapaxes(0, 1)):
        fill_input(view, of_view, "fast", VALUES)
        fill_input(view.copy(), of_copy, "fast", VALUES)
        np.testing.assert_array_equal(of_view, of_copy)


@given(POINTS, st.integers(1, 500), st.integers(1, 500), st.integers(-200, 900), st.integers(1, 900))
def test_points_are_mapped_as_numpy_maps_them(points: np.ndarray, width: int, height: int, x: int, side: int) -> None:
    out = np.empty_like(points)
    scale_and_move(points, width, height, x, -x, side, side + 3, out)
    size, extent = np.array([width, height], np.float32), np.array([side, side + 3], np.float32)
    np.testing.assert_array_equal(out, points / size * extent + np.array([x, -x], np.float32))


@given(POINTS, st.integers(1, 300), st.floats(0, 4), st.floats(0, 4))
def test_distances_within_limits_are_found(points: np.ndarray, side: int, least: float, width: float) -> None:
    one, other = np.triu_indices(len(points), 1)
    apart2 = ((points[one] - points[other]) ** 2).sum(axis=1) / np.float32(side * side)
    limits = np.full(len(one), least**2), np.full(len(one), (least + width) ** 2)
    expected = ((apart2 >= limits[0]) & (apart2 <= limits[1])).all()
    assert has_distances(points, one, other, *limits, side) == expected


def test_a_point_that_is_missing_has_no_distance_that_could_be_wrong() -> None:
    points = np.array([[0, 0], [np.nan, 1], [9, 9]], np.float32)
    limits = np.array([0.0]), np.array([100.0])
    assert has_distances(points, np.array([0]), np.array([1]), *limits, 1)
    assert not has_distances(points, np.array([0]), np.array([2]), *limits, 1)


def test_points_count_as_moved_beyond_the_limit() -> None:
    before = np.zeros((4, 2), np.float32)
    now = np.array([[3, 4], [3, 3.9], [-6, 0], [np.nan, 9]], np.float32)
    assert count_moved(now, before, 4.99) == 2
    assert count_moved(now, before, 5.0) == 1


@given(st.integers(0, 100), st.integers(2, 16), st.integers(0, 2**32 - 1))
def test_lanes_are_summed_as_numpy_sums_rows(count: int, lanes: int, seed: int) -> None:
    values = np.random.default_rng(seed).random(count, np.float32)
    sums = np.empty(lanes, np.float32)
    sum_lanes(values, sums)
    whole = values[: count - count % lanes].reshape(-1, lanes)
    np.testing.assert_array_equal(sums, np.add.reduce(whole, axis=0))
