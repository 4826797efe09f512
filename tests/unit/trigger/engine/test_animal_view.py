"""One animal as rules see it: what is forgotten when it may be another one."""

from __future__ import annotations

from collections.abc import Mapping

from realtime_cropzoom.trigger.engine.animal_view import AnimalView, ViewKey
from realtime_cropzoom.trigger.engine.pose_sample import KeypointPosition, Moving, PoseSample
from realtime_cropzoom.trigger.engine.trajectory import Track

MS = 1_000_000


class Counted:
    """A filter that says how many frames it has seen since it was reset."""

    def __init__(self) -> None:
        self.seen = 0

    def update(self, captured_ns: int, keypoints: Mapping[str, object]) -> Mapping[str, Moving]:
        self.seen += 1
        return {"snout": (float(self.seen), 0.0, 0.0, 0.0)}

    def reset(self) -> None:
        self.seen = 0

    def another(self) -> Counted:
        return Counted()


def look(*, refuses: bool, seen: list[tuple[bool, int]]) -> tuple[list[bool], list[int], list[float]]:
    """Show samples, each (uncertain, meetings); return for each whether it is exchangeable, the lengths of the track,
    and the frames that the filter knows."""
    view, track = AnimalView(ViewKey("animal1", refuses), Counted()), Track(KeypointPosition("snout", 0.0, None), 10**9)
    track.keep_ns = 10**12
    exchangeable, lengths, known = [], [], []
    for number, (uncertain, meetings) in enumerate(seen):
        sample = PoseSample(number, number * 10 * MS, 5.0, "tracking", {"snout": (1.0, 1.0, 0.9)})
        sample.uncertain = uncertain
        view.see(sample, meetings, [track], None)
        exchangeable.append(sample.exchangeable)
        lengths.append(len(track.points))
        known.append((sample.moving or {}).get("snout", (0.0,))[0])
    return exchangeable, lengths, known


MEETING = [(False, 0), (False, 0), (True, 1), (True, 1), (False, 1), (False, 1)]


def test_an_uncertain_animal_is_forgotten_until_it_is_certain() -> None:
    exchangeable, lengths, known = look(refuses=True, seen=MEETING)
    assert exchangeable == [False, False, True, True, False, False]
    assert lengths == [1, 2, 0, 0, 1, 2]
    assert known == [1, 2, 0, 0, 1, 2]


def test_a_meeting_that_no_frame_showed_counts() -> None:
    exchangeable, lengths, known = look(refuses=True, seen=[(False, 0), (False, 0), (False, 2), (False, 2)])
    assert exchangeable == [False, False, True, False]
    assert lengths == known == [1, 2, 1, 2]


def test_rules_that_allow_uncertain_animals_see_them_as_one() -> None:
    exchangeable, lengths, known = look(refuses=False, seen=MEETING)
    assert not any(exchangeable)
    assert lengths == known == [1, 2, 3, 4, 5, 6]


def test_the_first_sample_is_no_meeting() -> None:
    assert look(refuses=True, seen=[(False, 7), (False, 7)])[0] == [False, False]
