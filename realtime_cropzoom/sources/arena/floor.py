"""Painting of the empty synthetic arena: its floor, bedding and walls."""

from __future__ import annotations

import cv2
import numpy as np

from realtime_cropzoom.sources.arena.appearance import Appearance, rgb
from realtime_cropzoom.types import Float32, UInt8

_SHAVING_LEVELS = 70.0
"""Gray levels between a shaving of medium colour and the brightest, with bedding of full contrast."""


def _cloud(draw: np.random.Generator, height: int, width: int, cell_px: float) -> Float32:
    """Return a (height, width) array of smooth noise of unit variance, with features about ``cell_px`` wide."""
    shape = (max(2, round(height / cell_px) + 2), max(2, round(width / cell_px) + 2))
    grid = draw.standard_normal(shape).astype(np.float32)
    return np.asarray(cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.float32)


def _shavings(width: int, height: int, margin_px: float, seed: int) -> Float32:
    """Return strewn chips as a (height, width) array of about -1 (dark) to 1 (bright); 0 where the floor is bare."""
    draw = np.random.default_rng([seed, 8])
    chips = np.full((height, width), 128, np.uint8)
    count = round(0.9 * width * height / (0.5 * margin_px) ** 2 * 4)
    corner = np.array([(-1, -1), (1, -0.6), (0.8, 1), (-0.7, 0.7)])
    at = draw.uniform(0, (width, height), (count, 2))
    half = margin_px * np.stack([draw.uniform(0.12, 0.36, count), draw.uniform(0.03, 0.11, count)], axis=1)
    angle, level = draw.uniform(0, np.pi, count), draw.normal(150, 42, count).clip(20, 250)
    cos, sin = np.cos(angle), np.sin(angle)
    for turn, middle, size, gray in zip(
        np.array([[cos, sin], [-sin, cos]]).transpose(2, 0, 1), at, half, level, strict=True
    ):
        outline = (corner * size) @ turn + middle
        for shift, tone in ((0.06 * margin_px, 0.55 * gray), (0.0, gray)):  # each chip on its shadow
            points = np.round((outline + shift) * 16).astype(np.int32)
            cv2.fillConvexPoly(chips, points, float(tone), cv2.LINE_AA, 4)
    return np.asarray((chips.astype(np.float32) - 128) / 128, dtype=np.float32)


def paint_arena(
    width: int, height: int, margin_px: float, appearance: Appearance, seed: int, bedding: float = 0.0
) -> UInt8:
    """Return the empty arena as a (height, width, 3) uint8 RGB array.

    Args:
        width: Width of the frame in pixels.
        height: Height of the frame in pixels.
        margin_px: Width of the walls around the floor, in pixels.
        appearance: Colours and light.
        seed: Seed of the textures.
        bedding: Contrast of the shavings on the floor; 0 for a bare floor.
    """
    draw = np.random.default_rng([seed, 3])
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x_c, y_c = (width - 1) / 2, (height - 1) / 2
    round_px = 0.8 * margin_px
    qx, qy = np.abs(x - x_c) - (x_c - margin_px) + round_px, np.abs(y - y_c) - (y_c - margin_px) + round_px
    out_px = np.hypot(np.maximum(qx, 0), np.maximum(qy, 0)) + np.minimum(np.maximum(qx, qy), 0) - round_px

    lamp_x, lamp_y = appearance.light_xy[0] * width, appearance.light_xy[1] * height
    far = ((x - lamp_x) ** 2 + (y - lamp_y) ** 2) / (width**2 + height**2) / 0.35
    light = 1.06 - appearance.unevenness * far
    grain = sum(a * _cloud(draw, height, width, c * margin_px) for a, c in ((0.012, 5), (0.008, 1.2), (0.008, 0.12)))
    brushed = cv2.blur(draw.standard_normal((height, width)).astype(np.float32), (max(3, width // 16), 1))
    floor_light = light * (1 + grain + 0.05 * brushed) * (1 - 0.30 * np.exp(np.minimum(out_px, 0) / (0.5 * margin_px)))
    if bedding > 0:
        strewn = bedding * _shavings(width, height, margin_px, seed) * _SHAVING_LEVELS
        floor_light = np.maximum(floor_light + strewn / float(appearance.floor.mean()), 0)

    # Walls lean towards the camera: lit where they face the lamp, darkest at the foot, a bright rim on top.
    facing = np.where(qx > qy, np.sign(x_c - x) * (lamp_x - x) / width, np.sign(y_c - y) * (lamp_y - y) / height)
    rise = np.clip(out_px / margin_px, 0, 1.5)
    rim = np.exp(-(((rise - 0.80) / 0.07) ** 2))
    wall_light = light * (0.36 + 0.16 * facing + 0.20 * rise + 0.32 * rim) * (1 - 0.5 * (rise > 0.9))
    on_wall = np.clip(out_px + 0.5, 0, 1)[..., None]
    cool = appearance.floor * rgb([0.96, 1.0, 1.03])
    image = appearance.floor * floor_light[..., None] * (1 - on_wall) + cool * wall_light[..., None] * on_wall
    return np.asarray(np.clip(image, 0, 255).round(), dtype=np.uint8)
