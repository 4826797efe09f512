"""Small pictures: those of the whole frame, whatever its format, size and turn."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from realtime_cropzoom.pictures.decoded import DecodedPictures
from realtime_cropzoom.pictures.small import Shrinker, small_size
from realtime_cropzoom.pictures.turn import AS_IT_IS, Turn
from realtime_cropzoom.sources.machine_vision.pixel_formats import pixel_format
from realtime_cropzoom.types import Picture, UInt8

LIMIT = 320
REFORMATTER = VideoReformatter()
GRAY = ("gray", "gray10le", "gray16le")
COLOUR = ("rgb24", "bgr24", "bgr0", "rgba", "gbrp", "rgb48le", "yuv444p", "yuv444p10le", "yuv420p", "yuvj420p",
          "yuv422p", "yuvj422p", "yuv411p", "nv12", "nv21", "yuyv422", "uyvy422", "yuv420p10le", "p010le")  # fmt: skip
NOT_SCALED = ("rgb565le", "gray16be", "monow")
"""Formats that are converted as a whole first."""
SIZES = ((640, 480), (642, 482), (641, 479), (200, 150), (2048, 1536), (400, 1300))


def ramp(width: int, height: int) -> UInt8:
    """A picture whose colours say where one is."""
    y, x = np.mgrid[:height, :width]
    planes = (x * 255 / width, y * 255 / height, (x + y) * 255 / (width + height))
    return np.stack(planes, axis=-1).astype(np.uint8)


def frame(name: str, size: tuple[int, int]) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(ramp(*size), format="rgb24").reformat(format=name, threads=1)


def small(picture: Picture, limit: int = LIMIT) -> UInt8:
    """Return the small picture as RGB or gray."""
    found = Shrinker(limit).shrink(picture).bgr_or_gray(REFORMATTER)
    assert found.flags.c_contiguous
    return found if found.ndim == 2 else found[:, :, ::-1]


def expected(whole: UInt8, limit: int = LIMIT) -> np.ndarray:
    size = small_size(whole.shape[1], whole.shape[0], limit)
    return np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA)).astype(int)


@pytest.mark.parametrize(
    ("size", "limit", "becomes"),
    [
        ((640, 480), 640, (640, 480)),
        ((1280, 1024), 640, (640, 512)),
        ((480, 1280), 640, (240, 640)),
        ((3841, 2161), 640, (640, 360)),
        ((5000, 1), 640, (640, 1)),
        ((32, 17), 640, (32, 17)),
    ],
)
def test_the_longer_side_is_limited_and_the_shape_kept(
    size: tuple[int, int], limit: int, becomes: tuple[int, int]
) -> None:
    assert small_size(*size, limit) == becomes


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", [*GRAY, *COLOUR, *NOT_SCALED])
def test_it_shows_the_whole_frame(name: str, size: tuple[int, int]) -> None:
    picture = DecodedPictures().of(frame(name, size))
    whole, found = np.asarray(picture), small(picture)
    assert (found.ndim == 2) == (name in (*GRAY, "gray16be", "monow"))
    if name != "monow":  # black and white dots, whose means depend on which rows are read
        off = np.abs(found - (expected(whole)[:, :, 0] if found.ndim == 2 else expected(whole)))
        assert off.max() <= 6, "colours of a ramp that are a pixel of the small picture off"
        assert off.mean() <= 1.5


@pytest.mark.parametrize("turn", [Turn(transposed=a, flipped_across=b, flipped_down=c)
                                  for a in (False, True) for b in (False, True) for c in (False, True)])  # fmt: skip
def test_it_is_turned_as_the_frame_is(turn: Turn) -> None:
    picture = DecodedPictures().of(frame("yuv420p", (900, 500)), turn)
    found = small(picture)
    assert found.shape[:2] == ((LIMIT, 178) if turn.transposed else (178, LIMIT))
    assert np.abs(found - expected(np.asarray(picture))).max() <= 6


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_arrays_are_scaled_and_small_ones_copied(size: tuple[int, int]) -> None:
    image = ramp(*size)
    before = Shrinker(LIMIT).shrink(image)
    found = before.bgr_or_gray(REFORMATTER)[:, :, ::-1].copy()
    assert np.abs(found - expected(image)).max() <= 3
    image[:] = 0  # the slot of the ring is used again
    np.testing.assert_array_equal(before.bgr_or_gray(REFORMATTER)[:, :, ::-1], found)


def test_a_mono_camera_of_16_bits_gives_gray_pictures() -> None:
    values = np.linspace(0, 65535, 640 * 480).astype("<u2").reshape(480, 640)
    image, mono16 = np.empty((480, 640, 3), np.uint8), pixel_format("Mono16")
    assert mono16 is not None
    mono16.to_rgb(values.view(np.uint8).ravel(), image)
    found = small(image)
    assert found.shape == (240, 320)
    assert np.abs(found.astype(int) - cv2.resize(image[:, :, 0], (320, 240), interpolation=cv2.INTER_AREA)).max() <= 1


def test_one_coloured_pixel_makes_a_picture_a_coloured_one() -> None:
    image = np.full((48, 64, 3), 90, np.uint8)
    assert small(image).ndim == 2
    image[31, 17, 0] += 1
    np.testing.assert_array_equal(small(image), image)


def test_frames_of_a_stream_that_changes_do_not_mix() -> None:
    shrinker, pictures = Shrinker(LIMIT), DecodedPictures()
    for name, size in (("yuv420p", (640, 480)), ("yuv420p", (480, 640)), ("gray", (640, 480)), ("yuv420p", (640, 480))):
        picture = pictures.of(frame(name, size), AS_IT_IS)
        found, fresh = shrinker.shrink(picture).bgr_or_gray(REFORMATTER), small(picture)
        np.testing.assert_array_equal(found if found.ndim == 2 else found[:, :, ::-1], fresh)
