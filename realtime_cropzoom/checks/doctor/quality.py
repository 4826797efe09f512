"""Quality of the pictures: light, noise, sharpness, repeated frames, interlacing and compression, measured."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from realtime_cropzoom.checks.doctor.movement import small_gray
from realtime_cropzoom.checks.doctor.samples import Sample
from realtime_cropzoom.inference.appearance import to_gray
from realtime_cropzoom.types import Box, Float64, UInt8

_BLACK, _WHITE = 3, 252
"""Gray levels at and beyond which a pixel is clipped."""


@dataclass(frozen=True, slots=True)
class Light:
    """Brightness of the samples, from 0 to 1."""

    brightness: float
    """Median of the mean gray of the frames."""
    black: float
    """Share of pixels that are black (median of the frames)."""
    white: float
    """Share of pixels that are white (median of the frames)."""
    flicker: float
    """Change of the background's brightness from one frame to the next, relative to it (largest common change)."""
    noise: float
    """Standard deviation of the noise (gray levels)."""
    colour: float
    """Median difference between the channels (gray levels); 0 for gray video."""


@dataclass(frozen=True, slots=True)
class Repeats:
    """Frames that are the same as the one before."""

    following: float
    """Share of the frames right after a sample that equal the one before."""
    far: float
    """Share of samples that equal the sample before, some time earlier."""


def measure_light(samples: Sequence[Sample]) -> Light:
    """Measure brightness, clipping, flicker, noise and colour of the samples."""
    grays = [to_gray(sample.image) for sample in samples]
    return Light(
        brightness=float(np.median([gray.mean() for gray in grays])) / 255,
        black=float(np.median([(gray <= _BLACK).mean() for gray in grays])),
        white=float(np.median([(gray >= _WHITE).mean() for gray in grays])),
        flicker=_flicker(samples),
        noise=float(np.median([_noise(gray) for gray in grays])),
        colour=float(np.median([_colour(sample.image) for sample in samples])),
    )


def _flicker(samples: Sequence[Sample]) -> float:
    """Return how much the brightness of what does not move changes between neighbouring frames."""
    changes = []
    for sample in samples:
        small, _ = small_gray([sample.image, *sample.following])
        for one, other in zip(small[:-1].astype(np.float64), small[1:].astype(np.float64), strict=True):
            changes.append(abs(float(np.median(other - one))) / max(8.0, float(np.median(one))))
    return float(np.quantile(changes, 0.75)) if changes else 0.0


def _noise(gray: UInt8) -> float:
    """Return the standard deviation of the noise (Immerkær 1996), by the median, which edges do not move."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float64)
    filtered = cv2.filter2D(gray.astype(np.float64), -1, kernel)[1:-1, 1:-1]
    return float(np.median(np.abs(filtered))) / 0.6745 / 6


def _colour(image: UInt8) -> float:
    channels = image[::2, ::2].astype(np.int16)
    return float(np.mean(channels.max(axis=2) - channels.min(axis=2)))


def count_repeats(samples: Sequence[Sample]) -> Repeats:
    """Return how many frames repeat the one before, right after it and between samples."""
    same = [
        bool(np.array_equal(one, other))
        for sample in samples
        for one, other in zip((to_gray(sample.image), *sample.following), sample.following, strict=False)
    ]
    pairs = list(itertools.pairwise(samples))
    far = [bool(np.array_equal(one.image, other.image)) for one, other in pairs]
    return Repeats(float(np.mean(same)) if same else 0.0, float(np.mean(far)) if far else 0.0)


def edge_width(gray: UInt8, box: Box, contrast: float) -> float | None:
    """Return the width of the edges of an animal (frame pixels): its contrast, over the steepest changes of gray.

    Args:
        gray: The frame (H, W).
        box: A box around the animal (frame pixels).
        contrast: Gray of the animal minus that of its surroundings, from -1 to 1.
    """
    patch = _patch(gray, box)
    if patch is None or abs(contrast) < 0.03:
        return None
    slopes = np.hypot(cv2.Sobel(patch, cv2.CV_64F, 1, 0), cv2.Sobel(patch, cv2.CV_64F, 0, 1)) / 8
    steepest = float(np.quantile(slopes, 0.98))
    return abs(contrast) * 255 / steepest if steepest > 0 else None


def motion_ratio(gray: UInt8, box: Box, direction: tuple[float, float]) -> float | None:
    """Return how much wider edges across the movement are than those along it: 1 without motion blur.

    Args:
        gray: The frame (H, W).
        box: A box around the animal (frame pixels).
        direction: Its movement, (x, y), of any length but 0.
    """
    patch = _patch(gray, box)
    if patch is None:
        return None
    x, y = np.asarray(direction) / np.hypot(*direction)
    across, down = cv2.Sobel(patch, cv2.CV_64F, 1, 0), cv2.Sobel(patch, cv2.CV_64F, 0, 1)
    along = float(np.quantile(np.abs(across * x + down * y), 0.98))
    beside = float(np.quantile(np.abs(down * x - across * y), 0.98))
    return beside / along if along > 0 else None


def combing(image: UInt8, box: Box) -> float | None:
    """Return how much more a row differs from its neighbours than a column does, where the animal moves: 1 if even.

    Args:
        image: The frame (H, W), gray.
        box: A box around the animal (frame pixels).
    """
    patch = _patch(image, box)
    if patch is None or min(patch.shape) < 8:
        return None
    rows = np.abs(2 * patch[1:-1] - patch[:-2] - patch[2:])[:, 1:-1]
    columns = np.abs(2 * patch[:, 1:-1] - patch[:, :-2] - patch[:, 2:])[1:-1]
    least = 1.0  # gray level: below it there is nothing but noise
    return (float(np.quantile(rows, 0.95)) + least) / (float(np.quantile(columns, 0.95)) + least)


def blockiness(gray: UInt8, block: int = 8) -> float:
    """Return how much larger steps between columns are at the borders of blocks of compression than elsewhere.

    Args:
        gray: The frame (H, W).
        block: Side of a block (pixels).
    """
    steps = np.abs(np.diff(gray.astype(np.float64), axis=1)).mean(axis=0)
    columns = np.arange(len(steps)) % block == block - 1
    inside = float(steps[~columns].mean())
    return float(steps[columns].mean()) / inside if inside > 0 else 1.0


def _patch(gray: UInt8, box: Box) -> Float64 | None:
    top, left = max(0, int(box.y)), max(0, int(box.x))
    patch = gray[top : max(top, int(box.y + box.h)), left : max(left, int(box.x + box.w))].astype(np.float64)
    return patch if min(patch.shape) >= 3 else None
