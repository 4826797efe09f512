"""Posture of the synthetic animal at one moment, and its keypoints.

Lengths are in body lengths (snout to tail base of a stretched animal), angles in radians. x points right and
y down, so an increasing angle turns to the animal's right.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from realtime_cropzoom.sources.arena.build import MOUSE, Build
from realtime_cropzoom.types import Float64

TAIL_JOINTS = 5
"""Number of joints of the tail."""


class Rect(NamedTuple):
    """Floor on which the animal stays, in body lengths."""

    x0: float
    y0: float
    x1: float
    y1: float


class Posture(NamedTuple):
    """Posture of the animal at one moment, as needed to draw it."""

    x: float
    """x of the middle of the spine."""
    y: float
    heading: float
    """Direction of the spine at its middle."""
    speed: float
    """Speed in body lengths per second."""
    bend: float
    """Angle between the two ends of the spine; positive bends to the animal's right."""
    head: float
    """Angle of the head relative to the front end of the spine."""
    gait: float
    """Phase of the strides; one stride is 2π."""
    tail: tuple[float, ...]
    """Absolute direction of each tail joint, from the base on."""
    breath: float
    """Phase of the breathing; one breath is 2π."""
    build: Build = MOUSE
    """Proportions of the animal."""

    @property
    def length(self) -> float:
        """Length of the spine. It stretches in a run, and varies with every stride of a gallop."""
        gallop = min(1.0, self.speed / 3.0)
        return self.build.spine * (0.94 + 0.06 * min(1.0, self.speed / 1.5) + 0.035 * gallop * math.sin(self.gait))

    def along(self, s: float, aside: float = 0.0) -> tuple[float, float]:
        """Return the point at arc length ``s`` from the spine's middle (front positive) and ``aside`` to the right."""
        curvature = self.bend / self.length
        angle = curvature * s
        # sin(a)/a and (1 - cos(a))/a, both finite for a straight spine.
        sinc = math.sin(angle / 2) / (angle / 2) if abs(angle) > 1e-9 else 1.0
        forward, right = s * sinc * math.cos(angle / 2), s * sinc * math.sin(angle / 2)
        forward, right = forward - aside * math.sin(angle), right + aside * math.cos(angle)
        cos, sin = math.cos(self.heading), math.sin(self.heading)
        return self.x + forward * cos - right * sin, self.y + forward * sin + right * cos

    def on_head(self, ahead: float, aside: float) -> tuple[float, float]:
        """Return the point ``ahead`` of the pivot of the head and ``aside`` to its right."""
        x, y = self.along(self.length / 2)
        angle = self.heading + self.bend / 2 + self.head
        cos, sin = math.cos(angle), math.sin(angle)
        return x + ahead * cos - aside * sin, y + ahead * sin + aside * cos

    def keypoints(self) -> Float64:
        """Return snout, left ear, right ear and tail base as a (4, 2) float64 array, in body lengths."""
        build = self.build
        return np.array(
            [
                self.on_head(build.snout, 0.0),
                self.on_head(build.ear_ahead, -build.ear_aside),
                self.on_head(build.ear_ahead, build.ear_aside),
                self.along(-self.length / 2),
            ]
        )

    def tail_line(self, floor: Rect, points: int = 25) -> Float64:
        """Return the tail as a (points, 2) array, from just inside the body to the tip. It bends along a wall."""
        base = self.heading - self.bend / 2 + math.pi
        s = np.linspace(0.0, TAIL_JOINTS, points)
        angles = np.interp((s[1:] + s[:-1]) / 2, np.arange(TAIL_JOINTS + 1), [base, *self.tail])
        steps = np.stack([np.cos(angles), np.sin(angles)], axis=1) * (self.build.tail / (points - 1))
        line = np.cumsum(np.vstack([self.along(-self.length / 2 + 0.03), steps]), axis=0)
        # The clipping is softer towards the tip, so that the base stays at the body.
        soft = np.linspace(1e-6, 0.06, points)[:, None]
        line = (floor.x0, floor.y0) + soft * np.logaddexp(0.0, (line - (floor.x0, floor.y0)) / soft)
        return np.asarray((floor.x1, floor.y1) - soft * np.logaddexp(0.0, ((floor.x1, floor.y1) - line) / soft))
