"""Decoded pictures: each region has the pixels of the whole frame's conversion, whatever the format."""

from __future__ import annotations

import io
import platform
import threading
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.pictures.decoded import DecodedPicture, DecodedPictures
from realtime_cropzoom.pictures.planes import rows
from realtime_cropzoom.pictures.turn import AS_IT_IS, Turn
from realtime_cropzoom.types import Picture, UInt8

JPEG, MPEG = 2, 1  # FFmpeg's numbers of the colour ranges
BT709, BT470BG, UNKNOWN = 1, 5, 2
SIZES = ((640, 480), (642, 482), (1285, 400), (641, 479))
ANY_SIZE = ("gray", "gray10le", "gray16le", "rgb24", "bgr24", "bgr0", "rgba", "gbrp", "yuv444p", "yuvj444p",
            "yuv444p10le")  # fmt: skip
ODD_WIDTH = ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p")
"""Formats that are scaled if their height is odd."""
EVEN = ("nv12", "nv21", "yuyv422", "uyvy422", "yuv420p10le", "yuv422p10le", "p010le")
"""Formats that are scaled if their width is odd."""
WHOLE = ("pal8", "monow", "rgb565le")


def frame_of_noise(
    name: str, width: int, height: int, *, colour_range: int = MPEG, space: int = BT709
) -> av.VideoFrame:
    rng = np.random.default_rng(width)
    frame = av.VideoFrame(width, height, name)
    for plane in frame.planes:
        memory = np.frombuffer(memoryview(plane), np.uint8)
        memory[:] = rng.integers(0, 256, memory.size, np.uint8)
        if "10le" in name and not name.startswith("p0"):
            values = memory.view("<u2")
            values &= 1023
    frame.color_range, frame.colorspace = colour_range, space
    return frame


def whole_rgb(frame: av.VideoFrame) -> UInt8:
    """Convert a whole frame, as players do."""
    return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def some_regions(height: int, width: int, count: int = 25) -> list[tuple[slice, slice]]:
    """Return regions of all sizes: at the corners, at the edges, inside, and one pixel."""
    rng, found = np.random.default_rng(height), [(slice(0, 1), slice(width - 1, width))]
    for number in range(count):
        h, w = int(rng.integers(1, min(height, 300))), int(rng.integers(1, min(width, 300)))
        top, left = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
        top = (top, 0, height - h, top, top)[number % 5]
        left = (left, 0, width - w, 0, width - w)[number % 5]
        found.append((slice(top, top + h), slice(left, left + w)))
    return found


def assert_regions(picture: Picture, whole: UInt8) -> None:
    assert picture.shape == whole.shape
    for region in some_regions(*whole.shape[:2]):
        np.testing.assert_array_equal(picture[region], whole[region])
    np.testing.assert_array_equal(np.asarray(picture), whole)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", [*ANY_SIZE, *ODD_WIDTH, *EVEN])
def test_a_region_has_the_pixels_of_the_whole_frame(name: str, size: tuple[int, int]) -> None:
    for colour_range, space in ((MPEG, BT709), (JPEG, BT470BG), (0, UNKNOWN)):
        frame = frame_of_noise(name, *size, colour_range=colour_range, space=space)
        assert_regions(DecodedPictures().of(frame), whole_rgb(frame))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", [*ANY_SIZE, *ODD_WIDTH, *EVEN])
