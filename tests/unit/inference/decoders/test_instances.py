"""Several animals in the outputs of one frame: rows of YOLO-pose, peaks of a centroid's map, slots of SLEAP's files."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_cropzoom.inference.decoders import decode, decode_all, finds_several
from realtime_cropzoom.inference.decoders.instances import MAX_INSTANCES, Instance
from realtime_cropzoom.inference.manifest import (
    ConfidenceMaps,
    Coordinates,
    Decoder,
    GridPeaks,
    HeatmapOffsets,
    Input,
    LitposeHeatmaps,
    Manifest,
    Rows,
    SimCC,
    Stretch,
)
from realtime_cropzoom.types import Float32

SIZE = (96, 64)
PLAIN = ConfidenceMaps(refinement="none")


def places(found: Sequence[Instance]) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for one in found for x, y in one.keypoints.xy]


def bumps(*peaks: tuple[float, float, float]) -> Float32:
    """A (1, 32, 48) map with bumps at x, y (cells) of a height."""
    rows, columns = np.mgrid[:32, :48]
    each = [height * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8) for x, y, height in peaks]
    return np.asarray(np.max(each, axis=0), np.float32)[None]


def manifest(decoder: Decoder, *names: str) -> Manifest:
    return Manifest("somebody", names, Input(), Stretch(), decoder)


@pytest.mark.parametrize(
    ("decoder", "names", "several"),
    [
        (Rows(), ("nose", "tail"), True),
        (ConfidenceMaps(), ("centroid",), True),
        (ConfidenceMaps(), ("nose", "tail"), False),
        (GridPeaks(several=True), ("nose", "tail"), True),
        (GridPeaks(), ("nose", "tail"), False),
        (LitposeHeatmaps(), ("nose",), False),
        (HeatmapOffsets(), ("nose",), False),
        (Coordinates(), ("nose",), False),
        (SimCC(), ("nose",), False),
    ],
)
def test_which_models_find_several(decoder: Decoder, names: tuple[str, ...], several: bool) -> None:
    assert finds_several(manifest(decoder, *names)) is several


def test_each_peak_of_a_map_is_an_animal_the_highest_first() -> None:
    found = decode_all(PLAIN, [bumps((10, 10, 0.6), (30, 20, 0.9), (40, 5, 0.15))], SIZE, "fast")
    assert places(found) == [(60, 40), (20, 20)]
    assert [one.score for one in found] == pytest.approx([0.9, 0.6])


def test_peaks_are_refined_as_a_single_one_is() -> None:
    only = bumps((10.3, 12.8, 0.8))
    (one,) = decode_all(ConfidenceMaps(), [only], SIZE, "fast")
    best = decode(ConfidenceMaps(), [only], SIZE, "fast")
    np.testing.assert_array_equal(one.keypoints.xy, best.xy)
    np.testing.assert_array_equal(one.keypoints.likelihood, best.likelihood)


def test_a_flat_top_is_one_animal() -> None:
    heatmap = np.zeros((1, 32, 48), np.float32)
    heatmap[0, 10:13, 20:22] = 0.5
    assert len(decode_all(PLAIN, [heatmap], SIZE, "fast")) == 1


def test_an_animal_at_the_edge_of_the_map_is_found() -> None:
    assert places(decode_all(PLAIN, [bumps((0, 0, 0.6), (47, 31, 0.5))], SIZE, "fast")) == [(0, 0), (94, 62)]


def test_a_map_of_noise_gives_a_limited_number() -> None:
    noise = np.random.default_rng(0).uniform(0, 1, (1, 200, 200)).astype(np.float32)
    found = decode_all(PLAIN, [noise], (400, 400), "fast")
    assert len(found) == MAX_INSTANCES
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_peaks_that_are_not_finite_are_no_animals() -> None:
    heatmap = bumps((10, 10, 0.6), (30, 20, 0.9))
    heatmap[0, 20, 30] = np.inf
    assert places(decode_all(ConfidenceMaps(), [heatmap], SIZE, "fast")) == [(20, 20)]
    assert decode_all(ConfidenceMaps(), [np.full((1, 32, 48), np.nan, np.float32)], SIZE, "fast") == []


def row(x: float, y: float, score: float, side: float = 20) -> list[float]:
    """A raw row of one class and one keypoint in the middle of its box."""
    return [x, y, side, side, score, x, y, 0.8]


def raw(*rows: list[float]) -> Float32:
    return np.array(rows, np.float32).T


def test_rows_that_overlap_are_one_animal() -> None:
    found = decode_all(
        Rows(), [raw(row(30, 30, 0.6), row(31, 30, 0.9), row(70, 30, 0.5), row(9, 9, 0.2))], SIZE, "fast"
    )
    assert places(found) == [(31, 30), (70, 30)]
    assert [one.score for one in found] == pytest.approx([0.9, 0.5])
    assert found[0].keypoints.corners is not None
    assert found[0].keypoints.corners.tolist() == [[21, 20], [41, 40]]


def test_final_rows_are_taken_as_they_are() -> None:
    rows = np.array([[20, 20, 40, 40, 0.9, 0, 30, 30, 0.8], [21, 20, 41, 40, 0.6, 0, 31, 30, 0.8], [0] * 9], np.float32)
    assert places(decode_all(Rows("final"), [rows], SIZE, "fast")) == [(30, 30), (31, 30)]


def test_a_row_that_is_not_finite_is_no_animal() -> None:
    assert places(decode_all(Rows(), [raw(row(np.nan, 30, 0.9), row(70, 30, 0.5))], SIZE, "fast")) == [(70, 30)]


@given(
    st.lists(st.tuples(st.integers(0, 96), st.integers(0, 64), st.floats(0.3125, 1, width=32)), min_size=1, max_size=12)
)
@settings(max_examples=40, deadline=None)
def test_the_surest_row_is_the_one_that_counts_for_a_single_animal(rows: list[tuple[int, int, float]]) -> None:
    output = raw(*[row(*numbers) for numbers in rows])
    first = decode_all(Rows(), [output], SIZE, "fast")[0].keypoints
    np.testing.assert_array_equal(first.xy, decode(Rows(), [output], SIZE, "fast").xy)


def test_slots_of_a_file_that_found_its_peaks_itself() -> None:
    xy = np.array([[[10, 10], [20, 10]], [[50, 30], [60, 30]], [[0, 0], [0, 0]]], np.float32)
    values = np.array([[0.4, 0.1], [0.9, 0.8], [-1e9, -1e9]], np.float32)
    found = decode_all(GridPeaks(threshold=0.2, several=True), [xy, values], SIZE, "fast")
    assert [one.score for one in found] == pytest.approx([1.7, 0.4])
    np.testing.assert_array_equal(found[0].keypoints.xy, xy[1])
    np.testing.assert_array_equal(found[1].keypoints.xy, [[10, 10], [np.nan, np.nan]])


def test_a_model_that_finds_one_animal_has_no_instances() -> None:
    one = manifest(Coordinates(), "nose")
    assert not finds_several(one)
    assert finds_several(msgspec.structs.replace(one, decoder=Rows()))
