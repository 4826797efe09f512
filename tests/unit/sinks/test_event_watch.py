"""Event watch: a change is news once it has lasted, and counts from its first frame."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.sinks.event_watch import LASTING_NS, AnimalWatch, StreamWatch
from realtime_cropzoom.types import FrameMeta, State, StreamState

FPS = 10
THERE, GONE, COASTING = State.TRACKING, State.LOST, State.COASTING


def news(states: list[State]) -> list[tuple[str, int]]:
    """The events of frames at 10 fps: kind and frame."""
    watch = AnimalWatch()
    seen = [watch.see(FrameMeta(i, i * 10**9 // FPS, None, 0), state) for i, state in enumerate(states)]
    return [(kind, meta.index) for kind, meta in filter(None, seen)]


def test_the_animal_is_found_and_lost_from_the_first_frame_of_that_on() -> None:
    assert news([State.SEARCHING] * 5 + [THERE] * 30 + [COASTING] * 5 + [GONE] * 20 + [THERE] * 12) == [
        ("found", 5),
        ("lost", 40),
        ("found", 60),
    ]


def test_what_does_not_last_is_no_news() -> None:
    assert news([THERE] * 10) == []
    assert news([THERE] * 11) == [("found", 0)]
    assert news([THERE] * 30 + ([GONE] * 10 + [THERE] * 3) * 4) == [("found", 0)]
    assert news([THERE] + [COASTING] * 10 + [GONE] * 30) == [], "one likely frame is no animal"
    assert news([THERE, COASTING] * 20) == [("found", 0)], "what is seen now and then is there"


@given(st.lists(st.sampled_from(list(State)), max_size=120))
def test_news_alternate_and_each_has_lasted(states: list[State]) -> None:
    told = news(states)
    assert [kind for kind, _ in told] == [
        kind for kind, _ in zip(itertools.cycle(["found", "lost"]), told, strict=False)
    ]
    frames = [frame for _, frame in told]
    assert frames == sorted(frames)
    for kind, frame in told:
        lasting = states[frame : frame + LASTING_NS * FPS // 10**9 + 1]
        against = {State.LOST, State.SEARCHING} if kind == "found" else {State.TRACKING}
        assert not against & set(lasting)
        assert (states[frame] is State.TRACKING) == (kind == "found")


def test_a_stream_that_stands_still_is_told_once_and_how_long_it_took() -> None:
    watch, live = StreamWatch(), StreamState.LIVE
    states = [live, StreamState.STALLED, StreamState.RECONNECTING, StreamState.RECONNECTING, live, live]
    assert [watch.see(state, i * 10**9) for i, state in enumerate(states)] == [
        *(None, ("stalled", "no frame arrives"), ("stalled", "the source broke off"), None),
        *(("reconnected", "frames arrive again after 3.0 s"), None),
    ]
    assert watch.see(StreamState.ENDED, 6 * 10**9) is None
