"""The numbers of an evaluation: what holds for any positions and labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from realtime_cropzoom.evaluation import measures
from realtime_cropzoom.types import Float64

_PLACES = st.one_of(st.floats(-50, 700).map(lambda place: round(place, 2)), st.just(float("nan")))
_POINTS = arrays.arrays(np.float64, st.tuples(st.integers(1, 8), st.integers(1, 4), st.just(2)), elements=_PLACES)


def _pair(labels: Float64, data: st.DataObject) -> tuple[Float64, Float64]:
    return labels, data.draw(arrays.arrays(np.float64, labels.shape, elements=_PLACES))


@given(_POINTS, st.data())
def test_only_a_label_makes_an_error_and_only_a_position_a_finite_one(labels: Float64, data: st.DataObject) -> None:
    labels, found = _pair(labels, data)
    errors = measures.pixel_errors(labels, found)
    labelled, there = np.isfinite(labels).all(axis=2), np.isfinite(found).all(axis=2)
    np.testing.assert_array_equal(~np.isnan(errors), labelled)
    np.testing.assert_array_equal(np.isfinite(errors), labelled & there)
    summary = measures.summarise(errors)
    assert (summary.count, summary.missing) == (labelled.sum(), (labelled & ~there).sum())


@given(_POINTS, st.data(), st.lists(st.floats(0, 1000), min_size=2, max_size=9))
def test_a_larger_distance_holds_no_fewer_keypoints(labels: Float64, data: st.DataObject, far: list[float]) -> None:
    errors = measures.pixel_errors(*_pair(labels, data))
    shares = measures.share_within(errors, sorted(far))
    if np.isnan(errors).all():
        assert np.isnan(shares).all()
        return
    assert (np.diff(shares) >= 0).all()
    assert ((shares >= 0) & (shares <= 1)).all()
    found = np.isfinite(errors).sum() / (~np.isnan(errors)).sum()
    assert measures.share_within(errors, [1e9])[0] == pytest.approx(found), "a missing keypoint is never within"


@given(_POINTS, st.data(), st.floats(0, 50))
def test_every_keypoint_with_likelihood_label_and_position_is_in_one_bin(
    labels: Float64, data: st.DataObject, within: float
) -> None:
    errors = measures.pixel_errors(*_pair(labels, data))
    chances = st.one_of(st.floats(0, 1), st.just(float("nan")), st.sampled_from(measures.LIKELIHOOD_EDGES))
    likelihood = data.draw(arrays.arrays(np.float64, errors.shape, elements=chances))
    bins = measures.calibrate(likelihood, errors, within)
    counted = np.isfinite(errors) & np.isfinite(likelihood)
    assert sum(each.count for each in bins) == counted.sum()
    assert sum(each.right for each in bins) == (errors[counted] <= within).sum()
    for each in bins:
        assert each.right <= each.count
        assert not each.count or each.low - 1e-9 <= each.mean_likelihood <= each.high + 1e-9


@given(_POINTS, st.data())
def test_the_order_of_the_frames_changes_nothing(labels: Float64, data: st.DataObject) -> None:
    labels, found = _pair(labels, data)
    order = data.draw(st.permutations(range(len(labels))))
    errors, shuffled = measures.pixel_errors(labels, found), measures.pixel_errors(labels[order], found[order])
    assert repr(measures.summarise(errors)) == repr(measures.summarise(shuffled)), "repr: NaN is not equal to itself"
    np.testing.assert_array_equal(
        measures.share_within(errors, [1, 5, 50]), measures.share_within(shuffled, [1, 5, 50])
    )
    one, other = (measures.bootstrap(each, resamples=20) for each in (errors, shuffled))
    assert repr(one) == repr(other)


def test_an_exact_example_of_each_number() -> None:
    labels = np.array([[[10.0, 10.0], [20.0, 10.0]], [[30.0, 30.0], [np.nan, np.nan]]])
    found = np.array([[[13.0, 14.0], [20.0, 10.0]], [[np.nan, np.nan], [5.0, 5.0]]])
    errors = measures.pixel_errors(labels, found)
    np.testing.assert_array_equal(errors, [[5.0, 0.0], [np.inf, np.nan]])
    assert measures.summarise(errors) == measures.ErrorSummary(3, 1, 2.5, 2.5, 4.75)
    np.testing.assert_allclose(measures.share_within(errors, [0, 4.9, 5]), [1 / 3, 1 / 3, 2 / 3])
    np.testing.assert_array_equal(measures.frame_errors(errors), [2.5, np.inf])
    assert measures.worst_frames(errors, 5) == [1, 0]


def test_a_box_holds_a_frame_only_with_all_its_labels() -> None:
    labels = np.array([[[10.0, 10.0], [50.0, 50.0]]] * 4)
    labels[3, 1] = np.nan
    boxes = np.array([[0, 0, 60, 60], [0, 0, 40, 60], [np.nan] * 4, [0, 0, 20, 20]], np.float64)
    assert measures.boxes_hold(boxes, labels).tolist() == [True, False, False, True]


@given(_POINTS.filter(lambda points: points.shape[1] > 1))
def test_positions_on_their_labels_are_not_swapped_and_exchanged_ones_are(labels: Float64) -> None:
    (swap,) = measures.count_swaps(labels, labels, [(0, 1)])
    known = np.isfinite(labels[:, :2]).all(axis=(1, 2))
    assert (swap.count, swap.swapped) == (known.sum(), 0)
    exchanged = labels.copy()
    exchanged[:, [0, 1]] = labels[:, [1, 0]]
    (swap,) = measures.count_swaps(labels, exchanged, [(0, 1)])
    apart = known & (labels[:, 0] != labels[:, 1]).any(axis=1)
    assert swap.swapped == apart.sum()


def test_the_interval_holds_the_number_and_is_narrower_with_more_frames() -> None:
    errors = np.random.default_rng(1).gamma(2, 2, (200, 4))
    few, many = measures.bootstrap(errors[:10]), measures.bootstrap(errors)
    assert few.low <= few.value <= few.high
    assert many.high - many.low < few.high - few.low
    assert np.isnan(measures.bootstrap(errors[:1]).low), "one frame says nothing about others"
