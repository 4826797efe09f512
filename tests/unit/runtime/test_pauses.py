"""Pauses: a detection waits for the end of a pose, never for ever, and no longer than its box is of use."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.pipelines import LONG_S, wait_for

from realtime_cropzoom.runtime.pauses import Patience, Pauses
from realtime_cropzoom.types import FrameMeta

MS = 1_000_000


def test_without_a_pause_the_wait_ends() -> None:
    pauses = Pauses()
    pauses.begin(6)
    assert not pauses.wait_for(7, 0.01)


def test_a_pause_that_has_begun_is_not_waited_for() -> None:
    pauses = Pauses()
    pauses.begin(7)
    assert pauses.wait_for(7, 0)


def wait_in_thread(pauses: Pauses, then: Callable[[], None]) -> list[bool]:
    begun: list[bool] = []
    waiter = threading.Thread(target=lambda: begun.append(pauses.wait_for(7, LONG_S)))
    waiter.start()
    wait_for(lambda: pauses._changed._waiters, "the thread to wait")  # type: ignore[attr-defined]
    then()
    waiter.join(LONG_S)
    return begun


@pytest.mark.parametrize("index", [7, 9])
def test_the_pause_after_the_frame_or_a_later_one_ends_the_wait(index: int) -> None:
    pauses = Pauses()
    assert wait_in_thread(pauses, lambda: pauses.begin(index)) == [True]


def test_the_end_is_a_pause_without_an_end() -> None:
    pauses = Pauses()
    assert wait_in_thread(pauses, pauses.close) == [True]
    assert pauses.wait_for(7, 0.01)


def patience(interval_ms: int, takes_ms: int) -> tuple[Patience, FrameMeta]:
    """Return the patience after two frames, and the second of them, captured at 0."""
    found = Patience()
    found.takes_ns = takes_ms * MS
    metas = [FrameMeta(index, 0, None, (index - 1) * interval_ms * MS) for index in (0, 1)]
    for meta in metas:
        found.see(meta)
    return found, metas[-1]


@pytest.mark.parametrize(
    ("interval_ms", "takes_ms", "done", "at_ms", "index", "wait_ms"),
    [
        pytest.param(100, 20, 0, 0, 1, 75, id="slow camera: as long as the box is there for the next frame"),
        pytest.param(100, 20, 1, 50, 1, 25, id="the pose is done and time is left: at once"),
        pytest.param(100, 20, 1, 80, 2, 12, id="the pose is done, but the next frame is near: after that one"),
        pytest.param(5, 2, 0, 1, 1, 12, id="fast camera: at most 12 ms"),
        pytest.param(100, 200, 0, 0, 1, 12, id="slow detector: at most 12 ms"),
    ],
)
def test_a_detection_waits_for_the_pose_as_long_as_its_box_comes_in_time(
    interval_ms: int, takes_ms: int, done: int, at_ms: int, index: int, wait_ms: int
) -> None:
    found, meta = patience(interval_ms, takes_ms)
    after, wait_s = found.wanted(meta, done, at_ms * MS)
    assert after == index
    assert wait_s == pytest.approx(wait_ms / 1e3)


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1), st.integers(0, 2000), st.integers(0, 3))
def test_it_waits_12_ms_or_a_frame_interval_at_most(
    interval_ms: int, takes_ms: int, done: int, at_ms: int, skipped: int
) -> None:
    found, meta = patience(interval_ms, takes_ms)
    later = FrameMeta(meta.index + 1 + skipped, 0, None, (1 + skipped) * interval_ms * MS)
    found.see(later)
    index, wait_s = found.wanted(later, done, later.captured_ns + at_ms * MS)
    assert index in (later.index, later.index + 1)
    assert 0.012 <= wait_s <= max(0.012, interval_ms / 1e3)
