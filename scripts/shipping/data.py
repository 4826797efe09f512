"""Frames of the trainings: labelled, rendered, and labelled by the teachers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from realtime_cropzoom.sources.arena.source import Arena
from realtime_cropzoom.sources.factory import open_source
from realtime_cropzoom.train.arena_looks import LOOKS
from realtime_cropzoom.train.dataset import FRAMES_PER_ARENA, LabelledFrame, arena_frames, read_frames
from realtime_cropzoom.types import Float32, UInt8

NAMES = ("snout", "leftear", "rightear", "tailbase")
SKELETON = ((0, 1), (0, 2), (1, 2), (1, 3), (2, 3))
VIDEO = Path("videos/m3v1mp4.mp4")
_OBJECTS = 0.6
"""Share of the empty arenas with things on the floor, which look like an animal to a detector that sees few of them."""
_SCALES = (0.7, 1.45)
"""Range of the size of the animal in varied arenas. Views then scale it further."""
_POOL = 6000
"""Length of a list of frames that are mixed."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """The labelled frames, without and with those that no model is trained on."""

    train: list[LabelledFrame]
    held_out: list[LabelledFrame]


def labelled(data: Path, held_out: Path) -> Labelled:
    """Read the labelled frames.

    Args:
        data: The openfield folder.
        held_out: List of the frames that no model is trained on.
    """
    unseen = set(held_out.read_text(encoding="utf-8").split())
    frames = read_frames(data, data / "CollectedData.csv", NAMES)
    return Labelled([f for f in frames if f.name not in unseen], [f for f in frames if f.name in unseen])


def arenas(usual: int, varied: int, empty: int, seed: int) -> tuple[list[LabelledFrame], ...]:
    """Render arenas: dark mice on bright floors, any animal on any floor, and any floor without an animal.

    Args:
        usual: Number of frames of the first kind.
        varied: Number of frames of the second kind.
        empty: Number of frames of the third kind.
        seed: Seed of the arenas.
    """
    rng = np.random.default_rng(seed)
    with_animal: list[LabelledFrame] = []
    for number in range(-(-varied // FRAMES_PER_ARENA)):
        settings = replace(LOOKS["varied"](rng, (seed + 1) * 100_000 + number), scale=log_uniform(rng, *_SCALES))
        with_animal += rendered(Arena(settings), rng.integers(0, 600, FRAMES_PER_ARENA))
    without: list[LabelledFrame] = []
    for number in range(empty):
        settings = LOOKS["varied"](rng, (seed + 2) * 100_000 + number)
        objects = int(rng.integers(1, 9)) if rng.random() < _OBJECTS else 0
        without += rendered(Arena(replace(settings, animal=0, objects=objects)), [0])
    return arena_frames(usual, NAMES, seed), with_animal, without


def rendered(arena: Arena, indices: Iterable[int]) -> list[LabelledFrame]:
    """Render frames of an arena, with the keypoints that the models know."""
    order = [arena.keypoint_names.index(name) for name in NAMES]
    return [
        LabelledFrame("arena", arena.render(int(i)), arena.truth(int(i))[order].astype(np.float32)) for i in indices
    ]


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a factor."""
    return float(np.exp(rng.uniform(*np.log((low, high)))))


def mixed(groups: Sequence[tuple[float, Sequence[LabelledFrame]]]) -> list[LabelledFrame]:
    """Return a list in which each group has its share, by repetition: the images are not copied."""
    pool: list[LabelledFrame] = []
    for share, frames in groups:
        count = round(share * _POOL) if frames else 0
        pool += [frames[i % len(frames)] for i in range(count)]
    return pool


def video_frames(path: Path) -> list[UInt8]:
    """Decode all frames of a recording as (H, W, 3) RGB."""
    source, images = open_source(str(path)), []
    try:
        for frame in source.frames():
            image = np.empty((frame.height, frame.width, 3), np.uint8)
            frame.copy_to(image)
            images.append(image)
    finally:
        source.close()
    return images


def pseudo_labelled(data: Path, labels: Path) -> list[LabelledFrame]:
    """Return the frames of the recording that the teachers labelled.

    Args:
        data: The openfield folder.
        labels: The file of the labels.
    """
    stored = np.load(labels)
    images, xy = video_frames(data / VIDEO), np.asarray(stored["xy"], np.float32)
    return [
        LabelledFrame(f"{VIDEO.stem}/{index}.png", images[index], points)
        for index, points in zip(stored["index"].tolist(), xy, strict=True)
    ]


def spread(members: Float32) -> Float32:
    """Return the (K,) largest distance of (M, K, 2) predictions from their mean."""
    largest: Float32 = np.linalg.norm(members - members.mean(axis=0), axis=2).max(axis=0)
    return largest
