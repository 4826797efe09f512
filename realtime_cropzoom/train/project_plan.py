"""Plan of a project's training: crop size and input sizes, chosen from the labels, and why. No I/O.

The box must hold the whole animal however it turns, and have room for an error of the detector. Inputs are as small as
the animal allows, because a model with a smaller input runs faster. Their sides are multiples of 32.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from realtime_cropzoom.errors import ConfigError, pluralize
from realtime_cropzoom.project.schema import Training
from realtime_cropzoom.train.verdict import animal_lengths
from realtime_cropzoom.types import Float32

GRID = 32
"""Sides of inputs are multiples of this (pixels), see ``network.GRID``."""
_CROP_STEP = 16
"""Crop sizes are multiples of this (frame pixels)."""
_LENGTHS_PER_CROP = 2.0
"""Side of the crop, in median lengths of the animal."""
_LONG_LENGTHS_PER_CROP = 1.6
"""Minimum side of the crop, in lengths of the animal where it is long (95 % of the frames are below)."""
_POSE_LENGTH = 80
"""Length of the animal in the pose model's input (pixels)."""
_CLOSEST = 8
"""Minimum distance of the two closest keypoints there (pixels): two cells of a heatmap."""
_POSE_SIDES = (96, 256)
"""Least and largest side that is chosen for the pose model's input (pixels)."""
_DETECTOR_LENGTH = 34
"""Length of the animal in the detector's input (pixels)."""
_SMALL_LENGTH = 16
"""Length there below which a detector confuses the animal with other things (pixels)."""
_DETECTOR_SIDES = (96, 384)
"""Least and largest side that is chosen for the detector's input (pixels)."""


@dataclass(frozen=True, slots=True)
class Animal:
    """The animal in the labels (frame pixels)."""

    length_px: float
    """Median over frames of the largest distance between two keypoints."""
    short_px: float
    """Length that 5 % of the frames are below."""
    long_px: float
    """Length that 95 % of the frames are below."""
    closest_px: float
    """Median distance of the two keypoints that are closest to each other."""
    frame_size: tuple[int, int]
    """(W, H) of most frames (pixels)."""
    other_sizes: int
    """Number of frames of other sizes."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes of the two models."""

    crop_size: int
    """Side of the box around the animal (frame pixels)."""
    detector_input: tuple[int, int]
    """(W, H) of the detector's input (pixels)."""
    pose_input: tuple[int, int]
    """(W, H) of the pose model's input (pixels)."""
    jitter: float
    """Standard deviation of the box's centre in training (frame pixels), like the error of the detector."""
    why: tuple[str, ...]
    """The reasons, a sentence each."""


def measure_animal(xy: Float32, sizes: Sequence[tuple[int, int]], given: Training) -> Animal:
    """Measure the animal in the labels.

    Args:
        xy: (N, K, 2) labels (frame pixels); NaN without a label.
        sizes: (W, H) of each frame (pixels).
        given: What ``project.yaml`` says. Its crop size tells the length if no frame has two labelled keypoints.

    Raises:
        ConfigError: if neither tells the length, or the keypoints lie on each other.
    """
    lengths = animal_lengths(list(xy))
    if not lengths and given.crop_size == "auto":
        raise ConfigError(
            "the labels: got no frame with two labelled keypoints, expected some: they tell how large the animal is. "
            "Label a second keypoint, or set training.crop_size in project.yaml to twice its length (pixels)"
        )
    if lengths and np.median(lengths) < 1:
        raise ConfigError(
            "the labels: got all keypoints at one place in most frames, expected them on the animal. Label them again"
        )
    lengths = lengths or [float(given.crop_size) / _LENGTHS_PER_CROP]
    short, middle, long = np.quantile(lengths, (0.05, 0.5, 0.95))
    frame_size, most = Counter(sizes).most_common(1)[0]
    return Animal(float(middle), float(short), float(long), _closest(xy), frame_size, len(sizes) - most)


def _closest(xy: Float32) -> float:
    """Return the least median distance of two keypoints; infinity if there are never two."""
    apart = np.linalg.norm(xy[:, :, None] - xy[:, None], axis=3)
    pairs = apart[:, *np.triu_indices(xy.shape[1], 1)]
    known = pairs[:, np.isfinite(pairs).any(axis=0)]
    return float(np.nanmedian(known, axis=0).min(initial=np.inf)) if known.size else np.inf


