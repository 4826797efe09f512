"""Reconnection: frame times and segments after a break, and the check of the frame rate."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import islice, pairwise
from threading import Event

import numpy as np
import pytest
from support.flaky_source import FlakySource

from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.sources.base import SourceInfo
from realtime_cropzoom.sources.live.reconnect import RateCheck, ReconnectingSource, ReconnectPolicy

MS, S = 1_000_000, 1_000_000_000


def warnings_of(info: SourceInfo, fps: float, caplog: pytest.LogCaptureFixture, seconds: float = 3.0) -> list[str]:
    return warnings_at(info, [round(index * S / fps) for index in range(round(seconds * fps))], caplog)


def warnings_at(info: SourceInfo, times_ns: Sequence[int], caplog: pytest.LogCaptureFixture) -> list[str]:
    check = RateCheck(info)
    with caplog.at_level(logging.WARNING):
        for time_ns in times_ns:
            check.add(time_ns)
    return [record.getMessage() for record in caplog.records]


def test_a_rate_other_than_requested_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    info = SourceInfo("cam", 640, 480, 60.0, None, live=True, asked_fps=100.0)
    (warning,) = warnings_of(info, 60.0, caplog)
    assert warning.startswith("cam GIVES 60.0 FRAMES PER SECOND; asked for 100.")


def test_a_rate_other_than_announced_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    (warning,) = warnings_of(SourceInfo("cam", 640, 480, 60.0, None, live=True), 15.0, caplog)
    assert "GIVES 15.0 FRAMES PER SECOND; it announces 60" in warning


@pytest.mark.parametrize(("fps", "asked", "seconds"), [(58.0, 60.0, 3.0), (30.0, None, 3.0), (15.0, 60.0, 1.9)])
def test_a_right_or_unknown_rate_is_no_warning(
    fps: float, asked: float | None, seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    info = SourceInfo("cam", 640, 480, asked and fps, None, live=True, asked_fps=asked)
    assert warnings_of(info, fps, caplog, seconds) == []


@pytest.mark.parametrize("at", [1, 10, 50], ids=["after the first frame", "early", "late"])
@pytest.mark.parametrize("burst", [False, True], ids=["", "with a burst of delayed frames"])
def test_the_rate_is_not_measured_across_a_stall(at: int, burst: bool, caplog: pytest.LogCaptureFixture) -> None:
    info = SourceInfo("cam", 640, 480, 30.0, None, live=True)
    before = [i * S // 30 for i in range(at)]
    resumed_ns = before[-1] + 3 * S
    delayed = [resumed_ns + i * MS for i in range(90)] if burst else []
    after = [resumed_ns + S // 10 + i * S // 30 for i in range(120)]
    assert warnings_at(info, before + delayed + after, caplog) == []


def test_a_source_that_is_always_slow_does_not_count_as_stalled(caplog: pytest.LogCaptureFixture) -> None:
    (warning,) = warnings_of(SourceInfo("cam", 640, 480, 30.0, None, live=True), 1.0, caplog, seconds=12)
    assert "GIVES 1.0 FRAMES PER SECOND; it announces 30" in warning


@pytest.mark.slow
def test_time_continues_after_a_break_and_the_segment_counts() -> None:
    cameras = [FlakySource(), FlakySource(), FlakySource()]
    rest = iter(cameras[1:])
    stop = Event()
    frames = list(islice(ReconnectingSource(cameras[0], lambda: next(rest), ReconnectPolicy(), stop).frames(), 9))
    assert [c.segment for c in frames] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert all(a.pts_ns < b.pts_ns for a, b in pairwise(frames))
    assert [s.closed for s in cameras] == [1, 1, 0]


def test_the_limit_ends_it_and_the_error_says_for_how_long_it_was_lost() -> None:
    def refuse() -> FlakySource:
        raise SourceError("no such camera")

    source = ReconnectingSource(FlakySource(), refuse, ReconnectPolicy(give_up_after_s=0.2), Event())
    with pytest.raises(SourceError, match=r"flaky has been gone for 0 s \(no such camera\); giving up"):
        list(source.frames())


def test_frames_of_another_size_are_scaled_if_the_policy_says_so() -> None:
    for adapt, expected in ((True, (8, 6)), (False, (16, 12))):
        source = ReconnectingSource(
            FlakySource(), lambda: FlakySource(size=(16, 12)), ReconnectPolicy(adapt=adapt), Event()
        )
        last = list(islice(source.frames(), 4))[-1]
        assert (last.width, last.height) == expected
        assert last.image is None, "its own size is not that of the run"
        out = np.zeros((last.height, last.width, 3), np.uint8)
        last.copy_to(out)
        assert (out == 200).all()


def test_stop_ends_the_reconnection() -> None:
    stop = Event()

    def refuse() -> FlakySource:
        stop.set()
        raise SourceError("no such camera")

    assert len(list(ReconnectingSource(FlakySource(), refuse, ReconnectPolicy(), stop).frames())) == 3
