"""Clock drift: exact to fractions of a ppm, and not affected by frames that arrive late."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_cropzoom.pipeline.clock_drift import ClockDrift, DriftFit

Times = Iterator[tuple[int, int]]


def clocks(
    ppm: float, seconds: float, fps: float = 30.0, *, delay_ns: int = 0, jitter_ns: int = 0, late: float = 0.0,
    device_at: int = 0, host_at: int = 0, seed: int = 0,
) -> Times:  # fmt: skip
    """Return camera and host times of frames. A share ``late`` of them arrives up to 300 ms late."""
    chance, before_ns = random.Random(seed), 0
    for index in range(round(seconds * fps)):
        true_ns = round(index / fps * 1e9)
        wait_ns = delay_ns + round(chance.expovariate(1.0) * jitter_ns)
        if chance.random() < late:
            wait_ns += round(chance.uniform(0.05, 0.3) * 1e9)
        before_ns = max(before_ns, true_ns + wait_ns)  # who is late holds up those behind it
        yield device_at + round(true_ns * (1 + ppm * 1e-6)), host_at + before_ns


def fitted(*stretches: Times) -> ClockDrift:
    fit = DriftFit()
    for segment, stretch in enumerate(stretches):
        for device_ns, host_ns in stretch:
            fit.add(device_ns, host_ns, segment)
    result = fit.result()
    assert result is not None
    return result


@settings(deadline=None, max_examples=15)
@given(
    ppm=st.floats(-300, 300),
    fps=st.sampled_from([5.0, 29.97, 120.0]),
    device_at=st.integers(0, 2**62),
    host_at=st.integers(0, 2**62),
)
def test_even_frames_give_the_drift_exactly_wherever_the_clocks_began(
    ppm: float, fps: float, device_at: int, host_at: int
) -> None:
    result = fitted(clocks(ppm, 12, fps, delay_ns=4_000_000, device_at=device_at, host_at=host_at))
    assert result.ppm == pytest.approx(ppm, abs=0.01)
    assert result.ppm_error < 0.01
    assert result.jitter_us < 0.1
    assert result.frames == round(12 * fps)
    assert result.seconds == pytest.approx(12, abs=0.5)


@settings(deadline=None, max_examples=15)
@given(ppm=st.floats(-200, 200), seed=st.integers(0, 2**32))
def test_frames_that_come_late_hardly_move_the_line(ppm: float, seed: int) -> None:
    even = fitted(clocks(ppm, 30, 60, jitter_ns=200_000, seed=seed))
    uneven = fitted(clocks(ppm, 30, 60, jitter_ns=200_000, late=0.01, seed=seed))
    for result in (even, uneven):
        # The earliest of 60 frames is 3 µs late on average: over half a minute that is below 2 ppm.
        assert result.ppm == pytest.approx(ppm, abs=2.0)
        assert result.ppm_error < 0.8
    assert even.jitter_us == pytest.approx(200, rel=0.15)
    assert uneven.jitter_us > 10_000  # it is said that frames come unevenly


@settings(deadline=None, max_examples=10)
@given(ppm=st.floats(-200, 200), restarted_at=st.integers(0, 10**15))
def test_a_camera_that_was_switched_off_keeps_its_drift_but_not_its_time(ppm: float, restarted_at: int) -> None:
    before = clocks(ppm, 10, device_at=5 * 10**12)
    after = clocks(ppm, 10, device_at=restarted_at, host_at=25 * 10**9)
    assert fitted(before, after).ppm == pytest.approx(ppm, abs=0.01)


@pytest.mark.parametrize("jump_ns", [-(10**12), 10**18], ids=["set back", "set to the time of day"])
def test_a_camera_clock_that_is_set_begins_a_new_stretch(jump_ns: int) -> None:
    fit = DriftFit()
    for index, (device_ns, host_ns) in enumerate(clocks(50, 20, device_at=10**13)):
        fit.add(device_ns + (jump_ns if index > 200 else 0), host_ns)
    result = fit.result()
    assert result is not None
    assert result.ppm == pytest.approx(50, abs=0.01)


def test_a_short_run_has_a_large_error_or_no_result() -> None:
    fit = DriftFit()
    assert fit.result() is None
    for device_ns, host_ns in clocks(50, 2.5):
        fit.add(device_ns, host_ns)
    assert fit.result() is None
    short = fitted(clocks(0, 6, 60, jitter_ns=2_000_000))
    long = fitted(clocks(0, 120, 60, jitter_ns=2_000_000))
    assert short.ppm_error > 10 * long.ppm_error


def test_memory_does_not_grow() -> None:
    fit = DriftFit()

    def size() -> int:
        return sum(sys.getsizeof(value) for value in vars(fit).values())

    sizes = set()
    for index, (device_ns, host_ns) in enumerate(clocks(50, 400, 10)):
        fit.add(device_ns, host_ns, segment=index // 1000)
        if index > 100:
            sizes.add(size())
    assert max(sizes) - min(sizes) <= 32  # an integer that needs one more digit
