"""Experiments: the frames in which nothing was found, changed in one way each: what makes the animal be found?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from realtime_cropzoom.checks.doctor.movement import Mover
from realtime_cropzoom.checks.looking import Look, Looker
from realtime_cropzoom.types import Float32, UInt8

MOST_FRAMES = 12
"""Maximum number of frames of an experiment."""
BOX_FACTORS = (0.5, 0.7, 1.4, 2.0, 2.8)
"""Sides of the boxes that are tried, relative to those of the run."""
ZOOMS = (0.5, 0.7, 1.4, 2.0, 2.8)
"""Sizes at which the frame is shown to the models."""
_WINDOWS = ((0.5, 0.5), (0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0))
"""Where an enlarged part of the frame is taken if nothing is known to move: share of the room to the left and above."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A changed frame, and how its pixels map to the frame: x = a · x_changed + b."""

    image: UInt8
    scale: tuple[float, float] = (1.0, 1.0)
    shift: tuple[float, float] = (0.0, 0.0)

    def to_frame(self, xy: Float32) -> Float32:
        """Return keypoints (K, 2) of the changed frame in pixels of the frame."""
        return np.asarray(xy * np.asarray(self.scale) + np.asarray(self.shift), np.float32)


@dataclass(frozen=True, slots=True)
class Experiment:
    """One way to change a frame."""

    family: str
    """What it changes, such as ``contrast``: a cause of its own."""
    factor: float = 1.0
    """By how much: the size of the picture, or of the boxes."""
    box_factor: float = 1.0
    """Factor of the side of the box."""
    inverted: bool = False
    """Whether dark and bright are exchanged as well."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What decides which experiments make sense."""

    is_coloured: bool
    """Whether the channels differ."""
    is_combed: bool
    """Whether rows look like those of two times."""
    aspect_factor: float | None
    """Width that gives the frame the shape of the training, relative to its width; None if it has it, or unknown."""
    has_boxes: bool
    """Whether a detector gives boxes whose side could be another."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What an experiment gave."""

    experiment: Experiment
    found: int
    """Number of its frames in which the animal was found."""
    frames: int
    """Number of its frames. In none of them was it found before."""
    length_px: float | None
    """Median length of the animals that were found (pixels of the frames as they are); None without."""

    @property
    def share(self) -> float:
        """Share of its frames in which the animal was found."""
        return self.found / self.frames if self.frames else 0.0


Change = Callable[[UInt8, Mover | None, float], Iterator[Changed]]


def _inverted(image: UInt8, mover: Mover | None, factor: float) -> Iterator[Changed]:
    yield Changed(255 - image)


def _levelled(image: UInt8, mover: Mover | None, factor: float) -> Iterator[Changed]:
    """Stretch the gray levels: what is nearly the darkest becomes black, what is nearly the brightest becomes white."""
    low, high = np.quantile(image, (0.005, 0.98))
    if high - low < 4:
        return
    values = (np.arange(256) - low) * (245 / (high - low)) + 5
    yield Changed(np.asarray(cv2.LUT(image, np.clip(values, 0, 255).astype(np.uint8)), np.uint8))


def _smoothed(image: UInt8, mover: Mover | None, factor: float) -> Iterator[Changed]:
    yield Changed(np.asarray(cv2.GaussianBlur(cv2.medianBlur(image, 5), (0, 0), 1.5), np.uint8))


def _other_channels(image: UInt8, mover: Mover | None, factor: float) -> Iterator[Changed]:
    yield Changed(np.ascontiguousarray(image[:, :, ::-1]))


def _turned(image: UInt8, mover: Mover | None, factor: float) -> Iterator[Changed]:
    height, width = image.shape[:2]
    yield Changed(np.ascontiguousarray(image[::-1, ::-1]), (-1.0, -1.0), (width - 1.0, height - 1.0))


