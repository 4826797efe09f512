"""Random settings of the synthetic arena, for training frames."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np

from realtime_cropzoom.sources.arena.source import ArenaSettings

Look = Literal["usual", "varied"]

_SIZES = ((640, 480), (640, 480), (640, 480), (640, 640), (800, 600), (720, 405))
_LEAST_CONTRAST = 45
"""Gray levels between fur and floor of most arenas."""


def usual(rng: np.random.Generator, seed: int) -> ArenaSettings:
    """Return a dark mouse on a bright floor: half of the arenas have the default camera, half a random one."""
    if rng.random() < 0.5:
        return ArenaSettings(seed=seed)
    return ArenaSettings(
        seed=seed,
        noise=rng.uniform(0, 8),
        blur=rng.uniform(0.3, 1.5),
        exposure_ms=rng.uniform(0, 20),
        scale=rng.uniform(0.8, 1.15),
    )


def varied(rng: np.random.Generator, seed: int) -> ArenaSettings:
    """Return any animal on any floor: colours, bedding, things, cable, size, build, camera and its angle vary."""
    width, height = _SIZES[rng.integers(len(_SIZES))]
    coat, floor = _grays(rng)
    return ArenaSettings(
        width,
        height,
        seed=seed,
        noise=rng.uniform(0, 10),
        blur=rng.uniform(0.2, 1.8),
        exposure_ms=rng.uniform(0, 25),
        scale=math.exp(rng.uniform(math.log(0.4), math.log(2.3))),
        coat=coat,
        floor=floor,
        build="rat" if rng.random() < 0.35 else "mouse",
        bedding=rng.uniform(0.1, 1.0) if rng.random() < 0.45 else 0.0,
        objects=int(rng.integers(1, 9)) if rng.random() < 0.3 else 0,
        cable=str(rng.choice(["none", "middle", "edge"], p=[0.7, 0.15, 0.15])),
        tilt=rng.uniform(-35, 35) if rng.random() < 0.4 else 0.0,
    )


def _grays(rng: np.random.Generator) -> tuple[int, int]:
    """Return gray levels of fur and floor. One arena in ten may hide the animal."""
    low, high = ((20, 80), (80, 170), (190, 245))[rng.choice(3, p=[0.4, 0.2, 0.4])]
    coat = int(rng.integers(low, high))
    least = 0 if rng.random() < 0.1 else _LEAST_CONTRAST
    while abs((floor := int(rng.integers(12, 235))) - coat) < least:
        pass
    return coat, floor


LOOKS: dict[Look, Callable[[np.random.Generator, int], ArenaSettings]] = {"usual": usual, "varied": varied}
