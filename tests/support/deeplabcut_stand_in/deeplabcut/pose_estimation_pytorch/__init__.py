"""Part of the stand-in: a model that gives the mean of 8×8 pixels, and offsets of zero."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn import Module


class Model(Module):  # type: ignore[misc]  # torch is Any where it is not installed
    def __init__(self, keypoints: int) -> None:
        self.keypoints = keypoints

    def get_stride(self, head: str) -> float:
        assert head == "bodypart"
        return 8.0

    def forward(self, image: Tensor) -> dict[str, dict[str, Tensor]]:
        values = image.numpy()
        rows, columns = values.shape[2] // 8, values.shape[3] // 8
        cells = values[:, :, : 8 * rows, : 8 * columns].reshape(1, 3, rows, 8, columns, 8).mean((1, 3, 5))[:, None]
        heatmap = np.repeat(cells, self.keypoints, axis=1).astype(np.float32)
        locref = np.zeros((1, 2 * self.keypoints, rows, columns), np.float32)
        return {"bodypart": {"heatmap": Tensor(heatmap), "locref": Tensor(locref)}}


def get_pose_inference_runner(model_config: Any, snapshot_path: Path, batch_size: int, device: str) -> SimpleNamespace:
    assert (batch_size, device) == (1, "cpu")
    assert snapshot_path.is_file()
    return SimpleNamespace(model=Model(len(model_config["metadata"]["bodyparts"])))
