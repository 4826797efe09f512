"""What a training leaves beside the model: its configuration, loss curves, predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import yaml
from matplotlib.figure import Figure

from realtime_cropzoom.train.dataset import LabelledFrame
from realtime_cropzoom.train.evaluate import Prediction
from realtime_cropzoom.types import Float32


class _Epoch(Protocol):
    @property
    def number(self) -> int: ...
    @property
    def loss(self) -> float: ...
    @property
    def held_out_px(self) -> float: ...
    @property
    def seconds(self) -> float: ...


def write_config(tree: dict[str, Any], output_dir: Path) -> None:
    """Write ``config.yaml`` as it was used, overrides applied."""
    (output_dir / "config.yaml").write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")


def write_curves(epochs: Sequence[_Epoch], output_dir: Path) -> None:
    """Write ``loss.csv`` and ``loss.png``."""
    rows = [(e.number, e.loss, e.held_out_px, e.seconds) for e in epochs]
    table = pd.DataFrame(rows, columns=["epoch", "loss", "held_out_px", "seconds"])
    table.to_csv(output_dir / "loss.csv", index=False)
    figure = Figure(figsize=(7, 4), layout="constrained")
    loss_axes = figure.add_subplot()
    loss_axes.semilogy(table["epoch"], table["loss"], color="tab:blue")
    loss_axes.set(xlabel="epoch", ylabel="training loss")
    if table["held_out_px"].notna().any():
        error_axes = loss_axes.twinx()
        error_axes.semilogy(table["epoch"], table["held_out_px"], color="tab:orange")
        error_axes.set_ylabel("held-out error (frame pixels)", color="tab:orange")
    figure.savefig(output_dir / "loss.png", dpi=120)


def write_predictions(
    folder: Path,
    frames: Sequence[LabelledFrame],
    predictions: Sequence[Prediction],
    errors: Float32,
    sets: Sequence[str],
    keypoint_names: Sequence[str],
) -> None:
    """Write ``predictions.csv``, ``predictions_pixel_error.csv`` and ``bbox.csv`` as Lightning Pose lays them out.

    Each ends with a ``set`` column (train, validation, test), but for the boxes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    index = [frame.name for frame in frames]
    columns = pd.MultiIndex.from_tuples(
        [("cropzoom", name, value) for name in keypoint_names for value in ("x", "y", "likelihood")],
        names=["scorer", "bodyparts", "coords"],
    )
    rows = [np.column_stack([p.keypoints.xy, p.keypoints.likelihood]).ravel() for p in predictions]
    table = pd.DataFrame(np.stack(rows), index=index, columns=columns)
    table["set", "", ""] = list(sets)
    table.to_csv(folder / "predictions.csv")
    by_keypoint = pd.DataFrame(errors, index=index, columns=list(keypoint_names))
    by_keypoint["set"] = list(sets)
    by_keypoint.to_csv(folder / "predictions_pixel_error.csv")
    boxes = [(p.box.x, p.box.y, p.box.h, p.box.w) for p in predictions]
    pd.DataFrame(boxes, index=index, columns=["x", "y", "h", "w"]).to_csv(folder / "bbox.csv")
