"""YUV to RGB: every colour has the value that swscale gives it, or there is no converter."""

from __future__ import annotations

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from realtime_cropzoom.pictures.planes import Layout, rows
from realtime_cropzoom.pictures.regions import to_rgb
from realtime_cropzoom.pictures.yuv import find_converter
from realtime_cropzoom.types import Box, UInt8

MPEG, JPEG = 1, 2  # FFmpeg's numbers of the colour ranges
BT709, FCC, BT470BG, SMPTE240M, BT2020 = 1, 4, 5, 7, 9


def frame_of(name: str, planes: tuple[UInt8, ...], colour_range: int, space: int) -> av.VideoFrame:
    """Return a frame with these planes, all of them of the size of the first one's samples."""
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, name)
    frame.color_range, frame.colorspace = colour_range, space
    for memory, plane in zip(rows(frame), planes, strict=True):
        memory[: plane.shape[0], : plane.shape[1]] = plane
    return frame


def noise(*shape: int) -> UInt8:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def noisy(name: str, colour_range: int, space: int) -> av.VideoFrame:
    frame = av.VideoFrame(322, 240, name)
    for memory in rows(frame):
        memory[:] = noise(*memory.shape)
    frame.color_range, frame.colorspace = colour_range, space
    return frame


def layout_of(frame: av.VideoFrame) -> Layout:
    layout = Layout.of(frame.format.name)
    assert layout is not None
    return layout


@pytest.mark.parametrize("colour_range", [MPEG, JPEG], ids=["video range", "full range"])
@pytest.mark.parametrize("space", [BT709, FCC, BT470BG, SMPTE240M, BT2020])
@pytest.mark.parametrize("name", ["yuv420p", "yuv444p"])
def test_every_colour_has_the_value_of_swscale(name: str, space: int, colour_range: int) -> None:
    """Every luma meets every U and every V, in 16 of 256 of the combinations of both."""
    noise_frame = noisy(name, colour_range, space)
    converter = find_converter(layout_of(noise_frame), rows(noise_frame), to_rgb(VideoReformatter(), noise_frame))
    if converter is None:
        pytest.skip("swscale rounds in another way on this processor")
    u, v = (part.astype(np.uint8) for part in np.meshgrid(np.arange(256), np.arange(256)))
    block = 2 if name == "yuv420p" else 1
    for light in range(0, 256, 16):
        y = ((u.astype(int) * 7 + v * 3 + light) % 256).astype(np.uint8).repeat(block, 0).repeat(block, 1)
        frame = frame_of(name, (y, u, v), colour_range, space)
        whole = to_rgb(VideoReformatter(), frame)
        np.testing.assert_array_equal(converter.rgb(rows(frame), Box(0, 0, *y.shape)), whole)


@pytest.mark.parametrize("name", ["nv12", "gbrp", "yuv420p10le", "bgr24", "yuva420p"])
def test_other_formats_have_no_converter(name: str) -> None:
    frame = noisy(name, MPEG, BT709)
    assert find_converter(layout_of(frame), rows(frame), to_rgb(VideoReformatter(), frame)) is None


def test_one_other_pixel_means_no_converter() -> None:
    frame = noisy("yuv420p", MPEG, BT709)
    rgb = to_rgb(VideoReformatter(), frame).copy()
    rgb[200, 100, 1] ^= 1
    assert find_converter(layout_of(frame), rows(frame), rgb) is None
