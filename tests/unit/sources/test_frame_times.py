"""Frame times: they always increase, even if those of the file do not."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.sources.frame_times import DecodingOrder, FrameTimes


@dataclass
class Packet:
    """A packet as far as its decoding time is concerned."""

    dts: int | None


@pytest.mark.parametrize(
    ("own_ns", "times_ns"),
    [
        pytest.param([0, 100, 200], [0, 100, 200], id="increasing"),
        pytest.param([None, None, None], [0, 100, 200], id="none"),
        pytest.param([5, 5, 300], [5, 105, 300], id="a repeated time"),
        pytest.param([0, 100, 50, 300], [0, 100, 200, 300], id="reordered"),
        pytest.param([0, 100_000, 0, 100], [0, 100_000, 100_100, 100_200], id="restarted, as in joined files"),
    ],
)
def test_times_are_kept_or_continued(own_ns: list[int | None], times_ns: list[int]) -> None:
    times = FrameTimes(100)
    assert [times.time(index, own) for index, own in enumerate(own_ns)] == times_ns


def test_corrections_are_counted() -> None:
    times = FrameTimes(100)
    for index, own_ns in enumerate([0, 100, 100, 300]):
        times.time(index, own_ns)
    assert times.corrected == 1
    assert times.last_corrected == (2, 100, 100)


@given(st.lists(st.none() | st.integers(0, 10**6)))
def test_times_always_increase(own_ns: list[int | None]) -> None:
    times = FrameTimes(100)
    given = [times.time(index, own) for index, own in enumerate(own_ns)]
    assert given == sorted(set(given))


def test_frames_get_the_earliest_unused_packet_time() -> None:
    order = DecodingOrder()
    for dts in (3, 1, None, 2):
        order.add(Packet(dts))
    assert [order.next() for _ in range(4)] == [1, 2, 3, None]
