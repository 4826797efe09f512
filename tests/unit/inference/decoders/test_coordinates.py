"""Coordinates of a regression model."""

from __future__ import annotations

import numpy as np
import pytest

from realtime_cropzoom.inference.decoders import decode, expected_shapes
from realtime_cropzoom.inference.manifest import Coordinates


def test_coordinates_are_keypoints_without_a_likelihood() -> None:
    found = decode(Coordinates(), [np.arange(6, dtype=np.float32)], (64, 48), "fast")
    assert found.xy.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert np.isnan(found.likelihood).all()
    assert found.xy.dtype == np.float32
    assert (found.sharpness, found.corners, found.spoilt) == (None, None, False)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_number_that_is_not_finite_spoils_them(number: float) -> None:
    assert decode(Coordinates(), [np.array([1, number], np.float32)], (64, 48), "fast").spoilt


def test_the_output_has_two_numbers_a_keypoint() -> None:
    assert list(expected_shapes(Coordinates(), 5, (64, 48))) == [(10,)]
