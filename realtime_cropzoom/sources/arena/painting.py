"""Painting of the synthetic animal as sprites, which are later bent and turned.

They are painted once per arena. Sprites are premultiplied RGBA, (H, W, 4) uint8, with the animal facing right.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from realtime_cropzoom.sources.arena.appearance import Appearance, rgb
from realtime_cropzoom.sources.arena.build import Build
from realtime_cropzoom.types import Float32, UInt8

_TRUNK_OUTLINE = (
    (-0.03, 0.0), (-0.015, 0.032), (0.02, 0.062), (0.07, 0.112), (0.14, 0.158), (0.23, 0.181), (0.33, 0.184),
    (0.44, 0.168), (0.54, 0.150), (0.63, 0.142), (0.71, 0.131), (0.78, 0.110), (0.83, 0.078), (0.87, 0.0),
)  # fmt: skip
_HEAD_OUTLINE = (
    (-0.11, 0.0), (-0.09, 0.060), (-0.05, 0.092), (0.0, 0.110), (0.05, 0.106), (0.10, 0.094), (0.15, 0.071),
    (0.19, 0.047), (0.22, 0.026), (0.236, 0.013), (0.243, 0.0),
)  # fmt: skip
_FINE = 4
"""Factor by which sprites are painted larger before they are averaged down."""


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
    shade *= appearance.sheen
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


def paint_body(scale: float, build: Build, appearance: Appearance, seed: int) -> Sprite:
    """Return the trunk, from its tail base at (0, 0) to the pivot of the head at (build.spine, 0)."""
    draw = np.random.default_rng([seed, 4])
    u, v, size = _canvas(scale, (-0.06, build.spine + 0.14), 0.24)
    u, v = u / build.spine_ratio, v / build.breadth
    canvas = _pelt(u, v, _half_width(_TRUNK_OUTLINE, u), appearance, draw, 0.02 * scale * _FINE)
    return Sprite(_shrink(canvas, size), (0.06 * scale - 0.5, size[1] / 2 - 0.5))


def paint_head(scale: float, build: Build, appearance: Appearance, seed: int) -> Sprite:
    """Return the head with its pivot at (0, 0): fur, ears, eyes, nose and whiskers."""
    draw = np.random.default_rng([seed, 5])
    at_u, at_v, size = _canvas(scale, (-0.14, build.snout + 0.06), 0.20)
    u, v = at_u / build.head_ratio, at_v / build.breadth
    canvas = _pelt(u, v, _half_width(_HEAD_OUTLINE, u), appearance, draw, 0.012 * scale * _FINE)
    # The back of the head fades into the neck of the trunk, which is drawn below it.
    canvas *= np.clip((u + 0.11) / 0.07, 0, 1)[..., None]
    for side in (-1, 1):
        _whiskers(canvas, u, side * v, appearance)
        _ear(canvas, at_u, at_v, side, build, appearance)
        _eye(canvas, u, v, side, appearance)
    nose = _blob(u, v, (build.snout / build.head_ratio, 0.0), (0.012, 0.013), 0.0)
    _lay(canvas, 0.62 * appearance.skin, np.clip((1.1 - nose) * 2, 0, 1))
    return Sprite(_shrink(canvas, size), (0.14 * scale - 0.5, size[1] / 2 - 0.5))


def _whiskers(canvas: Float32, u: Float32, outwards: Float32, appearance: Appearance) -> None:
    """Draw the whiskers of one side on the canvas. ``outwards`` is the distance from the midline on this side."""
    colour = 0.6 * appearance.coat + 0.4 * appearance.skin
    for root_v, reach_u, reach_v in ((0.030, 0.010, 0.105), (0.028, -0.022, 0.100), (0.024, 0.036, 0.085)):
        t = np.clip((outwards - root_v) / reach_v, 0, 1)
        off = np.abs(u - (0.192 + reach_u * t + 0.03 * t * t * np.sign(reach_u)))
        whisker = (off < 0.003) & (outwards > root_v) & (outwards < root_v + reach_v)
        _lay(canvas, colour, np.asarray(0.5 * (1 - t) * whisker, dtype=np.float32))


def _ear(canvas: Float32, u: Float32, v: Float32, side: int, build: Build, appearance: Appearance) -> None:
    """Draw the ear on the left (``side`` -1) or right (1) with its shadow on the head."""
    ahead, aside, size = build.ear_ahead, build.ear_aside, build.ear
    at = (ahead - 0.014 * size, side * (aside - 0.012 * size))
    shadow = _blob(u, v, at, (0.052 * size, 0.064 * size), 0.5 * side)
    shade = np.asarray(0.55 * np.clip(1.4 - shadow, 0, 1) * (canvas[..., 3] / 255), np.float32)
    _lay(canvas, 0.35 * appearance.coat, appearance.ear_shade * shade)
    ear = _blob(u, v, (ahead, side * aside), (0.044 * size, 0.056 * size), 0.5 * side)
    _lay(canvas, 0.45 * appearance.skin + 0.35 * appearance.coat, np.clip((1 - ear) * 4, 0, 1))
    inner = _blob(u, v, (ahead, side * aside), (0.030 * size, 0.041 * size), 0.5 * side)
    pink = rgb([1.06, 0.96, 0.96]) * appearance.skin
    _lay(canvas, pink, np.asarray(0.9 * np.clip((1.1 - inner) * 1.5, 0, 1), dtype=np.float32))


def _eye(canvas: Float32, u: Float32, v: Float32, side: int, appearance: Appearance) -> None:
    eye = _blob(u, v, (0.168, side * 0.049), (0.015, 0.011), -0.35 * side)
    _lay(canvas, appearance.eye, np.clip((1.15 - eye) * 3, 0, 1))
    glint = _blob(u, v, (0.171, side * 0.047 - 0.003), (0.0045, 0.0045), 0.0)
    _lay(canvas, rgb([225, 228, 235]), np.clip(1.5 - glint, 0, 1))
