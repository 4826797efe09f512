"""Frame loss: each lost frame is counted once, and frame time always increases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.sources.machine_vision.frame_loss import FrameLossCounter

MS = 1_000_000
GOOD, INCOMPLETE, NEVER = "good", "incomplete", "never came"
HOUR = 3600 * 10**9


@given(
    first_id=st.sampled_from([0, 1, 5, 65530, 65535, 65536, 2**40]),
    outcomes=st.lists(st.sampled_from([GOOD, GOOD, INCOMPLETE, NEVER]), max_size=60),
)
def test_every_counted_frame_is_good_or_lost(first_id: int, outcomes: list[str]) -> None:
    """16-bit ids continue with 1 after 65535; longer ids increase without a limit."""
    tally, frame_id, lost, good = FrameLossCounter(), first_id, 0, 1
    tally.take(first_id, None, 0)
    pending = 0
    for index, outcome in enumerate(outcomes, 1):
        frame_id = 1 if frame_id == 65535 and first_id != 65536 else frame_id + 1
        pending += outcome != GOOD
        if outcome == INCOMPLETE:
            tally.fail()
            assert tally.failing
        if outcome == GOOD:
            pts_ns, lost_before = tally.take(frame_id, None, index * 10 * MS)
            assert lost_before == pending
            assert pts_ns == index * 10 * MS
            assert not tally.failing
            lost, good, pending = lost + lost_before, good + 1, 0
    assert good + lost + pending == 1 + len(outcomes)
    assert tally.incomplete == outcomes.count(INCOMPLETE)


def test_without_ids_only_incomplete_frames_count_as_lost() -> None:
    tally = FrameLossCounter()
    tally.take(None, None, 0)
    tally.fail()
    tally.fail()
    assert tally.take(None, None, 30 * MS) == (30 * MS, 2)
    assert tally.problems("cam") == ["cam: 2 frames arrived incomplete and were left out"]


def test_restarted_ids_count_no_loss() -> None:
    tally = FrameLossCounter()
    tally.take(5000, None, 0)
    assert tally.take(3, None, 10 * MS)[1] == 0
    assert tally.take(6, None, 20 * MS)[1] == 2
    assert tally.problems("cam") == ["cam: 2 frames never arrived, by the camera's own count"]


def test_frame_time_follows_the_camera() -> None:
    tally = FrameLossCounter()
    times = [tally.take(i, 5 * HOUR + i * 10 * MS, 77 * HOUR + i * 10 * MS + (i % 3) * 4 * MS)[0] for i in range(9)]
    assert times == [i * 10 * MS for i in range(9)]
    assert tally.problems("cam") == []


@pytest.mark.parametrize("jump_ns", [-HOUR, 50 * 365 * 24 * HOUR], ids=["set back", "set to the time of day"])
def test_frame_time_follows_the_host_when_the_camera_clock_is_set(jump_ns: int) -> None:
    tally = FrameLossCounter()
    times = [tally.take(i, 5 * HOUR + i * 10 * MS + (jump_ns if i > 3 else 0), HOUR + i * 10 * MS)[0] for i in range(8)]
    assert times == [i * 10 * MS for i in range(8)]
    assert tally.problems("cam") == ["cam: its clock jumped 1 times; there, frame time follows the host's clock"]


def test_frame_time_always_increases() -> None:
    tally = FrameLossCounter()
    times = [tally.take(None, device_ns, 0)[0] for device_ns in (7, 7, 7, None, None, 8)]
    assert times == sorted(set(times))
