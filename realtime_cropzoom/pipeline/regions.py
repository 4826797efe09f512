"""Regions: parts of the frame with one animal each. What lies outside of a region does not exist for its animal.

The models see a region as they see a frame: beyond its outline everything is black, as beyond the edge of a frame. So
no detection and no pose of a region can show the animal of another one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from realtime_cropzoom.config.regions import RegionShape
from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.inference.boxes import BoxRule
from realtime_cropzoom.inference.geometries.view import View
from realtime_cropzoom.inference.model import Model, Outputs
from realtime_cropzoom.sources.base import SourceInfo
from realtime_cropzoom.trigger.rules.zones import polygon
from realtime_cropzoom.types import Bool, Box, FrameMeta, Keypoints, Picture, UInt8

SMALLEST_PX = 32
"""Smallest side of a region (pixels)."""


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A part of the frame with one animal."""

    name: str
    corners: tuple[tuple[float, float], ...]
    """Its outline in frame pixels. Whole numbers are the edges of pixels."""
    bounds: Box
    """The smallest rectangle of whole pixels around it."""
    inside: Bool | None
    """(h, w), which pixels of ``bounds`` belong to it; None if all do."""

    def contains(self, x: float, y: float) -> bool:
        """Return whether the pixel of a point (frame pixels) belongs to the region."""
        left, top, right, bottom = self.bounds.pixels()
        column, row = math.floor(x + 0.5), math.floor(y + 0.5)  # whole numbers are the centres of pixels
        if not (left <= column < right and top <= row < bottom):
            return False
        return self.inside is None or bool(self.inside[row - top, column - left])

    def shown(self, image: Picture, box: Box) -> Picture:
        """Return a picture of the frame in which everything outside of the region is black.

        Args:
            image: The frame.
            box: The part of it that will be looked at (frame pixels).
        """
        x, y, end_x, end_y = box.pixels()
        left, top, right, bottom = self.bounds.pixels()
        is_inside = left <= x and top <= y and end_x <= right and end_y <= bottom
        return image if is_inside and self.inside is None else _OfRegion(image, self)


class _OfRegion:
    """A frame of which only a region exists. It implements ``types.Picture``."""

    def __init__(self, image: Picture, region: Region) -> None:
        self._image, self._region = image, region
        self.shape, self.dtype = image.shape, image.dtype

    def __getitem__(self, part: tuple[slice, slice]) -> UInt8:
        top, bottom, _ = part[0].indices(self.shape[0])
        left, right, _ = part[1].indices(self.shape[1])
        out = np.zeros((max(0, bottom - top), max(0, right - left), self.shape[2]), self.dtype)
        x, y, end_x, end_y = self._region.bounds.pixels()
        a, b, c, d = max(left, x), max(top, y), min(right, end_x), min(bottom, end_y)
        if a < c and b < d:
            pixels = self._image[b:d, a:c]
            inside = self._region.inside
            seen = pixels if inside is None else pixels * inside[b - y : d - y, a - x : c - x, None]
            out[b - top : d - top, a - left : c - left] = seen
        return out

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[0 : self.shape[0], 0 : self.shape[1]]


class InOneLook:
    """Finds the animals of all regions in the outputs of a detector that saw the whole frame."""

    def __init__(self, detector: Model, regions: Sequence[Region]) -> None:
        """Take a detector that finds several animals, and the regions."""
        self._detector, self._regions = detector, regions

    def __call__(self, meta: FrameMeta, outputs: Outputs, view: View, rule: BoxRule) -> list[Keypoints | None]:
        """Return the surest animal whose middle lies in each region; None for a region without one.

        Args:
            meta: The frame.
            outputs: Outputs of the detector.
            view: Where its input lies in the frame.
            rule: Not needed: what is found has no boxes yet.
        """
        found: list[Keypoints | None] = [None] * len(self._regions)
        for keypoints, _ in self._detector.decode_all(outputs, view):  # the surest first
            points = keypoints.xy if keypoints.corners is None else keypoints.corners
            points = points[np.isfinite(points).all(axis=1)]
            if not len(points):
                continue
            x, y = points.mean(axis=0).tolist()
            place = next((i for i, region in enumerate(self._regions) if region.contains(x, y)), None)
            if place is not None and found[place] is None:
                found[place] = keypoints
        return found


