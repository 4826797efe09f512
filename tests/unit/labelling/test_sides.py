"""Left and right: what is swapped is found, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.labelled import pose

from realtime_cropzoom.labelling.sides import swapped_sides
from realtime_cropzoom.sessions.dlc_csv import read_labels

PAIRS = [(1, 2)]


def poses(count: int) -> np.ndarray:
    return np.array([pose(i) for i in range(count)])


def swap(xy: np.ndarray, frames: list[int]) -> np.ndarray:
    swapped = xy.copy()
    swapped[frames, 1], swapped[frames, 2] = xy[frames, 2], xy[frames, 1]
    return swapped


@pytest.mark.parametrize("frames", [[], [3], [0, 7, 19]])
def test_frames_that_are_swapped_are_found(frames: list[int]) -> None:
    found = swapped_sides(swap(poses(20), frames), PAIRS, ["m"] * 20)
    assert found.get((1, 2), []) == frames


def test_a_recording_that_is_mirrored_as_a_whole_is_found() -> None:
    found = swapped_sides(swap(poses(30), list(range(18, 30))), PAIRS, ["a"] * 18 + ["b"] * 12)
    assert found == {(1, 2): list(range(18, 30))}


def test_an_animal_seen_from_the_side_raises_no_alarm() -> None:
    half = list(range(0, 40, 2))
    assert swapped_sides(swap(poses(40), half), PAIRS, ["m"] * 40) == {}


def test_few_frames_missing_keypoints_and_points_on_a_line_raise_no_alarm() -> None:
    xy = poses(20)
    assert swapped_sides(swap(xy, [0])[:9], PAIRS, ["m"] * 9) == {}
    xy[:, 2] = np.nan
    assert swapped_sides(xy, PAIRS, ["m"] * 20) == {}
    assert swapped_sides(np.zeros((20, 4, 2)), PAIRS, ["m"] * 20) == {}
    assert swapped_sides(np.zeros((0, 4, 2)), PAIRS, []) == {}


def test_on_real_labels_the_swapped_frames_are_found_and_no_other(shared_data: Path) -> None:
    xy = read_labels(shared_data / "openfield" / "CollectedData.csv").xy
    sessions = ["m4s1"] * len(xy)
    assert swapped_sides(xy, PAIRS, sessions) == {}
    for count in (1, 5, 15):
        frames = sorted(np.random.default_rng(count).choice(len(xy), count, replace=False).tolist())
        assert swapped_sides(swap(xy, frames), PAIRS, sessions) == {(1, 2): frames}
