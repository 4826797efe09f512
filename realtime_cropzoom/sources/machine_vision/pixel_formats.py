"""Pixel formats of machine-vision cameras: converts mono, Bayer and RGB of 8 to 16 bits, by GenICam name, to RGB.

Models see 8 bits per channel, so the upper 8 bits of deeper formats are kept. Layouts: EMVA, Pixel
Format Naming Convention 2.4 (``Mono12p``), and GigE Vision 1.2 (``Mono12Packed``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.types import UInt8

_NAME = re.compile(r"(Mono|BayerRG|BayerGR|BayerGB|BayerBG|RGB|BGR)(8|10|12|14|16)(p|Packed|)")
_TO_RGB = {
    # GenICam names a Bayer pattern by its first two pixels, OpenCV's older constants by two of its
    # second row; these newer ones spell out all four.
    "Mono": cv2.COLOR_GRAY2RGB,
    "BayerRG": cv2.COLOR_BayerRGGB2RGB,
    "BayerGR": cv2.COLOR_BayerGRBG2RGB,
    "BayerGB": cv2.COLOR_BayerGBRG2RGB,
    "BayerBG": cv2.COLOR_BayerBGGR2RGB,
    "BGR": cv2.COLOR_BGR2RGB,
}
PREFERRED = ("RGB8", "RGB8Packed", "BayerRG8", "BayerGR8", "BayerGB8", "BayerBG8", "Mono8")
"""Formats to select, best first, on a camera whose current format is not supported."""


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """A supported pixel format."""

    name: str
    """Name of the format, as the camera gives it."""
    layout: str
    """Mono, BayerRG, BayerGR, BayerGB, BayerBG, RGB or BGR."""
    bits: int
    """Bits per value."""
    packing: Literal["", "p", "Packed"]
    """Storage of values deeper than 8 bits: two bytes each, end to end (GenICam), or two in three bytes
    (GigE Vision)."""

    @property
    def note(self) -> str | None:
        """Message for the user; None if there is none."""
        return f"{self.name}: the upper 8 of {self.bits} bits are used" if self.bits > 8 else None

    def image_bytes(self, width: int, height: int) -> int:
        """Return the size (bytes) of an image of ``width`` × ``height`` pixels."""
        values = width * height * self._values_a_pixel
        if self.bits == 8:
            return values
        if self.packing == "p":
            return (values * self.bits + 7) // 8
        return (values * 3 + 1) // 2 if self.packing else values * 2

    def to_rgb(self, data: UInt8, out: UInt8) -> None:
        """Convert an image to RGB.

        Args:
            data: Flat uint8 array of at least ``image_bytes`` bytes.
            out: (H, W, 3) uint8 array that receives the RGB pixels.
        """
        height, width, _ = out.shape
        shape = (height, width, 3) if self._values_a_pixel == 3 else (height, width)
        values = self._upper_bits(data[: self.image_bytes(width, height)])[: math.prod(shape)]
        if self.layout == "RGB":
            np.copyto(out, values.reshape(shape))
        else:
            cv2.cvtColor(values.reshape(shape), _TO_RGB[self.layout], dst=out)

    @property
    def _values_a_pixel(self) -> int:
        return 3 if self.layout in ("RGB", "BGR") else 1

    def _upper_bits(self, data: UInt8) -> UInt8:
        if self.bits == 8:
            return data
        if self.packing == "p":
            return _from_end_to_end(data, self.bits)
        if self.packing == "Packed":
            # Each three bytes: upper bits of one value, lower bits of both, upper bits of the other.
            return _grouped(data, 3)[:, (0, 2)].ravel()
        return (data.view("<u2") >> (self.bits - 8)).astype(np.uint8)


def _from_end_to_end(data: UInt8, bits: int) -> UInt8:
    """Return the upper 8 bits of values of ``bits`` bits that are stored end to end, lowest bit first."""
    per_group = {10: 4, 12: 2, 14: 4}[bits]
    groups = _grouped(data, per_group * bits // 8)
    upper = np.empty((len(groups), per_group), np.uint8)
    for index in range(per_group):
        byte, shift = divmod(index * bits + bits - 8, 8)
        upper[:, index] = groups[:, byte] >> shift
        if shift:
            upper[:, index] |= groups[:, byte + 1] << (8 - shift)
    return upper.ravel()


def _grouped(data: UInt8, size: int) -> UInt8:
    """Return ``data`` as an (n, size) array. The last group is padded with zeros if the image ends within it."""
    return np.pad(data, (0, -len(data) % size)).reshape(-1, size)


def pixel_format(name: str) -> PixelFormat | None:
    """Return the format of that GenICam name; None if it is not supported."""
    parts = _NAME.fullmatch(name)
    if parts is None:
        return None
    layout, bits, packing = parts[1], int(parts[2]), parts[3]
    if layout in ("RGB", "BGR"):
        # Older GigE Vision names use Packed for interleaved colours, which all of these are.
        return PixelFormat(name, layout, 8, "") if bits == 8 and packing != "p" else None
    if (packing == "p" and bits not in (10, 12, 14)) or (packing == "Packed" and bits not in (10, 12)):
        return None
    return PixelFormat(name, layout, bits, packing)  # type: ignore[arg-type]


def choose_format(asked: str | None, current: str, offered: Iterable[str], camera: str) -> PixelFormat:
    """Return the format to set: the requested one, else the camera's current one, else another supported one.

    Args:
        asked: Requested format; None if none was requested.
        current: Format to which the camera is set.
        offered: Formats that the camera has.
        camera: Name of the camera, for error messages.

    Raises:
        SourceError: if the requested format, or every format of the camera, is unsupported.
    """
    offered = list(offered)
    readable = [name for name in offered if pixel_format(name) is not None]
    if asked is not None and asked not in readable:
        reason = "is not supported" if asked in offered else "is not available"
        raise SourceError(f"{camera}: pixel format {asked} {reason}; expected one of {', '.join(readable) or 'none'}")
    candidates = [asked] if asked is not None else [current, *(n for n in PREFERRED if n in offered), *readable]
    for name in candidates:
        if (found := pixel_format(name)) is not None:
            return found
    raise SourceError(f"{camera} offers {', '.join(offered)}; expected a mono, Bayer or RGB format among them")
