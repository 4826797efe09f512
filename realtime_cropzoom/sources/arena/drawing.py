"""Drawing of the synthetic animal in a given posture: limbs, bent trunk, turned head, cable, blur and shadow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from realtime_cropzoom.sources.arena.appearance import Appearance
from realtime_cropzoom.sources.arena.build import Build
from realtime_cropzoom.sources.arena.cable import Cable
from realtime_cropzoom.sources.arena.painting import Sprite, paint_body, paint_head
from realtime_cropzoom.sources.arena.posture import Posture
from realtime_cropzoom.types import Float64, UInt8

_SHADOW_STRENGTH = 0.5
_SHADOW_SOFTNESS = 0.05
_CELL = 4
"""Spacing (pixels) at which the bend of the trunk is computed. It is smooth, so it is interpolated in between."""
_FOOT = np.array(
    [(-0.05, 0), (-0.04, 0.02), (0, 0.03), (0.03, 0.047), (0.034, 0.03), (0.052, 0.026), (0.036, 0.01), (0, -0.01)]
)
"""Outline of a foot: distances ahead of its root and outwards from it."""
_FEET = ((-0.46, 0.155, 0.0), (0.58, 0.118, math.pi))
"""Hind and front pair: position along the spine (-1 to 1), distance from it, and phase of the stride."""


class _Part(NamedTuple):
    """Rectangle of frame pixels. The right and bottom edges are exclusive."""

    x0: int
    y0: int
    x1: int
    y1: int

    @classmethod
    def around(cls, points_px: Float64, pad_px: float, within: _Part) -> _Part:
        (left, top), (right, bottom) = points_px.min(axis=0) - pad_px, points_px.max(axis=0) + pad_px
        x0, y0 = max(within.x0, math.floor(left)), max(within.y0, math.floor(top))
        return cls(
            x0, y0, max(x0, min(within.x1, math.ceil(right) + 1)), max(y0, min(within.y1, math.ceil(bottom) + 1))
        )

    def of(self, image: UInt8, x0: int = 0, y0: int = 0) -> UInt8:
        """Return this rectangle of an image whose first pixel is at (x0, y0)."""
        return image[self.y0 - y0 : self.y1 - y0, self.x0 - x0 : self.x1 - x0]


@dataclass(frozen=True)
class AnimalBrush:
    """Brush that draws the animal: holds the sprites and parameters that are constant over all frames."""

    body_px: float
    """Length of the animal from snout to tail base, in pixels."""
    blur_px: float
    """Standard deviation of the blur of the lens."""
    exposure_s: float
    """Exposure time."""
    build: Build
    appearance: Appearance
    body: Sprite
    head: Sprite
    cable: Cable | None = None

    @classmethod
    def paint(
        cls,
        body_px: float,
        blur_px: float,
        exposure_s: float,
        build: Build,
        appearance: Appearance,
        cable: Cable | None,
        seed: int,
    ) -> AnimalBrush:
        """Return a brush with painted sprites.

        Args:
            body_px: Length of the animal in pixels.
            blur_px: Standard deviation of the blur of the lens, in pixels.
            exposure_s: Exposure time (s).
            build: Proportions.
            appearance: Colours and light.
            cable: Cable on the head, if any.
            seed: Seed of the fur.
        """
        body, head = paint_body(body_px, build, appearance, seed), paint_head(body_px, build, appearance, seed)
        return cls(body_px, blur_px, exposure_s, build, appearance, body, head, cable)

    def draw(self, posture: Posture, tail: Float64, background: UInt8) -> tuple[UInt8, tuple[slice, slice]]:
        """Draw the animal on the part of the background that it covers.

        Args:
            posture: Posture of the animal.
            tail: (n, 2) points of the tail in body lengths, from the body on.
            background: (H, W, 3) uint8 RGB array. It is not changed.

        Returns:
            The part with the animal on it, and its place in the background, as (rows, columns).
        """
        end, flank = posture.length / 2, self.build.flank
        trunk = [posture.along(s * end, side) for s in (-1.0, 0.0, 1.0) for side in (-flank, flank)]
        trunk_px = np.array([*trunk, posture.on_head(self.build.snout, 0.0)]) * self.body_px
        frame = _Part(0, 0, background.shape[1], background.shape[0])
        covered = [trunk_px, tail * self.body_px]
        if self.cable is not None:
            covered.append(self.cable.line(posture) * self.body_px)
        whole = _Part.around(np.vstack(covered), 0.16 * self.body_px + 3, frame)
        layer = np.zeros((whole.y1 - whole.y0, whole.x1 - whole.x0, 4), np.uint8)
        self._limbs(layer, posture, tail, whole)
        part = _Part.around(trunk_px, 0.03 * self.body_px, whole)
        _lay_over(part.of(layer, whole.x0, whole.y0), self._bent_trunk(posture, part))
        part = _Part.around(np.array([posture.on_head(0.08, 0.0)]) * self.body_px, 0.24 * self.body_px, whole)
        _lay_over(part.of(layer, whole.x0, whole.y0), self._turned_head(posture, part))
        if self.cable is not None:
            for outline, shade in zip(self.cable.outlines(posture), (1.0, 0.8, 0.7), strict=True):
                self._fill(layer, [outline], shade * self.cable.colour, whole)
        patch = self._on_floor(self._blurred(layer, posture), whole.of(background))
        return patch, (slice(whole.y0, whole.y1), slice(whole.x0, whole.x1))

    def _limbs(self, layer: UInt8, posture: Posture, tail: Float64, whole: _Part) -> None:
        """Draw tail and feet, which the trunk covers in part."""
        skin = self.appearance.skin
        rest = np.linspace(1, 0, len(tail))[:, None]
        steps = np.gradient(tail, axis=0)
        normal = np.stack([-steps[:, 1], steps[:, 0]], axis=1) / (np.hypot(steps[:, 0], steps[:, 1])[:, None] + 1e-9)
        for width, shade in ((1.0, 0.55), (0.55, 0.80)):
            half = (self.build.tail_tip + self.build.tail_taper * rest) * width
            self._fill(layer, [np.vstack([tail + normal * half, (tail - normal * half)[::-1]])], skin * shade, whole)
        pace = min(1.0, posture.speed / 0.5)
        feet = [self._foot(posture, pace, pair, side) for pair in _FEET for side in (-1, 1)]
        self._fill(layer, feet, skin * 0.9, whole)

    def _foot(self, posture: Posture, pace: float, pair: tuple[float, float, float], side: int) -> Float64:
        """Return the outline of a foot, which strides and is more visible in a walk (``pace`` 1) than at rest (0)."""
        s, aside, phase = pair
        stride = 0.05 * pace * math.cos(posture.gait + phase + (math.pi / 2) * side)
        at = s * posture.length / 2 + stride
        angle = posture.heading + posture.bend * at / posture.length
        forward, right = np.array((math.cos(angle), math.sin(angle))), np.array((-math.sin(angle), math.cos(angle)))
        root = posture.along(at, side * (aside * self.build.breadth + 0.015 * pace))
        return np.asarray(root + _FOOT[:, :1] * forward + side * _FOOT[:, 1:] * right)

    def _fill(self, layer: UInt8, outlines: list[Float64], colour: npt.NDArray[np.float32], whole: _Part) -> None:
        corner = (whole.x0, whole.y0)
        points = [np.round((outline * self.body_px - corner) * 256).astype(np.int32) for outline in outlines]
        # Outlines are filled one by one: if filled together, their overlap would stay empty.
        for outline in points:
            cv2.fillPoly(layer, [outline], (*colour.tolist(), 255), cv2.LINE_AA, 8)

    def _bent_trunk(self, posture: Posture, part: _Part) -> UInt8:
        """Return the trunk, bent along the spine: an arc, which is straight in polar coordinates about its centre."""
        width, height = part.x1 - part.x0, part.y1 - part.y0
        columns, rows = -(-width // _CELL), -(-height // _CELL)
        x = ((np.arange(columns) + 0.5) * _CELL - 0.5 + part.x0) / self.body_px - posture.x
        y = (((np.arange(rows) + 0.5) * _CELL - 0.5 + part.y0) / self.body_px - posture.y)[:, None]
        cos, sin = math.cos(posture.heading), math.sin(posture.heading)
        forward, right = x * cos + y * sin, y * cos - x * sin
        bend = math.copysign(max(abs(posture.bend), 0.01), posture.bend)
        radius, side = posture.length / bend, math.copysign(1.0, bend)
        s = radius * np.arctan2(forward * side, (radius - right) * side)
        aside = radius - side * np.hypot(forward, radius - right)
        stretch = posture.length / self.build.spine
        u = (s / stretch + self.build.spine / 2) * self.body_px + self.body.origin[0]
        v = aside * (math.sqrt(stretch) * (1 - 0.012 * math.sin(posture.breath))) * self.body_px + self.body.origin[1]
        size = (columns * _CELL, rows * _CELL)
        at_u, at_v = (cv2.resize(grid.astype(np.float32), size)[:height, :width] for grid in (u, v))
        return np.asarray(cv2.remap(self.body.image, at_u, at_v, cv2.INTER_LINEAR), dtype=np.uint8)

    def _turned_head(self, posture: Posture, part: _Part) -> UInt8:
        x, y = posture.on_head(0.0, 0.0)
        angle = posture.heading + posture.bend / 2 + posture.head
        cos, sin = math.cos(angle), math.sin(angle)
        u, v = self.head.origin
        shift_x = x * self.body_px - part.x0 - cos * u + sin * v
        shift_y = y * self.body_px - part.y0 - sin * u - cos * v
        to_part = np.array([[cos, -sin, shift_x], [sin, cos, shift_y]])
        return np.asarray(
            cv2.warpAffine(self.head.image, to_part, (part.x1 - part.x0, part.y1 - part.y0)), dtype=np.uint8
        )

    def _blurred(self, layer: UInt8, posture: Posture) -> UInt8:
        """Return the layer with the blur of the lens and the smear of the exposure, centred on the frame time."""
        way_px = posture.speed * self.body_px * self.exposure_s
        if way_px > 0.5:
            kernel = _line_kernel(way_px, posture.heading)
            layer = np.asarray(cv2.filter2D(layer, -1, kernel, borderType=cv2.BORDER_CONSTANT), dtype=np.uint8)
        if self.blur_px > 0:
            blurred = cv2.GaussianBlur(layer, (0, 0), self.blur_px, borderType=cv2.BORDER_CONSTANT)
            layer = np.asarray(blurred, dtype=np.uint8)
        return layer

    def _on_floor(self, layer: UInt8, background: UInt8) -> UInt8:
        """Return the background with the shadow of the animal and the animal."""
        height, width = background.shape[:2]
        alpha = np.ascontiguousarray(layer[..., 3])
        small = cv2.resize(alpha, (max(1, width // 4), max(1, height // 4)), interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(
            small, (0, 0), _SHADOW_SOFTNESS * self.body_px / 4 + 0.2, borderType=cv2.BORDER_CONSTANT
        )
        # The shadow falls away from the lamp.
        shift_x, shift_y = (0.1 * self.body_px * (0.5 - lamp) for lamp in self.appearance.light_xy)
        scale_x, scale_y = width / small.shape[1], height / small.shape[0]
        enlarge = np.array([[scale_x, 0, (scale_x - 1) / 2 + shift_x], [0, scale_y, (scale_y - 1) / 2 + shift_y]])
        shadow = cv2.warpAffine(small, enlarge, (width, height))
        unshaded = cv2.addWeighted(shadow, -_SHADOW_STRENGTH, shadow, 0.0, 255.0)
        through = cv2.multiply(255 - alpha, unshaded, scale=1 / 255)
        lit = cv2.multiply(background, cv2.cvtColor(through, cv2.COLOR_GRAY2RGB), scale=1 / 255)
        return np.asarray(cv2.add(lit, cv2.cvtColor(layer, cv2.COLOR_RGBA2RGB)), dtype=np.uint8)


def _lay_over(layer: UInt8, above: UInt8) -> None:
    """Compose one premultiplied image over another, in place."""
    through = cv2.cvtColor(255 - above[..., 3], cv2.COLOR_GRAY2RGBA)
    through[..., 3] = 255 - above[..., 3]
    layer[:] = cv2.add(cv2.multiply(layer, through, scale=1 / 255), above)


def _line_kernel(length_px: float, angle: float) -> Float64:
    """Return a kernel for ``cv2.filter2D``: a centred line of that length and direction."""
    half = math.ceil(length_px / 2)
    t = np.linspace(-length_px / 2, length_px / 2, 4 * half + 1)
    at = np.arange(-half, half + 1)
    column = np.maximum(0, 1 - np.abs(at[:, None] - t * math.cos(angle)))
    row = np.maximum(0, 1 - np.abs(at[:, None] - t * math.sin(angle)))
    kernel = row @ column.T
    return np.asarray(kernel / kernel.sum())
