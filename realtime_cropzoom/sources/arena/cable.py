"""Head stage and cable of a tethered animal. Lengths are in body lengths, as in ``posture``."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from realtime_cropzoom.sources.arena.appearance import rgb
from realtime_cropzoom.sources.arena.posture import Posture, Rect
from realtime_cropzoom.types import Float32, Float64

CABLES = ("none", "middle", "edge")
_STAGE_AHEAD = 0.055
"""Distance of the head stage from the pivot of the head: behind the line between the ears."""
_POINTS = 40


@dataclass(frozen=True, slots=True)
class Cable:
    """A cable from the head of the animal to a holder above the arena."""

    holder: tuple[float, float]
    """End of the cable in the picture. It may be outside."""
    half_width: float
    colour: Float32
    """RGB, 0 to 255."""
    stage: tuple[float, float]
    """Half the length and half the width of the head stage."""
    sag: float
    """Sideways bow of the cable, as a fraction of its length."""

    @classmethod
    def choose(cls, kind: str, floor: Rect, seed: int) -> Cable | None:
        """Return the cable for a seed.

        Args:
            kind: ``middle`` for a holder above the middle of the arena, ``edge`` for one out of the picture, ``none``.
            floor: Floor of the arena.
            seed: Seed of its look.
        """
        if kind == "none":
            return None
        draw = np.random.default_rng([seed, 9])
        x, y = draw.uniform(-0.15, 0.15, 2) if kind == "middle" else (draw.uniform(-0.4, 0.4), -0.75)
        width, height = floor.x1 - floor.x0, floor.y1 - floor.y0
        holder = (float(floor.x0 + (0.5 + x) * width), float(floor.y0 + (0.5 + y) * height))
        gray = float(draw.choice([25, 60, 150, 225]))
        return cls(
            holder,
            float(draw.uniform(0.008, 0.02)),
            rgb([gray, gray, 1.03 * gray]),
            (float(draw.uniform(0.04, 0.065)), float(draw.uniform(0.03, 0.05))),
            float(draw.uniform(-0.35, 0.35)),
        )

    def line(self, posture: Posture) -> Float64:
        """Return the middle of the cable as an (n, 2) array, from the head stage to the holder.

        It leaves the head backwards, and bows to the side where the head turns.
        """
        start = np.array(posture.on_head(_STAGE_AHEAD, 0.0))
        way = np.array(self.holder) - start
        length = float(np.hypot(*way)) + 1e-9
        back = np.array(posture.on_head(_STAGE_AHEAD - min(0.5, 0.4 * length), 0.0))
        bow = (self.sag + 0.15 * math.sin(posture.gait / 3) - 0.2 * posture.head) * np.array([-way[1], way[0]])
        middle = start + 0.6 * way + bow
        t = np.linspace(0.0, 1.0, _POINTS)[:, None]
        curve = (1 - t) ** 3 * start + 3 * (1 - t) ** 2 * t * back + 3 * (1 - t) * t**2 * middle + t**3 * self.holder
        return np.asarray(curve)

    def outlines(self, posture: Posture) -> tuple[Float64, Float64, Float64]:
        """Return the outlines of the cable, which is thicker near the camera, of the head stage and of the holder."""
        line = self.line(posture)
        steps = np.gradient(line, axis=0)
        normal = np.stack([-steps[:, 1], steps[:, 0]], axis=1) / (np.hypot(steps[:, 0], steps[:, 1])[:, None] + 1e-9)
        half = self.half_width * np.linspace(1.0, 1.6, _POINTS)[:, None]
        long, wide = self.stage
        corners = ((-long, -wide), (long, -0.8 * wide), (long, 0.8 * wide), (-long, wide))
        stage = np.array([posture.on_head(_STAGE_AHEAD + ahead, aside) for ahead, aside in corners])
        turns = np.linspace(0, 2 * np.pi, _POINTS)[:, None]
        disc = self.holder + 3.5 * self.half_width * np.hstack([np.cos(turns), np.sin(turns)])
        return np.vstack([line + normal * half, (line - normal * half)[::-1]]), stage, disc
