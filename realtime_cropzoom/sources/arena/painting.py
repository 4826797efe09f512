"""Painting of the synthetic arena: its floor and walls, and the mouse as sprites, which are later bent and turned.

All of it is painted once per arena. Sprites are premultiplied RGBA, (H, W, 4) uint8, with the animal facing right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from realtime_cropzoom.sources.arena.posture import BODY_LENGTH, EAR_AHEAD, EAR_ASIDE, SNOUT
from realtime_cropzoom.types import Float32, UInt8

_BODY_PROFILE = (
    (-0.03, 0.0), (-0.015, 0.032), (0.02, 0.062), (0.07, 0.112), (0.14, 0.158), (0.23, 0.181), (0.33, 0.184),
    (0.44, 0.168), (0.54, 0.150), (0.63, 0.142), (0.71, 0.131), (0.78, 0.110), (0.83, 0.078), (0.87, 0.0),
)  # fmt: skip
_HEAD_PROFILE = (
    (-0.11, 0.0), (-0.09, 0.060), (-0.05, 0.092), (0.0, 0.110), (0.05, 0.106), (0.10, 0.094), (0.15, 0.071),
    (0.19, 0.047), (0.22, 0.026), (0.236, 0.013), (0.243, 0.0),
)  # fmt: skip
_FINE = 4
"""Factor by which sprites are painted larger before they are averaged down."""


@dataclass(frozen=True, slots=True)
class Appearance:
    """Colours and light of one arena. Colours are RGB, 0 to 255."""

    coat: Float32
    skin: Float32
    """Ears, feet and tail."""
    floor: Float32
    light_xy: tuple[float, float]
    """Brightest point of the lamp, as fractions of the frame."""
    unevenness: float
    """Fraction of the light that is missing in the farthest corner, 0..1."""


def choose_appearance(seed: int, coat: int | None, floor: int | None) -> Appearance:
    """Return the appearance for a seed, with warm colours and a floor that differs clearly from the coat.

    Args:
        seed: The seed.
        coat: Gray level of the coat, 0 to 255; None if the seed chooses it.
        floor: Gray level of the floor, 0 to 255; None if the seed chooses it.
    """
    draw = np.random.default_rng([seed, 2])
    gray = draw.uniform(38, 72) if coat is None else float(coat)
    bright = draw.uniform(196, 226) if floor is None else float(floor)
    warmth, floor_warmth, rosiness = draw.uniform(0.0, 0.22), draw.uniform(0.01, 0.10), draw.uniform(0.10, 0.20)
    skin = 0.32 * gray + 0.68 * 205
    return Appearance(
        coat=_tint(gray, warmth),
        skin=_rgb([skin * (1 + rosiness / 2), skin * (1 - rosiness / 2), skin * (1 - rosiness / 2.5)]),
        floor=_tint(bright, floor_warmth),
        light_xy=(float(draw.uniform(0.3, 0.7)), float(draw.uniform(0.25, 0.6))),
        unevenness=float(draw.uniform(0.28, 0.45)),
    )


def _rgb(values: Sequence[float]) -> Float32:
    return np.array(values, np.float32)


def _tint(gray: float, warmth: float) -> Float32:
    return _rgb([gray * (1 + warmth), gray * (1 + 0.2 * warmth), gray * (1 - 0.9 * warmth)])


def _cloud(draw: np.random.Generator, height: int, width: int, cell_px: float) -> Float32:
    """Return a (height, width) array of smooth noise of unit variance, with features about ``cell_px`` wide."""
    shape = (max(2, round(height / cell_px) + 2), max(2, round(width / cell_px) + 2))
    grid = draw.standard_normal(shape).astype(np.float32)
    return np.asarray(cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.float32)


def paint_arena(width: int, height: int, margin_px: float, appearance: Appearance, seed: int) -> UInt8:
    """Return the empty arena as a (height, width, 3) uint8 RGB array, with walls of ``margin_px`` around its floor."""
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

    # Walls lean towards the camera: lit where they face the lamp, darkest at the foot, a bright rim on top.
    facing = np.where(qx > qy, np.sign(x_c - x) * (lamp_x - x) / width, np.sign(y_c - y) * (lamp_y - y) / height)
    rise = np.clip(out_px / margin_px, 0, 1.5)
    rim = np.exp(-(((rise - 0.80) / 0.07) ** 2))
    wall_light = light * (0.36 + 0.16 * facing + 0.20 * rise + 0.32 * rim) * (1 - 0.5 * (rise > 0.9))
    on_wall = np.clip(out_px + 0.5, 0, 1)[..., None]
    cool = appearance.floor * _rgb([0.96, 1.0, 1.03])
    image = appearance.floor * floor_light[..., None] * (1 - on_wall) + cool * wall_light[..., None] * on_wall
    return np.asarray(np.clip(image, 0, 255).round(), dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Sprite:
    """Image of a part of the animal. Point (u, v) in body lengths is at pixel (u, v) * scale + origin."""

    image: UInt8
    origin: tuple[float, float]


def _canvas(scale: float, u: tuple[float, float], v: float) -> tuple[Float32, Float32, tuple[int, int]]:
    """Return u and v of the pixels of a canvas ``_FINE`` times finer than the sprite, and the sprite's size."""
    width, height = int(np.ceil((u[1] - u[0]) * scale)), 2 * int(np.ceil(v * scale))
    fine_v, fine_u = np.mgrid[0 : height * _FINE, 0 : width * _FINE].astype(np.float32)
    return (
        (fine_u + 0.5) / (_FINE * scale) + u[0],
        (fine_v + 0.5 - height * _FINE / 2) / (_FINE * scale),
        (width, height),
    )


