"""Pictures without an animal, made of frames with one: for training on nothing, and for measuring presence."""

from __future__ import annotations

import cv2
import numpy as np

from realtime_cropzoom.train.dataset import LabelledFrame
from realtime_cropzoom.types import UInt8

KINDS = 5
"""Number of kinds of pictures."""


def empty_picture(frame: LabelledFrame, kind: int, rng: np.random.Generator) -> UInt8:
    """Return a picture without the animal, of the size of the frame.

    Args:
        frame: The frame. One without a label shows no animal, and is the picture.
        kind: 0 and 1: the background, if it is known, else a scrambled frame; 2: a scrambled frame; 3: noise; 4: bars.
        rng: Random numbers.
    """
    if not frame.is_labelled:
        return frame.image
    if kind < 2 and frame.background is not None:
        return frame.background
    if kind < 3:
        return scrambled(frame.image, rng)
    return noise(frame.image, rng) if kind == 3 else bars(frame.image, rng)


def noise(image: UInt8, rng: np.random.Generator) -> UInt8:
    """Return noise of the size of an image, with a random grain of 1 to 32 pixels."""
    height, width = image.shape[:2]
    grain = int(rng.choice([1, 2, 4, 8, 16, 32]))
    coarse = rng.integers(0, 256, (-(-height // grain), -(-width // grain), 1), np.uint8)
    fine = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    return np.repeat(fine[:, :, None], 3, axis=2)


def scrambled(image: UInt8, rng: np.random.Generator) -> UInt8:
    """Return an image with its small tiles in random order: the same light and texture, but no animal."""
    side = max(8, min(image.shape[:2]) // 20)
    rows, columns = image.shape[0] // side, image.shape[1] // side
    tiles = image[: rows * side, : columns * side].reshape(rows, side, columns, side, 3).swapaxes(1, 2)
    mixed = tiles.reshape(-1, side, side, 3)[rng.permutation(rows * columns)]
    picture = image.copy()
    picture[: rows * side, : columns * side] = (
        mixed.reshape(rows, columns, side, side, 3).swapaxes(1, 2).reshape(rows * side, columns * side, 3)
    )
    return picture


def bars(image: UInt8, rng: np.random.Generator) -> UInt8:
    """Return vertical or horizontal bars of random colours, of the size of an image."""
    height, width = image.shape[:2]
    count = int(rng.integers(3, 12))
    colours = rng.integers(0, 256, (count, 3)).astype(np.uint8)
    across = np.broadcast_to(colours[np.arange(width) * count // width], (height, width, 3))
    along = np.broadcast_to(colours[np.arange(height) * count // height][:, None], (height, width, 3))
    return np.ascontiguousarray(across if rng.random() < 0.5 else along)
