"""Rows: decodes rows of a box, a score and K keypoints, as YOLO-pose gives them. No I/O.

Of one animal, the row with the highest score counts. A non-maximum suppression takes rows away that overlap a row with
a higher score: it never takes this one, and is not needed. Of several animals, it decides which rows count.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from realtime_cropzoom.inference.crop import Method
from realtime_cropzoom.inference.decoders.instances import MAX_INSTANCES, Instance
from realtime_cropzoom.inference.manifest import Rows
from realtime_cropzoom.types import Float32, Keypoints

_BOX, _FINAL = 4, 6
"""Numbers of a row before its scores, and of a final row before its keypoints: a box, a score and a class."""
_MAX_OVERLAP = 0.7
"""Intersection over union above which the less likely one of two rows is the same animal."""
_MOST_ROWS = 1000
"""Number of rows among which a suppression looks: the surest."""


def decode(decoder: Rows, outputs: Sequence[Float32], size: tuple[int, int], method: Method) -> Keypoints:
    """Return the keypoints and the box of the row with the highest score.

    The likelihood of a keypoint is its visibility; the score of the row if there is none. Without a row whose score is
    above the confidence, all keypoints are absent and there is no box.

    Source: Ultralytics 8.4.190, ``YOLO.predict`` with one detection.
    """
    if decoder.form == "raw":
        scores = outputs[0][_BOX : _BOX + decoder.classes]
        row = _raw_row(decoder, outputs[0], int(scores.argmax()) % outputs[0].shape[1])
    else:
        row = _final_row(outputs[0], int(outputs[0][:, _BOX].argmax()))
    return _keypoints(decoder, *row)


def decode_all(decoder: Rows, outputs: Sequence[Float32], size: tuple[int, int], method: Method) -> list[Instance]:
    """Return all rows whose score is above the confidence, the surest first.

    Of raw rows that overlap by more than 0.7, the surest counts. A suppression inside of the network has done that for
    final rows. Rows with numbers that are not finite do not count.

    Source: Ultralytics 8.4.190, ``YOLO.predict``, whose suppression looks at each class on its own. Here classes do not
    matter: an animal is one animal.
    """
    raw, output = decoder.form == "raw", outputs[0]
    scores = output[_BOX : _BOX + decoder.classes].max(axis=0) if raw else output[:, _BOX]
    surest = np.argsort(-scores, kind="stable")[:_MOST_ROWS]
    rows = [
        _raw_row(decoder, output, int(place)) if raw else _final_row(output, int(place))
        for place in surest[scores[surest] > decoder.confidence]
    ]
    kept: list[tuple[np.float32, Float32, Float32]] = []
    for row in rows:
        if len(kept) < MAX_INSTANCES and not (raw and any(_overlap(row[1], other[1]) > _MAX_OVERLAP for other in kept)):
            kept.append(row)
    found = [Instance(_keypoints(decoder, *row), float(row[0])) for row in kept]
    return [instance for instance in found if not instance.keypoints.spoilt]


def shapes(decoder: Rows, keypoints: int, size: tuple[int, int]) -> list[tuple[int | None, ...]]:
    """Return the shape of the output for one frame."""
    numbers = keypoints * (3 if decoder.visibility else 2)
    return [(_BOX + decoder.classes + numbers, None) if decoder.form == "raw" else (None, _FINAL + numbers)]


def _raw_row(decoder: Rows, output: Float32, place: int) -> tuple[np.float32, Float32, Float32]:
    """Return the score, the box as corners (2, 2), and the other numbers of one of the columns (C, anchors)."""
    end = _BOX + decoder.classes
    row = np.ascontiguousarray(output[:, place])
    centre, half = row[:2], row[2:4] / np.float32(2)
    return row[_BOX:end].max(), np.stack([centre - half, centre + half]), row[end:]


def _final_row(output: Float32, place: int) -> tuple[np.float32, Float32, Float32]:
    """Return the same of one of the rows (rows, 6 + numbers)."""
    row = output[place]
    return row[_BOX], row[:_BOX].reshape(2, 2).copy(), row[_FINAL:]


def _keypoints(decoder: Rows, score: np.float32, box: Float32, numbers: Float32) -> Keypoints:
    """Return the keypoints of a row; all are absent, and there is no box, if its score is not above the confidence."""
    points = numbers.reshape(-1, 3 if decoder.visibility else 2)
    spoilt = not (np.isfinite(score) and np.isfinite(box).all() and np.isfinite(points).all())
    if spoilt or not score > decoder.confidence:
        return Keypoints(
            np.full((len(points), 2), np.nan, np.float32), np.zeros(len(points), np.float32), spoilt=spoilt
        )
    likelihood = points[:, 2].copy() if decoder.visibility else np.full(len(points), score, np.float32)
    return Keypoints(points[:, :2].copy(), likelihood, corners=box)


def _overlap(one: Float32, other: Float32) -> float:
    """Return the intersection over union of two boxes, corners (2, 2)."""
    sides = np.minimum(one[1], other[1]) - np.maximum(one[0], other[0])
    common = float(sides.clip(0).prod())
    both = float((one[1] - one[0]).prod() + (other[1] - other[0]).prod()) - common
    return common / both if both > 0 else 0.0
