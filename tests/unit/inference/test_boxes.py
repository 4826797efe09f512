"""Keypoints → box: Lightning Pose's numbers where it has them, and sense where a live detector has none."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.inference.boxes import MAX_SIDE, BoxRule, centred_box, find_anchors
from realtime_cropzoom.types import Box, Keypoints


def keypoints_within(reach: float) -> st.SearchStrategy[np.ndarray]:
    """One to eight keypoints, none further than ``reach`` from the frame's corner in x or y."""
    shapes = st.tuples(st.integers(1, 8), st.just(2))
    return arrays(np.float32, shapes, elements=st.floats(-reach, reach, width=32, allow_subnormal=False))


detections = keypoints_within(4000)
close_detections = keypoints_within(1000)
"""So close together that eight times their span is no more than the largest box."""
sizes = st.integers(1, 3000)
ratios = st.floats(0.1, 10)


def keypoints(xy: object, likelihood: object = None) -> Keypoints:
    points = np.asarray(xy, np.float32).reshape(-1, 2)
    sure = np.ones(len(points)) if likelihood is None else likelihood
    return Keypoints(points, np.asarray(sure, np.float32))


def sure_box(rule: BoxRule, detection: Keypoints) -> Box:
    box = rule.box(detection)
    assert box is not None
    return box