def _half_width(profile: tuple[tuple[float, float], ...], u: Float32) -> Float32:
    """Return the half width of an outline at ``u``: the points of the profile, rounded off."""
    knots = np.array(profile)
    fine = np.linspace(knots[0, 0], knots[-1, 0], 400)
    # Squared, the ends of an ellipse are straight lines: interpolating the square keeps them round.
    square = np.interp(fine, knots[:, 0], knots[:, 1] ** 2)
    soft = cv2.GaussianBlur(square[None], (25, 1), 5, borderType=cv2.BORDER_REFLECT)[0]
    square = np.interp(u, fine, np.minimum(soft, square + 1e-3), left=0, right=0)
    return np.asarray(np.sqrt(square), dtype=np.float32)


def _fur(draw: np.random.Generator, shape: tuple[int, int], hair: float) -> Float32:
    """Return hair along u: noise that is stretched lengthwise, with unit variance."""
    strands = draw.standard_normal(shape).astype(np.float32)
    drawn = np.asarray(cv2.GaussianBlur(strands, (0, 0), sigmaX=hair, sigmaY=hair / 5), dtype=np.float32)
    return np.asarray(drawn / (drawn.std() + 1e-9), dtype=np.float32)


def _pelt(
    u: Float32, v: Float32, half: Float32, appearance: Appearance, draw: np.random.Generator, hair: float
) -> Float32:
    """Return a rounded body of fur with the half width ``half`` at u: premultiplied RGBA, (H, W, 4) float32."""
    fur = _fur(draw, (u.shape[0], u.shape[1]), hair)
    across = np.abs(v) / np.maximum(half, 1e-6)
    dome = np.sqrt(np.clip(1 - across**2, 0, 1))
    shade = 0.42 + 0.58 * dome + 0.30 * np.exp(-(((v / np.maximum(half, 1e-6) + 0.25) / 0.24) ** 2))
    # Pale fur shows its hairs, and the shade of its flanks, less than dark fur.
    pale = float(appearance.coat.mean()) / 255
    shade = (1 - 0.45 * pale) * shade * (1 + (0.10 + 0.05 * dome) * (1 - 0.6 * pale) * fur) + 0.4 * pale
    edge = half - np.abs(v) + 0.004 * fur * (half > 0.03)
    alpha = np.clip(edge / 0.012 + 0.5, 0, 1) * (half > 0)
    opaque = np.dstack([np.clip(appearance.coat * shade[..., None], 0, 255), np.full_like(u, 255)])
    return np.asarray(opaque * alpha[..., None], dtype=np.float32)


def _lay(canvas: Float32, colour: Float32, alpha: Float32) -> None:
    """Compose a colour over a premultiplied canvas, in place."""
    canvas *= (1 - alpha)[..., None]
    canvas[..., :3] += colour * alpha[..., None]
    canvas[..., 3] += 255 * alpha


