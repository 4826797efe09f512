"""Rows: decodes rows of a box, a score and K keypoints, as YOLO-pose gives them. No I/O.

One animal is tracked, so the row with the highest score counts. A non-maximum suppression takes rows away that overlap
a row with a higher score: it never takes this one, and is not needed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from realtime_cropzoom.inference.crop import Method
from realtime_cropzoom.inference.manifest import Rows
from realtime_cropzoom.types import Float32, Keypoints

_BOX, _FINAL = 4, 6
"""Numbers of a row before its scores, and of a final row before its keypoints: a box, a score and a class."""


def decode(decoder: Rows, outputs: Sequence[Float32], size: tuple[int, int], method: Method) -> Keypoints:
    """Return the keypoints and the box of the row with the highest score.

    The likelihood of a keypoint is its visibility; the score of the row if there is none. Without a row whose score is
    above the confidence, all keypoints are absent and there is no box.

    Source: Ultralytics 8.4.190, ``YOLO.predict`` with one detection.
    """
    raw = decoder.form == "raw"
    score, box, numbers = _best_raw(decoder, outputs[0]) if raw else _best_final(outputs[0])
    points = numbers.reshape(-1, 3 if decoder.visibility else 2)
    spoilt = not (np.isfinite(score) and np.isfinite(box).all() and np.isfinite(points).all())
    if spoilt or not score > decoder.confidence:
        return Keypoints(
            np.full((len(points), 2), np.nan, np.float32), np.zeros(len(points), np.float32), spoilt=spoilt
        )
    likelihood = points[:, 2].copy() if decoder.visibility else np.full(len(points), score, np.float32)
    return Keypoints(points[:, :2].copy(), likelihood, corners=box)


def shapes(decoder: Rows, keypoints: int, size: tuple[int, int]) -> list[tuple[int | None, ...]]:
    """Return the shape of the output for one frame."""
    numbers = keypoints * (3 if decoder.visibility else 2)
    return [(_BOX + decoder.classes + numbers, None) if decoder.form == "raw" else (None, _FINAL + numbers)]


def _best_raw(decoder: Rows, output: Float32) -> tuple[np.float32, Float32, Float32]:
    """Return the score, the box as corners (2, 2), and the other numbers of the best of the columns (C, anchors)."""
    end = _BOX + decoder.classes
    scores = output[_BOX:end]
    best = int(scores.argmax()) % output.shape[1]
    row = np.ascontiguousarray(output[:, best])
    centre, half = row[:2], row[2:4] / np.float32(2)
    return row[_BOX:end].max(), np.stack([centre - half, centre + half]), row[end:]


def _best_final(output: Float32) -> tuple[np.float32, Float32, Float32]:
    """Return the same of rows (rows, 6 + numbers)."""
    row = output[int(output[:, _BOX].argmax())]
    return row[_BOX], row[:_BOX].reshape(2, 2).copy(), row[_FINAL:]
