"""Rules on any or all of several animals: what they decide, beside a plain evaluation of the whole history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.pose_streams import Bench, animal, animals, one_rule, order, rules, verdicts

from realtime_cropzoom.trigger.engine.engine import Engine
from realtime_cropzoom.trigger.engine.events import AnimalPose, Decision, NewRules, Verdict
from realtime_cropzoom.trigger.engine.factory import build_smoother

INSIDE = "{inside: left_half, keypoint: snout}"
ENTERED = "{entered: left_half, keypoint: snout}"
IN, OUT = 300.0, 400.0
BRIDGE_MS = 100


class Arena(Bench):
    """An engine that is fed frames with several animals, every 10 ms."""

    def show(self, *seen: AnimalPose | float, after_ms: float = 10.0) -> list[Decision]:
        """One frame: each animal, or only where its snout is."""
        shown = [one if isinstance(one, AnimalPose) else animal(i, one) for i, one in enumerate(seen, start=1)]
        event = animals(self.frame, self.at_ms, *shown)
        self.frame += 1
        self.at_ms += after_ms
        return self.take(event)

    def on(self) -> bool:
        return bool(self.engine.holding)


def said(decisions: list[Decision], *which: str) -> list[tuple[int | None, str | None, str]]:
    return [(d.frame, d.region, d.reason) for d in decisions if str(d.verdict) in which]


def fired(arena: Arena) -> list[tuple[int | None, str | None]]:
    return [(frame, animal) for frame, animal, _ in said(arena.decisions, "fired")]


def uncertain(number: int, x: float = IN, meetings: int = 1) -> AnimalPose:
    return animal(number, x, uncertain=True, meetings=meetings)


def met(number: int, x: float = IN, meetings: int = 1) -> AnimalPose:
    return animal(number, x, meetings=meetings)


def lost(number: int) -> AnimalPose:
    return animal(number, None, state="lost")


def test_any_holds_while_one_animal_is_inside_and_says_which() -> None:
    arena = Arena(one_rule(INSIDE, animal="any", hold=True))
    on = [(arena.show(a, b), arena.on())[1] for a, b in [(OUT, OUT), (OUT, IN), (IN, IN), (IN, OUT), (OUT, OUT)]]
    assert on == [False, True, True, True, False]
    assert said(arena.decisions, "fired", "released") == [
        (1, "animal2", "animal2: snout inside left_half (300.0, 100.0)"),
        (4, "animal1", "no longer holds"),
    ]


def test_both_animals_that_fire_at_once_are_named() -> None:
    arena = Arena(one_rule(INSIDE, animal="any"))
    arena.show(IN, IN, OUT)
    (decision,) = arena.decisions
    assert decision.region == "animal1;animal2"
    assert decision.reason == (
        "animal1: snout inside left_half (300.0, 100.0); animal2: snout inside left_half (300.0, 100.0)"
    )


def test_all_holds_while_each_animal_is_inside() -> None:
    arena = Arena(one_rule(INSIDE, animal="all", hold=True))
    on = [(arena.show(a, b), arena.on())[1] for a, b in [(IN, OUT), (IN, IN), (IN, IN), (OUT, IN)]]
    assert on == [False, True, True, False]
    assert fired(arena) == [(1, "animal1;animal2")]


@pytest.mark.parametrize(
    "doubtful", [uncertain(2), lost(2), animal(2, IN, p=0.1)], ids=["uncertain", "lost", "unlikely"]
)
def test_an_animal_in_doubt_does_not_count(doubtful: AnimalPose) -> None:
    anyone, everyone = (Arena(one_rule(INSIDE, animal=which, hold=True)) for which in ("any", "all"))
    for arena in (anyone, everyone):
        arena.show(IN, doubtful)
    assert anyone.on(), "the other one is certain"
    assert not everyone.on()
    for arena in (anyone, everyone):
        arena.show(OUT, doubtful)
        assert not arena.on()


def test_all_goes_off_at_once_when_an_animal_goes_missing() -> None:
    arena = Arena(one_rule(INSIDE, animal="all", hold=True))
    arena.show(IN, IN)
    arena.show(IN, lost(2))
    assert said(arena.decisions, "released", "refused") == [
        (1, "animal1;animal2", "animal2: state lost"),
        (1, "animal2", "animal2: state lost"),
    ]
    arena.show(IN, IN)
    assert verdicts(arena.decisions) == ["fired", "released", "refused", "resumed"]


def test_another_animal_does_not_continue_the_duration() -> None:
    """Each is inside for 40 ms, one after the other: none for 50 ms."""
    arena = Arena(one_rule(INSIDE, animal="any", for_ms=50))
    for n in range(30):
        arena.show(IN if n % 10 < 5 else OUT, IN if n % 10 >= 5 else OUT)
    assert fired(arena) == []
    for _ in range(5):
        arena.show(OUT, IN)
    assert fired(arena) == [(30, "animal2")]


def test_the_output_stays_on_if_the_next_animal_has_its_own_duration() -> None:
    arena = Arena(one_rule(INSIDE, animal="any", for_ms=50, hold=True))
    for n in range(20):
        arena.show(IN if n < 12 else OUT, IN if n >= 5 else OUT)
    assert verdicts(arena.decisions) == ["fired"]
    assert arena.on()
    again = Arena(one_rule(INSIDE, animal="any", for_ms=50, hold=True))
    for n in range(20):
        again.show(IN if n < 12 else OUT, IN if n >= 10 else OUT)
    assert said(again.decisions, "fired", "released") == [
        (5, "animal1", "animal1: snout inside left_half (300.0, 100.0) for 50 ms"),
        (12, "animal1", "no longer holds"),
        (15, "animal2", "animal2: snout inside left_half (300.0, 100.0) for 50 ms"),
    ]


def test_each_entry_fires_also_when_two_follow_at_once() -> None:
    arena = Arena(one_rule(ENTERED, animal="any"))
    for a, b in [(OUT, OUT), (IN, OUT), (IN, IN), (IN, IN)]:
        arena.show(a, b)
    assert fired(arena) == [(1, "animal1"), (2, "animal2")]


def test_an_animal_that_takes_over_in_the_same_frame_is_a_new_firing() -> None:
    arena = Arena(one_rule(INSIDE, animal="any", hold=True))
    arena.show(IN, OUT)
    arena.show(OUT, IN)
    assert said(arena.decisions, "fired", "released") == [
        (0, "animal1", "animal1: snout inside left_half (300.0, 100.0)"),
        (1, "animal1", "holds for another animal"),
        (1, "animal2", "animal2: snout inside left_half (300.0, 100.0)"),
    ]


def test_all_must_have_held_together_for_the_duration() -> None:
    arena = Arena(one_rule(INSIDE, animal="all", for_ms=50))
    for n in range(20):
        arena.show(IN if n >= 5 else OUT, IN)
    assert fired(arena) == [(10, "animal1;animal2")]


@pytest.mark.parametrize("which", [1, "any", "all"])
def test_a_duration_begins_anew_when_an_animal_may_be_another_one(which: Any) -> None:
    """A meeting of one frame is shorter than bridge_ms. Whoever it is afterwards, it has not been there for 100 ms."""
    arena = Arena(one_rule(INSIDE, animal=which, for_ms=100))
    for _ in range(9):
        arena.show(IN, IN)
    arena.show(uncertain(1), uncertain(2))
    for _ in range(11):
        arena.show(met(1), met(2))
    assert [frame for frame, _ in fired(arena)] == [20]


def test_an_entry_needs_an_animal_that_is_the_same() -> None:
    """Animal 1 was outside. After the meeting the number is on the other one, which was inside all the time."""
    arena = Arena(one_rule(ENTERED, animal=1))
    arena.show(OUT, IN)
    arena.show(uncertain(1, OUT), uncertain(2))
    arena.show(met(1), met(2, OUT))
    assert fired(arena) == []


def test_a_meeting_between_two_frames_that_came_counts() -> None:
    arena = Arena(one_rule(ENTERED, animal=1))
    arena.show(OUT, IN)
    arena.show(met(1), met(2, OUT))
    assert fired(arena) == []
    arena.show(met(1, OUT), met(2, OUT))
    arena.show(met(1), met(2, OUT))
    assert fired(arena) == [(3, "animal1")]


def test_a_hold_that_comes_back_after_a_meeting_is_a_new_firing() -> None:
    """It may be another animal: its limits and its draw count anew."""
    arena = Arena(one_rule(INSIDE, animal=1, hold=True))
    for shown in ((IN, OUT), (uncertain(1), uncertain(2)), (met(1), met(2, OUT))):
        arena.show(*shown)
    assert verdicts(arena.decisions, "fired", "resumed", "released") == ["fired", "released", "fired"]
    assert said(arena.decisions, "released") == [(1, "animal1", "uncertain: it may be another animal")]


def test_a_rule_that_allows_uncertain_animals_goes_on() -> None:
    arena = Arena(one_rule(INSIDE, animal="any", hold=True, for_ms=30, uncertain="allow"))
    for n in range(10):
        arena.show(uncertain(1, meetings=n), uncertain(2, OUT, meetings=n))
    assert verdicts(arena.decisions) == ["fired"]
    assert arena.on()


@pytest.mark.parametrize("filtered", [{}, {"filter": "kalman"}, {"filter": "one_euro"}])
def test_a_speed_does_not_go_from_one_animal_to_the_other(filtered: dict[str, Any]) -> None:
    """Two stand still, 100 px apart, and change their numbers in a meeting: nobody moves. Then one does."""
    built = one_rule("{speed_px_per_s: snout, above: 100, over_ms: 30}", animal="any", **filtered)
    arena = Arena(built, smoother=build_smoother(built))
    for _ in range(10):
        arena.show(IN, OUT)
    arena.show(uncertain(1, IN), uncertain(2, OUT))
    for _ in range(20):
        arena.show(met(1, OUT), met(2, IN))
    assert fired(arena) == []
    for n in range(20):
        arena.show(met(1, OUT), met(2, IN + 4 * n))
    assert [who for _, who in fired(arena)] == ["animal2"]


def test_a_frame_with_other_animals_than_the_run_has_is_ignored() -> None:
    """With one animal less, all would hold for the others."""
    arena = Arena(one_rule(INSIDE, animal="all"))
    arena.show(OUT, IN, IN)
    arena.take(animals(90, 20.0, animal(2, IN), animal(3, IN)))
    arena.take(animals(91, 20.0, animal(1, IN), animal(2, IN)))
    arena.take(animals(92, 20.0, *(animal(n, IN) for n in range(1, 18))))
    assert fired(arena) == []
    assert arena.engine.ignored == 3


def test_the_next_run_may_have_other_animals() -> None:
    arena = Arena(one_rule(INSIDE, animal="all"))
    arena.show(OUT, IN, IN)
    arena.take(animals(0, 100.0, animal(1, IN), animal(2, IN), run="next"))
    assert fired(arena) == [(0, "animal1;animal2")]


def test_limits_are_of_the_rule_and_not_of_each_animal() -> None:
    arena = Arena(one_rule(ENTERED, animal="any", refractory_ms=1000, max_fired=2))
    for n in range(300):
        arena.show(IN if n % 4 < 2 else OUT, OUT if n % 4 < 2 else IN)
    assert [frame for frame, _ in fired(arena)] == [2, 102]


def test_rules_that_replace_others_know_the_animals() -> None:
    """New rules come in the middle of a run, and a rule that does not change keeps what it knows."""
    when = f"{{when: {INSIDE}, fire: laser, hold: true, animal: any}}"
    arena = Arena(rules(f"{{a: {when}}}"))
    arena.show(IN, OUT)
    new = rules(f"{{a: {when}, b: {{when: {INSIDE}, fire: marks, pulse_ms: 5, animal: all}}}}")
    content = new.model_dump(mode="json", by_alias=True, exclude_unset=True)
    arena.take(NewRules(arena.decisions[-1].now_ns, rules=content, by="page", number=2))
    assert arena.engine.holding == ("a",)
    arena.take(order("arm", arena.at_ms))
    arena.show(IN, IN)
    assert [(d.rule, d.region) for d in arena.decisions if d.verdict is Verdict.FIRED] == [
        ("a", "animal1"),
        ("b", "animal1;animal2"),
    ]


NEAR = "{distance_between_animals_px: [snout, tailbase], below: 50}"


def body(number: int, x: float, tail_x: float | None, **others: Any) -> AnimalPose:
    return animal(number, x, tailbase=(tail_x, 100.0, 0.9), **others)


def test_the_distance_is_from_a_snout_to_the_nearest_other_tailbase() -> None:
    arena = Arena(one_rule(NEAR, animal="any", hold=True))
    arena.show(body(1, 100, 60), body(2, 300, 260), body(3, 500, 310))
    assert fired(arena) == [(0, "animal2")]
    assert arena.decisions[0].reason == "animal2: distance snout–tailbase of animal3 10 px"
    arena.show(body(1, 100, 60), body(2, 300, 260), body(3, 500, 460))
    assert not arena.on(), "an animal's own tailbase is no other's"


def test_a_distance_is_known_if_the_others_that_are_known_are_near() -> None:
    """An animal that is missing cannot be further away than below: it may be nearer."""
    away = "{distance_between_animals_px: [snout, snout], above: 50}"
    for missing in (lost(3), body(3, 100, 60, uncertain=True)):
        near, apart = (Arena(one_rule(when, animal=1, hold=True)) for when in (NEAR, away))
        near.show(body(1, 100, 60), body(2, 300, 110), missing)
        assert near.on()
        near.show(body(1, 100, 60), body(2, 300, 260), missing)
        assert not near.on()
        apart.show(body(1, 100, 60), body(2, 300, 110), body(3, 300, 110))
        assert apart.on()
        apart.show(body(1, 100, 60), body(2, 300, 110), missing)
        assert not apart.on(), "the missing one may be near"
        opposite = Arena(one_rule(f"{{not: {NEAR}}}", animal=1, hold=True))
        opposite.show(body(1, 100, 60), body(2, 300, 260), missing)
        assert not opposite.on(), "the missing one may be near"
        assert said(apart.decisions, "released")[-1][2].startswith("animal3 is not known (")


def test_a_distance_needs_another_animal() -> None:
    arena = Arena(one_rule(NEAR, animal=1))
    arena.show(body(1, 100, 60), lost(2))
    assert said(arena.decisions, "refused") == [(0, "animal1", "animal2 is not known (state lost)")]


def test_a_rule_that_cannot_be_built_is_refused_before_animals_come() -> None:
    built = one_rule("{distance_between_animals_cm: [snout, snout], below: 9}", animal="any", calibration="arena.yaml")
    with pytest.raises(ValueError, match="rules in cm, but no calibration was given"):
        Engine(built, 1)


@pytest.mark.parametrize(
    ("which", "count", "line"),
    [
        ("any", 1, "rules.r: says animal: any, but the run follows one; leave it out"),
        ("any", 2, None),
        ("all", 16, None),
    ],
)
def test_any_and_all_need_a_run_with_several(which: str, count: int, line: str | None) -> None:
    assert one_rule(INSIDE, animal=which).unfit_regions([], count) == ([] if line is None else [line])


def test_a_distance_between_animals_needs_a_run_with_several() -> None:
    assert one_rule(NEAR).unfit_regions([]) == [
        "rules.r: has distance_between_animals_px, but the run follows one animal; leave it out"
    ]


@dataclass(frozen=True)
class Seen:
    """What a frame shows of one animal."""

    inside: bool | None
    """None: not known."""
    uncertain: bool = False
    met: bool = False
    """Whether it has met another one since the frame before."""


looks = st.builds(
    Seen,
    st.sampled_from([True, True, True, False, None]),
    st.integers(0, 7).map(lambda n: n == 0),
    st.integers(0, 15).map(lambda n: n == 0),
)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, list[Seen]]]:
    """Frames: the time since the one before (ms), and what it shows of each of two or three animals."""
    count = draw(st.integers(2, 3))
    steps = st.sampled_from([10, 10, 10, 10, 40, 150])
    return draw(st.lists(st.tuples(steps, st.lists(looks, min_size=count, max_size=count)), min_size=1, max_size=40))


class Plain:
    """A plain evaluation: each answer is looked up in the whole history."""

    def __init__(self, history: list[tuple[int, list[Seen]]], which: str, for_ms: int, *, refuses: bool) -> None:
        self.at_ms = [sum(step for step, _ in history[: n + 1]) for n in range(len(history))]
        self.frames = [seen for _, seen in history]
        self.which, self.for_ms, self.refuses = which, for_ms, refuses
        self.numbers = range(len(self.frames[0]))

    def same(self, k: int, since: int, until: int) -> bool:
        """Whether animal k is surely the same in two frames."""
        between = [self.frames[t][k] for t in range(since + 1, until + 1)]
        return not self.refuses or not any(seen.uncertain or seen.met for seen in between)

    def inside(self, k: int, t: int) -> bool | None:
        seen = self.frames[t][k]
        return None if self.refuses and seen.uncertain else seen.inside

    def held_since(self, who: list[int], t: int) -> int | None:
        """The first frame since which all of these animals were inside, as far as the frames show it."""
        if not all(self.inside(k, t) for k in who):
            return None
        since = t
        for before in range(t - 1, -1, -1):
            if any(self.inside(k, before) is False or not self.same(k, before, t) for k in who):
                break
            if all(self.inside(k, before) for k in who):
                if self.at_ms[since] - self.at_ms[before] > BRIDGE_MS:
                    break
                since = before
        return since

    def lasted(self, who: list[int], t: int) -> bool:
        since = self.held_since(who, t)
        return since is not None and self.at_ms[t] - self.at_ms[since] >= self.for_ms

    def holders(self, t: int) -> list[int]:
        """The animals for which the output is on."""
        if self.which == "any":
            return [k for k in self.numbers if self.lasted([k], t)]
        return [*self.numbers] if self.lasted([*self.numbers], t) else []

    def continues(self, t: int) -> bool:
        """Whether the output is on for what it was on for before."""
        earlier = [p for p in range(t) if self.holders(p)]
        if not earlier or self.at_ms[t] - self.at_ms[earlier[-1]] > BRIDGE_MS:
            return False
        last = earlier[-1]
        stayed = [
            k
            for k in self.holders(last)
            if self.same(k, last, t) and not any(self.inside(k, u) is False for u in range(last + 1, t + 1))
        ]
        if self.which == "any":
            return any(k in stayed for k in self.holders(t))
        return len(stayed) == len(self.numbers)


@settings(max_examples=400, deadline=None)
@given(
    history=histories(),
    which=st.sampled_from(["any", "all"]),
    for_ms=st.sampled_from([0, 30, 120]),
    uncertain=st.sampled_from(["refuse", "allow"]),
    hold=st.booleans(),
)
def test_any_and_all_are_what_a_plain_evaluation_says(
    history: list[tuple[int, list[Seen]]], which: str, for_ms: int, uncertain: str, hold: bool
) -> None:
    arena = Arena(
        one_rule(INSIDE, animal=which, for_ms=for_ms, uncertain=uncertain, **({"hold": True} if hold else {}))
    )
    plain = Plain(history, which, for_ms, refuses=uncertain == "refuse")
    meetings = [0] * len(plain.numbers)
    for t, seen in enumerate(plain.frames):
        meetings = [n + (one.met or one.uncertain) for n, one in zip(meetings, seen, strict=True)]
        shown = [
            animal(
                k + 1,
                IN if one.inside else OUT,
                p=0.1 if one.inside is None else 0.9,
                uncertain=one.uncertain,
                meetings=meetings[k],
            )
            for k, one in enumerate(seen)
        ]
        decisions = arena.take(animals(t, plain.at_ms[t], *shown))
        names = ";".join(f"animal{k + 1}" for k in plain.holders(t))
        if hold:
            assert arena.on() is bool(names)
        began = [d.region for d in decisions if d.verdict is Verdict.FIRED]
        assert began == ([names] if names and not plain.continues(t) else [])
        resumed = [d.region for d in decisions if d.verdict is Verdict.RESUMED]
        assert all(region == names for region in resumed)
