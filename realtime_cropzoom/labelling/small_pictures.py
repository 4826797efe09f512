"""Small grey pictures of frames, and how much two of them differ."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from realtime_cropzoom.types import Float32, UInt8

LOOK = (160, 120)
"""Width and height of the grey picture as which a frame is looked at (pixels)."""
WIDTH, HEIGHT = 40, 30
"""Size of a small picture (pixels). One of its pixels is the mean of 16×16 pixels of a frame of 640×480."""
DUPLICATE_LEVELS = 24.0
"""Two frames whose small pictures differ by less, in grey levels of 255, are near-duplicates."""


def look(image: UInt8) -> UInt8:
    """Return a frame, (H, W, 3) RGB, as a grey picture of the size ``LOOK``, whatever its own shape."""
    small = cv2.resize(image, LOOK, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)


def small_picture(image: UInt8) -> Float32:
    """Return a frame as a small picture.

    Args:
        image: (H, W, 3) RGB, or (H, W) as ``look`` returns it.

    Returns:
        (HEIGHT · WIDTH,) grey levels, 0 to 255.
    """
    grey = look(image) if image.ndim == 3 else image
    return np.asarray(cv2.resize(grey, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.float32).ravel()


def difference(small: Float32, others: Float32) -> Float32:
    """Return how much a small picture differs from others: the largest difference of a pixel, in grey levels.

    A change of light that is the same everywhere does not count: the median of the differences is taken off.

    Args:
        small: (P,) the picture.
        others: (n, P) the others.

    Returns:
        (n,) grey levels, 0 or more.
    """
    differences = others - small
    differences -= np.median(differences, axis=1, keepdims=True)
    return np.asarray(np.abs(differences).max(axis=1), np.float32)


class Seen:
    """The small pictures of all frames that were picked."""

    def __init__(self, smalls: Iterable[Float32] = ()) -> None:
        """Begin with these pictures, (P,) each."""
        self._smalls = np.array([*smalls], np.float32).reshape(-1, WIDTH * HEIGHT)

    def add(self, small: Float32) -> None:
        """Add a picture, (P,)."""
        self._smalls = np.vstack([self._smalls, small])

    def nearest(self, small: Float32) -> float:
        """Return how much a picture differs from the one that is most like it, in grey levels; infinite without any."""
        return float(difference(small, self._smalls).min()) if len(self._smalls) else np.inf

    def has(self, small: Float32) -> bool:
        """Return whether there is a near-duplicate of a picture."""
        return self.nearest(small) < DUPLICATE_LEVELS