def test_frames_of_common_formats_and_sizes_are_kept(name: str, size: tuple[int, int]) -> None:
    width_is_odd, height_is_odd = size[0] % 2, size[1] % 2
    scaled = (name in ODD_WIDTH and height_is_odd) or (name in EVEN and width_is_odd)
    picture = DecodedPictures().of(frame_of_noise(name, *size))
    assert picture.is_cheap or scaled, "docs/explanation/accuracy.md says that it is converted by regions"


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", [*ANY_SIZE, *ODD_WIDTH, *EVEN])
def test_single_rows_have_the_pixels_of_the_whole_frame(name: str, size: tuple[int, int]) -> None:
    frame = frame_of_noise(name, *size)
    picture, whole, rng = DecodedPictures().of(frame), whole_rgb(frame), np.random.default_rng(7)
    group = picture.row_group
    for count in (1, 2, 51, 120) if group else ():
        first = np.sort(rng.choice(size[1] // group, count, replace=False)) * group
        numbers = (first[:, None] + np.arange(group)).ravel()
        np.testing.assert_array_equal(picture.rows(numbers), whole[numbers])


def test_rows_of_common_formats_are_converted_alone() -> None:
    groups = {"gray": 1, "yuv444p": 1, "bgr24": 1, "yuv420p": 2, "yuvj422p": 2}
    assert {name: DecodedPictures().of(frame_of_noise(name, 640, 480)).row_group for name in groups} == groups
    assert not DecodedPictures().of(frame_of_noise("yuv420p", 640, 480), Turn(flipped_down=True)).row_group


def test_single_pixels_of_common_formats_are_converted() -> None:
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("swscale rounds in another way on this processor")
    for name in ("gray", "yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p"):
        assert DecodedPictures().of(frame_of_noise(name, 640, 480)).is_sampled, name
    assert not DecodedPictures().of(frame_of_noise("yuv420p", 640, 480), Turn(flipped_down=True)).is_sampled


@pytest.mark.parametrize("name", WHOLE)
def test_other_formats_are_converted_whole(name: str) -> None:
    frame = frame_of_noise(name, 320, 240)
    picture = DecodedPictures().of(frame)
    assert_regions(picture, whole_rgb(frame))


def test_a_tiny_frame_is_converted_whole() -> None:
    frame = frame_of_noise("yuv420p", 40, 30)
    picture = DecodedPictures().of(frame)
    assert not picture.is_cheap
    assert_regions(picture, whole_rgb(frame))


@pytest.mark.parametrize(
    "turn", [Turn(True, True, False), Turn(False, True, True), Turn(True), Turn(False, True)], ids=str
)
def test_a_turned_picture_is_turned_after_its_conversion(turn: Turn) -> None:
    frame = frame_of_noise("yuv420p", 322, 240)
    picture = DecodedPictures().of(frame, turn)
    assert_regions(picture, turn.apply(whole_rgb(frame)))
    assert picture[10:50, 20:90].flags.c_contiguous, "libraries in C expect rows from left to right"


@pytest.mark.parametrize("codec", ["mpeg2video", "libx264", "ffv1", "mjpeg"])
def test_frames_of_real_decoders_have_the_same_pixels(codec: str) -> None:
    for frame in decoded_film(codec)[:3]:
        assert_regions(DecodedPictures().of(frame), whole_rgb(frame))


def test_interlaced_frames_have_the_same_pixels() -> None:
    frame = decoded_film("mpeg2video", {"flags": "+ildct+ilme"})[0]
    assert frame.interlaced_frame
    picture = DecodedPictures().of(frame)
    assert picture.is_cheap
    assert_regions(picture, whole_rgb(frame))


def test_a_region_outlives_later_regions() -> None:
    for name in ("yuv420p", "rgb24", "bgr24"):
        frame = frame_of_noise(name, 320, 240)
        picture, whole = DecodedPictures().of(frame), whole_rgb(frame)
        first = picture[0:64, 0:64]
        _ = picture[64:128, 64:128]
        np.testing.assert_array_equal(first, whole[0:64, 0:64])


def test_regions_follow_a_change_within_the_stream() -> None:
    pictures = DecodedPictures()
    for kind in (
        ("yuv420p", 320, 240, MPEG),
        ("yuv420p", 320, 240, JPEG),
        ("gray", 640, 240, JPEG),
        ("nv12", 320, 240, MPEG),
    ):
        frame = frame_of_noise(*kind[:3], colour_range=kind[3])
        assert_regions(pictures.of(frame), whole_rgb(frame))


def test_threads_read_one_picture_at_once() -> None:
    frame = frame_of_noise("nv12", 640, 480)
    picture, whole = DecodedPictures().of(frame), whole_rgb(frame_of_noise("nv12", 640, 480))
    wrong: list[object] = []

    def read(look: Callable[[], bool]) -> None:
        try:
            wrong.extend("other pixels" for _ in range(40) if not look())
        except Exception as error:  # reported below: a thread has no other way
            wrong.append(error)

    looks = [
        lambda: np.array_equal(picture[100:340, 200:440], whole[100:340, 200:440]),
        lambda: np.array_equal(picture[0:100, 600:640], whole[0:100, 600:640]),
        lambda: np.array_equal(np.asarray(picture), whole),
        lambda: np.array_equal(np.asarray(picture), whole),
    ]
    threads = [threading.Thread(target=read, args=(look,)) for look in looks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@given(st.data())
def test_any_region_is_the_array_indexed_likewise(data: st.DataObject) -> None:
    height, width, _ = PICTURE.shape
    top, left = data.draw(st.integers(0, height)), data.draw(st.integers(0, width))
    bottom, right = data.draw(st.integers(top, height + 5)), data.draw(st.integers(left, width + 5))
    np.testing.assert_array_equal(PICTURE[top:bottom, left:right], ARRAY[top:bottom, left:right])


def test_a_plane_that_is_stored_upside_down_is_read_from_its_first_row(tmp_path: Path) -> None:
    path = tmp_path / "raw.avi"
    with av.open(str(path), "w") as container:  # AVI stores RGB from the last row to the first
        stream = container.add_stream("rawvideo", rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "bgr24"
        container.mux(stream.encode(frame_of_noise("bgr24", 128, 96)))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        assert_regions(DecodedPictures().of(frame), whole_rgb(frame))


def test_copy_to_writes_the_whole_picture() -> None:
    frame = frame_of_noise("yuv420p", 320, 240)
    out = np.empty((240, 320, 3), np.uint8)
    DecodedPictures().of(frame).copy_to(out)
    np.testing.assert_array_equal(out, whole_rgb(frame))


def test_rows_are_the_memory_of_the_frame() -> None:
    frame = frame_of_noise("yuv420p", 320, 240)
    rows(frame)[0][:] = 16
    assert (np.frombuffer(memoryview(frame.planes[0]), np.uint8) == 16).all()


def decoded_film(codec: str, options: dict[str, str] | None = None) -> list[av.VideoFrame]:
    """Return decoded frames of noise in large grains, 322x240."""
    if codec not in av.codecs_available:
        pytest.skip(f"no encoder {codec}")
    memory, rng = io.BytesIO(), np.random.default_rng(3)
    with av.open(memory, "w", format="matroska") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = 322, 240
        stream.pix_fmt = {"mjpeg": "yuvj422p", "ffv1": "bgr0"}.get(codec, "yuv420p")
        for _ in range(4):
            image = np.kron(rng.integers(0, 256, (30, 46, 3), np.uint8), np.ones((8, 7, 1), np.uint8))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")))
        container.mux(stream.encode())
    memory.seek(0)
    with av.open(memory, "r") as container:
        return list(container.decode(video=0))


PICTURE: DecodedPicture = DecodedPictures().of(frame_of_noise("yuv420p", 322, 240), AS_IT_IS)
ARRAY = np.asarray(PICTURE)