def _one_field(image: UInt8, mover: Mover | None, factor: float) -> Iterator[Changed]:
    """Take every second row, twice: one of the two fields of an interlaced frame."""
    field = cv2.resize(image[::2], (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
    yield Changed(np.asarray(field, np.uint8))


def _of_other_aspect(image: UInt8, mover: Mover | None, factor: float) -> Iterator[Changed]:
    """Undo a wrong ratio of width and height. ``factor`` is the wanted width, relative to that of the frame."""
    height, width = image.shape[:2]
    size = (max(8, round(width * factor)), height)
    yield Changed(np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8), (1 / factor, 1.0))


def _zoomed(image: UInt8, mover: Mover | None, factor: float) -> Iterator[Changed]:
    """Show the frame smaller within its size, or parts of it larger."""
    if factor < 1:
        yield _smaller(image, factor)
        return
    height, width = image.shape[:2]
    w, h = max(8, round(width / factor)), max(8, round(height / factor))
    if mover is not None:
        places = [(mover.x - w / 2, mover.y - h / 2)]
    else:
        places = [(left * (width - w), top * (height - h)) for left, top in _WINDOWS]
    for left, top in places:
        x, y = round(min(max(0.0, left), width - w)), round(min(max(0.0, top), height - h))
        part = cv2.resize(image[y : y + h, x : x + w], (width, height), interpolation=cv2.INTER_LINEAR)
        yield Changed(np.asarray(part, np.uint8), (w / width, h / height), (float(x), float(y)))


def _smaller(image: UInt8, factor: float) -> Changed:
    height, width = image.shape[:2]
    w, h = max(8, round(width * factor)), max(8, round(height * factor))
    x, y = (width - w) // 2, (height - h) // 2
    canvas = np.empty_like(image)
    canvas[:] = np.median(image[::4, ::4].reshape(-1, 3), axis=0)
    canvas[y : y + h, x : x + w] = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA)
    return Changed(canvas, (width / w, height / h), (-x * width / w, -y * height / h))


def _as_it_is(image: UInt8, mover: Mover | None, factor: float) -> Iterator[Changed]:
    yield Changed(image)


CHANGES: dict[str, Change] = {
    "contrast": _inverted,
    "light": _levelled,
    "noise": _smoothed,
    "channels": _other_channels,
    "turn": _turned,
    "interlacing": _one_field,
    "aspect": _of_other_aspect,
    "zoom": _zoomed,
    "box": _as_it_is,
}
"""How a frame is changed, by family."""


def first_experiments(facts: Wanted) -> list[Experiment]:
    """Return the experiments that are tried first, each with one change.

    Args:
        facts: What is known of the frames.
    """
    families = ["contrast", "light", "noise", "turn"]
    families += ["channels"] * facts.is_coloured + ["interlacing"] * facts.is_combed
    tried = [Experiment(family) for family in families]
    if facts.aspect_factor is not None:
        tried.append(Experiment("aspect", facts.aspect_factor))
    return tried + sized_experiments(facts)


def sized_experiments(facts: Wanted, *, inverted: bool = False) -> list[Experiment]:
    """Return the experiments with other sizes.

    Args:
        facts: What is known of the frames.
        inverted: Whether dark and bright are exchanged as well.
    """
    boxes = [Experiment("box", box_factor=factor, inverted=inverted) for factor in BOX_FACTORS if facts.has_boxes]
    return boxes + [Experiment("zoom", factor, inverted=inverted) for factor in ZOOMS]


def run_experiment(
    looker: Looker,
    experiment: Experiment,
    frames: Sequence[tuple[UInt8, Mover | None]],
    length_of: Callable[[Float32], float | None],
) -> tuple[Tried, list[tuple[Changed, Look] | None]]:
    """Change frames, and show them to the models.

    Args:
        looker: The models.
        experiment: The change.
        frames: Images (H, W, 3) RGB, each with what moves in it.
        length_of: Returns the length of an animal from its keypoints (K, 2).

    Returns:
        What it gave, and for each frame the changed picture in which the animal was found, with the look at it.
    """
    looks: list[tuple[Changed, Look] | None] = []
    lengths: list[float] = []
    for image, mover in frames:
        seen = None
        given = 255 - image if experiment.inverted else image
        for changed in CHANGES[experiment.family](given, mover, experiment.factor):
            look = looker.look(changed.image, experiment.box_factor)
            if look.is_found and look.found is not None:
                seen = changed, look
                length = length_of(changed.to_frame(look.found.xy))
                lengths += [] if length is None else [length]
                break
        looks.append(seen)
    found = sum(look is not None for look in looks)
    length_px = float(np.median(lengths)) if lengths else None
    return Tried(experiment, found, len(frames), length_px), looks
