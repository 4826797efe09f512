"""The numbers of DeepLabCut 3.0.2, keypoint for keypoint, on its own networks.

``DEEPLABCUT_PYTHON=PYTHON`` in the environment, the Python of an environment with DeepLabCut 3, also exports its
snapshots there.
"""

from __future__ import annotations

import json
import os
import shutil
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest

from realtime_cropzoom.cli.main import main
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.sources.video_file import VideoFile
from realtime_cropzoom.types import Box, UInt8

pytestmark = pytest.mark.slow

FRAMES = 40
MAX_PX, MAX_SCORE = 1e-4, 1e-5
"""How far from DeepLabCut's own numbers."""
MAX_SCORE_SIMCC = 1e-3
"""Its softmax magnifies the last bits of the logits 850 times."""
VARIANTS: dict[str, dict[str, Any]] = {
    "bottom_up": {},
    "bottom_up_resize_320x240": {"resize": {"height": 240, "width": 320, "keep_ratio": True}},
    "bottom_up_resize_448x448": {"resize": {"height": 448, "width": 448, "keep_ratio": True}},
    "bottom_up_autopad_64_topleft": {
        "auto_padding": {
            "pad_height_divisor": 64, "pad_width_divisor": 64, "position": "top_left", "border_mode": "reflect_101",
        }
    },
}  # fmt: skip
"""Each golden file, and what it changes of the model's configuration."""


@pytest.fixture(scope="module")
def makers(shared_data: Path) -> Path:
    """The folder with DeepLabCut's models and predictions."""
    folder = shared_data / "foreign" / "deeplabcut"
    if not folder.is_dir():
        pytest.skip(f"the models of DeepLabCut are not at {folder}")
    return folder


@pytest.fixture(scope="module")
def frames(litpose: Path) -> list[UInt8]:
    return [np.array(frame.image) for frame in islice(VideoFile(litpose / "clip.mp4").frames(), FRAMES)]


def golden(path: Path) -> np.ndarray:
    """Return (frames, K, 3): x, y, score."""
    table = pd.read_csv(path)
    return table[["x", "y", "score"]].to_numpy(np.float64).reshape(table["frame"].nunique(), -1, 3)[:FRAMES]


def assert_same(model: Model, expected: np.ndarray, frames: list[UInt8], boxes: list[Box], max_score: float) -> None:
    for image, box, numbers in zip(frames, boxes, expected, strict=True):
        found = model.predict_still(image, box)
        assert np.hypot(*(found.xy - numbers[:, :2]).T).max() <= MAX_PX
        assert np.abs(found.likelihood - numbers[:, 2]).max() <= max_score


def with_steps(path: Path, out: Path, steps: dict[str, Any]) -> Path:
    """Write a copy of an export with other steps of inference."""
    proto = onnx.load(str(path))
    facts = json.loads(next(entry.value for entry in proto.metadata_props if entry.key == "deeplabcut"))
    facts["data_inference"].update(steps)
    onnx.helper.set_model_props(proto, {"deeplabcut": json.dumps(facts)})
    onnx.save(proto, str(out))
    return out


@pytest.mark.parametrize("name", VARIANTS)
def test_bottom_up(name: str, makers: Path, frames: list[UInt8], tmp_path: Path) -> None:
    model = Model(with_steps(makers / "bottom_up.onnx", tmp_path / "model.onnx", VARIANTS[name]))
    expected = golden(makers / "goldens" / f"{name}.csv")
    assert_same(model, expected, frames, [Box(0, 0, 640, 480)] * FRAMES, MAX_SCORE)


def boxes_of(makers: Path) -> list[Box]:
    """The given boxes: floats, of other sizes and aspects, some beyond the frame."""
    return [
        Box(*row) for row in pd.read_csv(makers / "goldens" / "boxes.csv")[["x", "y", "w", "h"]].to_numpy()[:FRAMES]
    ]


def test_rtmpose(makers: Path, frames: list[UInt8]) -> None:
    expected = golden(makers / "goldens" / "top_down_rtmpose.csv")
    model = Model(makers / "top_down_rtmpose.onnx", "pose")
    assert_same(model, expected, frames, boxes_of(makers), MAX_SCORE_SIMCC)


@pytest.mark.parametrize("name", ["bottom_up", "top_down_rtmpose"])
def test_snapshots_that_are_exported_here(name: str, makers: Path, frames: list[UInt8], tmp_path: Path) -> None:
    python = os.environ.get("DEEPLABCUT_PYTHON")
    if python is None:
        pytest.skip("DEEPLABCUT_PYTHON names no Python of an environment with DeepLabCut 3")
    folder = tmp_path / "train"
    shutil.copytree(makers / name, folder, copy_function=shutil.copyfile)
    folder.chmod(0o755)
    assert main(["export-deeplabcut", str(folder), "--python", python]) == 0
    boxes = boxes_of(makers) if name == "top_down_rtmpose" else [Box(0, 0, 640, 480)] * FRAMES
    score = MAX_SCORE_SIMCC if name == "top_down_rtmpose" else MAX_SCORE
    assert_same(Model(folder), golden(makers / "goldens" / f"{name}.csv"), frames, boxes, score)
