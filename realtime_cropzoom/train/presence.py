"""Presence limits: measures the output of a trained model on pictures with and without an animal.

It runs the exported file on the labelled frames, and on pictures made of them that do not show the animal:
backgrounds, scrambled frames, noise and bars; and inverted frames, unless the model was trained on such.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np

from realtime_cropzoom.inference.boxes import centred_box, whole_image
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.inference.presence import Presence
from realtime_cropzoom.train.augmentation import labelled_box
from realtime_cropzoom.train.dataset import LabelledFrame, with_backgrounds
from realtime_cropzoom.train.empty import KINDS, empty_picture
from realtime_cropzoom.train.evaluate import predict
from realtime_cropzoom.types import Box, Float32, Float64, UInt8

logger = logging.getLogger(__name__)

_MAX_FRAMES = 200
"""Maximum number of frames, and of pictures without an animal."""
_USUAL_SIZES = (0.8, 1.25)
"""Sizes of the animal, relative to the frames, that are in every training."""
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


@dataclass(frozen=True, slots=True)
class Variety:
    """What the training varied, as the configuration names it."""

    scale_range: tuple[float, float] = (1.0, 1.0)
    """Smallest and largest size of the animal, relative to its size in the frames."""
    inverts: bool = False
    """Whether it saw animals with reversed contrast."""

    @property
    def is_wide(self) -> bool:
        """Whether it showed animals that do not look like those of the frames."""
        return self.inverts or self.scale_range[0] < _USUAL_SIZES[0] or self.scale_range[1] > _USUAL_SIZES[1]


def measure_presence(
    model: Model,
    frames: Sequence[LabelledFrame],
    role: str,
    crop_size: int | None,
    seed: int = 0,
    variety: Variety = Variety(),
) -> MeasuredPresence:
    """Measure the limits of a heatmap model.

    Args:
        model: The exported model.
        frames: Labelled frames. One without a label shows no animal.
        role: ``detector`` or ``pose``.
        crop_size: Side of its boxes (frame pixels); None for whole images.
        seed: Seed for the choice of frames and the pictures without an animal.
        variety: What the training varied: it widens the limits.
    """
    rng = np.random.default_rng(seed)
    share = _SHARP_SHARE.get(role, 0.5)
    labelled = [frame for frame in frames if frame.is_labelled]
    chosen = [labelled[i] for i in rng.permutation(len(labelled))[:_MAX_FRAMES]]
    boxes = [labelled_box(f.xy, crop_size) if crop_size else whole_image(f.image) for f in chosen]

    def sharpness(pictures: Iterable[tuple[UInt8, Box]]) -> Float64:
        return np.array([_sharpness(model, picture, box, share) for picture, box in pictures])

    present = sharpness((f.image, b) for f, b in zip(chosen, boxes, strict=True))
    unusual = sharpness(_unusual(chosen, boxes, variety) if variety.is_wide else ())
    empty = [frame for frame in frames if not frame.is_labelled]
    absent = sharpness(chain(_without_animal(chosen, boxes, rng, variety), _looks_at(empty, crop_size, rng)))
    limit = sharpness_limit(present, unusual, absent)
    presence = Presence(
        min_sharpness=round(limit, 3),
        share=share,
        distances=_distances(labelled, crop_size, variety.scale_range) if role == "pose" else (),
    )
    return MeasuredPresence(presence, float((present >= limit).mean()), float((absent >= limit).mean()))


def sharpness_limit(present: Float64, unusual: Float64, absent: Float64) -> float:
    """Return a limit that refuses 99 % of the pictures without an animal, if it still accepts the animals.

    Animals of another size, or with reversed contrast, are less sharp. They lower the limit only where no picture
    without an animal comes through.
    """
    usual = float(np.quantile(present, 0.01))
    least = min(0.75 * usual, float(np.quantile(unusual, 0.02))) if len(unusual) else 0.75 * usual
    return min(0.93 * usual, max(least, float(np.quantile(absent, 0.99))))


def _sharpness(model: Model, image: UInt8, box: Box, share: float) -> float:
    """Return the sharpness that a share of the keypoints reaches."""
    sharpness = predict(model, image, box).sharpness
    assert sharpness is not None
    return float(np.sort(sharpness)[len(sharpness) - int(np.ceil(share * len(sharpness)))])


def _without_animal(
    frames: Sequence[LabelledFrame], boxes: Sequence[Box], rng: np.random.Generator, variety: Variety
) -> Iterator[tuple[UInt8, Box]]:
    """Yield a picture without an animal for each frame, of all kinds in turn, with the box of the frame."""
    inverted = 0 if variety.inverts else 2
    for number, (frame, box) in enumerate(zip(with_backgrounds(frames), boxes, strict=True)):
        kind = number % (KINDS + inverted)
        yield np.asarray(255 - frame.image, np.uint8) if kind >= KINDS else empty_picture(frame, kind, rng), box


def _unusual(frames: Sequence[LabelledFrame], boxes: Sequence[Box], variety: Variety) -> Iterator[tuple[UInt8, Box]]:
    """Yield each frame as the training also showed it: smaller, larger or inverted, in turn."""
    smallest, largest = variety.scale_range
    for number, (frame, box) in enumerate(zip(frames, boxes, strict=True)):
        if number % 3 == 2 and variety.inverts:
            yield np.asarray(255 - frame.image, np.uint8), box
        else:
            yield frame.image, _zoomed(box, np.nanmean(frame.xy, axis=0), (smallest, largest)[number % 2])


def _zoomed(box: Box, centre: Float32, scale: float) -> Box:
    """Return the box in which an animal at ``centre`` has ``scale`` times its size in ``box``, at the same place."""
    w, h = round(box.w / scale), round(box.h / scale)
    x, y = centre - (centre - (box.x, box.y)) / scale
    return Box(round(float(x)), round(float(y)), w, h)


def _looks_at(
    frames: Sequence[LabelledFrame], crop_size: int | None, rng: np.random.Generator
) -> Iterator[tuple[UInt8, Box]]:
    """Yield some frames without an animal, each with a box at a random place, or with a box of the whole frame."""
    for frame in (frames[i] for i in rng.permutation(len(frames))[: 2 * _MAX_FRAMES]):
        height, width = frame.image.shape[:2]
        place = np.round(rng.uniform((0, 0), (width, height)))
        centred = centred_box(place[None], crop_size) if crop_size else whole_image(frame.image)
        yield frame.image, centred


def _distances(
    frames: Sequence[LabelledFrame], crop_size: int | None, scale_range: tuple[float, float]
) -> tuple[tuple[int, int, float, float], ...]:
    """Return the range of the distance of each two keypoints (box sides), without the rarest 1 %, at any size."""
    distances = []
    for one, other in combinations(range(len(frames[0].xy)), 2):
        apart = [
            float(np.linalg.norm(frame.xy[one] - frame.xy[other])) / (crop_size or max(frame.image.shape[:2]))
            for frame in frames
        ]
        known = np.array([distance for distance in apart if np.isfinite(distance)])
        if len(known) >= _MIN_PAIRS:
            least, most = np.quantile(known, (0.005, 0.995)) * np.array(scale_range)
            distances.append((one, other, round(float(least), 4), round(float(most), 4)))
    return tuple(distances)
