"""Small projects with labels, and label files as other programs write them."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from realtime_cropzoom.labelling.frame_table import FrameRow, image_path, write_frame_table
from realtime_cropzoom.labelling.label_table import Labels, write_label_table
from realtime_cropzoom.project.folder import Project, load_project

NAMES = ("nose", "ear_l", "ear_r", "tail_base")
SIZE = (96, 64)
"""(W, H) of all pictures."""
SHAPE = np.array([[0.0, -12.0], [-5.0, -4.0], [5.0, -4.0], [0.0, 14.0]])
"""Keypoints of an animal that looks up, around its middle."""


def picture(recording: str, frame: int) -> np.ndarray:
    """Return a picture (H, W, 3) that is another one for each recording and frame."""
    seed = sum(recording.encode()) * 1_000 + frame
    blocks = np.random.default_rng(seed).integers(0, 256, (8, 12, 3), np.uint8)
    return np.repeat(np.repeat(blocks, 8, axis=0), 8, axis=1)


def pose(frame: int) -> np.ndarray:
    """Return (K, 2) keypoints of an animal seen from above, with many digits."""
    angle = frame * 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.asarray(SHAPE @ turn.T + [48 + 10 * np.sin(frame), 32 + 5 * np.cos(frame)], np.float64)


def make_project(
    folder: Path, frames: Mapping[str, Sequence[int]] | None = None, names: Sequence[str] = NAMES
) -> Project:
    """Make a project with pictures of each recording."""
    folder.mkdir(parents=True)
    pairs = "symmetric: [[ear_l, ear_r]]\nskeleton: [[nose, ear_l], [nose, ear_r]]\n" if "ear_l" in names else ""
    (folder / "project.yaml").write_text(f"keypoints: [{', '.join(names)}]\n{pairs}", encoding="utf-8")
    project = load_project(folder)
    rows = [
        FrameRow(image_path(recording, frame), f"/videos/{recording}.mp4", frame, 1, "k-means")
        for recording, numbers in (frames or {}).items()
        for frame in numbers
    ]
    for row in rows:
        write_picture(folder / row.image, picture(row.folder, row.frame))
    if rows:
        write_frame_table(project, rows)
    return project


def label(project: Project, labels: Labels) -> Labels:
    """Write labels into a project."""
    write_label_table(project, labels)
    return labels


def write_picture(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, pixels[:, :, ::-1])[1].tobytes())
    return path


def deeplabcut_csv(
    path: Path, labels: Mapping[str, np.ndarray], names: Sequence[str] = NAMES, *, columns: int = 1
) -> Path:
    """Write a label file as DeepLabCut does: the path of the image in one column or in three."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        empty = [""] * (columns - 1)
        rows.writerow(["scorer", *empty, *["Ada"] * 2 * len(names)])
        rows.writerow(["bodyparts", *empty, *(name for name in names for _ in "xy")])
        rows.writerow(["coords", *empty, *"xy" * len(names)])
        for image, xy in labels.items():
            cells = ["" if np.isnan(value) else repr(float(value)) for value in np.ravel(xy)]
            rows.writerow([*(image.split("/") if columns == 3 else [image]), *cells])
    return path


def coco(
    path: Path,
    labels: Mapping[str, np.ndarray],
    names: Sequence[str] = NAMES,
    *,
    size: tuple[int, int] = SIZE,
) -> Path:
    """Write a label file as COCO does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [
        {"id": i, "file_name": name, "width": size[0], "height": size[1]} for i, name in enumerate(labels, start=7)
    ]
    annotations = [
        {
            "id": i,
            "image_id": i + 6,
            "category_id": 3,
            "iscrowd": 0,
            "segmentation": [],
            "area": 1.0,
            "bbox": [0, 0, 1, 1],
            "keypoints": [
                value for x, y in np.asarray(xy).tolist() for value in ([x, y, 2] if x == x else [0.0, 0.0, 0])
            ],
        }
        for i, xy in enumerate(labels.values(), start=1)
    ]
    categories = [{"id": 3, "name": "mouse", "keypoints": list(names), "skeleton": [], "supercategory": ""}]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path
