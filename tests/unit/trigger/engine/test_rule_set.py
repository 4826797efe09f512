"""New rules in an engine that runs: what keeps its state, what goes off, what stays armed, and what stays used up."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from support.pose_streams import MS, START_NS, Bench, fired_frames, order, rules, verdicts

from realtime_cropzoom.trigger.engine.events import Decision, NewRules
from realtime_cropzoom.trigger.rules.rules import Rules

IN, OUT = 300.0, 400.0
HOLD = {"when": {"inside": "left_half", "keypoint": "snout"}, "fire": "laser", "hold": True}
PULSE = {"when": {"inside": "disc", "keypoint": "snout"}, "fire": "marks", "pulse_ms": 1000}
ZONES = {"left_half": {"rectangle_px": [0, 0, 320, 480]}, "disc": {"circle_px": [320, 240, 60]}}


def built(named: dict[str, Any], **settings: Any) -> Rules:
    return rules(yaml.safe_dump(named), **settings)


def content(new: Rules) -> dict[str, Any]:
    return new.model_dump(mode="json", by_alias=True, exclude_unset=True)


def replace(bench: Bench, new: Rules, *, keep_armed: bool = False) -> list[Decision]:
    at_ns = START_NS + round(bench.at_ms * MS)
    return bench.take(NewRules(at_ns, rules=content(new), by="page", number=2, keep_armed=keep_armed))


def told(decisions: list[Decision]) -> list[tuple[str, str, str]]:
    return [(str(d.verdict), d.rule, d.reason) for d in decisions]


def acts(decision: Decision) -> list[str]:
    return [f"{a.output} {a.act}" for a in decision.actions]


def test_a_rule_that_does_not_change_holds_on() -> None:
    bench = Bench(built({"a": HOLD}))
    bench.see(IN)
    assert told(replace(bench, built({"b": PULSE, "a": HOLD}))) == [("replaced", "", "by page, rules 2: added b")]
    assert bench.engine.holding == ("a",)
    assert bench.engine.armed == ("a",)
    assert bench.see(IN) == []
    (released,) = bench.see(OUT)
    assert (released.rule, acts(released)) == ("a", ["laser off"])


@pytest.mark.parametrize(
    ("new", "why"),
    [
        (built({"a": HOLD | {"fire": ["laser", "marks"]}}), "the rule has changed"),
        (built({"b": HOLD}), "the rule was removed"),
        (built({"a": HOLD}, zones=ZONES | {"left_half": {"circle_px": [9, 9, 9]}}), "its zones have moved"),
    ],
)
def test_what_a_rule_held_goes_to_its_safe_level_before_the_rule_is_replaced(new: Rules, why: str) -> None:
    bench = Bench(built({"a": HOLD}))
    bench.see(IN)
    released, disarmed, replaced = replace(bench, new)
    assert told([released, disarmed]) == [("released", "a", why), ("disarmed", "a", why)]
    assert acts(released) == ["laser safe"]
    assert replaced.verdict == "replaced"
    assert bench.engine.armed == ()
    bench.see_all([IN, OUT, IN])
    assert fired_frames(bench.decisions) == [0]


def test_a_pulse_of_a_rule_that_is_removed_ends() -> None:
    bench = Bench(built({"a": HOLD, "p": PULSE}))
    bench.see(320.0, 240.0)
    released, disarmed, _ = replace(bench, built({"a": HOLD}))
    assert told([released, disarmed]) == [
        ("released", "p", "the rule was removed"),
        ("disarmed", "p", "the rule was removed"),
    ]
    assert acts(released) == ["marks safe"]


def test_a_pulse_that_is_over_needs_no_end() -> None:
    bench = Bench(built({"a": HOLD, "p": PULSE}))
    bench.see(320.0, 240.0)
    bench.see_all([None] * 110)
    assert verdicts(replace(bench, built({"a": HOLD}))) == ["disarmed", "replaced"]


def test_an_output_that_another_rule_holds_stays_on() -> None:
    bench = Bench(built({"a": HOLD, "b": HOLD}))
    bench.see(IN)
    released, *_ = replace(bench, built({"b": HOLD}))
    assert (released.rule, acts(released)) == ("a", ["laser off"])  # off for a; the output knows that b holds it, too
    assert bench.engine.holding == ("b",)


def test_a_sham_hold_ends_in_the_log() -> None:
    bench = Bench(built({"a": HOLD | {"probability": 0}}))
    bench.see(IN)
    released, *_ = replace(bench, built({"b": HOLD}))
    assert (released.verdict, released.reason, released.actions) == ("released", "sham: the rule was removed", ())


def test_moved_zones_keep_a_rule_armed_only_if_the_order_says_so() -> None:
    moved = built(
        {"a": HOLD | {"minutes": [0, 0.01]}}, zones=ZONES | {"left_half": {"rectangle_px": [350, 0, 90, 480]}}
    )
    for keep in (False, True):
        bench = Bench(built({"a": HOLD | {"minutes": [0, 0.01]}}))
        bench.see(IN)
        bench.wait(200)
        decisions = replace(bench, moved, keep_armed=keep)
        assert ("disarmed" in verdicts(decisions)) is not keep
        assert bench.engine.armed == (("a",) if keep else ())
        bench.see_all([IN, OUT, OUT])
        assert fired_frames(bench.decisions) == ([0, 2] if keep else [0])
        bench.see_all([OUT] * 60)  # the 600 ms count from arming, not from the new zones
        last = [d.reason for d in bench.decisions if d.verdict == "released"][-1]
        assert last == ("outside its minutes" if keep else "no pose younger than 100 ms")


def test_a_rule_that_changes_is_disarmed_whatever_the_order_says() -> None:
    bench = Bench(built({"a": HOLD}))
    replace(bench, built({"a": HOLD | {"for_ms": 1}}), keep_armed=True)
    assert bench.engine.armed == ()


@pytest.mark.parametrize("removed_between", [False, True])
def test_what_a_rule_has_used_up_stays_used_up(removed_between: bool) -> None:
    limited = PULSE | {"max_fired": 2, "pulse_ms": 5}
    bench = Bench(built({"p": limited}))
    for _ in range(2):
        bench.see(320.0, 240.0)
        bench.see(OUT)
    if removed_between:
        replace(bench, built({"other": HOLD}))
    replace(bench, built({"p": limited | {"pulse_ms": 6}}))
    bench.engine.take(NewRules(0, rules=content(built({"p": limited | {"pulse_ms": 6}})), by="page", number=3))
    bench.take(order("arm", bench.at_ms))
    assert told(bench.see(320.0, 240.0))[0][2].startswith("max_fired 2 of the rule is used up")


def test_the_draws_of_a_rule_go_on() -> None:
    """A change must not begin the same series of shams again."""

    def drawn(changes: bool) -> list[str]:
        rule = HOLD | {"probability": 0.5}
        bench = Bench(built({"a": rule}))
        for lap in range(40):
            if changes and lap % 7 == 6:
                replace(bench, built({"a": rule | {"refractory_ms": lap / 1000}}))
                bench.take(order("arm", bench.at_ms))
            bench.see_all([IN, OUT])
        return verdicts(bench.decisions, "fired", "sham")

    assert drawn(changes=True) == drawn(changes=False)


def test_the_limits_of_the_session_change_and_what_was_used_counts() -> None:
    bench = Bench(built({"p": PULSE | {"pulse_ms": 5}}, limits={"max_fired": 9}))
    bench.see_all([320.0, OUT, 320.0, OUT], y=240.0)
    (replaced,) = replace(bench, built({"p": PULSE | {"pulse_ms": 5}}, limits={"max_fired": 2}))
    assert replaced.reason == "by page, rules 2: settings limits"
    assert "max_fired 2 of the session is used up" in bench.see(320.0, 240.0)[0].reason


def test_tracks_of_rules_that_are_gone_are_not_fed_any_more() -> None:
    """After a thousand changes a pose must cost what it did before."""
    fast = {"when": {"speed_px_per_s": "snout", "above": 5}, "fire": "laser", "pulse_ms": 5}
    bench = Bench(built({"a": fast, "b": fast}))

    def tracks() -> int:
        return sum(len(of_subject) for of_subject in bench.engine._tracks.values())

    for n in range(1, 20):
        replace(bench, built({"a": fast | {"for_ms": n}, "b": fast | {"for_ms": n + 1}}))
        assert tracks() == 1
    replace(bench, built({"a": fast | {"for_ms": 1}, "b": fast | {"for_ms": 20}}))
    assert tracks() == 2  # b keeps its own
