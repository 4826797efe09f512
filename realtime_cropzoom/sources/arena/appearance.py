"""Colours and light of a synthetic arena."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from realtime_cropzoom.types import Float32

_WHITE = 190
"""Gray level of the coat from which on the animal is an albino: white fur that is hardly tinted, and pink eyes."""


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
    eye: Float32
    sheen: float
    """Light on the fur; less than 1 keeps the hairs of white fur below the white of the camera."""
    ear_shade: float
    """Strength of the shadow of the ears on the head."""


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
    white = gray >= _WHITE
    warmth, floor_warmth, rosiness = draw.uniform(0.0, 0.22), draw.uniform(0.01, 0.10), draw.uniform(0.10, 0.20)
    skin = 0.32 * gray + 0.68 * 205
    return Appearance(
        coat=_tint(gray, 0.3 * warmth if white else warmth),
        skin=rgb([skin * (1 + rosiness / 2), skin * (1 - rosiness / 2), skin * (1 - rosiness / 2.5)]),
        floor=_tint(bright, floor_warmth),
        light_xy=(float(draw.uniform(0.3, 0.7)), float(draw.uniform(0.25, 0.6))),
        unevenness=float(draw.uniform(0.28, 0.45)),
        eye=rgb([150, 42, 58] if white else [8, 7, 8]),
        sheen=0.9 if white else 1.0,
        ear_shade=0.45 if white else 1.0,
    )


def rgb(values: Sequence[float]) -> Float32:
    """Return a colour as an array."""
    return np.array(values, np.float32)


def _tint(gray: float, warmth: float) -> Float32:
    return rgb([gray * (1 + warmth), gray * (1 + 0.2 * warmth), gray * (1 - 0.9 * warmth)])
