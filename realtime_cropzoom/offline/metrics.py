"""Metrics that Lightning Pose writes next to predictions: the pixel error, and the temporal norm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from realtime_cropzoom.files.atomic import replacing
from realtime_cropzoom.files.csv_text import text_cell
from realtime_cropzoom.sessions.dlc_csv import iter_frame_predictions, read_header
from realtime_cropzoom.types import Float64


def temporal_norm_path(predictions: Path) -> Path:
    """Return the path of the temporal norms of a prediction file."""
    return predictions.with_name(f"{predictions.stem}_temporal_norm.csv")


def write_temporal_norm(predictions: Path) -> Path:
    """Write the distance (pixels) of each keypoint to its place in the frame before; return the file.

    Memory use does not grow with the length of the video. Source: Lightning Pose, ``metrics.py``,
    ``temporal_norm``; float32 as there.

    Raises:
        DataError: if the predictions cannot be read.
        SinkError: if the file cannot be written.
    """
    path = temporal_norm_path(predictions)
    names = read_header(predictions).keypoint_names
    before = np.full((1, len(names), 2), np.nan, np.float32)
    with replacing(path) as file:
        file.write(f",{','.join(map(text_cell, names))}\n")
        for chunk in iter_frame_predictions(predictions):
            all_xy = np.concatenate([before, chunk.xy.astype(np.float32)])
            norms = np.sqrt(np.square(np.diff(all_xy, axis=0)).sum(axis=2))
            file.writelines(
                f"{name},{_cells(row)}\n" for name, row in zip(chunk.index, norms.astype(np.float64), strict=True)
            )
            before = all_xy[-1:]
    return path


def pixel_errors(labelled_xy: Float64, predicted_xy: Float64) -> Float64:
    """Return the (N, K) distances of (N, K, 2) keypoints in the same space; NaN for a keypoint without a label."""
    errors: Float64 = np.linalg.norm(labelled_xy - predicted_xy, axis=2)
    return errors


def write_pixel_errors(
    path: Path, images: Sequence[str], keypoint_names: Sequence[str], errors: Float64, sets: Sequence[str]
) -> None:
    """Write ``predictions_pixel_error.csv``.

    Args:
        path: The file.
        images: Names of the N images.
        keypoint_names: Names of the K keypoints.
        errors: (N, K) pixel errors; NaN gives an empty cell.
        sets: Training set of each image.

    Raises:
        SinkError: if the file cannot be written.
    """
    with replacing(path) as file:
        file.write(f",{','.join(map(text_cell, keypoint_names))},set\n")
        file.writelines(
            f"{text_cell(image)},{_cells(row)},{word}\n" for image, row, word in zip(images, errors, sets, strict=True)
        )


def _cells(row: Float64) -> str:
    return ",".join("" if np.isnan(value) else repr(value) for value in row.tolist())
