"""YUV to RGB for single pixels: what swscale computes, in a compiled loop.

swscale converts whole rows. A detector reads few pixels of each, and for 4:4:4 swscale is slow. Its result depends on
the format, the sizes, and the processor: it has two ways to round, see ``_products`` and ``_sums``. ``find_converter``
looks for the one that gives the same pixels in a frame of noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from realtime_cropzoom.compiled import compiled, inlined
from realtime_cropzoom.pictures.planes import Layout
from realtime_cropzoom.types import Box, Float32, Int64, Sampling, UInt8

_RED_BLUE = ((0.299, 0.114), (0.2126, 0.0722), (0.2627, 0.0593), (0.30, 0.11), (0.212, 0.087))
"""Shares of red and of blue in the luma: BT.601, BT.709, BT.2020, FCC, SMPTE 240M."""
_BITS = 13
"""Number of fractional bits of swscale's coefficients."""
_FEW_ROWS = 4
"""Number of rows with which most candidates are ruled out."""
_ALWAYS_ZERO = 31
"""Shift that makes every row and column of a frame 0."""
_GRAY = np.full((1, 1), 128, np.uint8)
"""Chroma of a frame that has none."""

int32 = np.int32


@dataclass(frozen=True, slots=True, eq=False)
class YuvConverter:
    """Converts pixels of frames of one kind. Threads may share it."""

    coefficients: npt.NDArray[np.int32]
    """Luma of black and gain of the luma; share of V in red and in green; share of U in green and in blue."""
    sums: bool
    """Whether a sum is rounded, see ``_sums``; else each product is, see ``_products``."""
    down: int
    """Logarithm (base 2) of the number of rows that share their chroma."""
    across: int
    """Logarithm of the number of columns that share their chroma."""

    @property
    def is_faster(self) -> bool:
        """Whether it converts a region faster than swscale, which takes more time for sums."""
        return self.sums

    def rgb(self, planes: list[UInt8], region: Box) -> UInt8:
        """Return a region as RGB, (h, w, 3) uint8.

        Args:
            planes: The planes of a frame, see ``planes.rows``. Each is C-contiguous.
            region: The region (pixels), inside the frame.
        """
        out = np.empty((region.h, region.w, 3), np.uint8)
        left, top, _, _ = region.pixels()
        _convert(*_three(planes), left, top, self.down, self.across, self.coefficients, self.sums, out)
        return out

    def resize(self, planes: list[UInt8], size: tuple[int, int], region: Box, sampling: Sampling, out: Float32) -> None:
        """Resize a region bilinearly. What lies outside of the frame is black.

        Args:
            planes: As in ``rgb``.
            size: (width, height) of the frame (pixels).
            region: The region (pixels). It may reach beyond the frame.
            sampling: Which of its pixels are read, and how they are mixed.
            out: (3, H, W) float32, overwritten with the result.
        """
        left, top, _, _ = region.pixels()
        columns, rows = _inside(sampling.columns + left, size[0]), _inside(sampling.rows + top, size[1])
        weights, colours = (sampling.row_weights, sampling.column_weights), (sampling.scale, sampling.shift)
        _resize(
            *_three(planes),
            self.down,
            self.across,
            self.coefficients,
            self.sums,
            rows,
            columns,
            *weights,
            *colours,
            out,
        )


def _inside(places: Int64, limit: int) -> Int64:
    """Return the places; −1 for those outside of the frame."""
    return np.where(places < limit, np.maximum(places, -1), -1)


def _three(planes: list[UInt8]) -> tuple[UInt8, UInt8, UInt8]:
    return (planes[0], planes[1], planes[2]) if len(planes) == 3 else (planes[0], _GRAY, _GRAY)


def find_converter(layout: Layout, planes: list[UInt8], rgb: UInt8) -> YuvConverter | None:
    """Return the converter that gives the pixels of swscale; None if there is none.

    Args:
        layout: Layout of the planes.
        planes: The planes of a frame of noise, see ``planes.rows``.
        rgb: (H, W, 3) uint8, that frame as swscale converts it.
    """
    subsampling = _subsampling(layout)
    if subsampling is None:
        return None
    height, width, _ = rgb.shape
    for coefficients, sums in product(_candidates(), (False, True)):
        converter = YuvConverter(coefficients, sums, *subsampling)
        if all(np.array_equal(converter.rgb(planes, Box(0, 0, width, h)), rgb[:h]) for h in (_FEW_ROWS, height)):
            return converter
    return None


