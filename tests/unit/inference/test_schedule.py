"""Which box a frame gets: live, in lockstep, and replayed from a file that a run (or Lightning Pose) wrote."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.inference.schedule import (
    NO_BOX,
    LatestSchedule,
    LockstepSchedule,
    StateLimits,
)
from realtime_cropzoom.types import ActiveBox, Box, Detection, FrameMeta, State

LIMITS = StateLimits(coast_after_ms=250, lost_after_ms=1000)
FRAME_MS = 40


def meta(index: int, pts_ms: float | None = None) -> FrameMeta:
    """A frame of a 25 fps stream; the monotonic time is nonsense on purpose, no age may come from it."""
    pts_ns = round((index * FRAME_MS if pts_ms is None else pts_ms) * 1e6)
    return FrameMeta(index, pts_ns, None, captured_ns=7 - index)


def detection(index: int, box: Box | None = None, pts_ms: float | None = None) -> Detection:
    return Detection(meta(index, pts_ms), box or box_of(index), detected_ns=1000 + index)


def unusable(index: int) -> Detection:
    return Detection(meta(index), None, detected_ns=1000 + index)


def box_of(index: int) -> Box:
    return Box(index, -index, 64, 64)


@pytest.mark.parametrize(
    ("age_ms", "state"),
    [
        pytest.param(0, State.TRACKING, id="this very frame"),
        pytest.param(250, State.TRACKING, id="at the limit it is not older yet"),
        pytest.param(250.001, State.COASTING, id="just older"),
        pytest.param(1000, State.COASTING, id="at the second limit"),
        pytest.param(1000.001, State.LOST, id="too old to act on"),
        pytest.param(1e9, State.LOST, id="days"),
    ],
)
def test_the_state_follows_from_the_age_of_the_box(age_ms: float, state: State) -> None:
    assert LIMITS.state(age_ms) is state


def test_before_the_first_detection_the_state_is_searching() -> None:
    assert LatestSchedule(LIMITS).choose(meta(3)) is NO_BOX
    assert NO_BOX.state is State.SEARCHING
    assert NO_BOX.box is None
    assert NO_BOX.frame == -1
    assert math.isnan(NO_BOX.age_ms)


def test_latest_gives_the_last_detection_and_says_where_it_comes_from() -> None:
    schedule = LatestSchedule(LIMITS)
    schedule.offer(detection(2))
    schedule.offer(detection(5))
    assert schedule.choose(meta(7)) == ActiveBox(box_of(5), 5, 2 * FRAME_MS, State.TRACKING, 1005)


def test_latest_keeps_the_last_box_through_unusable_detections_and_it_ages() -> None:
    schedule = LatestSchedule(LIMITS)
    schedule.offer(detection(0))
    chosen = []
    for index in range(1, 30):
        schedule.offer(unusable(index))
        chosen.append(schedule.choose(meta(index)))
    assert {c.box for c in chosen} == {box_of(0)}
    assert [c.age_ms for c in chosen] == [FRAME_MS * i for i in range(1, 30)]
    # 240 ms is young enough, 280 is not; 1000 ms is not lost yet, 1040 is.
    assert [c.state for c in chosen] == [State.TRACKING] * 6 + [State.COASTING] * 19 + [State.LOST] * 4


def test_latest_finds_the_animal_again_at_once() -> None:
    schedule = LatestSchedule(LIMITS)
    schedule.offer(detection(0))
    assert schedule.choose(meta(100)).state is State.LOST
    schedule.offer(detection(100))
    assert schedule.choose(meta(101)) == ActiveBox(box_of(100), 100, FRAME_MS, State.TRACKING, 1100)


def test_latest_stays_searching_while_no_detection_is_usable() -> None:
    schedule = LatestSchedule(LIMITS)
    schedule.offer(unusable(0))
    assert schedule.choose(meta(50)).state is State.SEARCHING


def test_latest_counts_a_box_from_a_later_frame_as_of_age_zero() -> None:
    """The detector takes the newest frame, so it may be ahead of the pose."""
    schedule = LatestSchedule(LIMITS)
    schedule.offer(detection(9))
    assert schedule.choose(meta(7)) == ActiveBox(box_of(9), 9, 0.0, State.TRACKING, 1009)


def test_ages_are_frame_time_and_not_the_number_of_frames() -> None:
    schedule = LatestSchedule(LIMITS)
    schedule.offer(detection(4, pts_ms=100))
    chosen = schedule.choose(meta(5, pts_ms=1350.5))
    assert chosen.age_ms == 1250.5
    assert chosen.state is State.LOST


@pytest.mark.parametrize("every", [1, 2, 5, 100])
def test_lockstep_gives_each_frame_the_detection_of_the_last_multiple_of_every(every: int) -> None:
    schedule = LockstepSchedule(LIMITS, every)
    for index in range(23):
        if index % every == 0:
            schedule.offer(detection(index))
        chosen = schedule.choose(meta(index))
        assert chosen is not None
        assert chosen.frame == index // every * every
        assert chosen.box == box_of(chosen.frame)
        assert chosen.age_ms == FRAME_MS * (index - chosen.frame)


def test_lockstep_waits_for_its_detection_and_takes_no_other() -> None:
    schedule = LockstepSchedule(LIMITS, 3)
    schedule.offer(detection(0))
    assert schedule.choose(meta(3)) is None
    schedule.offer(detection(3))
    chosen = schedule.choose(meta(3))
    assert chosen is not None
    assert chosen.frame == 3


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(1, 6), st.data())
def test_lockstep_does_not_depend_on_how_far_the_detector_is_ahead(
    found: list[bool], every: int, data: st.DataObject
) -> None:
    """Whenever a choice is made at all, it is the one that follows from the frames alone."""
    schedule = LockstepSchedule(LIMITS, every)
    offered, expected_frame = 0, -1
    multiples = [i for i in range(len(found)) if i % every == 0]
    for index in range(len(found)):
        needed = index // every + 1
        for i in multiples[offered : data.draw(st.integers(needed, len(multiples)))]:
            schedule.offer(detection(i) if found[i] else unusable(i))
            offered += 1
        if index % every == 0 and found[index]:
            expected_frame = index
        chosen = schedule.choose(meta(index))
        assert chosen is not None
        assert chosen.frame == expected_frame
        assert chosen.box == (None if expected_frame < 0 else box_of(expected_frame))


def test_lockstep_keeps_the_last_box_through_unusable_detections_and_it_ages() -> None:
    schedule = LockstepSchedule(LIMITS)
    schedule.offer(detection(0))
    for index in range(1, 8):
        schedule.offer(unusable(index))
    assert schedule.choose(meta(7)) == ActiveBox(box_of(0), 0, 7 * FRAME_MS, State.COASTING, 1000)


def test_lockstep_may_be_asked_twice_for_the_same_frame() -> None:
    schedule = LockstepSchedule(LIMITS, 2)
    schedule.offer(detection(0))
    assert schedule.choose(meta(1)) == schedule.choose(meta(1))
