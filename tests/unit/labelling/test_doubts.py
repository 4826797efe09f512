"""Doubtful frames: each cause is found, says its reason, and has its share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_cropzoom.labelling.doubts import DOUBT, EDGE, JUMP, LIKELIHOOD, LOST, REST, Doubt, find_doubts, spread
from realtime_cropzoom.types import Float64

NAMES = ("nose", "tail")
N = 300


def session() -> tuple[Float64, Float64, list[str], list[str]]:
    """Return an animal of 50 pixels that walks to the right, one pixel per frame, in a box of 200, surely found."""
    x = np.arange(N, dtype=float)
    poses = np.ones((N, 2, 3))
    poses[:, :, 0] = x[:, None] + [100, 150]
    poses[:, :, 1] = 200
    boxes = np.column_stack([x + 25, np.full(N, 100), np.full(N, 200), np.full(N, 200)])
    return poses, boxes, ["tracking"] * N, [""] * N


def test_a_sure_session_has_no_doubtful_frame() -> None:
    poses, boxes, states, reasons = session()
    assert {*find_doubts(poses, boxes, states, reasons, NAMES)} == {REST}


def test_each_cause_is_found_with_its_reason() -> None:
    poses, boxes, states, reasons = session()
    poses[10, :, 2] = [0.5, 0.2]
    poses[11, :, 2] = [0.9, 0.25]
    poses[50:60], boxes[50:60] = np.nan, np.nan
    states[50:60] = ["lost"] * 10
    poses[100, 1, 0] += 70
    poses[100, 1, 2] = 0.6
    boxes[150, 0] = poses[150, 0, 0] - 3
    reasons[200] = "shape"
    found = find_doubts(poses, boxes, states, reasons, NAMES)
    assert found[LIKELIHOOD] == [
        Doubt(10, LIKELIHOOD, "likelihood 0.35, tail 0.20"),
        Doubt(11, LIKELIHOOD, "likelihood 0.57, tail 0.25"),
    ]
    assert [doubt.frame for doubt in found[LOST]] == [50, 55, 51, 52, 53, 54, 56, 57, 58, 59]
    assert {doubt.why for doubt in found[LOST]} == {"not found since frame 50"}
    assert found[JUMP] == [Doubt(100, JUMP, "tail jumps 71 px")], "the less likely of the two frames, once"
    assert [(doubt.frame, doubt.why) for doubt in found[EDGE]] == [
        (150, "nose at the edge of the box"),
        (100, "tail at the edge of the box"),
    ]
    assert found[DOUBT] == [Doubt(200, DOUBT, "not plausible: shape")]


def test_predictions_without_states_are_lost_where_there_is_no_pose() -> None:
    poses, boxes, _, reasons = session()
    poses[7] = np.nan
    assert [d.frame for d in find_doubts(poses, boxes, [""] * N, reasons, NAMES)[LOST]] == [7]


def test_frames_that_a_run_skipped_are_no_doubtful_ones() -> None:
    poses, boxes, states, reasons = session()
    poses[7], states[7] = np.nan, ""
    assert LOST not in find_doubts(poses, boxes, states, reasons, NAMES)


@pytest.mark.parametrize("empty", ["poses", "likelihoods", "boxes", "one frame"])
def test_what_is_missing_gives_no_error(empty: str) -> None:
    poses, boxes, states, reasons = session()
    if empty == "poses":
        poses[:] = np.nan
    elif empty == "likelihoods":
        poses[:, :, 2] = np.nan
    elif empty == "boxes":
        boxes[:] = np.nan
    else:
        poses, boxes, states, reasons = poses[:1], boxes[:1], states[:1], reasons[:1]
    find_doubts(poses, boxes, states, reasons, NAMES)


def doubts(cause: str, frames: list[int]) -> list[Doubt]:
    return [Doubt(frame, cause, "") for frame in frames]


def test_causes_take_turns_and_frames_are_far_apart() -> None:
    found = {LIKELIHOOD: doubts(LIKELIHOOD, list(range(0, 1000))), JUMP: doubts(JUMP, [500, 501, 502, 990])}
    chosen = spread(found, 1000, 8, 30, lambda doubt: True)
    assert sorted(doubt.cause for doubt in chosen).count(JUMP) == 2, "502 and 501 are next to 500"
    frames = sorted(doubt.frame for doubt in chosen)
    assert len(frames) == 8
    assert np.diff(frames).min() >= 62


def test_other_frames_fill_up_what_is_left() -> None:
    found = {JUMP: doubts(JUMP, [100]), REST: doubts(REST, list(range(1000)))}
    chosen = spread(found, 1000, 5, 30, lambda doubt: True)
    assert [doubt.cause for doubt in chosen] == [JUMP, REST, REST, REST, REST]


@settings(deadline=None, max_examples=50)
@given(
    st.dictionaries(st.sampled_from([LIKELIHOOD, LOST, JUMP, REST]), st.lists(st.integers(0, 299), max_size=40)),
    st.integers(1, 30),
    st.sets(st.integers(0, 299)),
)
def test_no_more_than_asked_for_none_refused_and_none_near_another(
    frames: dict[str, list[int]], count: int, refused: set[int]
) -> None:
    found = {cause: doubts(cause, numbers) for cause, numbers in frames.items()}
    chosen = [doubt.frame for doubt in spread(found, 300, count, 30, lambda doubt: doubt.frame not in refused)]
    assert len(chosen) <= count
    assert not refused & {*chosen}
    assert len(chosen) < 2 or np.diff(sorted(chosen)).min() >= 9
