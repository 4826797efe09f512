"""Grid peaks: what the network has found, of one animal or of several."""

from __future__ import annotations

import numpy as np
import pytest

from realtime_cropzoom.inference.decoders import decode, expected_shapes
from realtime_cropzoom.inference.manifest import GridPeaks
from realtime_cropzoom.types import Keypoints

ONE, SEVERAL = GridPeaks(threshold=0.2), GridPeaks(threshold=0.2, several=True)
NAN = float("nan")


def decoded(decoder: GridPeaks, xy: object, values: object) -> Keypoints:
    return decode(decoder, [np.array(xy, np.float32), np.array(values, np.float32)], (64, 48), "fast")


def test_peaks_are_taken_as_they_are() -> None:
    found = decoded(ONE, [[2, 4], [6, 8]], [0.5, 1.06])
    assert found.xy.tolist() == [[2, 4], [6, 8]]
    assert found.likelihood.tolist() == pytest.approx([0.5, 1.06])
    assert not found.spoilt


@pytest.mark.parametrize(("xy", "value"), [((NAN, NAN), 0), ((2, 4), 0.1), ((2, 4), -1e9)])
def test_a_peak_below_the_threshold_is_absent(xy: tuple[float, float], value: float) -> None:
    found = decoded(ONE, [xy, (6, 8)], [value, 0.5])
    assert np.isnan(found.xy[0]).all()
    assert found.likelihood.tolist() == [0, 0.5]
    assert not found.spoilt


def test_of_several_animals_the_one_with_the_highest_sum_counts() -> None:
    xy = [[[0, 0], [0, 0]], [[2, 2], [4, 4]], [[6, 6], [8, 8]]]
    found = decoded(SEVERAL, xy, [[0, 0], [0.9, 0.1], [0.6, 0.7]])
    assert found.xy.tolist() == [[6, 6], [8, 8]]


def test_of_several_centroids_too() -> None:
    found = decoded(SEVERAL, [[2, 2], [6, 8], [0, 0]], [0.5, 0.9, -1e9])
    assert found.xy.tolist() == [[6, 8]]
    assert found.likelihood.tolist() == pytest.approx([0.9])


def test_no_animal_is_no_keypoint() -> None:
    found = decoded(SEVERAL, [[2, 2], [6, 8]], [-1e9, 0.1])
    assert np.isnan(found.xy).all()
    assert found.likelihood.tolist() == [0]


@pytest.mark.parametrize(("xy", "value"), [((2, 4), NAN), ((2, 4), np.inf), ((np.inf, 4), 0.5)])
def test_a_number_that_is_not_finite_spoils_the_pose(xy: tuple[float, float], value: float) -> None:
    assert decoded(ONE, [xy], [value]).spoilt


def test_the_outputs_are_positions_and_values() -> None:
    assert list(expected_shapes(ONE, 3, (64, 48))) == [(3, 2), (3,)]
    assert list(expected_shapes(SEVERAL, 3, (64, 48))) == [(None, 3, 2), (None, 3)]
    assert list(expected_shapes(SEVERAL, 1, (64, 48))) == [(None, 2), (None,)]