def _shrink(canvas: Float32, size: tuple[int, int]) -> UInt8:
    return np.asarray(cv2.resize(canvas, size, interpolation=cv2.INTER_AREA).round().astype(np.uint8))


def _blob(u: Float32, v: Float32, at: tuple[float, float], radii: tuple[float, float], angle: float) -> Float32:
    """Return the squared distance from the centre of an ellipse in units of its radii: 1 on its edge."""
    du, dv, cos, sin = u - at[0], v - at[1], np.cos(angle), np.sin(angle)
    return np.asarray(
        ((du * cos + dv * sin) / radii[0]) ** 2 + ((dv * cos - du * sin) / radii[1]) ** 2, dtype=np.float32
    )


def paint_body(scale: float, appearance: Appearance, seed: int) -> Sprite:
    """Return the trunk, from its tail base at (0, 0) to the pivot of the head at (BODY_LENGTH, 0)."""
    draw = np.random.default_rng([seed, 4])
    u, v, size = _canvas(scale, (-0.06, BODY_LENGTH + 0.14), 0.24)
    canvas = _pelt(u, v, _half_width(_BODY_PROFILE, u), appearance, draw, 0.02 * scale * _FINE)
    return Sprite(_shrink(canvas, size), (0.06 * scale - 0.5, size[1] / 2 - 0.5))


def paint_head(scale: float, appearance: Appearance, seed: int) -> Sprite:
    """Return the head with its pivot at (0, 0): fur, ears, eyes, nose and whiskers."""
    draw = np.random.default_rng([seed, 5])
    u, v, size = _canvas(scale, (-0.14, SNOUT + 0.06), 0.20)
    canvas = _pelt(u, v, _half_width(_HEAD_PROFILE, u), appearance, draw, 0.012 * scale * _FINE)
    # The back of the head fades into the neck of the trunk, which is drawn below it.
    canvas *= np.clip((u + 0.11) / 0.07, 0, 1)[..., None]
    for side in (-1, 1):
        for root_v, reach_u, reach_v in ((0.030, 0.010, 0.105), (0.028, -0.022, 0.100), (0.024, 0.036, 0.085)):
            t = np.clip((side * v - root_v) / reach_v, 0, 1)
            off = np.abs(u - (0.192 + reach_u * t + 0.03 * t * t * np.sign(reach_u)))
            whisker = (off < 0.003) & (side * v > root_v) & (side * v < root_v + reach_v)
            _lay(
                canvas,
                0.6 * appearance.coat + 0.4 * appearance.skin,
                np.asarray(0.5 * (1 - t) * whisker, dtype=np.float32),
            )
        shadow = _blob(u, v, (EAR_AHEAD - 0.014, side * (EAR_ASIDE - 0.012)), (0.052, 0.064), 0.5 * side)
        _lay(
            canvas,
            0.35 * appearance.coat,
            np.asarray(0.55 * np.clip(1.4 - shadow, 0, 1) * (canvas[..., 3] / 255), np.float32),
        )
        ear = _blob(u, v, (EAR_AHEAD, side * EAR_ASIDE), (0.044, 0.056), 0.5 * side)
        _lay(canvas, 0.45 * appearance.skin + 0.35 * appearance.coat, np.clip((1 - ear) * 4, 0, 1))
        inner = _blob(u, v, (EAR_AHEAD, side * EAR_ASIDE), (0.030, 0.041), 0.5 * side)
        _lay(
            canvas,
            _rgb([1.06, 0.96, 0.96]) * appearance.skin,
            np.asarray(0.9 * np.clip((1.1 - inner) * 1.5, 0, 1), dtype=np.float32),
        )
        eye = _blob(u, v, (0.168, side * 0.049), (0.015, 0.011), -0.35 * side)
        _lay(canvas, _rgb([8, 7, 8]), np.clip((1.15 - eye) * 3, 0, 1))
        glint = _blob(u, v, (0.171, side * 0.047 - 0.003), (0.0045, 0.0045), 0.0)
        _lay(canvas, _rgb([225, 228, 235]), np.clip(1.5 - glint, 0, 1))
    nose = _blob(u, v, (SNOUT, 0.0), (0.012, 0.013), 0.0)
    _lay(canvas, 0.62 * appearance.skin, np.clip((1.1 - nose) * 2, 0, 1))
    return Sprite(_shrink(canvas, size), (0.14 * scale - 0.5, size[1] / 2 - 0.5))
