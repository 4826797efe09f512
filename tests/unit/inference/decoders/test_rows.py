"""Rows of boxes and keypoints: the best one counts, and no suppression of overlapping rows can change it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.inference.decoders import decode, expected_shapes
from realtime_cropzoom.inference.manifest import Rows
from realtime_cropzoom.types import Float32

SIZE = (320, 320)
KEYPOINTS = 3


def raw(anchors: int, classes: int, seed: int, numbers: int = 3) -> Float32:
    """Random boxes that overlap, scores and keypoints: (4 + classes + numbers · K, anchors)."""
    random = np.random.default_rng(seed)
    boxes = np.concatenate([random.uniform(100, 200, (2, anchors)), random.uniform(20, 120, (2, anchors))])
    scores = random.uniform(0, 1, (classes, anchors))
    keypoints = random.uniform(0, 1, (numbers * KEYPOINTS, anchors))
    return np.concatenate([boxes, scores, keypoints]).astype(np.float32)


def final(output: Float32, classes: int) -> Float32:
    """The same rows as a network with NMS writes them, (rows, 6 + ...): corners, score, class, keypoints."""
    centre, extent, scores = output[:2], output[2:4], output[4 : 4 + classes]
    corners = np.concatenate([centre - extent / 2, centre + extent / 2])
    return np.concatenate([corners, scores.max(axis=0)[None], scores.argmax(axis=0)[None], output[4 + classes :]]).T


def suppressed(rows: Float32, most: float, confidence: float) -> list[Float32]:
    """Greedy non-maximum suppression of each class on its own: the rows that are kept, the best one first."""
    kept: list[Float32] = []
    for row in sorted((row for row in rows if row[4] > confidence), key=lambda row: -row[4]):
        if all(row[5] != other[5] or overlap(row[:4], other[:4]) <= most for other in kept):
            kept.append(row)
    return kept


def overlap(one: Float32, other: Float32) -> float:
    """Intersection over union of two boxes, given by corners."""
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return float(width * height / (sum(areas) - width * height))


@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 2**32 - 1), st.floats(0.05, 1), st.floats(0, 0.9))
def test_the_best_row_is_the_first_that_a_suppression_keeps(
    anchors: int, classes: int, seed: int, most: float, confidence: float
) -> None:
    output = raw(anchors, classes, seed)
    kept = suppressed(final(output, classes), most, confidence)
    found = decode(Rows(classes=classes, confidence=confidence), [output], SIZE, "fast")
    if not kept:
        assert found.corners is None
        return
    assert found.corners is not None
    np.testing.assert_allclose(found.corners, kept[0][:4].reshape(2, 2), atol=1e-4)
    np.testing.assert_array_equal(found.xy, kept[0][6:].reshape(-1, 3)[:, :2])
    np.testing.assert_array_equal(found.likelihood, kept[0][8::3])


@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 2**32 - 1), st.booleans())
def test_raw_and_final_rows_are_read_alike(anchors: int, classes: int, seed: int, visibility: bool) -> None:
    output = raw(anchors, classes, seed, 3 if visibility else 2)
    of_raw = decode(Rows(classes=classes, visibility=visibility), [output], SIZE, "fast")
    of_final = decode(Rows("final", visibility=visibility), [final(output, classes)], SIZE, "fast")
    np.testing.assert_array_equal(of_raw.xy, of_final.xy)
    np.testing.assert_array_equal(of_raw.likelihood, of_final.likelihood)
    if of_raw.corners is not None and of_final.corners is not None:
        np.testing.assert_allclose(of_raw.corners, of_final.corners, atol=1e-4)


@pytest.mark.parametrize("score", [0.25, 0.1, 0.0])
@pytest.mark.parametrize("form", ["raw", "final"])
def test_without_a_row_above_the_confidence_there_is_no_animal(form: str, score: float) -> None:
    output = raw(7, 1, 0)
    output[4] = score
    found = decode(Rows(form), [output if form == "raw" else final(output, 1)], SIZE, "fast")  # type: ignore[arg-type]
    assert np.isnan(found.xy).all()
    np.testing.assert_array_equal(found.likelihood, np.zeros(KEYPOINTS))
    assert found.corners is None
    assert not found.spoilt


def test_without_visibility_the_likelihood_is_the_score_of_the_row() -> None:
    output = raw(7, 1, 0, numbers=2)
    found = decode(Rows(visibility=False), [output], SIZE, "fast")
    np.testing.assert_array_equal(found.likelihood, np.full(KEYPOINTS, output[4].max()))
    np.testing.assert_array_equal(found.xy, output[5:, output[4].argmax()].reshape(-1, 2))


@pytest.mark.parametrize("place", [(0, 3), (4, 3), (5, 3), (7, 3), (4, 5)], ids=str)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_not_finite_spoils_the_frame(place: Sequence[int], value: float) -> None:
    output = raw(7, 1, 0)
    output[4, 3] = 1.0
    output[place[0], place[1]] = value
    found = decode(Rows(), [output], SIZE, "fast")
    assert found.spoilt
    assert np.isnan(found.xy).all()
    assert found.corners is None


def test_what_it_returns_outlives_the_buffers_of_the_network() -> None:
    output = final(raw(7, 1, 0), 1)
    found = decode(Rows("final"), [output], SIZE, "fast")
    assert found.corners is not None
    before = found.xy.copy(), found.likelihood.copy(), found.corners.copy()
    output[:] = -1
    for array, old in zip((found.xy, found.likelihood, found.corners), before, strict=True):
        np.testing.assert_array_equal(array, old)


def test_its_output_has_any_number_of_rows() -> None:
    assert list(expected_shapes(Rows(classes=2), 4, SIZE)) == [(18, None)]
    assert list(expected_shapes(Rows("final", visibility=False), 4, SIZE)) == [(None, 14)]