def _subsampling(layout: Layout) -> tuple[int, int] | None:
    """Return ``down`` and ``across`` of a converter; None if a plane holds more than one value of a byte a pixel."""
    if any(plane.step != 1 for plane in layout.planes):
        return None
    if len(layout.planes) == 1:
        return _ALWAYS_ZERO, _ALWAYS_ZERO
    if len(layout.planes) != 3:
        return None
    _, u, v = layout.planes
    return (u.height.bit_length() - 1, u.width.bit_length() - 1) if u == v else None


def _candidates() -> Iterator[npt.NDArray[np.int32]]:
    """Yield the coefficients of each colour space, of video range and of full range.

    A share is rounded to 16 bits for the chroma of the video range, and only then to ``_BITS``.
    """
    for (red, blue), full in product(_RED_BLUE, (False, True)):
        green = 1 - red - blue
        shares = (1 - red, -(1 - red) * red / green, -(1 - blue) * blue / green, 1 - blue)
        wide = [round(2 * share * 65536 * 255 / 224) for share in shares]
        wide = [int(share * 224 / 255) for share in wide] if full else wide
        gain = 65536 if full else 65536 * 255 // 219
        fine = [(share + (1 << 15 - _BITS)) >> 16 - _BITS for share in (gain, *wide)]
        yield np.array([0 if full else 16, *fine], np.int32)


@inlined
def _clipped(value: Any) -> Any:
    return min(max(value, int32(0)), int32(255))


# numba widens 32-bit integers in each operation. ``int32`` around it keeps eight or more of them in a register.


@inlined
def _products(y: Any, u: Any, v: Any, coefficients: Any, red: Any, green: Any, blue: Any) -> None:
    """Convert a row: each product is rounded down to a whole number."""
    black, gain, v_red, v_green, u_green, u_blue = coefficients
    for i in range(np.uintp(y.shape[0])):
        light = int32(int32(int32(y[i] - black) * int32(8)) * gain) >> 16
        a, b = int32(int32(u[i] - int32(128)) * int32(8)), int32(int32(v[i] - int32(128)) * int32(8))
        red[i] = _clipped(int32(light + (int32(b * v_red) >> 16)))
        green[i] = _clipped(int32(light + (int32(a * u_green) >> 16) + (int32(b * v_green) >> 16)))
        blue[i] = _clipped(int32(light + (int32(a * u_blue) >> 16)))


@inlined
def _sums(y: Any, u: Any, v: Any, coefficients: Any, red: Any, green: Any, blue: Any) -> None:
    """Convert a row: each sum is rounded. Some colours that do not exist overflow 32 bits, as they do in swscale."""
    black, gain, v_red, v_green, u_green, u_blue = coefficients
    for i in range(np.uintp(y.shape[0])):
        light = int32(int32(int32(int32(y[i] - black) * int32(512)) * gain) + int32(1 << 21))
        a, b = int32(int32(u[i] - int32(128)) * int32(512)), int32(int32(v[i] - int32(128)) * int32(512))
        red[i] = _clipped(int32(int32(light + int32(b * v_red)) >> 22))
        green[i] = _clipped(int32(int32(light + int32(a * u_green) + int32(b * v_green)) >> 22))
        blue[i] = _clipped(int32(int32(light + int32(a * u_blue)) >> 22))


