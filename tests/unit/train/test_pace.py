"""Pace: the learning rate over a training, its length in a time that nobody foresees, and when it ends early."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.train.pace import Pace, one_cycle, still_falls, warm_share

NAN = float("nan")


@pytest.mark.parametrize("steps", [4, 12, 48, 600])
def test_the_schedule_is_that_of_torch(steps: int) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: it is the reference")
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], 0.004)
    reference = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.004, total_steps=steps + 1, pct_start=0.1)
    for i in range(steps):
        rate, momentum = one_cycle(i / steps, warm_share(steps))
        assert 0.004 * rate == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-6)
        assert momentum == pytest.approx(optimizer.param_groups[0]["betas"][0])
        optimizer.step()
        reference.step()


def test_a_number_of_batches_ends_with_the_last_one() -> None:
    pace = Pace.of_steps(7)
    for number in range(1, 8):
        assert not pace.done
        pace.after_step(0.5)
        assert pace.steps == number
    assert pace.done
    assert pace.seconds_left == pytest.approx(0)


@given(guess=st.floats(0.05, 2), real=st.floats(0.05, 2), slower_from=st.floats(0, 100), slower=st.floats(0.5, 4))
def test_a_time_is_kept_whatever_the_guess_and_however_the_machine_slows_down(
    guess: float, real: float, slower_from: float, slower: float
) -> None:
    pace = Pace.of_time(100, guess)
    seen = []
    while not pace.done:
        seen.append(pace.progress)
        pace.after_step(real * (slower if pace.spent_s > slower_from else 1))
    assert pace.seconds_left == 0
    assert pace.spent_s <= 100 + 3 * real * max(1, slower)
    assert seen == sorted(seen), "the learning rate never goes back"
    if pace.steps > 60:
        assert pace.spent_s > 60


def test_a_hurried_training_ends_soon_and_without_a_jump() -> None:
    pace = Pace.of_time(1000, 1.0)
    for _ in range(400):
        pace.after_step(1.0)
    before = pace.progress
    pace.hurry()
    assert pace.progress == before
    assert 90 <= pace.seconds_left <= 101
    rates = []
    while not pace.done:
        rates.append(one_cycle(pace.progress, pace.warm)[0])
        pace.after_step(1.0)
    assert 495 <= pace.spent_s <= 502
    assert rates[-1] < 0.01, "it still ends with a small learning rate"
    assert max(a - b for a, b in itertools.pairwise(rates)) < 0.05


def test_a_training_near_its_end_is_not_made_longer() -> None:
    pace = Pace.of_time(100, 1.0)
    for _ in range(95):
        pace.after_step(1.0)
    pace.hurry()
    assert pace.seconds_left <= 5.5


@pytest.mark.parametrize(
    ("errors", "falls"),
    [
        ([], True),
        ([5.0] * 20, True),  # too few epochs to tell
        ([5.0] * 40, False),
        ([5.0] * 20 + [4.9] * 20, True),
        ([5.0] * 20 + [4.97] * 20, False),  # less than a hundredth
        ([10 * 0.98**i for i in range(100)], True),
        ([5.0] * 40 + [6.0] * 40, False),  # it rises
        ([NAN] * 80, True),  # nothing is held out, so nothing says that it is enough
    ],
)
def test_an_error_that_no_longer_falls_is_noticed(errors: list[float], falls: bool) -> None:
    assert still_falls(errors) is falls
