"""Models of other makers, and what the makers' own tools predict with them."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np

from realtime_cropzoom.types import Box, UInt8

FRAMES = 40
"""Frames of the clip for which there are predictions."""


def clip_of(shared_data: Path) -> list[UInt8]:
    """The frames of the clip that have predictions, RGB."""
    video = cv2.VideoCapture(str(shared_data / "litpose/openfield/clip.mp4"))
    frames = [np.asarray(video.read()[1], np.uint8)[..., ::-1].copy() for _ in range(FRAMES)]
    video.release()
    return frames


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def boxes_in(path: Path) -> list[Box]:
    """A box a frame. They have fractions, also in their sides, which the makers' tools take."""
    return [Box(*(float(row[name]) for name in "xywh")) for row in table(path)]  # type: ignore[arg-type]


def keypoints_in(path: Path) -> np.ndarray:
    """x, y and score of each keypoint in each frame, (F, K, 3), of a table with a row for each of them."""
    frames = defaultdict(list)
    for row in table(path):
        frames[int(row["frame"])].append([float(row[name]) for name in ("x", "y", "score")])
    return np.array([frames[frame] for frame in sorted(frames)])
