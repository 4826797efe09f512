"""Normalising: every combination of channels, layout and number type gives (pixel · scale − mean) / std."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.inference.manifest import Channels, Input
from realtime_cropzoom.inference.model_check import input_shape
from realtime_cropzoom.inference.normalise import GRAY, IMAGENET, normalise, values_of
from realtime_cropzoom.types import UInt8

Layout = Literal["nchw", "nhwc"]
LAYOUTS = st.sampled_from(["nchw", "nhwc"])
SIZE = (7, 5)
"""(W, H)."""


def picture(seed: int = 0) -> UInt8:
    return np.random.default_rng(seed).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)


def expected(pixels: UInt8, given_input: Input) -> np.ndarray:
    """The values in float64, (H, W, C)."""
    shown = pixels.astype(np.float64)
    if given_input.channels == "gray":
        shown = (shown @ np.array(GRAY))[..., None]
    elif given_input.channels == "bgr":
        shown = shown[..., ::-1]
    return np.asarray((shown * given_input.scale - np.array(given_input.mean)) / np.array(given_input.std))


@given(
    channels=st.sampled_from(["rgb", "bgr", "gray"]),
    layout=LAYOUTS,
    scale=st.sampled_from([1 / 255, 1.0]),
    mean=st.tuples(*[st.floats(-2, 130)] * 3),
    std=st.tuples(*[st.floats(0.1, 70)] * 3),
    single=st.booleans(),
    seed=st.integers(0, 99),
)
def test_values_are_those_of_the_formula(
    channels: Channels,
    layout: Layout,
    scale: float,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    single: bool,
    seed: int,
) -> None:
    count = 1 if single or channels == "gray" else 3
    given_input = Input(SIZE, channels, layout, scale, mean[:count], std[:count])
    out = np.full(input_shape(given_input, SIZE), np.nan, np.float32)
    normalise(picture(seed), given_input, out)
    values = expected(picture(seed), given_input)
    wanted = values.transpose(2, 0, 1) if layout == "nchw" else values
    np.testing.assert_allclose(out, wanted, rtol=1e-5, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("channels", ["rgb", "bgr", "gray"])
def test_a_network_that_takes_bytes_gets_the_pixels_as_they_are(channels: Channels, layout: Layout) -> None:
    given_input = Input(SIZE, channels, layout)
    out = np.zeros(input_shape(given_input, SIZE), np.uint8)
    normalise(picture(), given_input, out)
    values = np.rint(expected(picture(), Input(SIZE, channels, scale=1.0)))
    np.testing.assert_array_equal(out, values.transpose(2, 0, 1) if layout == "nchw" else values)


def test_a_view_of_a_frame_is_read_like_a_copy() -> None:
    frame = np.random.default_rng(1).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    view = frame[3 : 3 + SIZE[1], 4 : 4 + SIZE[0]]
    outs = [np.zeros((3, SIZE[1], SIZE[0]), np.float32) for _ in range(2)]
    normalise(view, IMAGENET, outs[0])
    normalise(view.copy(), IMAGENET, outs[1])
    np.testing.assert_array_equal(outs[0], outs[1])


def test_imagenets_values_are_those_of_lightning_pose() -> None:
    values = values_of(IMAGENET)
    mean, std = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
    np.testing.assert_array_equal(values.mean, mean)
    np.testing.assert_array_equal(values.std, std)
    np.testing.assert_array_equal(values.shift, -mean / std)
    np.testing.assert_array_equal(values.scale, 1 / (np.float32(255) * std))
    assert {part.dtype for part in values} == {np.dtype(np.float32)}
