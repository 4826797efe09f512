"""A project of rendered arenas with the shipped models, whose labels are the exact truth."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import pandas as pd

from realtime_cropzoom.project.folder import Project, load_project
from realtime_cropzoom.train.dataset import LabelledFrame, arena_frames
from support.places import ROOT

KEYPOINTS = ("snout", "leftear", "rightear", "tailbase")
PROJECT_FILE = "keypoints: [snout, leftear, rightear, tailbase]\nsymmetric: [[leftear, rightear]]\n"


def make_project(folder: Path, *, held_out: int = 6, train: int = 2, recordings: int = 2, seed: int = 5) -> Project:
    """Make a project as ``cropzoom train`` leaves it: frames, labels, models, and the split.

    Args:
        folder: Its folder, which is made.
        held_out: Number of held-out frames.
        train: Number of frames that count as those of the training.
        recordings: Number of recordings that the frames are spread over.
        seed: Seed of the arenas.
    """
    folder.mkdir(parents=True)
    (folder / "project.yaml").write_text(PROJECT_FILE)
    for role in ("detector", "pose"):
        put_model(folder / "models" / role, role)
    frames = arena_frames(held_out + train, KEYPOINTS, seed)
    images = [f"frames/arena-{i % recordings}/img{i:08d}.png" for i in range(len(frames))]
    write_frames(folder, images, frames)
    write_labels(folder / "labels" / "CollectedData.csv", images, frames)
    sets = ["train"] * train + ["held_out"] * held_out
    pd.DataFrame({"image": images, "set": sets}).to_csv(folder / "models" / "split.csv", index=False)
    return load_project(folder)


def put_model(directory: Path, role: str) -> None:
    """Make a model directory of a shipped model."""
    (directory / "exports_onnx").mkdir(parents=True)
    shutil.copy(ROOT / "models" / f"{role}.onnx", directory / "exports_onnx" / "cropzoom_small_fp32.onnx")
    shutil.copy(ROOT / "configs" / f"train_openfield_{role}.yaml", directory / "config.yaml")


def write_frames(folder: Path, images: Sequence[str], frames: Sequence[LabelledFrame]) -> None:
    """Write the pictures of frames."""
    for image, frame in zip(images, frames, strict=True):
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / image), frame.image[:, :, ::-1])


def write_labels(
    csv: Path, images: Sequence[str], frames: Sequence[LabelledFrame], names: Sequence[str] = KEYPOINTS
) -> None:
    """Write the labels of frames in DeepLabCut's form."""
    columns = pd.MultiIndex.from_product([["me"], names, ["x", "y"]], names=["scorer", "bodyparts", "coords"])
    csv.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame([frame.xy.ravel() for frame in frames], index=list(images), columns=columns).to_csv(csv)
