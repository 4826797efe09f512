"""Copies: a pose that belongs to the animal of another box is no pose of its own."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_cropzoom.inference.copies import find_copies
from realtime_cropzoom.types import Box, Keypoints

SIDE = 240
SHAPE = np.array([[0, -50], [-12, -30], [12, -30], [0, 50]], np.float32)


def box(x: float, y: float) -> Box:
    return Box(x - SIDE / 2, y - SIDE / 2, SIDE, SIDE)


def pose(x: float, y: float) -> Keypoints:
    return Keypoints((SHAPE + np.array([x, y])).astype(np.float32), np.ones(4, np.float32))


def test_of_two_equal_poses_that_in_the_middle_of_its_box_counts() -> None:
    assert find_copies([pose(100, 100), pose(101, 99)], [box(104, 100), box(150, 100)]) == {1}
    assert find_copies([pose(149, 100), pose(150, 99)], [box(104, 100), box(150, 100)]) == {0}


def test_two_animals_side_by_side_are_two() -> None:
    assert find_copies([pose(100, 100), pose(145, 100)], [box(100, 100), box(145, 100)]) == set()


def test_a_pose_on_the_animal_of_another_box_is_not_its_own() -> None:
    """The other animal has no pose in this frame, and still it is the other one."""
    nothing = Keypoints(np.full((4, 2), np.nan, np.float32), np.zeros(4, np.float32))
    assert find_copies([pose(250, 100), nothing], [box(100, 100), box(240, 100)]) == {0}


def test_a_pose_far_from_its_box_is_kept_if_no_other_animal_is_there() -> None:
    assert find_copies([pose(180, 100), pose(500, 400)], [box(100, 100), box(500, 400)]) == set()


def test_one_pose_or_none_is_no_copy() -> None:
    assert find_copies([], []) == set()
    assert find_copies([pose(0, 0)], [box(100, 100)]) == set()


places = st.tuples(st.integers(0, 600), st.integers(0, 400))


@given(st.lists(st.tuples(places, st.tuples(st.integers(-100, 100), st.integers(-100, 100))), min_size=2, max_size=5))
@settings(max_examples=60, deadline=None)
def test_no_two_poses_that_are_left_are_the_same(animals: list[tuple[tuple[int, int], tuple[int, int]]]) -> None:
    boxes = [box(*place) for place, _ in animals]
    poses = [pose(x + dx, y + dy) for (x, y), (dx, dy) in animals]
    left = sorted(set(range(len(poses))) - find_copies(poses, boxes))
    for one in left:
        for other in left:
            assert one == other or np.median(np.hypot(*(poses[one].xy - poses[other].xy).T)) >= 0.1 * SIDE
