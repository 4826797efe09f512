"""Pixel formats of machine-vision cameras: conversion from the layouts of the standards to 8-bit RGB."""

from __future__ import annotations

import numpy as np
import pytest

from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.sources.machine_vision.pixel_formats import choose_format, pixel_format
from realtime_cropzoom.types import UInt8

SIZES = [(8, 6), (7, 5), (1, 1), (5, 3)]
ORDERS = {"BayerRG": "RGGB", "BayerGR": "GRBG", "BayerGB": "GBRG", "BayerBG": "BGGR"}


def packed(values: np.ndarray, bits: int, packing: str) -> UInt8:
    """Pack values as the standards describe, bit by bit."""
    if packing == "p":
        stream = [(int(value) >> bit) & 1 for value in values for bit in range(bits)]
        return np.packbits(np.array(stream, np.uint8), bitorder="little")
    if packing == "Packed":
        low = bits - 8
        data = []
        for first, second in np.pad(values, (0, len(values) % 2)).reshape(-1, 2):
            mask = (1 << low) - 1
            data += [first >> low, (first & mask) | (second & mask) << 4, second >> low]
        return np.array(data, np.uint8)[: (len(values) * 3 + 1) // 2]
    return values.astype("<u2").view(np.uint8) if bits > 8 else values.astype(np.uint8)


def rgb(name: str, data: UInt8, size: tuple[int, int]) -> UInt8:
    found = pixel_format(name)
    assert found is not None
    assert len(data) == found.image_bytes(*size)
    out = np.full((size[1], size[0], 3), 7, np.uint8)
    found.to_rgb(data, out)
    return out


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(
    ("name", "bits", "packing"),
    [
        ("Mono8", 8, ""), ("Mono10", 10, ""), ("Mono12", 12, ""), ("Mono14", 14, ""), ("Mono16", 16, ""),
        ("Mono10p", 10, "p"), ("Mono12p", 12, "p"), ("Mono14p", 14, "p"),
        ("Mono10Packed", 10, "Packed"), ("Mono12Packed", 12, "Packed"),
    ],
)  # fmt: skip
def test_mono_formats_use_the_upper_8_bits(name: str, bits: int, packing: str, size: tuple[int, int]) -> None:
    values = np.random.default_rng(0).integers(0, 1 << bits, size[0] * size[1])
    out = rgb(name, packed(values, bits, packing), size)
    expected = (values >> (bits - 8)).astype(np.uint8).reshape(size[1], size[0])
    assert np.array_equal(out, np.repeat(expected[..., None], 3, axis=2))
    found = pixel_format(name)
    assert found is not None
    assert (found.note is None) == (bits == 8)


@pytest.mark.parametrize(("depth", "bits", "packing"), [("8", 8, ""), ("12", 12, ""), ("12p", 12, "p")])
@pytest.mark.parametrize("layout", ORDERS)
def test_bayer_formats_keep_colours(layout: str, depth: str, bits: int, packing: str) -> None:
    """Return a picture with red on the left and blue on the right, as a sensor with that filter sees it."""
    height, width = 12, 16
    scene = np.zeros((height, width, 3), np.int64)
    scene[:, :8, 0], scene[:, 8:, 2], scene[..., 1] = 200, 100, 50
    mosaic = np.empty((height, width), np.int64)
    for index, colour in enumerate(ORDERS[layout]):
        rows, columns = slice(index // 2, None, 2), slice(index % 2, None, 2)
        mosaic[rows, columns] = scene[rows, columns, "RGB".index(colour)]
    out = rgb(f"{layout}{depth}", packed((mosaic << (bits - 8)).ravel(), bits, packing), (width, height))
    assert (out[2:-2, 2:6] == (200, 50, 0)).all()
    assert (out[2:-2, 10:-2] == (0, 50, 100)).all()


def test_interleaved_colours_keep_their_order() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)
    for name in ("RGB8", "RGB8Packed"):
        assert np.array_equal(rgb(name, picture.ravel(), (7, 5)), picture)
    for name in ("BGR8", "BGR8Packed"):
        assert np.array_equal(rgb(name, picture[..., ::-1].ravel(), (7, 5)), picture)


@pytest.mark.parametrize("name", ["YUV422_8", "Mono16p", "Mono12pmsb", "RGB10", "BayerXY8", "Coord3D_C16", "mono8", ""])
def test_unsupported_formats_are_none(name: str) -> None:
    assert pixel_format(name) is None


def test_the_requested_format_is_chosen_or_else_the_cameras_own() -> None:
    offered = ["YUV422_8", "Mono8", "Mono12", "BayerGB8"]
    assert choose_format("Mono12", "Mono8", offered, "cam").name == "Mono12"
    assert choose_format(None, "Mono12", offered, "cam").name == "Mono12"
    assert choose_format(None, "YUV422_8", offered, "cam").name == "BayerGB8"
    with pytest.raises(SourceError, match=r"cam: pixel format Mono9 is not available; .* Mono8, Mon"):
        choose_format("Mono9", "Mono8", offered, "cam")
    with pytest.raises(SourceError, match="YUV422_8 is not supported"):
        choose_format("YUV422_8", "Mono8", offered, "cam")
    with pytest.raises(SourceError, match="cam offers YUV422_8; expected a mono, Bayer or RGB format"):
        choose_format(None, "YUV422_8", ["YUV422_8"], "cam")
