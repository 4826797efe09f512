"""Staleness: which live frames waited in a buffer, and the time of each frame."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from realtime_cropzoom.sources.live.staleness import FrameClock, StalenessFilter

MS, S = 1_000_000, 1_000_000_000


def test_frames_that_waited_before_the_start_are_stale() -> None:
    staleness = StalenessFilter(30.0)
    assert [staleness.is_stale(i * MS, 100_000) for i in range(5)] == [True] * 5
    assert not staleness.is_stale(35 * MS, 30 * MS)
    assert not staleness.is_stale(36 * MS, 1 * MS), "a frame that comes early is not stale"


def test_frames_delayed_by_a_stall_are_stale() -> None:
    staleness = StalenessFilter(30.0)
    assert not staleness.is_stale(0, 30 * MS)
    assert not staleness.is_stale(33 * MS, 30 * MS)
    assert not staleness.is_stale(900 * MS, 860 * MS), "a short pause drops nothing"
    assert staleness.is_stale(2500 * MS, 1600 * MS)
    assert staleness.is_stale(2501 * MS, MS)
    assert not staleness.is_stale(2530 * MS, 29 * MS)


def test_a_slow_stream_does_not_count_as_stalled() -> None:
    staleness = StalenessFilter(0.5)
    assert not any(staleness.is_stale(i * 2 * S, 2 * S) for i in range(1, 10))


def test_a_frame_that_the_reader_waited_for_may_be_stale_by_the_streams_own_clock() -> None:
    staleness = StalenessFilter(30.0)
    assert not staleness.is_stale(100 * MS, 33 * MS, 0)
    assert staleness.is_stale(3000 * MS, 2900 * MS, 33 * MS)
    assert staleness.is_stale(3030 * MS, 30 * MS, 66 * MS)
    assert not staleness.is_stale(3060 * MS, 30 * MS, 2960 * MS)


def test_a_burst_may_pause() -> None:
    """Example: a server sends half a second of stored frames, and the network pauses for 12 ms meanwhile."""
    staleness = StalenessFilter(30.0)
    arrived = [0, 1, 2, 3, 15, 16, 17, 50, 83, 116]
    waited = [0, 0, 0, 0, 12, 0, 0, 33, 33, 33]
    frames = enumerate(zip(arrived, waited, strict=True))
    frames = enumerate(zip(arrived, waited, strict=True))
    is_stale = [staleness.is_stale(at * MS, wait * MS, i * 33 * MS) for i, (at, wait) in frames]
    assert is_stale == [True] * 8 + [False] * 2


def test_all_frames_are_accepted_again_after_two_seconds() -> None:
    """Reason: the clock of the sender may stand still, or the reader may never have to wait."""
    staleness = StalenessFilter(30.0)
    assert staleness.is_stale(0, 0)
    assert staleness.is_stale(1999 * MS, 0)
    assert [staleness.is_stale(5000 * MS + i * 500 * MS, 0) for i in range(6)] == [True] * 4 + [False] * 2


def test_frame_time_follows_the_streams_clock() -> None:
    clock = FrameClock()
    times = [clock.frame_time_ns(1_000 * S + i * 33 * MS, 5 * S + i * 33 * MS + i % 3 * 10 * MS) for i in range(50)]
    assert times == [i * 33 * MS for i in range(50)]


@pytest.mark.parametrize(
    "own",
    [
        pytest.param(lambda i: None, id="no clock"),
        pytest.param(lambda i: 7, id="a clock that stands still"),
        pytest.param(lambda i: -i * 40 * MS, id="a clock that goes back"),
        pytest.param(lambda i: i * 80 * MS, id="a clock twice as fast"),
    ],
)
def test_without_a_usable_clock_frame_time_is_the_time_of_arrival(own: Callable[[int], int | None]) -> None:
    clock = FrameClock()
    times = [clock.frame_time_ns(own(i), 5 * S + i * 40 * MS) for i in range(100)]
    assert times[-1] == 99 * 40 * MS
    assert all(a < b for a, b in pairwise(times))


def test_a_drifting_clock_is_followed() -> None:
    """The clocks drift by 200 ppm for ten hours: they are seven seconds apart at the end."""
    clock = FrameClock()
    for minute in range(600):
        own_ns = round(minute * 60 * S * 1.0002)
        assert clock.frame_time_ns(own_ns, minute * 60 * S) == own_ns
