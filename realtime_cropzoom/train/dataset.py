"""Labelled frames: reads them from a CSV file with its images, or renders them with the synthetic arena.

All frames stay in memory at full size: a thousand frames of 640×480 take 0.9 GB.

A pose model can be trained on the crops that ``cropzoom crop`` writes to the directory of a detector:
``cropped_images/`` holds the images, with the names of the label file, and ``image_preds/NAME/cropped_NAME``
holds the labels in pixels of the crops.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from realtime_cropzoom.errors import DataError, listed
from realtime_cropzoom.sessions.dlc_csv import read_labels
from realtime_cropzoom.sources.arena.source import Arena
from realtime_cropzoom.sources.image_file import read_image
from realtime_cropzoom.train.arena_looks import LOOKS, Look
from realtime_cropzoom.types import Float32, Keypoints, UInt8

MAX_FRAMES_FOR_BACKGROUND = 80
"""Maximum number of frames of which the median is taken."""
CROPPED_IMAGES = "cropped_images"
"""Name of the folder of crops. A model with this ``data_dir`` is a pose model."""
FRAMES_PER_ARENA = 4
"""Number of frames rendered of one arena, with its own look and path of the animal."""
MIN_FRAMES_FOR_BACKGROUND = 8
"""Minimum number of frames in a folder. The median of fewer frames may still show the animal."""


def train_on_crops(tree: dict[str, Any], labels: Path, detector_model: Path) -> None:
    """Change a configuration to train on the crops in a detector's directory. Its paths become absolute.

    Source: Lightning Pose, ``cli/commands/train.py``.

    Args:
        tree: The configuration, changed in place.
        labels: The label file of the whole frames.
        detector_model: The detector's directory.

    Raises:
        DataError: if the crops are missing.
    """
    if not detector_model.is_dir():
        raise DataError(f"no detector model directory at {detector_model}; expected one with the crops to train on")
    directory = detector_model.absolute()
    images, videos = directory / CROPPED_IMAGES, directory / "cropped_videos"
    csv_file = directory / "image_preds" / labels.name / f"cropped_{labels.name}"
    needed = [csv_file]
    if csv_file.is_file():
        needed += [images / name for name in read_labels(csv_file).images]
    missing = next((path for path in needed if not path.is_file()), None)
    if missing is not None:
        raise DataError(f"there is no {missing}; run: cropzoom crop {detector_model} {labels}")
    tree["data"].update(data_dir=str(images), video_dir=str(videos), csv_file=str(csv_file))
    evaluation = tree.get("eval")
    tree["eval"] = {**(evaluation if isinstance(evaluation, dict) else {}), "test_videos_directory": str(videos)}


def common_side(images: Sequence[UInt8]) -> int | None:
    """Return the side (pixels) of crops that are all squares of one size, else None."""
    sizes = {image.shape[:2] for image in images}
    if len(sizes) != 1:
        return None
    height, width = sizes.pop()
    return height if height == width else None


@dataclass(frozen=True, slots=True)
class LabelledFrame:
    """An image and its keypoints."""

    name: str
    """Path in the label file. Its folder is the session."""
    image: UInt8
    """(H, W, 3) RGB."""
    xy: Float32
    """(K, 2), frame pixels; NaN for a keypoint without a label."""
    background: UInt8 | None = None
    """(H, W, 3), the session without its animal; None if unknown."""

    @property
    def session(self) -> str:
        """Folder of the image. Its images come from one camera that did not move."""
        return self.name.rpartition("/")[0]

    @property
    def is_labelled(self) -> bool:
        """Whether any keypoint is labelled."""
        return not bool(np.isnan(self.xy).all())

    def labels(self) -> Keypoints:
        """Return the labels as a detection with a likelihood of 1."""
        return Keypoints(self.xy, np.ones(len(self.xy), np.float32))


def read_frames(
    data_dir: Path, csv_file: Path, keypoint_names: Sequence[str], *, partly: bool = False
) -> list[LabelledFrame]:
    """Read a label file and its images.

    Args:
        data_dir: Folder of the paths in the label file.
        csv_file: The label file.
        keypoint_names: The keypoints to read, in this order.
        partly: Whether the file may lack keypoints; they have no labels.

    Raises:
        DataError: if the file or an image cannot be read.
    """
    labels = read_labels(csv_file, keypoint_names, partly=partly)
    missing = [name for name in labels.images if not (data_dir / name).exists()]
    if missing:
        raise DataError(
            f"{csv_file} labels {missing[0]}, which is not in {data_dir} "
            f"({len(missing)} of {len(labels.images)} are missing)"
        )
    frames = []
    for name, keypoints in zip(labels.images, labels.xy.astype(np.float32), strict=True):
        try:
            image = read_image(data_dir / name)
        except DataError as error:
            raise DataError(f"{error} that {csv_file} names") from error
        frames.append(LabelledFrame(name, image, keypoints))
    return frames


def arena_frames(
    count: int, keypoint_names: Sequence[str], seed: int, look: Look = "usual", empty: float = 0.0
) -> list[LabelledFrame]:
    """Render frames of many synthetic arenas, a few of each.

    Args:
        count: Number of frames.
        keypoint_names: The keypoints, in order.
        seed: Seed of the frames. The seeds of the arenas start at ``seed`` · 100 000, so that another ``seed``
            gives other arenas.
        look: ``usual`` for a dark mouse on a bright floor, ``varied`` for any animal on any floor.
        empty: Share of arenas without an animal, 0 to 1. All keypoints of their frames are NaN.

    Raises:
        DataError: if the arena does not have a keypoint.
    """
    missing = [name for name in keypoint_names if name not in Arena.keypoint_names]
    if missing:
        raise DataError(
            f"the synthetic arena has no keypoint {listed(missing)}; "
            f"it has {', '.join(Arena.keypoint_names)}: set cropzoom.arena_share to 0"
        )
    order = [Arena.keypoint_names.index(name) for name in keypoint_names]
    rng = np.random.default_rng(seed)
    frames: list[LabelledFrame] = []
    for number in range(-(-count // FRAMES_PER_ARENA)):
        settings = LOOKS[look](rng, seed * 100_000 + number)
        if empty > 0 and rng.random() < empty:
            settings = replace(settings, animal=0)
        arena = Arena(settings)
        for index in rng.integers(0, 600, min(FRAMES_PER_ARENA, count - len(frames))):
            xy = arena.truth(int(index))[order].astype(np.float32)
            frames.append(LabelledFrame(f"arena/{number}/{index}", arena.render(int(index)), xy))
    return frames


def with_backgrounds(frames: Sequence[LabelledFrame]) -> list[LabelledFrame]:
    """Return the frames with the background of their session: the median of its frames, if there are enough."""
    sessions: dict[tuple[str, tuple[int, ...]], list[UInt8]] = defaultdict(list)
    for frame in frames:
        sessions[frame.session, frame.image.shape].append(frame.image)
    medians = {
        key: np.median(np.stack(images[:: -(-len(images) // MAX_FRAMES_FOR_BACKGROUND)]), axis=0).astype(np.uint8)
        for key, images in sessions.items()
        if len(images) >= MIN_FRAMES_FOR_BACKGROUND
    }
    return [
        LabelledFrame(frame.name, frame.image, frame.xy, medians.get((frame.session, frame.image.shape)))
        for frame in frames
    ]


def mirror_order(keypoint_names: Sequence[str], symmetric: Sequence[tuple[str, str]] = ()) -> list[int]:
    """Return, for each keypoint, the index of the one that takes its place in a mirrored picture.

    Args:
        keypoint_names: The keypoints, in order.
        symmetric: Pairs that change places; if empty, those that differ by left and right in their names.
    """
    names = list(keypoint_names)
    if symmetric:
        others = dict(symmetric) | {right: left for left, right in symmetric}
        return [names.index(others.get(name, name)) for name in names]
    mirrored = [_swap_sides(name) for name in names]
    return [names.index(other) if other in names else i for i, other in enumerate(mirrored)]


def _swap_sides(name: str) -> str:
    for left, right in (("left", "right"), ("Left", "Right"), ("LEFT", "RIGHT")):
        if left in name:
            return name.replace(left, right)
        if right in name:
            return name.replace(right, left)
    return name