@compiled(
    "void(uint8[:, ::1], uint8[:, ::1], uint8[:, ::1], uintp, uintp, uintp, uintp, int32[::1], boolean,"
    " uint8[:, :, ::1])"
)
def _convert(
    luma: UInt8, u: UInt8, v: UInt8, x: Any, y: Any, down: Any, across: Any, coefficients: Any, sums: bool, out: UInt8
) -> None:
    """Convert a region whose corner is (x, y): collect the values of a row, compute many at once, and mix."""
    width = np.uintp(out.shape[1])
    ys, us, vs = np.empty(width, np.int32), np.empty(width, np.int32), np.empty(width, np.int32)
    red, green, blue = np.empty(width, np.uint8), np.empty(width, np.uint8), np.empty(width, np.uint8)
    c = coefficients
    shares = (c[0], c[1], c[2], c[3], c[4], c[5])
    for r in range(np.uintp(out.shape[0])):
        row = y + r
        y_row, u_row, v_row, pixels = luma[row], u[row >> down], v[row >> down], out[r]
        for i in range(width):
            ys[i] = y_row[x + i]
            us[i] = u_row[(x + i) >> across]
            vs[i] = v_row[(x + i) >> across]
        if sums:
            _sums(ys, us, vs, shares, red, green, blue)
        else:
            _products(ys, us, vs, shares, red, green, blue)
        for i in range(width):
            pixels[i, 0] = red[i]
            pixels[i, 1] = green[i]
            pixels[i, 2] = blue[i]


@inlined
def _multiply(values: Any, factors: Any) -> None:
    for i in range(np.uintp(values.shape[0])):
        values[i] *= factors[i]


@inlined
def _mix(upper: Any, lower: Any, weight: Any) -> None:
    """Move the upper row towards the lower one."""
    for i in range(np.uintp(upper.shape[0])):
        value = upper[i]
        upper[i] = value + (lower[i] - value) * weight


@inlined
def _shrink(pairs: Any, weights: Any, factor: Any, offset: Any, out: Any) -> None:
    """Mix the left pixels, which are the first half, with the right ones."""
    width = np.uintp(out.shape[0])
    left, right = pairs[:width], pairs[width:]
    for i in range(width):
        value = left[i]
        out[i] = (value + (right[i] - value) * weights[i]) * factor + offset


@inlined
def _collect(row: UInt8, columns: Any, shift: Any, values: Any) -> None:
    for i in range(np.uintp(columns.shape[0])):
        values[i] = row[columns[i] >> shift]


@compiled(
    "void(uint8[:, ::1], uint8[:, ::1], uint8[:, ::1], uintp, uintp, int32[::1], boolean, int64[::1], int64[::1],"
    " float32[::1], float32[::1], float32[::1], float32[::1], float32[:, :, ::1])"
)
def _resize(
    luma: UInt8,
    u: UInt8,
    v: UInt8,
    down: Any,
    across: Any,
    coefficients: Any,
    sums: bool,
    rows: Int64,
    columns: Int64,
    row_weights: Float32,
    column_weights: Float32,
    scale: Float32,
    shift: Float32,
    out: Float32,
) -> None:
    """Convert and mix the four pixels of each output pixel, in the order of operations of ``resize_bilinear``."""
    count, height = np.uintp(columns.shape[0]), np.uintp(out.shape[1])
    ys, us, vs = np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, np.int32)
    colours, mixed = np.empty((3, count), np.float32), np.empty((3, count), np.float32)
    places, shown = np.empty(count, np.uintp), np.empty(count, np.float32)
    for i in range(count):
        places[i], shown[i] = np.uintp(max(columns[i], 0)), np.float32(columns[i] >= 0)
    is_padded = columns.min() < 0
    c = coefficients
    shares = (c[0], c[1], c[2], c[3], c[4], c[5])
    for r in range(height):
        weight, chroma_row = row_weights[r], np.uintp(luma.shape[0])
        for lower in range(2 if weight > 0 else 1):
            place = rows[r + height * np.uintp(lower)]
            row = np.uintp(max(place, 0))
            _collect(luma[row], places, np.uintp(0), ys)
            if row >> down != chroma_row:
                chroma_row = row >> down
                _collect(u[chroma_row], places, across, us)
                _collect(v[chroma_row], places, across, vs)
            if sums:
                _sums(ys, us, vs, shares, colours[0], colours[1], colours[2])
            else:
                _products(ys, us, vs, shares, colours[0], colours[1], colours[2])
            for channel in range(np.uintp(3)):
                if place < 0:
                    colours[channel] = 0
                elif is_padded:
                    _multiply(colours[channel], shown)
                if lower:
                    _mix(mixed[channel], colours[channel], weight)
                else:
                    mixed[channel] = colours[channel]
        for channel in range(np.uintp(3)):
            _shrink(mixed[channel], column_weights, scale[channel], shift[channel], out[channel, r])
