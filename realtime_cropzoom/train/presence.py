"""Presence limits: measures the output of a trained model on pictures with and without an animal.

It runs the exported file on the labelled frames, and on pictures made of them that do not show the animal:
backgrounds, scrambled frames, inverted frames, noise and bars.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np

from realtime_cropzoom.inference.boxes import whole_image
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.inference.presence import Presence
from realtime_cropzoom.train.augmentation import labelled_box
from realtime_cropzoom.train.dataset import LabelledFrame, with_backgrounds
from realtime_cropzoom.train.evaluate import predict
from realtime_cropzoom.types import Box, Float64, UInt8

logger = logging.getLogger(__name__)

_MAX_FRAMES = 200
"""Maximum number of frames, and of pictures without an animal."""
_MIN_PAIRS = 20
"""Minimum number of frames in which two keypoints are labelled, for a limit on their distance."""
_SHARP_SHARE = {"detector": 0.5, "pose": 0.75}
"""Minimum share of sharp keypoints. A half-hidden animal still gives a box, but no pose to act on."""


@dataclass(frozen=True, slots=True)
class MeasuredPresence:
    """The limits, and how well they separate the pictures that they were measured on."""

    presence: Presence
    present_share: float
    """Share of the labelled frames that are sharp enough."""
    absent_share: float
    """Share of the pictures without an animal that are sharp enough."""

    def __str__(self) -> str:
        return (
            f"heatmaps are sharp enough in {100 * self.present_share:.0f} % of frames with the animal, "
            f"in {100 * self.absent_share:.0f} % of pictures without it"
        )


def measure_presence(
    model: Model, frames: Sequence[LabelledFrame], role: str, crop_size: int | None, seed: int = 0
) -> MeasuredPresence:
    """Measure the limits of a heatmap model.

    Args:
        model: The exported model.
        frames: Labelled frames.
        role: ``detector`` or ``pose``.
        crop_size: Side of its boxes (frame pixels); None for whole images.
        seed: Seed for the choice of frames and the pictures without an animal.
    """
    rng = np.random.default_rng(seed)
    share = _SHARP_SHARE.get(role, 0.5)
    labelled = [frame for frame in frames if frame.is_labelled]
    chosen = [labelled[i] for i in rng.permutation(len(labelled))[:_MAX_FRAMES]]
    boxes = [labelled_box(f.xy, crop_size) if crop_size else whole_image(f.image) for f in chosen]
    present = np.array([_sharpness(model, f.image, b, share) for f, b in zip(chosen, boxes, strict=True)])
    absent = np.array([_sharpness(model, p, b, share) for p, b in _without_animal(chosen, boxes, rng)])
    limit = _limit(present, absent)
    presence = Presence(
        min_sharpness=round(limit, 3),
        share=share,
        distances=_distances(labelled, crop_size) if role == "pose" else (),
    )
    return MeasuredPresence(presence, float((present >= limit).mean()), float((absent >= limit).mean()))


def _limit(present: Float64, absent: Float64) -> float:
    """Return a limit that refuses 99 % of the pictures without an animal, if it still accepts the animals."""
    usual = float(np.quantile(present, 0.01))
    return min(0.93 * usual, max(0.75 * usual, float(np.quantile(absent, 0.99))))


def _sharpness(model: Model, image: UInt8, box: Box, share: float) -> float:
    """Return the sharpness that a share of the keypoints reaches."""
    sharpness = predict(model, image, box).sharpness
    assert sharpness is not None
    return float(np.sort(sharpness)[len(sharpness) - int(np.ceil(share * len(sharpness)))])


def _without_animal(
    frames: Sequence[LabelledFrame], boxes: Sequence[Box], rng: np.random.Generator
) -> Iterator[tuple[UInt8, Box]]:
    """Yield a picture without an animal for each frame, of all kinds in turn, with the box of the frame."""
    backgrounds = [frame.background for frame in with_backgrounds(frames)]
    for number, (frame, box, background) in enumerate(zip(frames, boxes, backgrounds, strict=True)):
        image = frame.image
        kinds = [_inverted(image), _noise(image, rng), _scrambled(image, rng), _inverted(image), _bars(image, rng)]
        kinds += [] if background is None else [background]
        yield kinds[number % len(kinds)], box


def _inverted(image: UInt8) -> UInt8:
    return np.asarray(255 - image, np.uint8)


def _noise(image: UInt8, rng: np.random.Generator) -> UInt8:
    """Return noise with a random grain of 1 to 32 pixels."""
    height, width = image.shape[:2]
    grain = int(rng.choice([1, 2, 4, 8, 16, 32]))
    coarse = rng.integers(0, 256, (-(-height // grain), -(-width // grain), 1), np.uint8)
    fine = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    return np.repeat(fine[:, :, None], 3, axis=2)


def _scrambled(image: UInt8, rng: np.random.Generator) -> UInt8:
    """Return the picture with its small tiles in random order: the same light and texture, but no animal."""
    side = max(8, min(image.shape[:2]) // 20)
    rows, columns = image.shape[0] // side, image.shape[1] // side
    tiles = image[: rows * side, : columns * side].reshape(rows, side, columns, side, 3).swapaxes(1, 2)
    mixed = tiles.reshape(-1, side, side, 3)[rng.permutation(rows * columns)]
    picture = image.copy()
    picture[: rows * side, : columns * side] = (
        mixed.reshape(rows, columns, side, side, 3).swapaxes(1, 2).reshape(rows * side, columns * side, 3)
    )
    return picture


def _bars(image: UInt8, rng: np.random.Generator) -> UInt8:
    """Return vertical or horizontal bars of random colours."""
    height, width = image.shape[:2]
    count = int(rng.integers(3, 12))
    colours = rng.integers(0, 256, (count, 3)).astype(np.uint8)
    across = np.broadcast_to(colours[np.arange(width) * count // width], (height, width, 3))
    along = np.broadcast_to(colours[np.arange(height) * count // height][:, None], (height, width, 3))
    return np.ascontiguousarray(across if rng.random() < 0.5 else along)


def _distances(frames: Sequence[LabelledFrame], crop_size: int | None) -> tuple[tuple[int, int, float, float], ...]:
    """Return the range of the distance of each two keypoints (box sides), without the rarest 1 %."""
    distances = []
    for one, other in combinations(range(len(frames[0].xy)), 2):
        apart = [
            float(np.linalg.norm(frame.xy[one] - frame.xy[other])) / (crop_size or max(frame.image.shape[:2]))
            for frame in frames
        ]
        known = np.array([distance for distance in apart if np.isfinite(distance)])
        if len(known) >= _MIN_PAIRS:
            least, most = np.quantile(known, (0.005, 0.995))
            distances.append((one, other, round(float(least), 4), round(float(most), 4)))
    return tuple(distances)
