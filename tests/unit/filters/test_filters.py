"""Filters: noise, jumps, gaps, unlikely keypoints and prediction."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.filters import FILTERS, MAX_HORIZON_MS, FilteredPoint, PoseFilter, make_filter, predict
from realtime_cropzoom.messaging.message import FilteredKeypoint

MS = 1_000_000
both = pytest.mark.parametrize("name", FILTERS)
Path = Callable[[float], tuple[float, float]]


def feed(
    pose_filter: PoseFilter, times_ms: Sequence[float], path: Path, noise_px: float = 0.0, likelihood: float = 1.0
) -> list[FilteredPoint]:
    """Feed a filter of one keypoint with noisy measurements of a path (s → x, y)."""
    draw = np.random.default_rng(1)
    return [
        pose_filter.update(round(t * MS), [np.add(path(t / 1e3), noise_px * draw.standard_normal(2))], [likelihood])
        .points[0]
        for t in times_ms
    ]  # fmt: skip


def straight(seconds: float) -> tuple[float, float]:
    return 100 + 300 * seconds, 50 - 200 * seconds


def still(_: float) -> tuple[float, float]:
    return 320.0, 240.0


def times(fps: float, seconds: float = 1.0) -> list[float]:
    return [1000 * i / fps for i in range(round(fps * seconds))]


@both
@pytest.mark.parametrize("fps", [30, 100, 200, 500])
def test_linear_motion_is_predicted_exactly(name: str, fps: float) -> None:
    pose_filter, moments = make_filter(name, 1), times(fps)
    last = feed(pose_filter, moments, straight)[-1]
    assert (last.vx, last.vy) == pytest.approx((300, -200), rel=0.02)
    ahead = pose_filter.predict(round((moments[-1] + 50) * MS)).points[0]
    assert math.dist(ahead[:2], straight((moments[-1] + 50) / 1e3)) < 0.1 * math.dist(
        straight(moments[-1] / 1e3), straight((moments[-1] + 50) / 1e3)
    )


@both
def test_irregular_frame_times_do_not_change_the_velocity(name: str) -> None:
    draw = np.random.default_rng(3)
    moments = np.cumsum(draw.uniform(3, 40, 80)).tolist()
    for point in feed(make_filter(name, 1), moments, straight)[40:]:
        assert (point.vx, point.vy) == pytest.approx((300, -200), rel=0.02)


@both
@pytest.mark.parametrize("fps", [30, 200])
def test_noise_is_reduced_at_rest(name: str, fps: int) -> None:
    points = feed(make_filter(name, 1), times(fps, 4), still, noise_px=1.0)
    xy = np.array([point[:2] for point in points[fps:]]) - still(0)
    assert 0.05 < xy.std() < 0.95


def test_the_sigma_of_the_kalman_filter_matches_its_error() -> None:
    points = feed(make_filter("kalman", 1, noise_px=2.0), times(200, 10), still, noise_px=2.0)[200:]
    off = np.array([point[:2] for point in points]) - still(0)
    sigma = points[-1].sigma
    assert 0.3 * sigma < off.std() < 1.2 * sigma  # it rests, and is less far off than one that might move


def test_kalman_equals_the_matrix_form() -> None:
    """The matrix form of the textbook gives the same numbers for irregular times and likelihoods."""
    draw = np.random.default_rng(7)
    pose_filter = make_filter("kalman", 1, noise_px=1.5, velocity_noise_px_s=700, gate=1e9)
    state, p = np.zeros((2, 2)), np.zeros((2, 2))
    time_ns = 0
    for step in range(60):
        dt_ns = int(draw.integers(1, 60) * MS)
        time_ns += dt_ns
        z, sure = draw.uniform(0, 50, 2), draw.uniform(0.35, 1)
        got = pose_filter.update(time_ns, [z], [sure]).points[0]
        dt, r = dt_ns / 1e9, (1.5 / sure) ** 2
        if step == 0:
            state, p = np.array([z, [0, 0]]), np.diag([r, 700**2])
        else:
            f = np.array([[1, dt], [0, 1]])
            p = f @ p @ f.T + 700**2 * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
            state = f @ state
            gain = p[:, :1] / (p[0, 0] + r)
            state = state + gain * (z - state[0])
            p = p - gain @ p[:1]
        np.testing.assert_allclose(got, [*state[0], *state[1], math.sqrt(p[0, 0])], rtol=1e-9)


def test_the_kalman_filter_ignores_a_jump() -> None:
    pose_filter, moments = make_filter("kalman", 1), times(100)
    before = feed(pose_filter, moments, straight)[-1]
    jumped = pose_filter.update(round((moments[-1] + 10) * MS), [(10.0, 400.0)], [1.0]).points[0]
    assert jumped[:2] == pytest.approx(straight((moments[-1] + 10) / 1e3), abs=1)
    assert jumped.vx == before.vx
    assert jumped.sigma > before.sigma


@pytest.mark.parametrize(("after_ms", "there"), [(100, False), (200, True)])
def test_the_filter_restarts_at_the_measurement_after_the_hold_time(after_ms: int, there: bool) -> None:
    pose_filter = make_filter("kalman", 1, hold_ms=150)
    feed(pose_filter, times(100), still)
    points = feed(pose_filter, [1000 + t for t in range(0, after_ms, 10)], lambda _: (20.0, 20.0))
    assert (points[-1][:2] == pytest.approx((20, 20))) == there


@both
@pytest.mark.parametrize(
    ("xy", "likelihood"),
    [((math.nan, 5.0), 1.0), ((math.nan, math.nan), math.nan), ((math.inf, 0.0), 1.0), ((10.0, 400.0), 0.29)],
)
def test_a_missing_keypoint_is_extrapolated_and_then_unknown(
    name: str, xy: tuple[float, float], likelihood: float
) -> None:
    pose_filter, moments = make_filter(name, 1, hold_ms=150), times(100)
    feed(pose_filter, moments, straight)
    missing = [
        pose_filter.update(round(t * MS), [xy], [likelihood]).points[0] for t in range(1000, 1200, 10)
    ]  # last seen at 990
    assert missing[5][:2] == pytest.approx(straight(1.05), abs=2)
    assert [math.isnan(point.x) for point in missing] == [t > 990 + 150 for t in range(1000, 1200, 10)]
    back = pose_filter.update(1_210 * MS, [(7.0, 8.0)], [1.0]).points[0]
    assert back[:4] == (7, 8, 0, 0)


def test_an_unlikely_keypoint_moves_the_filter_less() -> None:
    for name in FILTERS:
        moved = []
        for likelihood in (1.0, 0.4):
            pose_filter = make_filter(name, 1)
            feed(pose_filter, times(100), still)
            moved.append(pose_filter.update(1000 * MS, [(323.0, 240.0)], [likelihood]).points[0].x - 320)
        assert 0 < moved[1] < moved[0], name


@both
def test_a_missing_likelihood_counts_as_1(name: str) -> None:
    without = feed(make_filter(name, 1), times(30), straight, likelihood=math.nan)
    assert without == feed(make_filter(name, 1), times(30), straight, likelihood=1.0)


@both
def test_keypoints_are_filtered_separately(name: str) -> None:
    pair, alone = make_filter(name, 2), make_filter(name, 1)
    for t in times(60):
        here = straight(t / 1e3)
        points = pair.update(round(t * MS), np.array([here, [math.nan, 1]]), np.array([1.0, 1.0])).points
        assert points[0] == pytest.approx(alone.update(round(t * MS), [here], [1.0]).points[0], nan_ok=True)
        assert all(math.isnan(value) for value in points[1])


@both
@pytest.mark.parametrize(
    ("time_ms", "segment", "anew"),
    [
        pytest.param(1090, 0, False, id="within the hold"),
        pytest.param(1200, 0, True, id="a gap longer than the hold"),
        pytest.param(500, 0, True, id="time runs backwards"),
        pytest.param(1000, 1, True, id="the source had broken off"),
    ],
)
def test_a_break_restarts_all_keypoints(name: str, time_ms: int, segment: int, anew: bool) -> None:
    pose_filter = make_filter(name, 1, hold_ms=150)
    feed(pose_filter, times(100), straight)
    after = pose_filter.update(time_ms * MS, [(390.0, -150.0)], [1.0], segment).points[0]
    assert (after[:4] == (390, -150, 0, 0)) == anew


@both
def test_two_frames_at_the_same_time_do_not_divide_by_zero(name: str) -> None:
    pose_filter = make_filter(name, 1)
    points = feed(pose_filter, [0, 0, 10, 10, 20], straight)
    assert all(math.isfinite(value) for point in points for value in point[:4])


def test_all_keypoints_are_unknown_before_the_first_pose() -> None:
    assert all(math.isnan(value) for value in make_filter("kalman", 1).predict(10 * MS).points[0])


finite = st.floats(-1e4, 1e4)


@given(x=finite, y=finite, vx=finite, vy=finite, horizon_ms=st.floats(-1e3, 1e4))
def test_prediction_is_bounded(x: float, y: float, vx: float, vy: float, horizon_ms: float) -> None:
    ahead = predict(FilteredKeypoint(x, y, vx, vy, None), horizon_ms)
    seconds = min(max(horizon_ms, 0), MAX_HORIZON_MS) / 1e3
    assert ahead == pytest.approx((x + vx * seconds, y + vy * seconds))


def test_an_unknown_keypoint_has_no_prediction() -> None:
    assert predict(FilteredKeypoint(None, None, None, None, None), 10) == (None, None)


@both
def test_a_filter_and_its_message_predict_the_same(name: str) -> None:
    pose_filter, moments = make_filter(name, 1), times(60)
    said = FilteredKeypoint(*feed(pose_filter, moments, straight)[-1])
    for horizon_ms in (0, 7.5, 40, 99, 250):
        own = pose_filter.predict(round((moments[-1] + horizon_ms) * MS)).points[0]
        assert predict(said, horizon_ms) == pytest.approx(own[:2], abs=1e-4)


def test_the_uncertainty_grows_with_the_prediction_time() -> None:
    pose_filter = make_filter("kalman", 1)
    feed(pose_filter, times(60), still, noise_px=1)
    sigmas = [pose_filter.predict(round((1000 + h) * MS)).points[0].sigma for h in (0, 20, 50, 80)]
    assert sigmas == sorted(set(sigmas))


def test_an_unknown_filter_is_refused() -> None:
    with pytest.raises(ConfigError, match="filter: got 'kalmann', expected one_euro or kalman"):
        make_filter("kalmann", 4)


def test_a_setting_of_another_filter_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"the filter kalman was given beta"):
        make_filter("kalman", 4, beta=1.0)
