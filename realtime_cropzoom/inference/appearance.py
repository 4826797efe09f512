"""Appearance: how long, how bright and how sharp an animal is in a frame, given its keypoints.

``measure_training`` makes the entry ``trained`` of a manifest of the labelled frames; the same numbers of a user's
frames then tell whether a model can know such an animal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from realtime_cropzoom.inference.manifest import Trained
from realtime_cropzoom.types import Float32, UInt8

MIN_SHARE = 0.6
"""Minimum share of an animal's keypoints that are needed for its length."""
MIN_CONTRAST = 0.06
"""Contrast below which an animal is about as bright as the floor."""
_THICKNESS = 0.08
"""Thickness of the line around the animal's keypoints (animal lengths): an animal is more than its outline."""
_RING = (0.65, 1.3)
"""Inner and outer radius of the ring around the animal that counts as its surroundings (animal lengths)."""


@dataclass(frozen=True, slots=True)
class Appearance:
    """One animal in one frame."""

    frame_size: tuple[int, int]
    """(width, height) of the frame (pixels)."""
    length_px: float
    """Largest distance between two keypoints (frame pixels)."""
    animal: float
    """Median gray of the animal, from 0 to 1."""
    surroundings: float
    """Median gray around it, from 0 to 1."""
    brightness: float
    """Mean gray of the frame, from 0 to 1."""

    @property
    def contrast(self) -> float:
        """Gray of the animal minus that of its surroundings, from -1 to 1."""
        return self.animal - self.surroundings


def to_gray(image: UInt8) -> UInt8:
    """Return the gray picture (H, W) of a frame (H, W, 3) in RGB."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def animal_length(xy: Float32) -> float | None:
    """Return the largest distance between two keypoints.

    Args:
        xy: (K, 2) keypoints (pixels); NaN for one that is absent.

    Returns:
        The length (pixels); None if too few keypoints are there, or all at one point.
    """
    there = xy[np.isfinite(xy).all(axis=1)].astype(np.float64)
    if len(there) < max(2, MIN_SHARE * len(xy)):
        return None
    length = float(np.linalg.norm(there[:, None] - there[None], axis=2).max())
    return length if length >= 1 else None


def measure_appearance(image: UInt8, xy: Float32) -> Appearance | None:
    """Measure an animal in a frame.

    Args:
        image: The frame, (H, W, 3) RGB.
        xy: (K, 2) its keypoints (frame pixels); NaN for one that is absent.

    Returns:
        The measures; None if too few keypoints are there, or the animal or its surroundings lie outside of the frame.
    """
    length, gray = animal_length(xy), to_gray(image)
    if length is None:
        return None
    animal = animal_mask(gray.shape, xy, length)
    around = _ring(gray.shape, xy, length) & ~animal
    if not animal.any() or not around.any():
        return None
    height, width = gray.shape
    animal_gray, around_gray = float(np.median(gray[animal])) / 255, float(np.median(gray[around])) / 255
    return Appearance((width, height), length, animal_gray, around_gray, float(gray.mean()) / 255)


def animal_mask(shape: Sequence[int], xy: Float32, length: float) -> npt.NDArray[np.bool_]:
    """Return which pixels the animal covers: the convex hull of its keypoints, made a little thicker.

    Args:
        shape: (H, W) of the frame (pixels).
        xy: (K, 2) keypoints (frame pixels); NaN for one that is absent.
        length: Length of the animal (pixels).
    """
    there = np.round(xy[np.isfinite(xy).all(axis=1)]).astype(np.int32)
    hull = cv2.convexHull(there)
    mask: UInt8 = np.zeros((shape[0], shape[1]), np.uint8)
    cv2.drawContours(mask, [hull], -1, 1, cv2.FILLED)
    cv2.drawContours(mask, [hull], -1, 1, max(1, round(_THICKNESS * length)))
    return mask.astype(bool)


def _ring(shape: Sequence[int], xy: Float32, length: float) -> npt.NDArray[np.bool_]:
    x, y = np.nanmean(xy, axis=0)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    distance = np.hypot(columns - x, rows - y) / length
    return np.asarray((distance >= _RING[0]) & (distance <= _RING[1]))


def measure_training(
    frames: Iterable[tuple[UInt8, Float32]], animal: str = "animal", view: str = ""
) -> Trained | None:  # fmt: skip
    """Measure what the labelled frames of a training look like.

    Args:
        frames: Images (H, W, 3) RGB with their keypoints (K, 2) (frame pixels); NaN for one without a label.
        animal: Word for the animal.
        view: From where the camera sees it, such as ``seen from above``; empty if unknown.

    Returns:
        The entry ``trained`` of the manifest; None if no frame has enough labels to tell the animal's length.
    """
    seen = [one for image, xy in frames if (one := measure_appearance(image, xy)) is not None]
    if not seen:
        return None
    contrast = _range([one.contrast for one in seen], 3)
    words = describe_contrast(contrast, animal)
    return Trained(
        frame_size=Counter(one.frame_size for one in seen).most_common(1)[0][0],
        length_px=_range([one.length_px for one in seen], 1),
        contrast=contrast,
        brightness=_range([one.brightness for one in seen], 3),
        description=f"{words}, {view}" if view else words,
    )


def describe_contrast(contrast: tuple[float, float, float], animal: str = "animal") -> str:
    """Return what an animal on its floor looks like, such as ``a dark mouse on a bright floor``.

    Args:
        contrast: 5 %, median and 95 % of its contrast.
        animal: Word for the animal.
    """
    low, middle, high = contrast
    one = f"{'an' if animal[:1] in 'aeiou' else 'a'} {animal}"
    if low < -MIN_CONTRAST and high > MIN_CONTRAST:
        return f"{one} darker or brighter than the floor"
    if middle < -MIN_CONTRAST:
        return f"a dark {animal} on a bright floor"
    if middle > MIN_CONTRAST:
        return f"a bright {animal} on a dark floor"
    return f"{one} about as bright as the floor"


def _range(values: Sequence[float], digits: int) -> tuple[float, float, float]:
    low, middle, high = np.quantile(np.asarray(values, np.float64), (0.05, 0.5, 0.95)).round(digits).tolist()
    return low, middle, high
