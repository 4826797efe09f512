"""Frame + box → model input, and back: what is cut out is where the inverse says it is."""

from __future__ import annotations

import math

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.inference.crop import Edge, Method, cut, fill_input, fill_input_from, pad
from realtime_cropzoom.inference.geometries.view import View
from realtime_cropzoom.inference.normalise import IMAGENET, values_of
from realtime_cropzoom.pictures.decoded import DecodedPictures
from realtime_cropzoom.types import Box

VALUES = values_of(IMAGENET)
MEAN, STD = VALUES.mean, VALUES.std


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 256, (height, width, 3), np.uint8)


def model_input(pixels: np.ndarray, size: tuple[int, int], method: Method) -> np.ndarray:
    out = np.full((3, size[1], size[0]), np.nan, np.float32)
    fill_input(pixels, out, method, VALUES)
    return out


@pytest.mark.parametrize("edge", ["pad", "clamp"])
@pytest.mark.parametrize(
    "box",
    [
        pytest.param(Box(10, 5, 20, 20), id="well inside"),
        pytest.param(Box(0, 0, 64, 48), id="the whole frame"),
        pytest.param(Box(44, 28, 20, 20), id="touching the far corner"),
    ],
)
def test_a_box_inside_the_frame_is_a_view_of_it(box: Box, edge: Edge) -> None:
    image = noise(48, 64)
    pixels, used = cut(image, box, edge)
    assert used == box
    assert np.shares_memory(pixels, image)
    assert np.array_equal(pixels, image[box.y : box.y + box.h, box.x : box.x + box.w])


@given(st.integers(-60, 100), st.integers(-60, 100), st.integers(1, 90), st.integers(1, 90))
def test_pad_shows_frame_pixels_inside_and_zeros_outside(x: int, y: int, w: int, h: int) -> None:
    image = noise(48, 64)
    pixels, used = cut(image, Box(x, y, w, h), "pad")
    surrounded = np.pad(image, ((160, 160), (160, 160), (0, 0)))
    assert used == Box(x, y, w, h)
    assert np.array_equal(pixels, surrounded[160 + y : 160 + y + h, 160 + x : 160 + x + w])


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        pytest.param((48, 64), np.uint8, id="grey"),
        pytest.param((48, 64), np.uint16, id="grey with 16 bits"),
        pytest.param((48, 64, 3), np.uint16, id="colour with 16 bits"),
        pytest.param((48, 64, 4), np.uint8, id="colour with an alpha channel"),
    ],
)
@pytest.mark.parametrize("box", [Box(-9, -5, 30, 20), Box(50, 40, 33, 21), Box(10, 5, 20, 20), Box(99, 5, 4, 4)])
def test_pad_takes_images_of_any_depth_and_number_of_channels(
    shape: tuple[int, ...], dtype: type[np.uint8 | np.uint16], box: Box
) -> None:
    image: np.ndarray = np.arange(math.prod(shape)).reshape(shape).astype(dtype)
    pixels = pad(image, box)
    surrounded = np.pad(image, ((99, 99), (99, 99), *[(0, 0)] * (len(shape) - 2)))
    assert pixels.dtype == dtype
    assert np.array_equal(pixels, surrounded[99 + box.y : 99 + box.y + box.h, 99 + box.x : 99 + box.x + box.w])


@pytest.mark.parametrize(
    "box",
    [
        pytest.param(Box(-30, 5, 20, 20), id="left of the frame"),
        pytest.param(Box(5, -20, 20, 20), id="above it, touching"),
        pytest.param(Box(64, 5, 20, 20), id="right of it, touching"),
        pytest.param(Box(5, 500, 20, 20), id="far below"),
        pytest.param(Box(-9000, -9000, 8, 8), id="beyond the corner"),
    ],
)
def test_pad_gives_zeros_for_a_box_entirely_off_the_frame(box: Box) -> None:
    pixels, used = cut(noise(48, 64), box, "pad")
    assert used == box
    assert pixels.shape == (box.h, box.w, 3)
    assert not pixels.any()


