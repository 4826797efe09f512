"""Stretch: what the picture shows is where the view says, also where the region was widened."""

from __future__ import annotations

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.models import tiny_manifest

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.inference.crop import Edge
from realtime_cropzoom.inference.geometries import choose_size, show
from realtime_cropzoom.inference.geometries.stretch import widened
from realtime_cropzoom.inference.geometries.view import View
from realtime_cropzoom.inference.manifest import Input, Stretch
from realtime_cropzoom.types import Box, UInt8

PLAIN, WIDENING = Stretch("uint8"), Stretch("uint8", widen=True)
BOXES = st.builds(
    Box, st.integers(-500, 500), st.integers(-500, 500), st.integers(1, 600), st.integers(1, 600)
)  # fmt: skip
SIZES = st.tuples(st.integers(16, 512), st.integers(16, 512))


def noise(height: int = 120, width: int = 160) -> UInt8:
    return np.random.default_rng(0).integers(1, 256, (height, width, 3), np.uint8)


def test_a_region_of_the_inputs_size_keeps_its_pixels() -> None:
    image, box = noise(), Box(20, 10, 64, 48)
    picture, view = show(PLAIN, (64, 48), image, box, "pad")
    np.testing.assert_array_equal(picture, image[10:58, 20:84])
    assert view == View.of(box, (64, 48))


@pytest.mark.parametrize(
    ("edge", "used"), [("pad", Box(-10, 80, 60, 60)), ("clamp", Box(0, 80, 50, 40))], ids=["pad", "clamp"]
)
def test_a_region_is_resized_bilinearly_in_uint8(edge: Edge, used: Box) -> None:
    image, box = noise(), Box(-10, 80, 60, 60)
    picture, view = show(PLAIN, (64, 48), image, box, edge)
    surrounded = np.pad(image, ((20, 20), (20, 20), (0, 0)))
    cut = surrounded[100 : 100 + used.h, 20 + int(used.x) : 20 + int(used.x) + used.w]
    np.testing.assert_array_equal(picture, cv2.resize(cut, (64, 48), interpolation=cv2.INTER_LINEAR))
    assert view == View(*used, (64, 48), box)


@pytest.mark.parametrize("geometry", [PLAIN, WIDENING], ids=["plain", "widened"])
@pytest.mark.parametrize("box", [Box(20, 10, 60, 60), Box(-25, -15, 90, 90), Box(30, 20, 31, 47), Box(0, 0, 160, 120)])
def test_a_marker_in_the_frame_shows_where_the_view_says(geometry: Stretch, box: Box) -> None:
    image = np.zeros((120, 160, 3), np.uint8)
    image[38:41, 43:46] = 255
    picture, view = show(geometry, (128, 96), image, box, "pad")
    column, row = view.to_input(np.array([[44.5, 39.5]], np.float32))[0]
    assert picture[int(row), int(column), 0] > 0.9 * picture.max()


@given(BOXES, SIZES)
def test_a_widened_region_has_the_inputs_aspect_and_holds_the_box(box: Box, size: tuple[int, int]) -> None:
    found = widened(box, size)
    aspect = size[0] / size[1]
    assert abs(found.w - found.h * aspect) <= 1 + aspect, "but for the rounding"
    assert found.x <= box.x + 0.5
    assert found.y <= box.y + 0.5
    assert found.x + found.w >= box.x + box.w - 0.5
    assert found.y + found.h >= box.y + box.h - 0.5
    assert min(abs(found.w - box.w), abs(found.h - box.h)) <= 1, "one side stays"


def test_corners_are_rounded_half_to_even() -> None:
    assert widened(Box(10, 0, 10, 20), (100, 100)) == Box(5, 0, 20, 20)
    assert widened(Box(0, 0, 5, 10), (10, 10)) == Box(-2, 0, 10, 10)
    assert widened(Box(1, 0, 5, 10), (10, 10)) == Box(-2, 0, 10, 10)


def test_a_widened_region_beyond_the_frame_is_padded() -> None:
    picture, view = show(WIDENING, (64, 64), np.full((40, 80, 3), 9, np.uint8), Box(0, 0, 80, 40), "clamp")
    assert view == View(0, -20, 80, 80, (64, 64), Box(0, 0, 80, 40))
    assert (picture[0].max(), picture[-1].max(), picture[32].min()) == (0, 0, 9)


def test_the_input_has_its_own_size_or_is_refused() -> None:
    manifest = tiny_manifest(size=(64, 48))
    assert choose_size(manifest, (200, 100), "m.onnx") == (64, 48)
    with pytest.raises(ModelError, match=r"m\.onnx leaves its image size open; export it with a fixed height"):
        choose_size(msgspec.structs.replace(manifest, input=Input()), (200, 100), "m.onnx")
