"""Movement: what differs from the background, with no model at all: where, how large, how bright, how many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from realtime_cropzoom.checks.doctor.samples import Sample
from realtime_cropzoom.inference.appearance import to_gray
from realtime_cropzoom.types import Box, Float64, UInt8

WIDTH = 320
"""Width of the small pictures in which movement is looked for (pixels)."""
MIN_CONTRAST = 16.0
"""Minimum difference from the background (gray levels)."""
MIN_AREA = 12
"""Minimum area of what moves (pixels of the small pictures)."""
_MAX_SHARE = 0.3
"""Share of the frame above which not an animal moves, but the camera or the light."""
_THIN = 0.35
"""Width below which a part is a tail or a limb, relative to the square root of the area."""
_MIN_OUTLINE = 5
"""Minimum number of pixels of an outline at its ends and at its sides."""
_MIN_FRAMES = 6
"""Minimum number of frames for a background."""


@dataclass(frozen=True, slots=True)
class Mover:
    """Something that is not part of the background."""

    x: float
    """Middle (frame pixels)."""
    y: float
    length_px: float
    """Longer side of the smallest rectangle around its body, without a tail or limbs (frame pixels)."""
    area: float
    """Frame pixels."""
    contrast: float
    """Its gray minus that of the background behind it, from -1 to 1."""

    def is_in(self, box: Box, room: float = 0.2) -> bool:
        """Return whether its middle lies in a box, or at most ``room`` box sides beside it."""
        left, right = box.x - room * box.w, box.x + (1 + room) * box.w
        top, bottom = box.y - room * box.h, box.y + (1 + room) * box.h
        return bool(left <= self.x <= right and top <= self.y <= bottom)

    def region(self, room: float = 0.75) -> Box:
        """Return the square around it, with a side of twice ``room`` lengths."""
        half = round(room * self.length_px)
        return Box(round(self.x) - half, round(self.y) - half, 2 * half, 2 * half)


@dataclass(frozen=True, slots=True)
class Movement:
    """What moves in the samples."""

    movers: tuple[tuple[Mover, ...], ...]
    """For each sample, what moves, the largest first."""
    whole: int
    """Number of samples in which nearly everything differs: the camera moves, or the light changes."""
    steps: tuple[tuple[float, float] | None, ...]
    """For each sample, how far its largest mover goes until the next frame: x, y (frame pixels); None if unknown."""
    smears: tuple[float | None, ...]
    """For each sample, how much wider edges in front and behind are than those at the sides; None if unknown."""

    @property
    def largest(self) -> list[Mover | None]:
        """The largest mover of each sample."""
        return [movers[0] if movers else None for movers in self.movers]


def small_gray(images: Sequence[UInt8]) -> tuple[UInt8, float]:
    """Return small gray pictures (n, h, w), and the frame pixels per small pixel.

    Args:
        images: Frames (H, W, 3) RGB or (H, W) gray, of one size.
    """
    height, width = images[0].shape[:2]
    factor = max(1.0, width / WIDTH)
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    grays = [image if image.ndim == 2 else to_gray(image) for image in images]
    return np.stack([cv2.resize(gray, size, interpolation=cv2.INTER_AREA) for gray in grays]).astype(np.uint8), factor


def find_movement(samples: Sequence[Sample]) -> Movement:
    """Compare samples with their median.

    Args:
        samples: Frames of one size, far enough apart for an animal to have moved.

    Returns:
        What moves; nothing if there are too few frames for a background.
    """
    nothing: tuple[Mover, ...] = ()
    if len(samples) < _MIN_FRAMES:
        return Movement((nothing,) * len(samples), 0, (None,) * len(samples), (None,) * len(samples))
    small, factor = small_gray([sample.image for sample in samples])
    behind = _Behind.of(small, factor)
    masks = [behind.mask(picture) for picture in small]
    is_whole = [bool(mask.mean() > _MAX_SHARE) for mask in masks]
    movers = tuple(
        nothing if whole else behind.movers(picture, mask)
        for picture, mask, whole in zip(small, masks, is_whole, strict=True)
    )
    steps = tuple(_step(sample, found, behind) for sample, found in zip(samples, movers, strict=True))
    smears = tuple(
        None if step is None else behind.smear(picture, mask, step)
        for picture, mask, step in zip(small, masks, steps, strict=True)
    )
    return Movement(movers, sum(is_whole), steps, smears)


def _step(sample: Sample, movers: tuple[Mover, ...], behind: _Behind) -> tuple[float, float] | None:
    if not movers or not sample.following:
        return None
    [picture], _ = small_gray(sample.following[-1:])
    later = behind.movers(picture, behind.mask(picture))
    if not later:
        return None
    x, y = (
        (after - before) / len(sample.following)
        for before, after in zip(_place(movers[0]), _place(later[0]), strict=True)
    )
    return (x, y) if math.hypot(x, y) < movers[0].length_px else None  # further: it is something else


def _place(mover: Mover) -> tuple[float, float]:
    return mover.x, mover.y


@dataclass(frozen=True, slots=True)
class _Behind:
    """The background of small pictures."""

    picture: Float64
    """(h, w) gray levels."""
    edges: Float64
    noise: float
    """Usual difference from it (gray levels)."""
    factor: float
    """Frame pixels per small pixel."""

    @classmethod
    def of(cls, small: UInt8, factor: float) -> _Behind:
        """Return the background of small pictures (n, h, w)."""
        picture = np.median(small, axis=0).astype(np.float64)
        return cls(picture, _edges(picture), float(np.median(np.abs(small - picture))), factor)

    def mask(self, picture: UInt8) -> UInt8:
        """Return 1 where a small picture differs from the background."""
        difference = picture - self.picture
        difference -= np.median(difference)  # the light as a whole
        differs = np.abs(difference) > max(MIN_CONTRAST, 5 * self.noise)
        return np.asarray(cv2.morphologyEx(differs.astype(np.uint8), cv2.MORPH_OPEN, np.ones((2, 2))), np.uint8)

    def movers(self, picture: UInt8, mask: UInt8) -> tuple[Mover, ...]:
        """Return what differs in a small picture, the largest first."""
        closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5)))
        count, labels, stats, _ = cv2.connectedComponentsWithStats(closed)
        edges, found = _edges(picture), []
        for label in range(1, count):
            inside = labels == label
            if stats[label, cv2.CC_STAT_AREA] >= MIN_AREA and _is_here(inside, edges, self.edges):
                found.append(self._mover(picture, inside))
        return tuple(sorted(found, key=lambda mover: -mover.area))

    def _mover(self, picture: UInt8, inside: np.ndarray) -> Mover:
        area = int(inside.sum())
        body = _without_tail(inside, area)
        points = np.argwhere(body)[:, ::-1].astype(np.float32)
        x, y = (points.mean(axis=0) + 0.5) * self.factor - 0.5
        _, sides, _ = cv2.minAreaRect(points)
        contrast = float(np.mean(picture[body] - self.picture[body])) / 255
        return Mover(float(x), float(y), float(max(sides) + 1) * self.factor, area * self.factor**2, contrast)

    def smear(self, picture: UInt8, mask: UInt8, step: tuple[float, float]) -> float | None:
        """Return how much wider edges in front and behind are than those at the sides; None if it hardly moves.

        Args:
            picture: The small picture.
            mask: Result of ``mask``.
            step: How far the largest mover goes until the next frame: x, y (frame pixels).
        """
        speed = math.hypot(*step)
        if speed < 1:
            return None
        count, labels, stats, _ = cv2.connectedComponentsWithStats(
            cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5)))
        )
        if count < 2:
            return None
        largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
        body = _without_tail(labels == largest, int(stats[largest, cv2.CC_STAT_AREA])).astype(np.float64)
        x, y = _gradient(cv2.GaussianBlur(body, (0, 0), 2))  # across the outline
        steep = np.hypot(x, y)
        outline = steep > 0.5 * steep.max()
        heading = np.abs(x * step[0] + y * step[1]) / np.maximum(steep * speed, 1e-9)
        gx, gy = _gradient(picture - self.picture)
        slope = np.abs(gx * x + gy * y) / np.maximum(steep, 1e-9)
        ends, sides = slope[outline & (heading > 0.8)], slope[outline & (heading < 0.4)]
        if min(len(ends), len(sides)) < _MIN_OUTLINE or not np.quantile(ends, 0.75):
            return None
        return float(np.quantile(sides, 0.75) / np.quantile(ends, 0.75))


def _gradient(picture: np.ndarray) -> tuple[Float64, Float64]:
    across, down = cv2.Sobel(picture, cv2.CV_64F, 1, 0), cv2.Sobel(picture, cv2.CV_64F, 0, 1)
    return np.asarray(across, np.float64), np.asarray(down, np.float64)


def _without_tail(inside: np.ndarray, area: int) -> np.ndarray:
    """Return a shape without what is thin for its area."""
    side = max(1, round(_THIN * math.sqrt(area)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    body = cv2.morphologyEx(inside.astype(np.uint8), cv2.MORPH_OPEN, kernel).astype(bool)
    return body if body.any() else inside


def _edges(picture: np.ndarray) -> Float64:
    return np.asarray(np.hypot(*_gradient(picture.astype(np.float64))), np.float64)


def _is_here(inside: np.ndarray, edges: Float64, edges_behind: Float64) -> bool:
    """Return whether something is in this frame: where an animal lay for long, the background shows it instead."""
    shape = inside.astype(np.uint8)
    outline = (cv2.dilate(shape, np.ones((3, 3))) - cv2.erode(shape, np.ones((3, 3)))).astype(bool)
    return float(edges[outline].mean()) > float(edges_behind[outline].mean())