@pytest.mark.parametrize(
    ("box", "inside"),
    [
        pytest.param(Box(-10, -5, 30, 30), Box(0, 0, 20, 25), id="over the near corner"),
        pytest.param(Box(50, 40, 30, 30), Box(50, 40, 14, 8), id="over the far corner"),
        pytest.param(Box(-10, -10, 200, 200), Box(0, 0, 64, 48), id="larger than the frame"),
        pytest.param(Box(-30, 5, 20, 20), Box(0, 5, 1, 20), id="entirely left: one column is left"),
        pytest.param(Box(5, -30, 20, 20), Box(5, 0, 20, 1), id="entirely above: one row"),
        pytest.param(Box(200, 5, 20, 20), Box(63, 5, 1, 20), id="entirely right: the last column"),
        pytest.param(Box(5, 200, 20, 20), Box(5, 47, 20, 1), id="entirely below: the last row"),
        pytest.param(Box(900, 900, 20, 20), Box(63, 47, 1, 1), id="beyond the corner: one pixel"),
    ],
)
def test_clamp_cuts_the_box_off_at_the_frame(box: Box, inside: Box) -> None:
    image = noise(48, 64)
    pixels, used = cut(image, box, "clamp")
    assert used == inside
    assert np.array_equal(pixels, image[inside.y : inside.y + inside.h, inside.x : inside.x + inside.w])


_MARKED = [
    pytest.param(Box(20, 10, 60, 60), "pad", id="inside, enlarged"),
    pytest.param(Box(-25, -15, 90, 90), "pad", id="over the corner, padded"),
    pytest.param(Box(-25, -15, 90, 90), "clamp", id="over the corner, cut off and stretched"),
    pytest.param(Box(0, 0, 160, 120), "pad", id="the whole frame, as the detector sees it"),
    pytest.param(Box(30, 20, 31, 47), "pad", id="not square"),
]


def marker_in(channel: np.ndarray) -> np.ndarray:
    """The middle of the bright spot in a (H, W) map, in the (x, y) of its pixel *edges*' grid."""
    weights = channel - channel.min()
    weights = np.where(weights > weights.max() / 3, weights, 0)
    y, x = np.mgrid[: channel.shape[0], : channel.shape[1]]
    centre = np.array([(weights * (x + 0.5)).sum(), (weights * (y + 0.5)).sum()]) / weights.sum()
    return np.asarray(centre, np.float64)


@pytest.mark.parametrize(("box", "edge"), _MARKED)
def test_a_marker_in_the_frame_is_found_where_the_view_says(box: Box, edge: Edge) -> None:
    image = np.zeros((120, 160, 3), np.uint8)
    image[38:41, 43:46] = 255  # its middle is (44.5, 39.5) counted from the pixels' edges
    pixels, used = cut(image, box, edge)
    found = marker_in(model_input(pixels, (128, 96), "fast")[0])
    mapped = View.of(used, (128, 96)).to_frame(found[None].astype(np.float32))[0]
    assert mapped == pytest.approx([44.5, 39.5], abs=0.35)


@pytest.mark.parametrize(("box", "edge"), _MARKED)
def test_a_marker_in_the_frame_shows_in_the_input_where_the_view_says(box: Box, edge: Edge) -> None:
    image = np.zeros((120, 160, 3), np.uint8)
    image[38:41, 43:46] = 255
    pixels, used = cut(image, box, edge)
    expected = View.of(used, (128, 96)).to_input(np.array([[44.5, 39.5]], np.float32))[0]
    shown = model_input(pixels, (128, 96), "reference")[0]
    assert shown[int(expected[1]), int(expected[0])] == shown.max()


_SIZES = [
    pytest.param((48, 64), (64, 64), id="enlarged one way only"),
    pytest.param((240, 240), (256, 256), id="a box on a pose model"),
    pytest.param((480, 640), (256, 256), id="a frame on a detector, reduced"),
    pytest.param((1, 1), (32, 32), id="one pixel"),
    pytest.param((96, 64), (64, 96), id="no resizing"),
]


