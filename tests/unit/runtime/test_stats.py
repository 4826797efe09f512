"""Statistics: the accuracy of latencies and rates, and the values that do not count."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.runtime.stats import Histogram, Rate

milliseconds = st.lists(st.floats(0.002, 1e6), min_size=1, max_size=200)


def histogram(*values: float) -> Histogram:
    counted = Histogram()
    for value in values:
        counted.add(value)
    return counted


@given(milliseconds, st.sampled_from([1, 25, 50, 90, 95, 99, 100]))
def test_a_percentile_is_within_one_percent_of_the_value_at_that_rank(values: list[float], q: int) -> None:
    exact = np.percentile(values, q, method="inverted_cdf")
    assert histogram(*values).percentile(q) == pytest.approx(float(exact), rel=0.01)


@given(milliseconds)
def test_the_maximum_is_exact_and_no_percentile_is_above_it(values: list[float]) -> None:
    counted = histogram(*values)
    assert counted.max == max(values)
    assert all((counted.percentile(q) or 0) <= max(values) for q in (0, 50, 99, 100))


def test_percentiles_do_not_depend_on_the_order_of_arrival() -> None:
    values = [float(v) for v in np.random.default_rng(0).lognormal(1, 1, 500)]
    assert histogram(*values).summary() == histogram(*sorted(values)).summary()


def test_a_late_tail_shows_in_p99_and_not_in_the_median() -> None:
    counted = histogram(*[4.0] * 985, *[80.0] * 15)
    summary = counted.summary()
    assert summary["p50"] == pytest.approx(4, rel=0.01)
    assert summary["p95"] == pytest.approx(4, rel=0.01)
    assert summary["p99"] == pytest.approx(80, rel=0.01)
    assert summary["max"] == 80


def test_an_empty_histogram_has_no_numbers_at_all() -> None:
    assert Histogram().percentile(50) is None
    assert Histogram().summary() == {"p50": None, "p95": None, "p99": None, "max": None}


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(-0.001, id="a clock that went backwards"),
        pytest.param(math.nan, id="the age of a box there is not"),
        pytest.param(-math.inf, id="nonsense"),
    ],
)
def test_negative_values_and_nan_do_not_count(value: float) -> None:
    counted = histogram(5.0, value)
    assert counted.count == 1
    assert counted.total == 5.0
    assert counted.max == 5.0


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param(0.0, 0.0, id="zero"),
        pytest.param(1e-9, 0.0, id="far below the first bin"),
        pytest.param(1e12, pytest.approx(3e6, rel=0.1), id="beyond the last bin: it ends there, the maximum does not"),
    ],
)
def test_values_outside_the_bins_are_counted_in_the_outermost(value: float, shown: object) -> None:
    counted = histogram(value)
    assert counted.count == 1
    assert counted.max == value
    assert counted.summary()["p50"] == shown


def test_memory_does_not_grow_with_the_run() -> None:
    counted = histogram(*np.linspace(0, 1000, 20_000))
    assert counted.count == 20_000
    assert sum(getattr(v, "nbytes", 0) for v in vars(counted).values()) < 50_000


_MS = 1_000_000


def test_a_steady_stream_has_its_frame_rate() -> None:
    rate = Rate()
    for index in range(300):
        rate.add(index * 10 * _MS)
    assert rate.per_second(299 * 10 * _MS) == pytest.approx(100)


def test_only_the_window_counts() -> None:
    rate = Rate(window_s=2.0)
    for time_ms in (0, 100, 200, 2500, 2600):
        rate.add(time_ms * _MS)
    assert rate.per_second(2700 * _MS) == 2 / 2.0


def test_a_stream_that_stopped_has_rate_zero() -> None:
    rate = Rate()
    rate.add(0)
    assert rate.per_second(5000 * _MS) == 0


def test_nothing_counted_is_rate_zero() -> None:
    assert Rate().per_second(0) == 0


def test_more_events_than_are_kept_still_give_their_rate() -> None:
    rate = Rate(window_s=1.0, limit=10)
    for index in range(500):
        rate.add(index * _MS)
    assert rate.per_second(499 * _MS) == pytest.approx(1000, rel=0.15)
