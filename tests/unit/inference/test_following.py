"""Boxes that lie around the last pose: when a detection is wanted, and which box a frame gets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.inference.boxes import BoxRule
from realtime_cropzoom.inference.following import FollowingSchedule
from realtime_cropzoom.inference.schedule import NO_BOX, StateLimits
from realtime_cropzoom.types import ActiveBox, Box, BoxOrigin, Detection, FrameMeta, Keypoints, State

FRAME_MS = 40
SIDE = 64


def meta(index: int) -> FrameMeta:
    return FrameMeta(index, index * FRAME_MS * 10**6, None, captured_ns=7 - index)


def schedule(*, check_s: float = 1.0, lockstep: bool = True) -> FollowingSchedule:
    return FollowingSchedule(StateLimits(), BoxRule(crop_size=SIDE), check_s=check_s, lockstep=lockstep)


def found_at(index: int, x: float, y: float) -> Detection:
    return Detection(meta(index), Box(x - SIDE / 2, y - SIDE / 2, SIDE, SIDE), 1000 + index)


def pose_at(x: float, y: float) -> Keypoints:
    return Keypoints(np.array([[x, y]], np.float32), np.ones(1, np.float32))


def box_around(x: float, y: float) -> Box:
    return Box(x - SIDE / 2, y - SIDE / 2, SIDE, SIDE)


def test_the_first_frame_waits_for_a_detection_and_the_next_follows_its_pose() -> None:
    boxes = schedule()
    assert boxes.choose(meta(0)) is None
    boxes.offer(found_at(0, 100, 80))
    assert boxes.choose(meta(0)) == ActiveBox(box_around(100, 80), 0, 0.0, State.TRACKING, 1000)
    boxes.posed(meta(0), pose_at(104, 82), 5)
    assert not boxes.wants_detection(meta(1))
    assert boxes.choose(meta(1)) == ActiveBox(box_around(104, 82), 0, FRAME_MS, State.TRACKING, 5, BoxOrigin.POSE)


@pytest.mark.parametrize("pose", [None, Keypoints(np.full((1, 2), np.nan, np.float32), np.zeros(1, np.float32))])
def test_a_pose_that_gives_no_box_asks_for_a_detection_and_the_last_box_stays(pose: Keypoints | None) -> None:
    boxes = schedule()
    boxes.offer(found_at(0, 100, 80))
    boxes.posed(meta(0), pose, 5)
    assert boxes.wants_detection(meta(1))
    assert boxes.choose(meta(1)) is None
    boxes.offer(Detection(meta(1), None, 1001))
    chosen = boxes.choose(meta(1))
    assert chosen is not None
    assert (chosen.box, chosen.frame, chosen.origin) == (box_around(100, 80), 0, BoxOrigin.DETECTION)


def test_in_a_live_run_no_frame_waits() -> None:
    boxes = schedule(lockstep=False)
    assert boxes.wants_detection(meta(0))
    assert boxes.choose(meta(0)) == NO_BOX
    boxes.offer(found_at(3, 100, 80))
    late = boxes.choose(meta(2))
    assert late is not None
    assert (late.box, late.age_ms, late.state) == (box_around(100, 80), 0.0, State.TRACKING)


@pytest.mark.parametrize(("check_s", "asked"), [(0.2, [0, 5, 10]), (0, [0])])
def test_a_check_is_due_after_a_while(check_s: float, asked: list[int]) -> None:
    boxes, looked = schedule(check_s=check_s), []
    for index in range(12):
        if boxes.wants_detection(meta(index)):
            looked.append(index)
            boxes.offer(found_at(index, 100, 80))
        boxes.choose(meta(index))
        boxes.posed(meta(index), pose_at(100, 80), 0)
    assert looked == asked


@pytest.mark.parametrize(("x", "origin"), [(131, BoxOrigin.POSE), (133, BoxOrigin.DETECTION)])
def test_a_check_counts_if_it_finds_the_animal_elsewhere(x: float, origin: BoxOrigin) -> None:
    """Half a side, 32 px, is the limit."""
    boxes = schedule(check_s=0.04)
    boxes.offer(found_at(0, 100, 80))
    boxes.choose(meta(0))
    boxes.posed(meta(0), pose_at(100, 80), 0)
    assert boxes.wants_detection(meta(1))
    boxes.offer(found_at(1, x, 80))
    chosen = boxes.choose(meta(1))
    assert chosen is not None
    assert chosen.origin is origin


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_in_lockstep_every_frame_gets_a_box_of_itself_or_earlier(frames: list[tuple[bool, bool]]) -> None:
    boxes, found = schedule(check_s=0.5), False
    for index, (detected, plausible) in enumerate(frames):
        if boxes.wants_detection(meta(index)):
            assert boxes.choose(meta(index)) is None
            boxes.offer(found_at(index, index, 0) if detected else Detection(meta(index), None, 0))
            found = found or detected
        chosen = boxes.choose(meta(index))
        assert chosen is not None
        assert (chosen.box is not None) == found
        assert chosen.frame <= index
        boxes.posed(meta(index), pose_at(index, 0) if found and plausible else None, 0)
        found = found or (plausible and chosen.box is not None)


def test_a_detection_that_was_asked_for_counts_although_the_box_is_young_and_near() -> None:
    boxes = schedule(lockstep=False)
    boxes.offer(found_at(0, 100, 80))
    boxes.choose(meta(0))
    boxes.posed(meta(0), pose_at(100, 80), 5)
    boxes.ask(4)
    assert [boxes.wants_detection(meta(i)) for i in (2, 3, 4, 5)] == [False, False, True, True]
    boxes.offer(found_at(3, 110, 80))  # of a frame from before the order
    assert boxes.wants_detection(meta(4))
    boxes.offer(found_at(4, 111, 80))
    assert not boxes.wants_detection(meta(5)), "once"
    boxes.ask(4)
    assert [boxes.wants_detection(meta(i)) for i in (4, 5)] == [False, True], "frame 4 has been looked at"
    chosen = boxes.choose(meta(5))
    assert chosen is not None
    assert (chosen.box, chosen.origin) == (box_around(111, 80), BoxOrigin.DETECTION)


def test_a_pose_from_the_old_box_does_not_replace_a_detection_that_no_frame_has_used() -> None:
    boxes = schedule(lockstep=False)
    boxes.offer(found_at(0, 100, 80))
    boxes.choose(meta(0))
    boxes.posed(meta(0), pose_at(100, 80), 5)
    boxes.choose(meta(1))  # its pose takes a while
    boxes.offer(found_at(1, 400, 80))
    boxes.posed(meta(1), pose_at(101, 80), 6)
    chosen = boxes.choose(meta(2))
    assert chosen is not None
    assert chosen.box == box_around(400, 80)
    boxes.posed(meta(2), pose_at(402, 80), 7)
    chosen = boxes.choose(meta(3))
    assert chosen is not None
    assert chosen.box == box_around(402, 80)
