"""Tracks: which detection is which animal, what is missing, and when a swap cannot be excluded."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.animal_scenes import Habits, Scene, unmarked_swaps

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.inference.tracks import Spotted, Track, TrackLimits, Tracks
from realtime_cropzoom.types import Box

pytest.importorskip("scipy", reason="assignment needs scipy, of the extra animals")

STEP_NS = 33_000_000
SIDE = 100

places = st.tuples(st.integers(0, 800), st.integers(0, 600))
frames_of_places = st.lists(st.lists(places, max_size=6, unique=True), min_size=1, max_size=12)


def at(x: float, y: float, score: float = 1.0) -> Spotted:
    return Spotted(Box(x - SIDE / 2, y - SIDE / 2, SIDE, SIDE), score)


def run(animals: int, *frames: Sequence[Spotted]) -> list[tuple[Track, ...]]:
    tracks = Tracks(animals)
    return [tracks.update(index * STEP_NS, found) for index, found in enumerate(frames)]


def boxes(tracks: Sequence[Track]) -> list[Box | None]:
    return [track.box for track in tracks]


@pytest.mark.parametrize("animals", [0, -1, 17])
def test_a_number_of_animals_out_of_range_is_refused(animals: int) -> None:
    with pytest.raises(ConfigError, match=f"animals: got {animals}, expected a whole number from 1 to 16"):
        Tracks(animals)


def test_animals_are_numbered_from_left_to_right_at_first_sight() -> None:
    (tracks,) = run(3, [at(500, 100), at(100, 300), at(300, 50)])
    assert [track.number for track in tracks] == [1, 2, 3]
    assert boxes(tracks) == [at(x, y).box for x, y in ((100, 300), (300, 50), (500, 100))]


def test_an_animal_that_comes_later_gets_the_next_number() -> None:
    _, last = run(2, [at(500, 100)], [at(100, 100), at(500, 100)])
    assert boxes(last) == [at(500, 100).box, at(100, 100).box]


def test_of_too_many_detections_the_surest_begin_tracks() -> None:
    (tracks,) = run(1, [at(100, 100, 0.4), at(500, 100, 0.9)])
    assert boxes(tracks) == [at(500, 100).box]


def test_a_missing_animal_is_missing_and_comes_back_with_its_number() -> None:
    _, missing, back = run(2, [at(100, 100), at(500, 100)], [at(502, 100)], [at(104, 100), at(504, 100)])
    assert boxes(missing) == [None, at(502, 100).box]
    assert boxes(back) == [at(104, 100).box, at(504, 100).box]
    assert not any(track.uncertain for track in back)


def test_a_detection_beyond_the_reach_of_a_track_is_not_its_animal() -> None:
    _, next_frame = run(1, [at(100, 100)], [at(500, 100)])
    assert boxes(next_frame) == [None]


def test_a_seen_animal_keeps_its_detection_although_a_missing_one_could_reach_it() -> None:
    """The missing one could be anywhere after some time, so its costs must not decide."""
    frames = [[at(100, 100), at(500, 100)], *[[at(500 - 5 * i, 100)] for i in range(1, 61)]]
    last = run(2, *frames)[-1]
    assert boxes(last) == [None, at(200, 100).box]
    assert not last[1].uncertain


def test_two_that_walk_through_each_other_are_uncertain_until_they_part() -> None:
    frames = [[at(100 + 10 * i, 100), at(500 - 10 * i, 110)] for i in range(41)]
    tracks = run(2, *frames)
    near = [abs((100 + 10 * i) - (500 - 10 * i)) < SIDE / 2 for i in range(41)]
    assert all(both[0].uncertain and both[1].uncertain for both, is_near in zip(tracks, near, strict=True) if is_near)
    assert not any(track.uncertain for both in (*tracks[:14], *tracks[-14:]) for track in both)
    assert boxes(tracks[-1]) == [at(500, 100).box, at(100, 110).box]  # constant velocity carries them through
    assert [track.meetings for track in tracks[-1]] == [1, 1]


def test_a_third_animal_far_away_stays_certain() -> None:
    tracks = run(3, *[[at(100 + 10 * i, 100), at(300 - 10 * i, 110), at(600, 500)] for i in range(21)])
    assert not any(track.uncertain for frame in tracks for track in frame if track.number == 3)


def test_two_that_become_one_detection_are_uncertain_until_both_are_seen_apart() -> None:
    """One lies under the other and the one that is seen walks off: it could be either."""
    meeting = [[at(100 + 10 * i, 100), at(300 - 10 * i, 100)] for i in range(8)]
    alone = [[at(200, 100 + 10 * i)] for i in range(40)]
    apart = [[at(200, 100), at(200, 490)], [at(190, 100), at(200, 490)]]
    tracks = run(2, *meeting, *alone, *apart)
    seen_alone = tracks[len(meeting) : len(meeting) + len(alone)]
    assert all([track.box is None for track in both].count(True) == 1 for both in seen_alone)
    assert all(track.uncertain for both in seen_alone for track in both)
    assert not any(track.uncertain for track in tracks[-1])


def test_an_exchange_of_places_between_two_rare_detections_is_uncertain() -> None:
    """At two detections per second each could have run to the place of the other."""
    tracks = Tracks(2)
    tracks.update(0, [at(100, 100), at(250, 100)])
    both = tracks.update(500_000_000, [at(110, 100), at(240, 100)])
    assert [track.uncertain for track in both] == [True, True]


def test_one_of_two_missing_animals_that_comes_back_could_be_the_other() -> None:
    both = [at(300, 100), at(500, 100)]
    tracks = run(2, both, *[[] for _ in range(30)], [at(400, 100)])[-1]
    assert [track.box is None for track in tracks].count(True) == 1
    assert [track.uncertain for track in tracks] == [True, True]


def test_an_animal_beside_a_detection_without_a_track_is_uncertain() -> None:
    """A false detection has taken the other track, so the second animal has none; they walk through each other."""
    frames = [[at(700, 500), at(300, 100)], *[[at(700, 500), at(300, 100), at(500 - 10 * i, 100)] for i in range(41)]]
    tracks = run(2, *frames)
    near = [abs(200 - 10 * i) < SIDE / 2 for i in range(41)]
    walker = [both[0] for both in tracks[1:]]
    assert all(track.uncertain for track, is_near in zip(walker, near, strict=True) if is_near)
    assert not walker[0].uncertain
    assert not walker[-1].uncertain
    assert walker[-1].meetings == 1
    assert not any(both[1].uncertain for both in tracks)


@given(frames_of_places, st.integers(1, 5))
@settings(deadline=None, max_examples=40)
def test_no_two_tracks_share_a_detection_and_none_is_made_up(frames: list[list[tuple[int, int]]], animals: int) -> None:
    found = [[at(*place) for place in frame] for frame in frames]
    for frame, tracks in zip(found, run(animals, *found), strict=True):
        used = [track.box for track in tracks if track.box is not None]
        assert len(tracks) == animals
        assert len(used) == len(set(used))
        assert set(used) <= {spotted.box for spotted in frame}


@given(frames_of_places, st.integers(1, 5), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=40)
def test_the_order_of_detections_changes_nothing(
    frames: list[list[tuple[int, int]]], animals: int, random: object
) -> None:
    found = [[at(*place, 0.5 + 0.001 * place[0]) for place in frame] for frame in frames]
    mixed = [sorted(frame, key=lambda spotted: random.random()) for frame in found]  # type: ignore[attr-defined]
    assert run(animals, *found) == run(animals, *mixed)


@given(st.integers(2, 5), st.lists(st.tuples(st.integers(-4, 4), st.integers(-20, 20)), min_size=2, max_size=40))
@settings(deadline=None, max_examples=40)
def test_animals_that_stay_far_apart_never_swap_and_are_never_uncertain(
    animals: int, steps: list[tuple[int, int]]
) -> None:
    """Each walks in a column of its own, and the columns are four boxes apart."""
    columns, frames = [4 * SIDE * n for n in range(animals)], []
    x, y = 0, 0
    for step_x, step_y in steps:
        x, y = max(-SIDE, min(SIDE, x + step_x)), y + step_y
        frames.append([at(column + x * (-1) ** n, y * (n + 1) / animals) for n, column in enumerate(columns)])
    for frame, tracks in zip(frames, run(animals, *frames), strict=True):
        assert boxes(tracks) == [spotted.box for spotted in frame]
        assert not any(track.uncertain or track.meetings for track in tracks)


@given(frames_of_places, st.integers(2, 4))
@settings(deadline=None, max_examples=40)
def test_bodies_that_overlap_are_uncertain(frames: list[list[tuple[int, int]]], animals: int) -> None:
    found = [[at(*place) for place in frame] for frame in frames]
    for tracks in run(animals, *found):
        for one in tracks:
            for other in tracks:
                if one.number < other.number and one.box is not None and other.box is not None:
                    apart = max(abs(one.box.x - other.box.x), abs(one.box.y - other.box.y))
                    assert apart >= SIDE / 2 or (one.uncertain and other.uncertain)


@given(frames_of_places, st.integers(2, 4))
@settings(deadline=None, max_examples=40)
def test_uncertainty_is_mutual_and_meetings_count_its_beginnings(
    frames: list[list[tuple[int, int]]], animals: int
) -> None:
    found = [[at(*place) for place in frame] for frame in frames]
    before, was_beside = (Track(0, None, False, 0),) * animals, False
    for frame, tracks in zip(found, run(animals, *found), strict=True):
        was_beside = was_beside or len(frame) > sum(track.box is not None for track in tracks)
        assert [track.uncertain for track in tracks].count(True) != 1 or was_beside  # a stray detection
        for old, new in zip(before, tracks, strict=True):
            assert new.meetings - old.meetings == (new.uncertain and not old.uncertain)
        before = tracks


@given(frames_of_places, st.integers(1, 4), st.sampled_from([0.5, 2.0, 4.0]))
@settings(deadline=None, max_examples=40)
def test_a_picture_of_another_size_gives_the_same_tracks(
    frames: list[list[tuple[int, int]]], animals: int, factor: float
) -> None:
    def scaled(place: tuple[int, int]) -> Spotted:
        side = round(SIDE * factor)
        return Spotted(Box(place[0] * factor - side / 2, place[1] * factor - side / 2, side, side))

    plain = run(animals, *[[at(*place) for place in frame] for frame in frames])
    other = run(animals, *[[scaled(place) for place in frame] for frame in frames])
    for one, two in zip(plain, other, strict=True):
        assert [track.uncertain for track in one] == [track.uncertain for track in two]
        for a, b in zip(boxes(one), boxes(two), strict=True):
            assert (a is None) == (b is None)
            assert a is None or b is None or math.isclose(a.x * factor, b.x)


def test_a_detection_without_a_track_that_vanishes_beside_an_animal_may_lie_under_it() -> None:
    """A false detection has the other track. The second animal lies on the first one for a second, and walks on."""
    false, first = at(700, 500), at(300, 100)
    comes = [[false, first, at(480 - 10 * i, 100)] for i in range(17)]
    walks = [[false, first, at(320, 120 + 10 * i)] for i in range(30)]
    tracks = run(2, [false, first], *comes, *[[false, first]] * 30, *walks)
    vanished = tracks[1 + len(comes) : 1 + len(comes) + 30]
    assert all(both[0].uncertain for both in vanished)
    assert not tracks[-1][0].uncertain
    assert not any(both[1].uncertain for both in tracks)


def test_a_detection_without_a_track_that_never_comes_back_is_forgotten() -> None:
    flash = [at(700, 500), at(300, 100), at(320, 120)]
    tracks = run(2, flash[:2], flash, *[flash[:2]] * 70)
    assert tracks[1][0].uncertain
    assert tracks[40][0].uncertain
    assert not tracks[-1][0].uncertain
    assert tracks[-1][0].meetings == 1


def test_three_that_could_have_changed_places_in_a_ring_are_uncertain() -> None:
    """No two of them could have changed places: each reaches the place of the next only."""
    tracks = Tracks(3, TrackLimits(noise=1.05, speed=0.0))
    begin = [(0.0, 0.0), (200.0, 0.0), (100.0, 173.0)]
    tracks.update(0, [at(*place) for place in begin])
    pairs = zip(begin, [*begin[1:], begin[0]], strict=True)  # each goes nearly half of the way to the next
    now = [(x + 0.49 * (to_x - x), y + 0.49 * (to_y - y)) for (x, y), (to_x, to_y) in pairs]
    assert all(math.dist(one, other) > 0.9 * SIDE for one, other in itertools.combinations(now, 2))
    assert [track.uncertain for track in tracks.update(STEP_NS, [at(*place) for place in now])] == [True, True, True]


def test_one_of_two_that_remains_could_be_either() -> None:
    """At two detections per second both could have run to the only place where one is found."""
    tracks = Tracks(2)
    tracks.update(0, [at(100, 100), at(300, 100)])
    assert [track.uncertain for track in tracks.update(500_000_000, [at(190, 100)])] == [True, True]


def test_an_animal_that_comes_back_may_be_one_that_nobody_has_seen_yet() -> None:
    """One of two is put into the arena later, while the other one is out of sight."""
    hidden: list[list[Spotted]] = [[] for _ in range(30)]
    *_, back = run(2, [at(100, 100)], *hidden, [at(500, 100)])
    assert back[0].uncertain
    *_, both = run(2, [at(100, 100)], *hidden, [at(500, 100)], [at(500, 100), at(100, 100)])
    assert [track.uncertain for track in both] == [False, False]
    *_, flickered = run(2, [at(100, 100)], [], [], [at(102, 100)])
    assert not flickered[0].uncertain


def test_an_animal_that_does_not_move_is_seen_in_every_frame() -> None:
    frames = [[at(100, 100), at(500 + 3 * (i % 30), 100)] for i in range(300)]
    for tracks in run(2, *frames):
        assert boxes(tracks)[0] == at(100, 100).box
        assert not tracks[0].uncertain


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
@settings(deadline=None, max_examples=40)
def test_detections_that_flicker_between_none_and_two_leave_each_animal_its_number(
    seen: list[tuple[bool, bool]],
) -> None:
    """Both are missing exactly where they were not found, and are what they were when they come back."""
    both = [at(100, 100), at(700, 100)]
    tracks = run(2, both, *[[one for one, is_seen in zip(both, frame, strict=True) if is_seen] for frame in seen])
    for frame, pair in zip([(True, True), *seen], tracks, strict=True):
        assert boxes(pair) == [one.box if is_seen else None for one, is_seen in zip(both, frame, strict=True)]


@given(places, st.integers(1, 30))
@settings(deadline=None, max_examples=40)
def test_a_third_detection_of_two_animals_changes_no_track(third: tuple[int, int], frames: int) -> None:
    both = [at(100, 100), at(700, 500)]
    tracks = run(2, both, *[[*both, at(*third, 0.99)]] * frames)
    assume(third not in [(100, 100), (700, 500)])
    for pair in tracks:
        assert boxes(pair) == [one.box for one in both]
    near = [max(abs(third[0] - x), abs(third[1] - y)) < SIDE / 2 for x, y in ((100, 100), (700, 500))]
    assert [track.uncertain for track in tracks[-1]] == near


seeds, numbers, steps_ms = st.integers(0, 10**6), st.integers(2, 4), st.sampled_from([33.3, 100.0, 500.0])
all_habits = st.sampled_from(
    [
        Habits(),
        Habits(absent=0, dead=1),
        Habits(flicker=0.15),
        Habits(hides=0.5),
        Habits(twice=0.3, flicker=0.05),
        Habits(hides=0.4, flicker=0.1, absent=0),
    ]
)


@given(seeds, numbers, steps_ms, all_habits)
@settings(deadline=None, max_examples=80, derandomize=True)
def test_a_track_changes_its_animal_only_while_it_is_uncertain(
    seed: int, animals: int, step_ms: float, habits: Habits
) -> None:
    """Animals walk over each other, hide, come in late, lie still, are missed, or are found twice."""
    scene = Scene.make(seed, animals, step_ms, habits)
    assert unmarked_swaps(scene, scene.track(animals)) == []


@given(seeds, numbers, st.integers(1, 6), steps_ms, st.booleans())
@settings(deadline=None, max_examples=60)
def test_whatever_is_found_each_track_has_one_detection_of_its_own_or_none(
    seed: int, animals: int, tracks: int, step_ms: float, twice: bool
) -> None:
    """With too few tracks and too many, and with detections of nothing."""
    scene = Scene.make(seed, animals, step_ms, Habits(hides=0.5, flicker=0.2, false=0.3, twice=0.3 * twice))
    for found, tracked in zip(scene.found(), scene.track(tracks), strict=True):
        used = [track.box for track in tracked if track.box is not None]
        assert [track.number for track in tracked] == list(range(1, tracks + 1))
        assert set(used) <= {spotted.box for spotted in found}
        assert len(used) <= min(tracks, len(found))
        for one, other in itertools.combinations(used, 2):
            assert math.hypot(one.x - other.x, one.y - other.y) >= 0.15 * SIDE, "a copy"
