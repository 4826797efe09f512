"""Heatmaps of Lightning Pose: those of ``heatmaps.decode``, and of two sets the more likely."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from realtime_cropzoom.inference import heatmaps
from realtime_cropzoom.inference.crop import Method
from realtime_cropzoom.inference.decoders import decode, expected_shapes
from realtime_cropzoom.inference.manifest import LitposeHeatmaps
from realtime_cropzoom.types import Float32

SIZE = (64, 48)


def maps(*peaks: tuple[int, int, float]) -> Float32:
    """(K, 12, 16) heatmaps: a spot at (column, row), the wider the larger the third number."""
    rows, columns = np.mgrid[:12, :16]
    spots = [np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * wide**2)) for x, y, wide in peaks]
    return np.asarray([spot / spot.sum() for spot in spots], np.float32)


@pytest.mark.parametrize("method", ["fast", "reference"])
def test_one_set_is_decoded_as_lightning_pose_does(method: Method) -> None:
    given = maps((4, 3, 1.0), (10, 8, 0.7))
    found, expected = decode(LitposeHeatmaps(), [given], SIZE, method), heatmaps.decode(given, 2, method)
    np.testing.assert_array_equal(found.xy, expected.xy)
    np.testing.assert_array_equal(found.likelihood, expected.likelihood)
    assert not found.spoilt


@pytest.mark.parametrize("method", ["fast", "reference"])
def test_of_two_sets_the_more_likely_counts_for_each_keypoint(method: Method) -> None:
    sets: Sequence[Float32] = [maps((4, 3, 0.5), (4, 3, 3.0)), maps((10, 8, 3.0), (10, 8, 0.5))]
    found = decode(LitposeHeatmaps(context=True), sets, SIZE, method)
    one, five = (heatmaps.decode(given, 2, method) for given in sets)
    np.testing.assert_array_equal(found.xy, [one.xy[0], five.xy[1]])
    np.testing.assert_array_equal(found.likelihood, [one.likelihood[0], five.likelihood[1]])
    assert found.sharpness is not None
    assert one.sharpness is not None
    assert five.sharpness is not None
    np.testing.assert_array_equal(found.sharpness, [one.sharpness[0], five.sharpness[1]])


@pytest.mark.parametrize("method", ["fast", "reference"])
def test_a_map_that_is_not_finite_spoils_the_frame(method: Method) -> None:
    given = maps((4, 3, 1.0), (10, 8, 0.7))
    given[1] = np.nan
    assert decode(LitposeHeatmaps(), [given], SIZE, method).spoilt


@pytest.mark.parametrize(("factor", "cells"), [(1, (24, 32)), (2, (12, 16)), (3, (6, 8))])
def test_the_shapes_of_its_outputs(factor: int, cells: tuple[int, int]) -> None:
    assert list(expected_shapes(LitposeHeatmaps(factor), 5, SIZE)) == [(5, *cells)]
    assert list(expected_shapes(LitposeHeatmaps(factor, context=True), 5, SIZE)) == [(5, *cells)] * 2
