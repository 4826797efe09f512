"""Planes of a decoded frame: where the pixels of a region are in its memory."""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np

from realtime_cropzoom.types import Box, Int64, UInt8

ALIGNMENT = 4
"""Regions begin and end at multiples of this (pixels), so that they hold whole samples of the chroma, also in each of
the two fields of an interlaced frame."""
_SPAN = 64
"""Size (pixels) of the picture from which the layout is read. It is a multiple of every subsampling."""


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
