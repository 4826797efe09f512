"""Files next to a trained model: its configuration, loss curves, and predictions of its labelled frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import yaml
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.files.atomic import write_whole
from realtime_cropzoom.plots.image_files import encode_figure
from realtime_cropzoom.train.dataset import LabelledFrame
from realtime_cropzoom.train.evaluate import Prediction
from realtime_cropzoom.types import Float32

SCORER = "heatmap_tracker"
"""Scorer of a heatmap model in the first header row, as Lightning Pose writes it."""


class _Epoch(Protocol):
    @property
    def number(self) -> int: ...
    @property
    def loss(self) -> float: ...
    @property
    def held_out_px(self) -> float: ...
    @property
    def seconds(self) -> float: ...


def create_model_directory(output_dir: Path, *, overwrite: bool) -> None:
    """Create the directory of a model.

    Args:
        output_dir: The directory. One with a Lightning Pose checkpoint is never overwritten.
        overwrite: Whether another model in it may be overwritten.

    Raises:
        ConfigError: if it holds a model that may not be overwritten, or cannot be created.
    """
    if (output_dir / "config.yaml").exists():
        checkpoint = next(output_dir.rglob("*.ckpt"), None)
        if checkpoint is not None:
            raise ConfigError(f"{output_dir} holds Lightning Pose's {checkpoint.name}; choose another --output_dir")
        if not overwrite:
            raise ConfigError(f"{output_dir} already holds a model; choose another --output_dir, or add --overwrite")
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the output directory {output_dir}: {error.strerror}") from None


def remove_exports(output_dir: Path) -> None:
    """Delete the exports of the overwritten model: a later run could load one with another precision."""
    for path in (output_dir / "exports_onnx").glob("*.onnx*"):
        path.unlink()


def write_config(tree: dict[str, Any], output_dir: Path) -> None:
    """Write ``config.yaml`` with the overrides applied. Raises SinkError if it cannot be written."""
    _write(output_dir / "config.yaml", yaml.safe_dump(tree, sort_keys=False))


def write_curves(epochs: Sequence[_Epoch], output_dir: Path) -> None:
    """Write ``loss.csv`` and ``loss.png``. Raises SinkError if one cannot be written."""
    rows = [(e.number, e.loss, e.held_out_px, e.seconds) for e in epochs]
    table = pd.DataFrame(rows, columns=["epoch", "loss", "held_out_px", "seconds"])
    _write(output_dir / "loss.csv", table.to_csv(index=False))
    figure = Figure(figsize=(7, 4), layout="constrained")
    _draw_curves(figure.add_subplot(), table)
    _write(output_dir / "loss.png", encode_figure(output_dir / "loss.png", figure, dpi=120))


def write_pair_of_curves(detector: Path, pose: Path, picture: Path) -> Path:
    """Draw the curves of two model directories side by side, and return the picture. Raises SinkError."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    for axes, (title, folder) in zip(
        figure.subplots(1, 2), (("detector", detector), ("pose model", pose)), strict=True
    ):
        _draw_curves(axes, pd.read_csv(folder / "loss.csv"))
        axes.set_title(title)
    _write(picture, encode_figure(picture, figure, dpi=120))
    return picture


def _draw_curves(axes: Any, table: pd.DataFrame) -> None:
    """Draw loss and held-out error over the epochs, and mark the epoch with the smallest error."""
    axes.semilogy(table["epoch"], table["loss"], color="tab:blue")
    _number_plainly(axes)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_ylabel("training loss", color="tab:blue")
    if table["held_out_px"].notna().any():
        error_axes = axes.twinx()
        error_axes.semilogy(table["epoch"], table["held_out_px"], color="tab:orange")
        _number_plainly(error_axes)
        error_axes.set_ylabel("held-out error (frame pixels)", color="tab:orange")
        best = table.iloc[int(table["held_out_px"].argmin())]
        error_axes.plot(best["epoch"], best["held_out_px"], "o", color="tab:orange")
        error_axes.annotate(f"{best['held_out_px']:.2f} px", (best["epoch"], best["held_out_px"]), (0, 8),
                            textcoords="offset points", ha=_inward(best["epoch"], len(table)), color="tab:orange",
                            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.7})  # fmt: skip


def _inward(epoch: float, count: int) -> str:
    """Return the side of a text that is at an epoch, so that it does not cross the frame of the plot."""
    share = (epoch - 1) / max(1, count - 1) if count > 1 else 0.5
    return "left" if share < 0.1 else "right" if share > 0.9 else "center"


def _number_plainly(axes: Any) -> None:
    """Write 0.2, 0.5, 1, 2 and so on at a logarithmic axis, in place of powers of ten."""
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def write_predictions(
    folder: Path,
    frames: Sequence[LabelledFrame],
    predictions: Sequence[Prediction],
    errors: Float32,
    sets: Sequence[str],
    keypoint_names: Sequence[str],
) -> None:
    """Write ``predictions.csv`` and ``predictions_pixel_error.csv`` in the format of Lightning Pose.

    Args:
        folder: Folder of the files.
        frames: The N labelled frames.
        predictions: Their predictions.
        errors: (N, K) errors (frame pixels).
        sets: Training set of each frame, for the last column.
        keypoint_names: Names of the K keypoints.

    Raises:
        SinkError: if a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    index = [frame.name for frame in frames]
    columns = pd.MultiIndex.from_tuples(
        [(SCORER, name, value) for name in keypoint_names for value in ("x", "y", "likelihood")],
        names=["scorer", "bodyparts", "coords"],
    )
    rows = [np.column_stack([p.keypoints.xy, p.keypoints.likelihood]).ravel() for p in predictions]
    table = pd.DataFrame(np.stack(rows).astype(np.float64), index=index, columns=columns)
    table["set", "", ""] = list(sets)
    _write(folder / "predictions.csv", table.to_csv())
    by_keypoint = pd.DataFrame(errors.astype(np.float64), index=index, columns=list(keypoint_names))
    by_keypoint["set"] = list(sets)
    _write(folder / "predictions_pixel_error.csv", by_keypoint.to_csv())


def write_boxes(folder: Path, frames: Sequence[LabelledFrame], predictions: Sequence[Prediction]) -> None:
    """Write ``bbox.csv``: the box that the model saw of each frame. Raises SinkError if it cannot be written."""
    index = [frame.name for frame in frames]
    boxes = [(p.box.x, p.box.y, p.box.h, p.box.w) for p in predictions]
    _write(folder / "bbox.csv", pd.DataFrame(boxes, index=index, columns=["x", "y", "h", "w"]).to_csv())


def _write(path: Path, content: bytes | str) -> None:
    write_whole(path, content, advice="; give another --output-dir")