def make_region(name: str, corners: Sequence[tuple[float, float]]) -> Region:
    """Return a region. A pixel belongs to it if its centre lies inside of the outline.

    Args:
        name: Its name.
        corners: Its outline in frame pixels.

    Raises:
        ConfigError: if the outline crosses itself, or encloses less than a triangle of ``SMALLEST_PX`` each way.
    """
    problem = polygon(corners).problem()
    if problem is not None:
        raise ConfigError(f"regions.{name}: the polygon {problem}. Give its corners in order around it")
    xy = np.array(corners, np.float64)
    (left, top), (right, bottom) = np.floor(xy.min(axis=0)).astype(int), np.ceil(xy.max(axis=0)).astype(int)
    bounds = Box(int(left), int(top), int(right - left), int(bottom - top))
    if min(bounds.w, bounds.h) < SMALLEST_PX:
        raise ConfigError(
            f"regions.{name}: got {bounds.w}x{bounds.h} pixels, expected at least {SMALLEST_PX}x{SMALLEST_PX}: "
            "no animal can be seen in fewer. Draw it larger"
        )
    inside = _pixels_inside(xy - (left, top), bounds.w, bounds.h)
    if np.count_nonzero(inside) < SMALLEST_PX**2 // 2:
        raise ConfigError(
            f"regions.{name}: got {np.count_nonzero(inside)} pixels inside its outline, expected at least "
            f"{SMALLEST_PX**2 // 2}: no animal can be seen in fewer. Draw it larger"
        )
    return Region(name, tuple((float(x), float(y)) for x, y in corners), bounds, None if inside.all() else inside)


def _pixels_inside(corners: np.ndarray, width: int, height: int) -> Bool:
    """Return which pixels have their centre inside of a polygon, (height, width): a ray crosses it an odd number of
    times.
    """
    one, other = corners, np.roll(corners, -1, axis=0)
    swap = one[:, 1] > other[:, 1]  # each side from above to below, so that neighbours that share it agree
    upper, lower = np.where(swap[:, None], other, one), np.where(swap[:, None], one, other)
    inside, centres = np.zeros((height, width), bool), np.arange(width) + 0.5
    for row in range(height):
        y = row + 0.5
        crossed = (upper[:, 1] <= y) & (y < lower[:, 1])
        (ax, ay), (bx, by) = upper[crossed].T, lower[crossed].T
        at = np.sort(ax + (y - ay) * (bx - ax) / (by - ay))
        inside[row] = np.searchsorted(at, centres, side="right") % 2 == 1
    return inside


def make_regions(shapes: Mapping[str, RegionShape] | None, info: SourceInfo) -> tuple[Region, ...]:
    """Return the regions of a run, in their order; empty without any.

    Args:
        shapes: Their outlines by name; None without regions.
        info: Properties of the source.

    Raises:
        ConfigError: if a region was drawn on a frame of another size, leaves the frame, is too small, or shares pixels
            with another one.
    """
    for name, shape in (shapes or {}).items():
        if shape.frame_px is not None and shape.frame_px != (info.width, info.height):
            raise ConfigError(
                f"regions.{name}: it was drawn on a frame of {shape.frame_px[0]}x{shape.frame_px[1]} pixels, but the "
                f"frames of this source have {info.width}x{info.height}. Draw the regions on a frame of this source"
            )
        beyond = next(((x, y) for x, y in shape.corners if x > info.width or y > info.height), None)
        if beyond is not None:
            raise ConfigError(
                f"regions.{name}: its corner ({beyond[0]:g}, {beyond[1]:g}) is outside of the frame, which has "
                f"{info.width}x{info.height} pixels; expected corners inside. Draw them on a frame of this source"
            )
    regions = tuple(make_region(name, shape.corners) for name, shape in (shapes or {}).items())
    for one, other in combinations(regions, 2):
        shared = _shared_pixels(one, other)
        if shared:
            raise ConfigError(
                f"regions.{one.name} and regions.{other.name} overlap by {shared} pixels; expected none, so that no "
                "animal is in both. Move their outlines apart"
            )
    return regions


def _shared_pixels(one: Region, other: Region) -> int:
    (x, y, end_x, end_y), (u, v, end_u, end_v) = one.bounds.pixels(), other.bounds.pixels()
    left, top, right, bottom = max(x, u), max(y, v), min(end_x, end_u), min(end_y, end_v)
    if left >= right or top >= bottom:
        return 0
    parts = [_part(region, left, top, right, bottom) for region in (one, other)]
    return int(np.count_nonzero(parts[0] & parts[1]))


def _part(region: Region, left: int, top: int, right: int, bottom: int) -> Bool:
    x, y = int(region.bounds.x), int(region.bounds.y)
    if region.inside is None:
        return np.ones((bottom - top, right - left), bool)
    return region.inside[top - y : bottom - y, left - x : right - x]
