"""Watchdog: what it reports at which time. Each test gives the times, so nothing waits."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from realtime_cropzoom.errors import StageError
from realtime_cropzoom.pipeline.watchdog import Watchdog
from realtime_cropzoom.runtime.worker import RunControl, Stage
from realtime_cropzoom.types import StreamState

S = 1_000_000_000


def live(_: int) -> StreamState:
    return StreamState.LIVE


def test_a_stage_that_is_busy_for_too_long_ends_the_run() -> None:
    control = RunControl()
    pose = Stage("pose", control)
    watchdog = Watchdog([pose], 5.0, live, control)
    pose.busy_since_ns = 10 * S
    watchdog.check(15 * S)
    assert not control.stop.is_set()
    watchdog.check(15 * S + 1)
    assert isinstance(control.error, StageError)
    assert str(control.error) == "the pose stage has been busy with one frame for more than 5 s"
    assert control.stop.is_set()


def test_a_stage_that_waits_for_a_frame_does_not_hang() -> None:
    control = RunControl()
    watchdog = Watchdog([Stage("pose", control)], 5.0, live, control)
    watchdog.check(10**6 * S)
    assert control.error is None


def test_a_stall_and_its_end_are_reported_once_each(caplog: pytest.LogCaptureFixture) -> None:
    states: Iterator[StreamState] = iter(
        [StreamState(name) for name in ("live", "stalled", "stalled", "live", "live", "reconnecting", "live")]
    )
    watchdog = Watchdog([], 5.0, lambda _: next(states), RunControl())
    with caplog.at_level(logging.WARNING):
        for second in range(7):
            watchdog.check(second * S)
    assert caplog.messages == ["no frames arrive, but the connection is not lost", "frames arrive again"]


def test_a_disk_that_hangs_is_reported_once_and_does_not_end_the_run(caplog: pytest.LogCaptureFixture) -> None:
    control = RunControl()
    writer = Stage("write", control)
    watchdog = Watchdog([], 5.0, live, control, writer)
    writer.busy_since_ns = 10 * S
    with caplog.at_level(logging.WARNING):
        for second in (11, 12, 13, 1000):
            watchdog.check(second * S)
        writer.busy_since_ns = 0
        watchdog.check(1001 * S)
    assert caplog.messages == [
        "the disk does not answer; the rows of the session are kept in memory until it does",
        "the disk answers again",
    ]
    assert control.error is None


def test_poses_that_fall_behind_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    captured = iter(range(0, 10_000, 30))
    watchdog = Watchdog([], 5.0, live, RunControl(), None, lambda: (n := next(captured), n // 2, 250.0))
    with caplog.at_level(logging.WARNING):
        for second in range(5):
            watchdog.check(second * S)
    (line,) = caplog.messages
    assert line.startswith("poses fall behind: 45 of the last 90 frames were skipped, and poses are 250 ms old; ")