@given(detections, sizes)
def test_crop_size_is_the_documented_formula(xy: np.ndarray, crop_size: int) -> None:
    side = crop_size if crop_size % 2 == 0 else crop_size + 1
    left, top = (math.trunc(sum(map(float, column)) / len(column) - side // 2) for column in xy.T)
    box = sure_box(BoxRule(crop_size=crop_size), keypoints(xy))
    # A mean that falls on a whole number may be added up to either side of it.
    assert box[2:] == (side, side)
    assert box.x == pytest.approx(left, abs=near_whole(xy[:, 0]))
    assert box.y == pytest.approx(top, abs=near_whole(xy[:, 1]))


def near_whole(column: np.ndarray) -> int:
    """1 where the mean is so close to a whole number that the order of adding decides the truncation, else 0."""
    mean = float(column.astype(np.float64).mean())
    return int(abs(mean - round(mean)) < 1e-9)


@given(detections, ratios)
def test_crop_ratio_is_the_documented_formula(xy: np.ndarray, ratio: float) -> None:
    points = xy.astype(np.float64)
    span = max(points[:, 0].max() - points[:, 0].min(), points[:, 1].max() - points[:, 1].min())
    side = max(1, math.ceil(span * ratio))
    box = sure_box(BoxRule(crop_ratio=ratio), keypoints(xy))
    assert box.w == box.h == min(side + side % 2, MAX_SIDE)


def test_neither_size_nor_ratio_means_a_ratio_of_two() -> None:
    detection = keypoints([(10, 10), (40, 20)])
    assert BoxRule().box(detection) == BoxRule(crop_ratio=2.0).box(detection) == Box(-5, -15, 60, 60)


@pytest.mark.parametrize(
    ("mean", "corner"),
    [
        pytest.param((50.9, 50.1), (40, 40), id="positive: down"),
        pytest.param((3.5, 9.1), (-6, 0), id="negative: up, toward zero, where floor would give −7 and −1"),
        pytest.param((-0.5, -10.9), (-10, -20), id="keypoints left of and above the frame"),
    ],
)
def test_the_corner_is_truncated_toward_zero(mean: tuple[float, float], corner: tuple[int, int]) -> None:
    assert sure_box(BoxRule(crop_size=20), keypoints([mean]))[:2] == corner


@given(detections, st.one_of(sizes.map(BoxRule), ratios.map(lambda r: BoxRule(crop_ratio=r))), st.integers(0, 500))
def test_the_box_is_square_with_an_even_positive_side(xy: np.ndarray, rule: BoxRule, min_box: int) -> None:
    rule = BoxRule(rule.crop_size, rule.crop_ratio, min_box=min_box)
    box = sure_box(rule, keypoints(xy))
    assert box.w == box.h
    assert box.w > 0
    assert box.w % 2 == 0
    assert box.w >= min_box


@given(detections, sizes)
def test_the_box_contains_the_mean(xy: np.ndarray, crop_size: int) -> None:
    box = sure_box(BoxRule(crop_size=crop_size), keypoints(xy))
    mean_x, mean_y = xy.astype(np.float64).mean(axis=0)
    # Truncation moves the corner by less than a pixel, toward zero.
    assert box.x - 1 < mean_x < box.x + box.w + 1
    assert box.y - 1 < mean_y < box.y + box.h + 1


@given(close_detections.filter(lambda xy: len(xy) <= 2), st.floats(1, 8))
def test_a_ratio_of_one_or_more_holds_up_to_two_keypoints(xy: np.ndarray, ratio: float) -> None:
    """Of two keypoints the mean is the middle; of more it need not be, and only a ratio of two is enough."""
    assert_contains(sure_box(BoxRule(crop_ratio=ratio), keypoints(xy)), xy)


@given(close_detections, st.floats(2, 8))
def test_a_ratio_of_two_or_more_holds_all_keypoints(xy: np.ndarray, ratio: float) -> None:
    assert_contains(sure_box(BoxRule(crop_ratio=ratio), keypoints(xy)), xy)


def assert_contains(box: Box, xy: np.ndarray) -> None:
    """Up to the pixel that truncating the corner can cost."""
    assert (xy >= np.array(box[:2]) - 1).all()
    assert (xy <= np.array([box.x + box.w, box.y + box.h]) + 1).all()


@given(detections, sizes, st.permutations(range(8)))
def test_the_order_of_keypoints_does_not_matter(xy: np.ndarray, crop_size: int, order: list[int]) -> None:
    rule = BoxRule(crop_size=crop_size)
    shuffled = xy[[i for i in order if i < len(xy)]]
    a, b = sure_box(rule, keypoints(xy)), sure_box(rule, keypoints(shuffled))
    assert abs(a.x - b.x) <= near_whole(xy[:, 0])
    assert abs(a.y - b.y) <= near_whole(xy[:, 1])


_GOOD = [(100.0, 100.0), (140.0, 120.0)]


@pytest.mark.parametrize(
    ("rule", "extra", "likelihood"),
    [
        pytest.param(BoxRule(crop_size=50), (np.nan, np.nan), 1.0, id="NaN: the detector has no such keypoint"),
        pytest.param(BoxRule(crop_size=50), (300.0, np.nan), 1.0, id="half a keypoint is none"),
        pytest.param(BoxRule(crop_size=50), (np.inf, 0.0), 1.0, id="infinity would move the mean off all frames"),
        pytest.param(BoxRule(crop_size=50, min_likelihood=0.5), (300.0, 300.0), 0.49, id="not likely enough"),
        pytest.param(BoxRule(crop_size=50, anchors=(0, 1)), (300.0, 300.0), 1.0, id="no anchor"),
        pytest.param(BoxRule(crop_ratio=1.5, anchors=(0, 1)), (300.0, 300.0), 1.0, id="no anchor, and no span"),
        pytest.param(BoxRule(crop_ratio=1.5), (np.nan, np.nan), 1.0, id="NaN has no span either"),
    ],
)
def test_a_keypoint_that_does_not_count_changes_nothing(
    rule: BoxRule, extra: tuple[float, float], likelihood: float
) -> None:
    everything_counts = BoxRule(rule.crop_size, rule.crop_ratio)
    assert rule.box(keypoints([*_GOOD, extra], [0.9, 0.9, likelihood])) == everything_counts.box(keypoints(_GOOD))


def test_a_keypoint_of_a_model_without_likelihoods_counts() -> None:
    """A regression model says where a keypoint is, not how sure it is: NaN."""
    rule = BoxRule(crop_size=50, min_likelihood=0.5)
    assert rule.box(keypoints(_GOOD, [np.nan, np.nan])) == BoxRule(crop_size=50).box(keypoints(_GOOD))


def test_a_keypoint_exactly_at_the_threshold_counts() -> None:
    rule = BoxRule(crop_size=10, min_likelihood=0.5)
    assert rule.box(keypoints([(50, 50)], [0.5])) == Box(45, 45, 10, 10)


@pytest.mark.parametrize(
    ("rule", "detection"),
    [
        pytest.param(BoxRule(crop_size=50), keypoints(np.full((3, 2), np.nan)), id="all NaN"),
        pytest.param(BoxRule(crop_size=50, min_likelihood=0.1), keypoints(_GOOD, [0.0, 0.05]), id="all unlikely"),
        pytest.param(BoxRule(crop_size=50, anchors=()), keypoints(_GOOD), id="no anchors at all"),
        pytest.param(BoxRule(anchors=(1,)), keypoints([(5, 5), (np.nan, 5)]), id="the only anchor is missing"),
        pytest.param(BoxRule(), keypoints(np.empty((0, 2))), id="no keypoints"),
        pytest.param(BoxRule(crop_size=50), keypoints([(3e38, 5)]), id="where no frame can be"),
        pytest.param(BoxRule(crop_size=50, unrounded=True), keypoints([(5, -3e9)]), id="the same, unrounded"),
    ],
)
def test_nothing_usable_gives_no_box(rule: BoxRule, detection: Keypoints) -> None:
    assert rule.box(detection) is None


@pytest.mark.parametrize(
    ("rule", "side"),
    [
        pytest.param(BoxRule(crop_ratio=2.0), 2, id="one keypoint spans nothing: the smallest even box"),
        pytest.param(BoxRule(crop_ratio=2.0, min_box=32), 32, id="min_box holds a collapsed detection open"),
        pytest.param(BoxRule(crop_ratio=2.0, min_box=33), 34, id="min_box is made even too"),
        pytest.param(BoxRule(crop_size=240, min_box=32), 240, id="a larger side stays as it is"),
        pytest.param(BoxRule(crop_size=20, min_box=32), 32, id="min_box holds for crop_size as well"),
        pytest.param(BoxRule(crop_size=10**6), MAX_SIDE, id="no box takes all memory"),
    ],
)
def test_the_smallest_and_the_largest_side(rule: BoxRule, side: int) -> None:
    box = sure_box(rule, keypoints([(100.0, 100.0)]))
    assert box == Box(100 - side // 2, 100 - side // 2, side, side)


def test_a_centred_box_keeps_its_side_off_the_frame() -> None:
    assert centred_box(np.array([[-500.0, 9000.0]]), 64) == Box(-532, 8968, 64, 64)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param({"crop_size": 240, "crop_ratio": 2.0}, "both crop_size and crop_ratio", id="they contradict"),
        pytest.param({"crop_size": 0}, "crop_size is 0", id="no side"),
        pytest.param({"crop_size": -2}, "crop_size is -2", id="negative side"),
        pytest.param({"crop_ratio": 0.0}, "crop_ratio is 0.0", id="no ratio"),
        pytest.param({"crop_ratio": -1.0}, "crop_ratio is -1.0", id="negative ratio"),
        pytest.param({"crop_ratio": math.nan}, "crop_ratio is nan", id="NaN ratio"),
        pytest.param({"crop_ratio": math.inf}, "crop_ratio is inf", id="infinite ratio"),
    ],
)
def test_an_invalid_rule_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        BoxRule(**options)


@pytest.mark.parametrize(
    ("rule", "folder"),
    [
        pytest.param(BoxRule(crop_size=240), "detector_0", id="crop_size 240"),
        pytest.param(BoxRule(crop_ratio=2.0), "crop_ratio/detector_0", id="crop_ratio 2.0"),
    ],
)
def test_every_row_equals_litpose_create_bbox(rule: BoxRule, folder: str, litpose: Path) -> None:
    predictions = pd.read_csv(litpose / "detector_0/video_preds/m3v1mp4.csv", header=[0, 1, 2], index_col=0)
    table = predictions.to_numpy().reshape(len(predictions), -1, 3)
    expected = pd.read_csv(litpose / folder / "video_preds/m3v1mp4_bbox.csv", index_col=0)
    boxes = [rule.box(keypoints(row[:, :2], row[:, 2])) for row in table]
    assert len(boxes) == len(expected) == 2330
    assert boxes == [Box(*row) for row in expected[["x", "y", "w", "h"]].to_numpy(int).tolist()]


@pytest.mark.parametrize(
    ("given", "found", "unknown"),
    [
        (["snout"], [0], []),
        (["ear", "left", "snout"], [1, 0], []),
        (["ear,left"], [1], []),
        (["ear , left"], [1], []),
        (["tail", "ear"], [2], ["ear"]),
        (["nose"], [], ["nose"]),
    ],
)
def test_a_keypoint_name_may_have_a_comma(given: list[str], found: list[int], unknown: list[str]) -> None:
    assert find_anchors(given, ["snout", "ear, left", "tail"]) == (found, unknown)
