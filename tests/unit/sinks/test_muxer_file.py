"""Muxer file: the times that a video file can store."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.sinks.muxer_file import PtsTicker


@pytest.mark.parametrize(
    ("times_ns", "ticks"),
    [
        ([0, 1_000_000, 2_000_000], [0, 1, 2]),
        ([0, 400_000, 500_001, 600_000], [0, 1, 2, 3]),
        ([5_000_000, 4_000_000, 4_000_000, 9_000_000], [5, 6, 7, 9]),
        ([0, 50_000_000, 51_000_000, 150_000_000], [0, 10, 11, 21]),
    ],
    ids=["exact", "closer than a tick", "backwards", "gaps longer than ten ticks are cut"],
)
def test_times_become_ticks(times_ns: list[int], ticks: list[int]) -> None:
    ticker = PtsTicker(1000, max_step=10)
    assert [ticker.ticks(time_ns) for time_ns in times_ns] == ticks


@given(st.lists(st.integers(0, 10**14)), st.sampled_from([1000, 90_000]), st.none() | st.integers(1, 10**6))
def test_ticks_increase_by_no_more_than_the_container_can_store(
    times_ns: list[int], ticks_per_second: int, max_step: int | None
) -> None:
    ticker = PtsTicker(ticks_per_second, max_step)
    ticks = [ticker.ticks(time_ns) for time_ns in times_ns]
    steps = [after - before for before, after in itertools.pairwise(ticks)]
    assert all(1 <= step <= (max_step or step) for step in steps)
