"""Labels by the teachers: of the recording that nobody labelled, and of the labelled frames, with less noise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from realtime_cropzoom.inference.boxes import centred_box
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.train.augmentation import labelled_box
from realtime_cropzoom.train.dataset import LabelledFrame
from realtime_cropzoom.train.evaluate import predict
from realtime_cropzoom.types import Box, Float32, UInt8
from shipping.data import VIDEO, spread, video_frames

CROP_SIZE = 240
EVERY = 4
"""One frame in so many is labelled."""
_MAX_SPREAD_PX = 2.0
_MAX_BEND_PX = 6.0
"""Largest distance of a keypoint from the middle between its places one frame before and after."""
_BOXES = ((0, 0), (7, 3), (-5, 6), (3, -7), (-6, -4))
"""Shifts of a box (frame pixels) whose predictions are averaged."""
_DARKER = 50
"""Gray levels by which the mouse is darker than the empty arena."""


def label_video(data: Path, teachers: Sequence[Path], labels: Path) -> None:
    """Label the recording.

    Args:
        data: The openfield folder.
        teachers: The exported teachers.
        labels: The file to write: ``index``, and ``xy`` with NaN for keypoints that are not kept.
    """
    images = video_frames(data / VIDEO)
    background = np.median(np.stack([image[:, :, 0] for image in images[:: len(images) // 60]]), axis=0)
    models = [Model(path, "pose", method="fast") for path in teachers]
    found = [_predictions(models, image, background) for image in images]
    track, spreads = np.stack([f.mean(axis=0) for f in found]), np.stack([spread(f) for f in found])
    bend = np.linalg.norm(track[1:-1] - (track[:-2] + track[2:]) / 2, axis=2)
    kept = (spreads[1:-1] <= _MAX_SPREAD_PX) & (bend <= _MAX_BEND_PX)
    xy = np.where(kept[:, :, None], track[1:-1], np.nan).astype(np.float32)
    index = 1 + np.flatnonzero(kept.sum(axis=1) >= 3)
    index = index[::EVERY]
    np.savez(labels, index=index, xy=xy[index - 1])
    whole = kept.all(axis=1).mean()
    print(
        f"teachers: median spread {np.median(spreads):.2f} px; they agree on all keypoints of {whole:.0%} of", end=" "
    )
    print(f"{len(images)} frames; {len(index)} frames are labelled", flush=True)


def relabel(frames: Sequence[LabelledFrame], teachers: Sequence[Path], labels: Path) -> None:
    """Label the labelled frames anew: the mean of the teachers, each in five boxes.

    Args:
        frames: The labelled frames that the teachers were trained on.
        teachers: The exported teachers.
        labels: The file to write: ``xy`` of the frames in order, NaN where they have no label.
    """
    models = [Model(path, "pose", method="fast") for path in teachers]
    xy = np.stack([_in_boxes(models, frame) for frame in frames])
    xy[np.isnan([frame.xy for frame in frames])] = np.nan
    np.savez(labels, xy=xy)
    apart = np.linalg.norm(xy - np.stack([frame.xy for frame in frames]), axis=2)
    print(f"teachers: median distance from the labels {np.nanmedian(apart):.2f} px", flush=True)


def _in_boxes(models: Sequence[Model], frame: LabelledFrame) -> Float32:
    box = labelled_box(frame.xy, CROP_SIZE)
    boxes = [Box(box.x + dx, box.y + dy, box.w, box.h) for dx, dy in _BOXES]
    seen = [predict(model, frame.image, moved).xy for model in models for moved in boxes]
    mean: Float32 = np.mean(seen, axis=0, dtype=np.float32)
    return mean


def _predictions(models: Sequence[Model], image: UInt8, background: Float32) -> Float32:
    """Return the (M, K, 2) keypoints of the models (frame pixels), in a box around what is dark, then around them."""
    mask = (background - image[:, :, 0] > _DARKER).astype(np.uint8)
    _, _, sizes, centres = cv2.connectedComponentsWithStats(mask)
    box = centred_box(centres[1 + int(sizes[1:, 4].argmax())][None], CROP_SIZE)
    box = centred_box(predict(models[0], image, box).xy.astype(np.float64), CROP_SIZE)
    return np.stack([predict(model, image, box).xy for model in models])