@pytest.mark.parametrize(("shape", "size"), _SIZES)
def test_fast_equals_reference_but_for_the_last_bits(shape: tuple[int, int], size: tuple[int, int]) -> None:
    pixels = noise(*shape)
    fast, reference = (model_input(pixels, size, method) for method in ("fast", "reference"))
    np.testing.assert_allclose(fast, reference, rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", ["fast", "reference"])
@pytest.mark.parametrize(("shape", "size"), _SIZES)
def test_the_input_is_resized_bilinearly_and_normalised(
    shape: tuple[int, int], size: tuple[int, int], method: Method
) -> None:
    pixels = noise(*shape)
    resized = cv2.resize(pixels.astype(np.float32), size, interpolation=cv2.INTER_LINEAR).astype(np.float64)
    expected = ((resized / 255 - MEAN) / STD).transpose(2, 0, 1)
    np.testing.assert_allclose(model_input(pixels, size, method), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("method", ["fast", "reference"])
def test_the_resize_does_not_smooth_before_it_reduces(method: Method) -> None:
    """At a fourth of the size a pixel is the mean of the middle two of four columns; the outer two do not count."""
    columns = np.zeros((8, 8, 3), np.uint8)
    columns[:, [0, 3, 5, 6]] = 255
    shown = model_input(columns, (2, 2), method)[0, 0]
    assert shown == pytest.approx((np.array([0, 1]) - MEAN[0]) / STD[0], abs=1e-5)


@pytest.mark.parametrize("method", ["fast", "reference"])
def test_a_view_of_the_frame_is_read_and_never_written(method: Method) -> None:
    image = noise(48, 64)
    before = image.copy()
    pixels, _ = cut(image, Box(3, 4, 21, 23), "pad")
    model_input(pixels, (32, 32), method)
    assert np.array_equal(image, before)


@pytest.mark.parametrize("method", ["fast", "reference"])
@pytest.mark.parametrize("size", [(192, 160), (33, 50), (600, 500)], ids=str)
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p", "nv12", "gray"])
def test_a_decoded_frame_gives_the_input_of_its_rgb_image(
    pixel_format: str, size: tuple[int, int], method: Method
) -> None:
    frame = av.VideoFrame.from_ndarray(noise(480, 640), format="rgb24").reformat(format=pixel_format)
    picture = DecodedPictures().of(frame)
    out = np.full((3, size[1], size[0]), np.nan, np.float32)
    whole = Box(0, 0, 640, 480)
    assert fill_input_from(picture, whole, "pad", out, method, VALUES) == whole
    np.testing.assert_array_equal(out, model_input(np.asarray(picture), size, method))


@pytest.mark.parametrize("edge", ["pad", "clamp"])
@pytest.mark.parametrize(
    "box",
    [
        Box(101, 33, 401, 377),
        Box(0, 0, 641, 481),
        Box(-99, 301, 300, 200),
        Box(500, -70, 301, 330),
        Box(101.5, -33.25, 401, 377),
    ],
    ids=str,
)
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuvj422p", "yuv444p", "nv12", "gray"])
def test_a_box_of_a_decoded_frame_gives_the_input_of_its_rgb_image(pixel_format: str, box: Box, edge: Edge) -> None:
    frame = av.VideoFrame.from_ndarray(noise(482, 642), format="rgb24").reformat(format=pixel_format)
    picture, out = DecodedPictures().of(frame), np.full((3, 101, 120), np.nan, np.float32)
    used = fill_input_from(picture, box, edge, out, "fast", VALUES)
    pixels, expected = cut(np.asarray(picture), box, edge)
    assert used == expected
    np.testing.assert_array_equal(out, model_input(pixels, (120, 101), "fast"))


@pytest.mark.parametrize("method", ["fast", "reference"])
def test_channels_keep_their_order(method: Method) -> None:
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    shown = model_input(red, (8, 8), method)
    assert shown[:, 0, 0] == pytest.approx((np.array([1, 0, 0]) - MEAN) / STD, abs=1e-5)
