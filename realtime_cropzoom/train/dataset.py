"""Labelled frames: read from a CSV file with its images, or rendered by the synthetic arena.

All are kept in memory, as they are: a thousand frames of 640×480 take 0.9 GB.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.sources.arena import Arena, ArenaSettings
from realtime_cropzoom.types import Float32, Keypoints, UInt8

FRAMES_PER_ARENA = 4
"""Frames rendered of one look and path."""
FEWEST_FOR_BACKGROUND = 8
"""With fewer frames in a folder the median still shows the animal."""


@dataclass(frozen=True, slots=True)
class LabelledFrame:
    """An image and its keypoints."""

    name: str
    """Path as the label file has it; the folder is the session."""
    image: UInt8
    """(H, W, 3) RGB."""
    xy: Float32
    """(K, 2), frame pixels; NaN where unlabelled."""
    background: UInt8 | None = None
    """(H, W, 3), the session without its animal, or None where it is not known."""

    @property
    def session(self) -> str:
        """The folder the image lies in: one camera that stands still."""
        return self.name.rpartition("/")[0]

    def labels(self) -> Keypoints:
        """The labels as a detector gives them that is sure of each."""
        return Keypoints(self.xy, np.ones(len(self.xy), np.float32))


@dataclass(frozen=True, slots=True)
class Split:
    """Which frames are trained on; the others never are."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]

    def name_of(self, index: int) -> str:
        """The word Lightning Pose writes into the ``set`` column."""
        return "train" if index in self.train else "validation" if index in self.validation else "test"


def read_labels(path: Path, keypoint_names: Sequence[str]) -> tuple[list[str], Float32]:
    """Read a label file: image paths and (N, K, 2) keypoints in the order of ``keypoint_names``.

    Three header rows (scorer, bodyparts, coords); the image path is the index, in one
    column, or in three (folder, session, file) as newer DeepLabCut writes it. Empty cells
    are NaN, and so are both coordinates where one is missing. Raises DataError.
    """
    try:
        table = pd.read_csv(path, header=[0, 1, 2], dtype=str)
    except (OSError, ValueError, IndexError) as error:
        raise DataError(f"cannot read the label file {path}: {error}; expected three header rows") from None
    columns = {(str(c[1]), str(c[2])): i for i, c in enumerate(table.columns)}
    missing = [f"{name} {axis}" for name in keypoint_names for axis in "xy" if (name, axis) not in columns]
    if missing:
        raise DataError(f"{path} has no column {', '.join(missing)}; keypoint_names must be among its bodyparts")
    first = min(i for (_, axis), i in columns.items() if axis in ("x", "y"))
    names = ["/".join(str(cell) for cell in row) for row in table.iloc[:, :first].itertuples(index=False)]
    wanted = [columns[name, axis] for name in keypoint_names for axis in "xy"]
    try:
        values = table.iloc[:, wanted].to_numpy(dtype=np.float32, na_value=np.nan)
    except ValueError as error:
        raise DataError(f"{path} has a coordinate that is no number: {error}") from None
    xy = values.reshape(len(names), len(keypoint_names), 2)
    xy[np.isnan(xy).any(axis=2)] = np.nan
    return names, xy


def read_frames(data_dir: Path, csv_file: str, keypoint_names: Sequence[str]) -> list[LabelledFrame]:
    """Read a label file and its images, paths relative to ``data_dir``. Raises DataError."""
    names, xy = read_labels(data_dir / csv_file, keypoint_names)
    if not names:
        raise DataError(f"{data_dir / csv_file} has no labelled frames")
    frames = []
    for name, keypoints in zip(names, xy, strict=True):
        image = cv2.imread(str(data_dir / name), cv2.IMREAD_COLOR)
        if image is None:
            raise DataError(f"cannot read the image {data_dir / name} that {csv_file} names")
        rgb = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
        frames.append(LabelledFrame(name, rgb, keypoints))
    return frames


def arena_frames(count: int, keypoint_names: Sequence[str], seed: int) -> list[LabelledFrame]:
    """Render ``count`` frames of the synthetic arena, a few of each of many looks and paths.

    The arenas' own seeds start at ``seed`` · 100 000, so that those of another ``seed`` share
    nothing with these. Raises DataError where the arena lacks a keypoint.
    """
    missing = [name for name in keypoint_names if name not in Arena.keypoint_names]
    if missing:
        raise DataError(
            f"the synthetic arena has no keypoint {', '.join(missing)}; "
            f"it has {', '.join(Arena.keypoint_names)}: set cropzoom.arena_share to 0"
        )
    order = [Arena.keypoint_names.index(name) for name in keypoint_names]
    rng = np.random.default_rng(seed)
    frames: list[LabelledFrame] = []
    for number in range(-(-count // FRAMES_PER_ARENA)):
        arena = Arena(_arena_settings(rng, seed * 100_000 + number))
        for index in rng.integers(0, 600, min(FRAMES_PER_ARENA, count - len(frames))):
            xy = arena.truth(int(index))[order].astype(np.float32)
            frames.append(LabelledFrame(f"arena/{number}/{index}", arena.render(int(index)), xy))
    return frames


def _arena_settings(rng: np.random.Generator, seed: int) -> ArenaSettings:
    """Half of the arenas as they come, half with another camera."""
    if rng.random() < 0.5:
        return ArenaSettings(seed=seed)
    return ArenaSettings(
        seed=seed,
        noise=rng.uniform(0, 8),
        blur=rng.uniform(0.3, 1.5),
        exposure_ms=rng.uniform(0, 20),
        scale=rng.uniform(0.8, 1.15),
    )


def split_frames(count: int, train_prob: float, val_prob: float, seed: int) -> Split:
    """Split ``count`` frames at random, the same for the same seed."""
    order = np.random.default_rng(seed).permutation(count)
    train = max(1, round(count * train_prob))
    validation = min(count - train, round(count * val_prob))
    parts = np.split(order, [train, train + validation])
    return Split(*(tuple(sorted(int(i) for i in part)) for part in parts))


def with_backgrounds(frames: Sequence[LabelledFrame]) -> list[LabelledFrame]:
    """Give each frame its session's background: the median of the session's frames, where there are enough."""
    sessions: dict[tuple[str, tuple[int, ...]], list[UInt8]] = defaultdict(list)
    for frame in frames:
        sessions[frame.session, frame.image.shape].append(frame.image)
    medians = {
        key: np.median(np.stack(images), axis=0).astype(np.uint8)
        for key, images in sessions.items()
        if len(images) >= FEWEST_FOR_BACKGROUND
    }
    return [
        LabelledFrame(frame.name, frame.image, frame.xy, medians.get((frame.session, frame.image.shape)))
        for frame in frames
    ]


def mirror_order(keypoint_names: Sequence[str]) -> list[int]:
    """For each keypoint the index of the one that stands for it in a mirrored picture: left for right."""
    names = list(keypoint_names)
    mirrored = [_swap_sides(name) for name in names]
    return [names.index(other) if other in names else i for i, other in enumerate(mirrored)]


def _swap_sides(name: str) -> str:
    for left, right in (("left", "right"), ("Left", "Right"), ("LEFT", "RIGHT")):
        if left in name:
            return name.replace(left, right)
        if right in name:
            return name.replace(right, left)
    return name
