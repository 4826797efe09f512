"""Confidence maps: the highest cell, refined by the cells around it, as sleap-nn does it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.inference.decoders import decode, expected_shapes
from realtime_cropzoom.inference.manifest import ConfidenceMaps
from realtime_cropzoom.types import Float32, Keypoints

HEIGHT, WIDTH = 12, 20
REFINED, PLAIN = ConfidenceMaps(), ConfidenceMaps(refinement="none")


def decoded(maps: Float32, decoder: ConfidenceMaps = REFINED) -> Keypoints:
    size = int(maps.shape[2] * decoder.stride), int(maps.shape[1] * decoder.stride)
    return decode(decoder, [maps], size, "fast")


def bump(x: float, y: float, *, sigma: float = 1.5, height: float = 1.0) -> Float32:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    squared = (columns - x) ** 2 + (rows - y) ** 2
    return np.asarray(height * np.exp(-squared / (2 * sigma**2)), np.float32)[None]


def by_the_book(heatmap: Float32) -> tuple[float, float]:
    """Position in cells: sleap-nn 0.3.5, ``find_global_peaks``, in the words of its recipe."""
    row, column = np.unravel_index(heatmap.argmax(), heatmap.shape)
    patch = np.pad(heatmap, 2)[row : row + 5, column : column + 5].astype(np.float64)
    grid = np.arange(-2, 3)
    return column + (patch * grid).sum() / patch.sum(), row + (patch * grid[:, None]).sum() / patch.sum()


@given(st.floats(0, WIDTH - 1), st.floats(0, HEIGHT - 1), st.floats(0.8, 3))
def test_the_highest_cell_is_refined(x: float, y: float, sigma: float) -> None:
    maps = bump(x, y, sigma=sigma) - np.float32(0.05)  # negative values count, cells outside do not
    found = decoded(maps)
    np.testing.assert_allclose(found.xy[0], 2 * np.array(by_the_book(maps[0])), atol=1e-4)
    assert found.likelihood[0] == maps.max()
    assert not found.spoilt


def test_without_refinement_keypoints_lie_on_cells() -> None:
    found = decoded(bump(7.3, 4.4), PLAIN)
    assert found.xy.tolist() == [[14, 8]]


def test_of_equal_cells_the_first_counts() -> None:
    maps = np.zeros((1, HEIGHT, WIDTH), np.float32)
    maps[0, 3, 5] = maps[0, 3, 9] = maps[0, 8, 1] = 0.7
    assert decoded(maps, PLAIN).xy.tolist() == [[10, 6]]


def test_a_keypoint_below_the_threshold_is_absent() -> None:
    maps = np.concatenate([bump(5, 5, height=0.199), bump(9, 3, height=1.07), bump(5, 5, height=0.2)])
    found = decoded(maps)
    assert np.isnan(found.xy[0]).all()
    assert found.likelihood.tolist() == pytest.approx([0, 1.07, 0.2])
    assert np.isfinite(found.xy[1:]).all()
    assert not found.spoilt, "absent is a result"


@pytest.mark.parametrize("number", [np.nan, np.inf])
@pytest.mark.parametrize("cell", [(5, 5), (4, 6)], ids=["peak", "beside it"])
def test_a_number_that_is_not_finite_spoils_the_pose(number: float, cell: tuple[int, int]) -> None:
    maps = bump(5, 5)
    maps[0][cell] = number
    assert decoded(maps).spoilt


def test_the_output_has_a_map_a_keypoint() -> None:
    assert list(expected_shapes(ConfidenceMaps(stride=4), 3, (64, 48))) == [(3, 12, 16)]
