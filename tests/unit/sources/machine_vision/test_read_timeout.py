"""Read timeout: when a silent camera counts as lost."""

from __future__ import annotations

import pytest

from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.sources.machine_vision.read_timeout import ReadTimeout


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        return self.ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_nothing_happens_before_the_time_has_passed(clock: Clock) -> None:
    timeout = ReadTimeout(2.0, triggered=False, now=clock)
    clock.ns = 1_999_999_999
    assert not timeout.check("cam", 5, "")


def test_a_camera_that_sends_nothing_is_lost(clock: Clock) -> None:
    timeout = ReadTimeout(2.0, triggered=False, now=clock)
    clock.ns = 2_000_000_000
    with pytest.raises(SourceError, match="cam has sent nothing for 2 s"):
        timeout.check("cam", 0, "")


def test_a_camera_that_sends_only_incomplete_frames_is_lost(clock: Clock) -> None:
    timeout = ReadTimeout(0.3, triggered=False, now=clock)
    clock.ns = 300_000_000
    with pytest.raises(
        SourceError, match=r"cam has sent no complete frame for 0\.3 s, 7 incomplete; look at the cable"
    ):
        timeout.check("cam", 7, "; look at the cable")


def test_a_triggered_camera_whose_frames_all_arrive_incomplete_is_lost(clock: Clock) -> None:
    timeout = ReadTimeout(0.3, triggered=True, now=clock)
    clock.ns = 9_000_000_000  # no pulse before
    assert timeout.check("cam", 0, "")
    for incomplete in range(1, 31):
        clock.ns += 10_000_000
        timeout.check("cam", incomplete, "")
    clock.ns += 10_000_000
    with pytest.raises(SourceError, match=r"cam has sent no complete frame for 0\.3 s, 31 incomplete$"):
        timeout.check("cam", 31, "")


@pytest.mark.parametrize("at_the_end", [1, 3])
def test_a_triggered_camera_whose_last_frames_were_incomplete_may_wait_for_pulses(
    clock: Clock, at_the_end: int
) -> None:
    """Bursts of pulses end and begin with incomplete frames. To open the camera again would lose more."""
    timeout = ReadTimeout(2.0, triggered=True, now=clock)
    incomplete, checked = 0, 0
    for _ in range(5):
        for _ in range(at_the_end):
            clock.ns += 10_000_000
            incomplete += 1
            timeout.check("cam", incomplete, "")
        for _ in range(100):
            clock.ns += 100_000_000
            checked += timeout.check("cam", incomplete, "")
    assert checked == 5 * 5


def test_a_complete_frame_starts_the_time_again(clock: Clock) -> None:
    timeout = ReadTimeout(2.0, triggered=False, now=clock)
    clock.ns = 1_500_000_000
    timeout.restart()
    clock.ns = 3_000_000_000
    assert not timeout.check("cam", 0, "")


def test_a_triggered_camera_may_be_silent_and_is_checked_once_per_timeout(clock: Clock) -> None:
    timeout = ReadTimeout(2.0, triggered=True, now=clock)
    checked = []
    for clock.ns in range(0, 10_000_000_001, 500_000_000):
        if timeout.check("cam", 0, ""):
            checked.append(clock.ns)
    assert checked == [2_000_000_000, 4_000_000_000, 6_000_000_000, 8_000_000_000, 10_000_000_000]
