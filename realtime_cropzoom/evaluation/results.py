"""Results: what was found in the judged frames, beside their labels, and the file ``errors.csv`` that keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.evaluation import measures
from realtime_cropzoom.evaluation.measures import Bool
from realtime_cropzoom.evaluation.truth import Truth
from realtime_cropzoom.files.csv_text import Records, csv_line
from realtime_cropzoom.types import Float64

COLUMNS = (
    "image",
    "recording",
    "keypoint",
    "label_x",
    "label_y",
    "x",
    "y",
    "likelihood",
    "error_px",
    "tracking",
    "in_box",
)
"""Columns of ``errors.csv``: a row for each labelled keypoint of each judged frame."""
_SAME_LABEL_PX = 0.01
"""Largest difference of two labels that are the same (pixels)."""


@dataclass(frozen=True)
class Results:
    """N judged frames with K keypoints; all positions in frame pixels."""

    truth: Truth
    found: Float64
    """(N, K, 2); NaN for a keypoint without a position."""
    likelihood: Float64
    """(N, K); NaN if the model gives none."""
    tracking: Bool
    """(N,): whether a live run trusts the pose."""
    boxes: Float64
    """(N, 4): x, y, w, h; NaN without a box."""
    detected: Float64
    """(N, K, 2): the same keypoints as the detector finds them; NaN for one that it does not know."""
    light: Float64
    """(N,): mean gray of the frame, 0 to 255; NaN if unknown."""
    sizes: Float64
    """(N, 2): width and height of the frame; NaN if unknown."""

    @cached_property
    def errors(self) -> Float64:
        """(N, K) errors; NaN without a label, infinite without a position."""
        return measures.pixel_errors(self.truth.labels, self.found)

    @cached_property
    def in_box(self) -> Bool:
        """(N,): whether the box holds all labelled keypoints."""
        return measures.boxes_hold(self.boxes, self.truth.labels)

    @cached_property
    def edge_px(self) -> Float64:
        """(N,): smallest distance of a label to the edge of the frame."""
        labels, far = self.truth.labels, self.sizes[:, None] - 1 - self.truth.labels
        nearest: Float64 = np.nanmin(np.concatenate([labels, far], axis=1), axis=(1, 2))
        return nearest

    @cached_property
    def body_px(self) -> float:
        """Length of the animal: median over the frames of the largest distance between two labels; NaN if unknown."""
        from realtime_cropzoom.train.verdict import animal_length

        return animal_length([xy.astype(np.float32) for xy in self.truth.labels])


def errors_text(results: Results) -> str:
    """Return the text of ``errors.csv``. An empty cell is a number that does not exist."""
    truth, lines = results.truth, [csv_line(COLUMNS)]
    for n, k in np.argwhere(~np.isnan(results.errors)):
        numbers = (*truth.labels[n, k], *results.found[n, k], results.likelihood[n, k], results.errors[n, k])
        cells = [f"{number:.3f}" if np.isfinite(number) else "" for number in numbers]
        words = ["yes" if flag else "no" for flag in (results.tracking[n], results.in_box[n])]
        lines.append(csv_line([truth.images[n], truth.recordings[n], truth.keypoint_names[k], *cells, *words]))
    return "".join(lines)


@dataclass(frozen=True, slots=True)
class EarlierErrors:
    """Errors of an earlier evaluation."""

    errors: dict[tuple[str, str], tuple[float, float, float]]
    """{(image, keypoint): (x and y of the label, error)}; the error is infinite without a position."""

    def on(self, truth: Truth) -> Float64:
        """Return the (N, K) earlier errors on the same frames; NaN where a frame or a label was not the same."""
        errors = np.full(truth.labels.shape[:2], np.nan)
        for n, image in enumerate(truth.images):
            for k, name in enumerate(truth.keypoint_names):
                x, y, error = self.errors.get((image, name), (np.nan,) * 3)
                if np.hypot(x - truth.labels[n, k, 0], y - truth.labels[n, k, 1]) <= _SAME_LABEL_PX:
                    errors[n, k] = error
        return errors


def count_tracked(path: Path) -> tuple[int, int]:
    """Return in how many of the judged frames a live run trusts the pose, and the number of these frames.

    Args:
        path: ``errors.csv``.

    Raises:
        DataError: if it is not such a file.
    """
    try:
        tracking = {row["image"]: row["tracking"] == "yes" for row in Records(path)}
    except KeyError:
        raise DataError(f"{path} is not the errors.csv of an evaluation; remove it") from None
    return sum(tracking.values()), len(tracking)


def read_errors(path: Path) -> EarlierErrors:
    """Read ``errors.csv``. Raises DataError if it is not such a file."""
    try:
        return EarlierErrors(
            {
                (row["image"], row["keypoint"]): (
                    float(row["label_x"]), float(row["label_y"]), float(row["error_px"] or "inf"),
                )
                for row in Records(path)
            }
        )  # fmt: skip
    except (KeyError, TypeError, ValueError):
        raise DataError(f"{path} is not the errors.csv of an evaluation; remove it") from None
