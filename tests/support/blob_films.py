"""Samples of a blob that wanders over a floor, with whatever is wrong with the pictures."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from realtime_cropzoom.checks.doctor.samples import FOLLOWING, Sample, Sampled
from realtime_cropzoom.types import UInt8

WIDTH, HEIGHT = 320, 240
FLOOR, BLOB = 50, 250
Change = Callable[[UInt8, int], UInt8]


def blob_at(number: int) -> tuple[float, float]:
    """Where the blob is in a frame (pixels): a path that never comes back within a film."""
    return 160 + 110 * float(np.sin(number / 37)), 120 + 80 * float(np.cos(number / 23))


def draw(number: int, *, radius: int = 14, blobs: int = 1) -> UInt8:
    """Return a frame, (H, W, 3) RGB, with a soft bright blob, or several, on a dark floor with a little noise."""
    noise = np.random.default_rng(number).normal(0, 1, (HEIGHT, WIDTH))
    canvas = np.full((HEIGHT, WIDTH), FLOOR, np.float64)
    for other in range(blobs):
        x, y = blob_at(number + 97 * other)
        cv2.circle(canvas, (round(16 * x), round(16 * y)), 16 * radius, BLOB, cv2.FILLED, cv2.LINE_AA, 4)
    canvas = cv2.GaussianBlur(canvas, (0, 0), 1.0) + noise
    return np.repeat(np.clip(canvas, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def film(change: Change = lambda image, number: image, count: int = 24, step: int = 11, **drawn: int) -> Sampled:
    """Return samples of a film; ``change`` gets each picture and its number, and ``drawn`` goes to ``draw``."""

    def frame(number: int) -> UInt8:
        return change(draw(number, **drawn), number)

    samples = tuple(
        Sample(
            number,
            frame(number),
            tuple(np.ascontiguousarray(frame(number + k)[:, :, 1]) for k in range(1, FOLLOWING + 1)),
        )
        for number in range(0, count * step, step)
    )
    height, width = samples[0].image.shape[:2]
    return Sampled("film", width, height, 30.0, count * step, samples)
