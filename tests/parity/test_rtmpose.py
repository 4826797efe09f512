"""RTMPose against rtmlib 0.0.16: the same boxes, every keypoint of every frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.foreign import FRAMES, boxes_in, clip_of, keypoints_in

from realtime_cropzoom.inference.makers.maker import Settings
from realtime_cropzoom.inference.model import Model

NAMES = ("snout", "leftear", "rightear", "tailbase")
MAX_PX, MAX_SCORE = 1e-4, 1e-3
"""Positions are whole bins, so the same bin is the same number. Versions of OpenCV warp a little differently, which the
scores show."""


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    folder = shared_data / "foreign/rtmpose"
    if not folder.is_dir():
        pytest.skip(f"the model of RTMPose is not at {folder}")
    return folder


def test_every_keypoint_is_that_of_rtmlib(folder: Path, shared_data: Path) -> None:
    model = Model(folder / "rtmpose_tiny_192x256.onnx", "pose", settings=Settings(NAMES))
    boxes, golden = boxes_in(folder / "goldens/boxes.csv"), keypoints_in(folder / "goldens/rtmlib.csv")
    assert golden.shape == (FRAMES, len(NAMES), 3)
    for image, box, expected in zip(clip_of(shared_data), boxes[:FRAMES], golden, strict=True):
        found = model.predict_still(image, box)
        np.testing.assert_allclose(found.xy, expected[:, :2], atol=MAX_PX)
        np.testing.assert_allclose(found.likelihood, expected[:, 2], atol=MAX_SCORE)
