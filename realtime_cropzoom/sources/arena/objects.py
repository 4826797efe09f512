"""Things on the floor of the synthetic arena that are no animal: blocks, balls, pellets and droppings."""

from __future__ import annotations

import cv2
import numpy as np

from realtime_cropzoom.types import Float64, UInt8

_FRACTION_BITS = 4
_KINDS, _SHARES = ("block", "ball", "pellets"), (0.25, 0.2, 0.55)


def strew_objects(image: UInt8, count: int, margin_px: float, seed: int) -> None:
    """Draw things on an empty arena, in place.

    Args:
        image: (H, W, 3) uint8 RGB, the arena.
        count: Number of things.
        margin_px: Width of the walls in pixels, which gives the scale.
        seed: Seed of the things.
    """
    draw = np.random.default_rng([seed, 11])
    high = np.array([image.shape[1], image.shape[0]]) - 2 * margin_px
    for _ in range(count):
        middle = draw.uniform(2 * margin_px, high)
        kind = draw.choice(_KINDS, p=_SHARES)
        gray = float(draw.choice([draw.uniform(15, 70), draw.uniform(70, 170), draw.uniform(170, 245)]))
        if kind == "block":
            size = draw.uniform(0.5, 2.2, 2)
            _thing(image, _rounded(middle, margin_px * size, draw.uniform(0, np.pi), 8), gray, 0.3 * margin_px)
        elif kind == "ball":
            radius = margin_px * draw.uniform(0.4, 1.4)
            _thing(image, _rounded(middle, np.array([radius, radius]), 0, 2), gray, 0.3 * margin_px)
        else:
            for _ in range(int(draw.integers(1, 7))):
                at = middle + margin_px * draw.uniform(-1.2, 1.2, 2)
                size = draw.uniform((0.10, 0.07), (0.28, 0.14))
                _thing(image, _rounded(at, margin_px * size, draw.uniform(0, np.pi), 2), gray, 0.08 * margin_px)


def _rounded(middle: Float64, half: Float64, angle: float, power: float) -> Float64:
    """Return the outline of an ellipse (``power`` 2) or of a rectangle with round corners (8), (N, 2) in pixels."""
    turns = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    cos, sin = np.cos(turns), np.sin(turns)
    x, y = (np.sign(wave) * np.abs(wave) ** (2 / power) for wave in (cos, sin))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.asarray(np.stack([x, y], axis=1) * half @ turn + middle)


def _thing(image: UInt8, outline: Float64, gray: float, height_px: float) -> None:
    """Draw a thing with its shadow, and lighter on the side of the lamp."""
    for shift, tone in ((0.5, 0.0), (0.0, 0.75 * gray), (-0.25, gray)):
        inner = outline.mean(axis=0) + (outline - outline.mean(axis=0)) * (0.85 if shift < 0 else 1.0)
        points = np.round((inner + shift * height_px) * 2**_FRACTION_BITS).astype(np.int32)
        if shift > 0:
            shade = np.zeros(image.shape[:2], np.uint8)
            cv2.fillPoly(shade, [points], 255, cv2.LINE_AA, _FRACTION_BITS)
            image[:] = (image * (1 - 0.45 / 255 * shade[..., None])).astype(np.uint8)
        else:
            cv2.fillPoly(image, [points], (tone, tone, 0.96 * tone), cv2.LINE_AA, _FRACTION_BITS)
