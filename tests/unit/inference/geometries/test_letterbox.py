"""Letterbox: the pixels that the maker's own code gives, and a view that leads back to the frame."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.inference.geometries import choose_size, letterbox, show
from realtime_cropzoom.inference.geometries.view import View
from realtime_cropzoom.inference.manifest import Input, Letterbox, Manifest, Rows
from realtime_cropzoom.types import Box, UInt8

SIDES = st.integers(1, 90)
TARGETS = st.integers(1, 4).map(lambda number: 32 * number)


def noise(width: int, height: int) -> UInt8:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def as_its_maker_does(image: UInt8, size: tuple[int, int]) -> UInt8:
    """Resize, and a border on each side."""
    (height, width), (wide, high) = image.shape[:2], size
    scale = min(high / height, wide / width)
    new = round(width * scale), round(height * scale)
    across, down = (wide - new[0]) / 2, (high - new[1]) / 2
    edges = round(down - 0.1), round(down + 0.1), round(across - 0.1), round(across + 0.1)
    resized = image if new == (width, height) else cv2.resize(image, new, interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.copyMakeBorder(resized, *edges, cv2.BORDER_CONSTANT, value=(114, 114, 114)))


@given(st.integers(20, 90), st.integers(20, 90), st.integers(20, 90), st.integers(20, 90))
def test_the_picture_is_that_of_its_maker(width: int, height: int, wide: int, high: int) -> None:
    image = noise(width, height)
    picture, view = show(Letterbox(), (wide, high), image, Box(0, 0, width, height), "pad")
    np.testing.assert_array_equal(picture, as_its_maker_does(image, (wide, high)))
    assert view.size == (wide, high)


def test_a_frame_of_640_by_480_leaves_40_rows_above_and_below() -> None:
    picture, view = show(Letterbox(), (320, 320), noise(640, 480), Box(0, 0, 640, 480), "pad")
    assert (picture[:40] == 114).all()
    assert (picture[280:] == 114).all()
    assert view[:4] == (0, -80, 640, 640)


def test_at_the_top_left_the_rest_is_right_and_below() -> None:
    picture, view = show(
        Letterbox(0, "top_left"), (80, 80), np.full((30, 40, 3), 9, np.uint8), Box(0, 0, 40, 30), "pad"
    )
    assert (picture[:60] == 9).all()
    assert (picture[60:] == 0).all()
    assert view[:4] == (0, 0, 40, 40)


@given(SIDES, SIDES, SIDES, SIDES, st.integers(-50, 50), st.sampled_from(["centre", "top_left"]))
def test_points_go_there_and_back(width: int, height: int, wide: int, high: int, x: int, place: str) -> None:
    box = Box(x, -x, width, height)
    _, view = show(Letterbox(place=place), (wide, high), noise(60, 60), box, "pad")  # type: ignore[arg-type]
    corners = np.array([[x, -x], [x + width, -x + height]], np.float32)
    inside = view.to_input(corners)
    np.testing.assert_allclose(view.to_frame(inside), corners, atol=1e-3)
    assert (inside >= -1e-3).all()
    assert (inside <= np.array([wide, high]) + 1e-3).all()


def test_a_bright_pixel_is_found_where_it_was() -> None:
    image = np.zeros((60, 80, 3), np.uint8)
    image[20:24, 50:54] = 255
    picture, view = show(Letterbox(0), (160, 160), image, Box(10, 5, 64, 40), "pad")
    rows, columns = np.nonzero(picture[..., 0] > 128)
    middle = np.array([[columns.mean() + 0.5, rows.mean() + 0.5]], np.float32)  # the middles of pixels
    np.testing.assert_allclose(view.to_frame(middle), [[52, 22]], atol=0.1)


def test_a_box_that_is_cut_at_the_edge_of_the_frame_shows_the_rest_larger() -> None:
    _, view = show(Letterbox(), (64, 64), noise(60, 60), Box(-20, 0, 40, 40), "clamp")
    assert view[:4] == pytest.approx((-10, 0, 40, 40))


def sized(target: tuple[int, int], region: tuple[int, int]) -> tuple[int, int]:
    manifest = Manifest("", ("a",), Input(), Letterbox(target=target), Rows())
    return choose_size(manifest, region, "a.onnx")


def test_a_network_of_any_size_gets_as_little_padding_as_its_stride_allows() -> None:
    assert sized((320, 320), (640, 480)) == (320, 256)
    assert sized((640, 640), (1920, 1080)) == (640, 384)
    assert sized((320, 320), (480, 640)) == (256, 320)
    assert sized((320, 320), (500, 500)) == (320, 320)


@given(SIDES, SIDES, TARGETS, TARGETS)
def test_the_smallest_input_shows_the_region_in_the_same_size_as_the_target(
    width: int, height: int, wide: int, high: int
) -> None:
    geometry, box = Letterbox(target=(wide, high)), Box(0, 0, width, height)
    size = sized((wide, high), (width, height))
    assert size[0] % 32 == size[1] % 32 == 0
    assert size <= (wide, high)

    def pixels_across(view: View) -> tuple[float, float]:
        return view.size[0] / view.w * width, view.size[1] / view.h * height

    _, view = letterbox.show(geometry, size, noise(90, 90), box, "pad")
    _, whole = letterbox.show(Letterbox(), (wide, high), noise(90, 90), box, "pad")
    assert pixels_across(view) == pytest.approx(pixels_across(whole))


def test_what_is_left_of_a_box_at_the_edge_fits_into_the_input_that_was_chosen_for_all_of_it() -> None:
    """The input is as low as the whole box; the rest of it is as high, but narrow, and must not grow beyond."""
    geometry, box = Letterbox(target=(320, 320)), Box(-340, 0, 640, 480)
    size = sized((320, 320), (640, 480))
    image = noise(640, 480)
    picture, view = show(geometry, size, image, box, "clamp")
    assert picture.shape == (256, 320, 3)
    np.testing.assert_array_equal(picture, as_its_maker_does(image[:, :300], size))
    assert view.h == pytest.approx(480)


def test_at_the_top_left_sides_are_rounded_down_as_deeplabcut_does() -> None:
    geometry = Letterbox(0, "top_left")
    picture, view = show(geometry, (64, 64), np.full((75, 101, 3), 9, np.uint8), Box(0, 0, 101, 75), "pad")
    assert (picture[:47, :64] == 9).all()  # 75 · 64 / 101 = 47.5
    assert not picture[47:].any()
    assert view[:4] == pytest.approx((0, 0, 101, 64 * 75 / 47))
