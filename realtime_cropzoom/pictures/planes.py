"""Planes of a decoded frame: where the pixels of a region are in its memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import av
import cv2
import numpy as np

from realtime_cropzoom.types import Box, Int64, UInt8

ALIGNMENT = 4
"""Regions begin and end at multiples of this (pixels), so that they hold whole samples of the chroma, also in each of
the two fields of an interlaced frame."""
_SPAN = 64
"""Size (pixels) of the picture from which the layout is read. It is a multiple of every subsampling."""


_ROWS_READ = 2
"""Minimum number of rows that are averaged in each row of a scaled image, if it is at most half as high."""


@dataclass(frozen=True, slots=True)
class _PlaneLayout:
    """Layout of a plane."""

    width: int
    """Pixels of the frame for each ``step`` of a row."""
    height: int
    """Rows of the frame for each row."""
    step: int
    """Bytes."""

    def part(self, rows: UInt8, region: Box) -> UInt8:
        """Return the part of the plane, (h, bytes), that shows a region."""
        top, left = region.y // self.height, region.x // self.width * self.step
        bottom, right = -(-(region.y + region.h) // self.height), -(-(region.x + region.w) // self.width) * self.step
        return rows[top:bottom, left:right]


@dataclass(frozen=True, slots=True)
class Layout:
    """Layout of the planes of a pixel format."""

    planes: tuple[_PlaneLayout, ...]

    @staticmethod
    def of(format_name: str) -> Layout | None:
        """Return the layout of a pixel format, as FFmpeg names it; None if its pixels cannot be told apart by bytes."""
        found = av.VideoFormat(format_name, _SPAN, _SPAN)
        if found.has_palette or found.is_bit_stream or (len(_planes(found)) == 1 and found.padded_bits_per_pixel % 8):
            return None
        return Layout(tuple(_plane_layout(found, plane) for plane in _planes(found)))

    def copy(self, frame: av.VideoFrame, region: Box, out: list[UInt8]) -> None:
        """Copy a region of a frame.

        Args:
            frame: The frame.
            region: The region (pixels), inside the frame. It begins at multiples of ``ALIGNMENT``, and ends there or at
                the edge of the frame.
            out: The ``rows`` of a frame of the size of the region.
        """
        inside = Box(0, 0, region.w, region.h)
        for layout, source, target in zip(self.planes, rows(frame), out, strict=True):
            np.copyto(layout.part(target, inside), layout.part(source, region))

    def copy_rows(self, frame: av.VideoFrame, numbers: Int64, out: list[UInt8]) -> None:
        """Copy some rows of a frame.

        Args:
            frame: The frame.
            numbers: Which rows, in whole groups that share the rows of a plane.
            out: The ``rows`` of a frame of the same width.
        """
        for layout, source, target in zip(self.planes, rows(frame), out, strict=True):
            length = min(source.shape[1], target.shape[1])
            target[:, :length] = source[numbers[:: layout.height] // layout.height, :length]


def average(image: np.ndarray, out: np.ndarray) -> None:
    """Scale an image down: each pixel of ``out`` becomes the mean of those that it covers.

    Of large images not all rows are read, which takes a third of the time for 4K. Two or more go into each row.

    Args:
        image: (H, W, channels), of a type that OpenCV scales.
        out: (h, w, channels), of the same type. It is overwritten.
    """
    height, width = out.shape[:2]
    step = max(1, len(image) // (_ROWS_READ * height))
    cv2.resize(image[step // 2 :: step], (width, height), dst=out, interpolation=cv2.INTER_AREA)


@dataclass(frozen=True, slots=True)
class _PlaneScaling:
    """The samples of a plane, as an image that can be scaled."""

    channels: int
    """Number of values that are scaled side by side."""
    value: np.dtype[Any]
    """Type of a value."""

    def image(self, rows: UInt8, width: int) -> UInt8:
        """Return a plane, (rows, bytes), as (h, ``width``, channels): the same memory."""
        length = width * self.channels * self.value.itemsize
        return rows[:, :length].view(self.value).reshape(len(rows), width, self.channels)


@dataclass(frozen=True, slots=True)
class Scaling:
    """Scales the planes of frames of a pixel format, without a conversion."""

    planes: tuple[tuple[int, _PlaneScaling], ...]
    """Of each plane: the pixels of the frame for each sample of its image, and the image."""

    @staticmethod
    def of(format_name: str) -> Scaling | None:
        """Return the scaling of a pixel format, as FFmpeg names it.

        Returns:
            None if its values are not whole bytes, or mean something else than colours side by side.
        """
        found = av.VideoFormat(format_name, _SPAN, _SPAN)
        layout, bits = Layout.of(format_name), {component.bits for component in found.components}
        if layout is None or format_name.startswith("bayer") or (found.is_big_endian and max(bits) > 8):
            return None
        if bits != {8} and not (min(bits) > 8 and max(bits) <= 16):
            return None
        value = np.dtype("<u2" if max(bits) > 8 else "u1")
        planes = tuple(_plane_scaling(found, plane, layout.planes[plane], value) for plane in _planes(found))
        return None if any(scaling is None for _, scaling in planes) else Scaling(planes)  # type: ignore[arg-type]

    def scale(self, frame: av.VideoFrame, out: av.VideoFrame) -> None:
        """Write a frame, scaled, into one of the same format. Only the planes of ``frame`` are read."""
        for (width, plane), source, target in zip(self.planes, rows(frame), rows(out), strict=True):
            image, small = plane.image(source, -(-frame.width // width)), plane.image(target, -(-out.width // width))
            average(image, small)


def _plane_scaling(
    found: av.VideoFormat, plane: int, layout: _PlaneLayout, value: np.dtype[Any]
) -> tuple[int, _PlaneScaling | None]:
    """Return the pixels of the frame for each sample of a plane, and its image; None if bytes are shared by values."""
    parts = [component for component in found.components if component.plane == plane]
    shared = max(part.width for part in parts) // min(part.width for part in parts)  # 2 in yuyv422
    step = layout.step * shared
    channels, rest = divmod(step, value.itemsize)
    values = sum(part.width * shared // max(part.width for part in parts) for part in parts)
    fits = rest == 0 and values <= channels <= values + (shared == 1)  # a byte more holds nothing, as in bgr0
    return layout.width * shared, _PlaneScaling(channels, value) if fits else None


def rows(frame: av.VideoFrame) -> list[UInt8]:
    """Return each plane of a frame as (rows, bytes) uint8: its own memory, with the bytes that fill up its rows."""
    found = []
    for plane in frame.planes:
        flat = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, abs(plane.line_size))
        found.append(flat if plane.line_size > 0 else flat[::-1])
    return found


def _planes(layout: av.VideoFormat) -> list[int]:
    return sorted({component.plane for component in layout.components})


def _plane_layout(layout: av.VideoFormat, plane: int) -> _PlaneLayout:
    parts = [component for component in layout.components if component.plane == plane]
    width, height = max(part.width for part in parts), max(part.height for part in parts)
    row_bytes = sum(part.width * -(-part.bits // 8) for part in parts)
    if len(_planes(layout)) == 1:  # a byte that holds nothing, as in bgr0, is no component
        row_bytes = _SPAN * layout.padded_bits_per_pixel // 8
    return _PlaneLayout(_SPAN // width, _SPAN // height, row_bytes // width)