def make_plan(animal: Animal, given: Training) -> Plan:
    """Choose the sizes.

    Args:
        animal: The animal in the labels.
        given: What ``project.yaml`` says; a size there is taken as it is.

    Raises:
        ConfigError: if a given side is no multiple of 32.
    """
    crop = _crop_size(animal) if given.crop_size == "auto" else given.crop_size
    pose = _pose_side(animal, crop) if given.pose_input == "auto" else _checked("pose_input", given.pose_input)
    detector = (
        _detector_input(animal)
        if given.detector_input == "auto"
        else _in_aspect(animal.frame_size, _checked("detector_input", given.detector_input))
    )
    why = _sentences(animal, crop, pose, detector)
    return Plan(crop, detector, (pose, pose), round(max(1.0, 0.05 * animal.length_px), 1), tuple(why))


def _crop_size(animal: Animal) -> int:
    side = max(_LENGTHS_PER_CROP * animal.length_px, _LONG_LENGTHS_PER_CROP * animal.long_px)
    return max(GRID, _up(side, _CROP_STEP))


def _pose_side(animal: Animal, crop_size: int) -> int:
    scale = max(_POSE_LENGTH / animal.length_px, _CLOSEST / max(animal.closest_px, 1e-6))
    least, most = _POSE_SIDES
    return min(max(round(crop_size * scale / GRID) * GRID, least), most)


def _detector_input(animal: Animal) -> tuple[int, int]:
    """Return the smallest input in which the animal is long enough in both directions."""
    scale = _DETECTOR_LENGTH / animal.length_px
    least, most = _DETECTOR_SIDES
    scale = min(scale, most / max(animal.frame_size))
    width, height = (min(max(_nearest(scale * side), least), most) for side in animal.frame_size)
    return width, height


def _in_aspect(frame_size: tuple[int, int], longer: int) -> tuple[int, int]:
    """Return the input of a longer side, in the aspect of the frame."""
    width, height = (max(GRID, _nearest(side * longer / max(frame_size))) for side in frame_size)
    return width, height


def _checked(name: str, side: int) -> int:
    if side % GRID:
        near = max(GRID, _nearest(side))
        raise ConfigError(f"training.{name}: got {side}, expected a multiple of {GRID} such as {near}. Change it")
    return side


def _nearest(side: float) -> int:
    return round(side / GRID) * GRID


def _up(side: float, step: int) -> int:
    return math.ceil(side / step - 1e-9) * step


def _sentences(animal: Animal, crop: int, pose: int, detector: tuple[int, int]) -> list[str]:
    """Return what was chosen, and why, in plain words."""
    width, height = animal.frame_size
    in_pose = animal.length_px * pose / crop
    in_detector = animal.length_px * min(detector[0] / width, detector[1] / height)
    lines = [
        f"the animal is {animal.length_px:.0f} px long ({animal.short_px:.0f} to {animal.long_px:.0f} in 9 of 10 "
        f"frames), in frames of {width}x{height} px",
        f"crop size {crop} px: {crop / animal.length_px:.1f} times its length, so that it fits however it turns, "
        "with room for an error of the detector",
        f"pose input {pose}x{pose} px: the animal is {in_pose:.0f} px long in it",
        f"detector input {detector[0]}x{detector[1]} px: the animal is {in_detector:.0f} px long in it",
    ]
    if animal.other_sizes:
        lines.append(
            f"{pluralize(animal.other_sizes, 'frame')} of another size than {width}x{height}: that is fine, as long as "
            "the animal is about as long there"
        )
    if crop < 1.1 * animal.long_px:
        lines.append(
            f"training.crop_size is {crop} px, but the animal is up to {animal.long_px:.0f} px long: "
            "parts of it are cut off"
        )
    if in_detector < _SMALL_LENGTH:
        lines.append(
            f"the animal is small in the frame: the detector sees it only {in_detector:.0f} px long. Move the camera "
            "closer, or record only the part of the picture that shows the arena"
        )
    return lines
