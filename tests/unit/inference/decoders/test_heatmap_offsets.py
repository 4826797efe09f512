"""Heatmaps with offsets, as DeepLabCut's own predictor reads them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.inference.decoders import heatmap_offsets
from realtime_cropzoom.inference.manifest import HeatmapOffsets

SIZE = (64, 48)


def maps(*peaks: tuple[int, int, float]) -> np.ndarray:
    """(K, 6, 8) heatmaps of zeros with one peak each: row, column, value."""
    heatmaps = np.zeros((len(peaks), 6, 8), np.float32)
    for k, (row, column, value) in enumerate(peaks):
        heatmaps[k, row, column] = value
    return heatmaps


def offsets(keypoints: int, value: float = 0.0) -> np.ndarray:
    return np.full((2 * keypoints, 6, 8), value, np.float32)


def test_a_keypoint_is_the_middle_of_the_highest_cell_and_its_offset() -> None:
    moved = offsets(2)
    moved[0, 2, 3], moved[1, 2, 3], moved[2, 5, 0] = 0.5, -0.25, 1.0
    found = heatmap_offsets.decode(
        HeatmapOffsets(stride=8, offset_scale=2), [maps((2, 3, 0.9), (5, 0, 0.4)), moved], SIZE, "fast"
    )
    np.testing.assert_allclose(found.xy, [[3.5 * 8 + 1, 2.5 * 8 - 0.5], [0.5 * 8 + 2, 5.5 * 8]])
    np.testing.assert_allclose(found.likelihood, [0.9, 0.4])
    assert not found.spoilt


@pytest.mark.parametrize(("clip", "likelihood"), [(True, [1.0, 0.0]), (False, [1.5, -0.5])])
def test_the_likelihood_is_cut_if_deeplabcut_cuts_it(clip: bool, likelihood: list[float]) -> None:
    heatmaps = np.stack([np.full((6, 8), value, np.float32) for value in (1.5, -0.5)])
    found = heatmap_offsets.decode(HeatmapOffsets(clip=clip), [heatmaps, offsets(2)], SIZE, "fast")
    assert found.likelihood.tolist() == likelihood


def test_logits_that_are_all_certain_give_the_first_cell_as_deeplabcut_does() -> None:
    heatmaps = maps((1, 1, 40.0))
    heatmaps[0, 4, 4] = 50.0  # both are 1 after the sigmoid, in float32
    found = heatmap_offsets.decode(HeatmapOffsets(stride=8, sigmoid=True), [heatmaps, offsets(1)], SIZE, "fast")
    assert found.xy.tolist() == [[12, 12]]
    assert found.likelihood.tolist() == [1]


def test_a_model_without_offsets_gives_the_middle_of_cells() -> None:
    decoder = HeatmapOffsets(stride=4, offset_scale=None)
    found = heatmap_offsets.decode(decoder, [maps((0, 7, 0.3))], SIZE, "fast")
    assert found.xy.tolist() == [[30, 2]]
    assert heatmap_offsets.shapes(decoder, 3, SIZE) == [(3, None, None)]
    assert heatmap_offsets.shapes(HeatmapOffsets(), 3, SIZE) == [(3, None, None), (6, None, None)]


@pytest.mark.parametrize("place", ["heatmap", "offset"])
def test_numbers_that_are_not_finite_spoil_the_keypoints(place: str) -> None:
    outputs = [maps((2, 3, 0.9)), offsets(1)]
    outputs[place == "offset"][:, 2, 3] = np.nan
    assert heatmap_offsets.decode(HeatmapOffsets(), outputs, SIZE, "fast").spoilt


@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_it_is_the_sum_that_deeplabcut_takes(keypoints: int, seed: int) -> None:
    values = np.random.default_rng(seed)
    heatmaps = values.random((keypoints, 6, 8), np.float32)
    moved = values.standard_normal((2 * keypoints, 6, 8)).astype(np.float32)
    found = heatmap_offsets.decode(HeatmapOffsets(), [heatmaps, moved], SIZE, "fast")
    for k in range(keypoints):
        row, column = np.unravel_index(heatmaps[k].argmax(), (6, 8))
        expected = [8 * cell + 4 + moved[2 * k + i, row, column] * 7.2801 for i, cell in enumerate((column, row))]
        np.testing.assert_allclose(found.xy[k], expected, atol=1e-4)
        assert found.likelihood[k] == heatmaps[k].max()
