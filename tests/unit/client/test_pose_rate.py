"""Pose rate: the usual interval and age of poses."""

from __future__ import annotations

import pytest

from realtime_cropzoom.client.pose_rate import PoseRate

MS = 1_000_000


def rate_of(intervals_ms: list[float], *, fps: float | None = None, age_ms: float = 5.0) -> PoseRate:
    rate, at_ns = PoseRate(), 1_000_000_000
    rate.nominal_fps = fps
    rate.note("r", at_ns, age_ms)
    for interval_ms in intervals_ms:
        at_ns += round(interval_ms * MS)
        rate.note("r", at_ns, age_ms)
    return rate


@pytest.mark.parametrize(
    ("rate", "age_ms"),
    [
        pytest.param(rate_of([]), 100.0, id="nothing known"),
        pytest.param(rate_of([], fps=30.0), 2.5 * 1000 / 30 + 5, id="what the hello says"),
        pytest.param(rate_of([5.0] * 20), 50.0, id="at 200 a second a computer's own hiccups count"),
        pytest.param(rate_of([33.0] * 20, fps=30.0), 87.5, id="measured at 30"),
        pytest.param(rate_of([33.0] * 20 + [66.0], fps=30.0), 87.5, id="a frame that is missing changes nothing"),
        pytest.param(rate_of([33.0] * 20, age_ms=60.0), 142.5, id="a slow model"),
        pytest.param(rate_of([33.0] * 20, age_ms=9000.0), 332.5, id="who reads late has no right to old poses"),
        pytest.param(rate_of([500.0] * 20, fps=30.0), 2.5 * 4000 / 30 + 5, id="a stream in trouble"),
        pytest.param(rate_of([500.0] * 20), 1255.0, id="two a second"),
        pytest.param(rate_of([60_000.0] * 20), 2505.0, id="a bound"),
        pytest.param(rate_of([33.0] * 20, age_ms=float("inf")), 82.5, id="no age known"),
        pytest.param(rate_of([0.0, -5.0], fps=0.0), 100.0, id="nonsense"),
    ],
)
def test_the_default_maximum_age(rate: PoseRate, age_ms: float) -> None:
    assert rate.default_max_age_ms == pytest.approx(age_ms)


def test_a_new_run_is_measured_separately() -> None:
    rate = rate_of([33.0] * 20)
    rate.note("s", 5, 1.0)
    assert rate.default_max_age_ms == 100.0
