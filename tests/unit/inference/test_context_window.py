"""Which frames a context model is shown for which answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.inference.context_window import CONTEXT_RADIUS, ContextWindow


def answers(count: int, context_radius: int) -> list[tuple[int, tuple[int, ...]]]:
    """For each frame, in the order of the answers: the frame and the window its answer came from."""
    window: ContextWindow[int] = ContextWindow(context_radius)
    found: list[tuple[int, tuple[int, ...]]] = []
    for frame in range(count):
        if question := window.push(frame):
            found += [(owner, question.window) for owner in question.answers]
    question, repeats = window.flush()
    if question:
        found += [(owner, question.window) for owner in question.answers]
    return found + [(owner, found[-1][1]) for owner in repeats]


@given(st.integers(0, 40), st.sampled_from([0, CONTEXT_RADIUS]))
def test_every_frame_gets_one_answer_in_order(count: int, context_radius: int) -> None:
    assert [frame for frame, _ in answers(count, context_radius)] == list(range(count))


@given(st.integers(5, 40))
def test_frames_are_answered_from_the_five_around_them_and_the_ends_repeat_their_neighbour(count: int) -> None:
    for frame, window in answers(count, CONTEXT_RADIUS):
        middle = min(max(frame, 2), count - 3)
        assert window == tuple(range(middle - 2, middle + 3))


@pytest.mark.parametrize(
    ("count", "window"), [(1, (0, 0, 0, 0, 0)), (2, (0, 0, 1, 1, 1)), (3, (0, 0, 1, 2, 2)), (4, (0, 1, 2, 3, 3))]
)
def test_a_sequence_shorter_than_the_window_is_asked_about_once(count: int, window: tuple[int, ...]) -> None:
    assert answers(count, CONTEXT_RADIUS) == [(frame, window) for frame in range(count)]


def test_an_answer_comes_two_frames_after_its_frame() -> None:
    window: ContextWindow[int] = ContextWindow(CONTEXT_RADIUS)
    assert [window.push(frame) is not None for frame in range(7)] == [False, False, False, False, True, True, True]


def test_a_flushed_window_starts_a_new_sequence() -> None:
    window: ContextWindow[int] = ContextWindow(CONTEXT_RADIUS)
    for frame in range(5):
        window.push(frame)
    assert window.flush() == (None, (3, 4))
    assert window.push(9) is None
    assert window.flush()[0] is not None


def test_a_model_without_context_answers_at_once_and_leaves_nothing() -> None:
    window: ContextWindow[int] = ContextWindow(0)
    question = window.push(3)
    assert question is not None
    assert (question.window, question.answers, question.middle) == ((3,), (3,), 3)
    assert window.flush() == (None, ())
