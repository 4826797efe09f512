"""SimCC: the highest bins of columns and rows, and the two ways in which they become a likelihood."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.inference.decoders import decode, expected_shapes
from realtime_cropzoom.inference.manifest import SimCC
from realtime_cropzoom.types import Float32

SIZE = (12, 16)
DEEPLABCUT = SimCC(sharpening=849.0, score="minimum", floor=1 / 512)


def outputs(*peaks: tuple[int, float, int, float]) -> list[Float32]:
    """Columns and rows of which one bin each is higher: its place and value."""
    columns, rows = np.zeros((len(peaks), 24), np.float32), np.zeros((len(peaks), 32), np.float32)
    for k, (x, x_value, y, y_value) in enumerate(peaks):
        columns[k, x], rows[k, y] = x_value, y_value
    return [columns, rows]


def test_the_highest_bin_is_divided_by_the_bins_per_pixel() -> None:
    found = decode(SimCC(), outputs((7, 0.9, 31, 0.5), (0, 0.2, 0, 1.4)), SIZE, "fast")
    np.testing.assert_array_equal(found.xy, [[3.5, 15.5], [0, 0]])
    assert found.likelihood == pytest.approx([0.7, 0.8])
    assert found.xy.dtype == found.likelihood.dtype == np.float32
    assert not found.spoilt


def test_the_minimum_is_taken_after_the_softmax() -> None:
    found = decode(SimCC(sharpening=2.0, score="minimum"), outputs((3, 1.0, 5, 3.0)), SIZE, "fast")
    shares = [np.exp(2.0) / (np.exp(2.0) + 23), np.exp(6.0) / (np.exp(6.0) + 31)]
    assert found.likelihood == pytest.approx([min(shares)])


def test_a_keypoint_that_is_not_above_the_floor_is_absent() -> None:
    found = decode(SimCC(), [-value for value in outputs((3, 1.0, 5, 1.0), (3, -1.0, 5, -1.0))], SIZE, "fast")
    np.testing.assert_array_equal(found.xy, [[np.nan, np.nan], [1.5, 2.5]])
    np.testing.assert_array_equal(found.likelihood, [0, 1])
    flat = [np.full((1, 512), 0.3, np.float32)] * 2  # every bin has 1/512, which is not above it
    assert np.isnan(decode(DEEPLABCUT, flat, (256, 256), "fast").xy).all()


@pytest.mark.parametrize("decoder", [SimCC(), DEEPLABCUT], ids=["mean", "minimum"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_spoils_its_keypoint_alone(decoder: SimCC, value: float) -> None:
    columns, rows = outputs((3, 1.0, 5, 1.0), (4, 1.0, 6, 1.0))
    rows[1, 2] = value
    found = decode(decoder, [columns, rows], SIZE, "fast")
    assert found.spoilt
    np.testing.assert_array_equal(found.xy, [[1.5, 2.5], [np.nan, np.nan]])
    assert found.likelihood[1] == 0


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 900))
def test_a_softmax_changes_no_position_and_is_never_more_than_a_whole(seed: int, sharpening: float) -> None:
    values = [np.random.default_rng(seed).normal(size=(5, bins)).astype(np.float32) for bins in (24, 32)]
    plain = decode(SimCC(floor=-9.0), values, SIZE, "fast")
    found = decode(SimCC(sharpening=sharpening, score="minimum"), values, SIZE, "fast")
    np.testing.assert_array_equal(found.xy, plain.xy)
    weights = [np.exp((value.astype(np.float64) - value.max(axis=1, keepdims=True)) * sharpening) for value in values]
    shares = np.minimum(*((weight / weight.sum(axis=1, keepdims=True)).max(axis=1) for weight in weights))
    assert found.likelihood == pytest.approx(shares, abs=1e-4)
    assert (found.likelihood <= 1).all()


def test_its_outputs_have_as_many_bins_as_the_input_has_pixels_times_the_split() -> None:
    assert list(expected_shapes(SimCC(), 4, (192, 256))) == [(4, 384), (4, 512)]
