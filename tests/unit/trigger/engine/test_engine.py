"""What the engine fires, refuses, releases and makes safe; and that no stream of messages breaks it."""

from __future__ import annotations

import math
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.pose_streams import (
    MS,
    START_NS,
    Bench,
    end,
    end_message,
    fired_frames,
    hello,
    hello_message,
    one_rule,
    order,
    pose,
    received,
    rules,
    status,
    status_message,
    verdicts,
)

from realtime_cropzoom.messaging.message import Animal, AnimalsMessage, decode, encode
from realtime_cropzoom.trigger.engine.engine import Engine
from realtime_cropzoom.trigger.engine.events import (
    ActionType,
    Command,
    Decision,
    Event,
    Order,
    PoseEvent,
    PublisherEvent,
    Tick,
    Verdict,
)
from realtime_cropzoom.trigger.engine.factory import build_smoother
from realtime_cropzoom.trigger.process.decision_log import decisions_text
from realtime_cropzoom.trigger.process.message_events import event_from_message

INSIDE = "{inside: left_half, keypoint: snout}"
ENTERED = "{entered: left_half, keypoint: snout}"
IN, OUT = 300.0, 400.0


def told(decisions: list[Decision]) -> list[tuple[str, str]]:
    return [(str(d.verdict), d.reason) for d in decisions]


def acts(decision: Decision) -> list[str]:
    return [f"{a.output} {a.act}" for a in decision.actions]


def test_the_decision_of_a_pulse_has_its_pose_and_its_reason() -> None:
    bench = Bench(one_rule(ENTERED, fire=["laser", "marks"]))
    (decision,) = bench.see_all([OUT, IN])
    assert decision.rule == "r"
    assert decision.reason == "snout entered left_half (300.0, 100.0)"
    assert [(a.output, a.act, a.ms) for a in decision.actions] == [
        ("laser", ActionType.PULSE, 10),
        ("marks", ActionType.PULSE, 10),
    ]
    assert (decision.run, decision.camera, decision.seq, decision.frame) == ("run", "cam0", 1, 1)
    assert decision.captured_ns == START_NS + 10 * MS
    assert decision.now_ns == START_NS + 15 * MS
    assert decision.age_ms == 5.0


def see_implausible(bench: Bench) -> None:
    """Out of the zone, in it by a jump that no animal makes, and in it."""
    for frame, (x, doubt) in enumerate([(OUT, None), (IN, "jump"), (IN, None)]):
        message = pose(frame, 10.0 * frame, {"snout": (x, 100.0, 0.9)})
        bench.take(received(msgspec.structs.replace(message, plausible=doubt is None, doubt=doubt)))


def test_an_implausible_pose_is_refused_with_its_reason() -> None:
    bench = Bench(one_rule(INSIDE))
    see_implausible(bench)
    assert fired_frames(bench.decisions) == [2]
    assert ("refused", "implausible: jump") in told(bench.decisions)


def test_implausible_poses_count_if_the_rules_allow_them() -> None:
    bench = Bench(one_rule(INSIDE, implausible="allow"))
    see_implausible(bench)
    assert fired_frames(bench.decisions) == [1]


def test_a_rule_fires_once_per_bout() -> None:
    bench = Bench(one_rule(INSIDE))
    bench.see_all([IN, IN, IN, OUT, IN, IN])
    assert fired_frames(bench.decisions) == [0, 4]


def test_repeat_fires_as_often_as_the_refractory_time_allows() -> None:
    bench = Bench(one_rule(INSIDE, repeat=True, refractory_ms=25))
    bench.see_all([IN] * 10)
    assert fired_frames(bench.decisions) == [0, 3, 6, 9]
    assert verdicts(bench.decisions) == ["fired"] * 4


def test_a_hold_is_on_while_the_condition_holds() -> None:
    bench = Bench(one_rule(INSIDE, hold=True))
    fired, released = bench.see_all([OUT, IN, IN, OUT])
    assert (fired.frame, acts(fired)) == (1, ["laser on"])
    assert (released.frame, acts(released), released.reason) == (3, ["laser off"], "no longer holds")


def test_each_rule_lets_go_of_an_output_that_two_rules_hold() -> None:
    bench = Bench(
        rules(
            "{a: {when: {inside: left_half, keypoint: snout}, fire: [laser, marks], hold: true},"
            " b: {when: {inside: left_half, keypoint: tail}, fire: laser, hold: true}}"
        )
    )
    tail = (IN, 100.0, 0.9)
    bench.see(IN, tail=tail)
    (released,) = bench.see(OUT, tail=tail)
    assert acts(released) == ["laser off", "marks off"]
    (released,) = bench.see(OUT, tail=(OUT, 100.0, 0.9))
    assert acts(released) == ["laser off"]


def test_refractory_time_counts_from_the_firing_and_is_reported_once() -> None:
    bench = Bench(one_rule(INSIDE, refractory_ms=45))
    bench.see_all([IN, OUT, IN, IN, OUT, IN])
    assert [(d.verdict, d.frame) for d in bench.decisions] == [("fired", 0), ("refused", 2), ("fired", 5)]
    assert bench.decisions[1].reason == "refractory: snout inside left_half (300.0, 100.0)"


def test_limits_are_exact() -> None:
    bench = Bench(one_rule(INSIDE, repeat=True, refractory_ms=30, max_on_s=0.03))
    bench.see_all([IN] * 12)
    assert fired_frames(bench.decisions) == [0, 3, 6]
    bench = Bench(one_rule(ENTERED, max_on_s=0.029999999))
    bench.see_all([OUT, IN] * 3)
    assert fired_frames(bench.decisions) == [1, 3]


def test_refractory_time_of_a_hold_counts_from_its_release() -> None:
    bench = Bench(one_rule(INSIDE, hold=True, refractory_ms=45))
    bench.see_all([IN, IN, IN, IN, OUT, IN, IN, IN, IN, IN])
    assert [(d.verdict, d.frame) for d in bench.decisions] == [
        ("fired", 0),
        ("released", 4),
        ("refused", 5),
        ("fired", 9),
    ]


def test_a_minute_slides() -> None:
    bench = Bench(one_rule(ENTERED, max_per_minute=2), step_ms=90)
    for _ in range(3):
        bench.see_all([OUT, IN])
    assert verdicts(bench.decisions) == ["fired", "fired", "refused"]
    assert "max_per_minute 2 reached" in bench.decisions[-1].reason
    bench.wait(60_000 - 540)  # 60 s after the first of them
    bench.decisions.clear()
    for _ in range(2):
        bench.see_all([OUT, IN])
    assert verdicts(bench.decisions, "fired", "refused") == ["fired", "fired"]


def test_no_more_than_max_fired_of_rule_and_session() -> None:
    bench = Bench(one_rule(ENTERED, max_fired=2))
    bench.see_all([OUT, IN] * 3)
    assert verdicts(bench.decisions) == ["fired", "fired", "refused"]
    assert "max_fired 2 of the rule is used up" in bench.decisions[-1].reason
    bench = Bench(one_rule(ENTERED, limits={"max_fired": 1}))
    bench.see_all([OUT, IN] * 2)
    assert "max_fired 1 of the session is used up" in bench.decisions[-1].reason


def test_a_pulse_that_would_be_too_much_is_refused_whole() -> None:
    bench = Bench(one_rule(ENTERED, max_on_s=0.025))
    bench.see_all([OUT, IN] * 3)
    assert verdicts(bench.decisions) == ["fired", "fired", "refused"]
    assert "max_on_s 0.025 of the rule is used up" in bench.decisions[-1].reason


@pytest.mark.parametrize("whose", ["rule", "session"])
def test_a_hold_ends_in_the_middle_when_its_dose_is_used_up(whose: str) -> None:
    limit: dict[str, Any] = {"max_on_s": 0.033} if whose == "rule" else {"limits": {"max_on_s": 0.033}}
    bench = Bench(one_rule(INSIDE, hold=True, **limit))
    bench.see_all([IN] * 3)
    (released,) = bench.wait(20)
    assert released.now_ns == START_NS + 5 * MS + 33 * MS
    assert released.reason == f"max_on_s 0.033 of the {whose} is used up"
    assert released.frame is None
    bench.decisions.clear()
    bench.see_all([IN, OUT, IN])
    assert verdicts(bench.decisions) == ["refused"]


def test_two_holds_share_the_dose_of_the_session() -> None:
    two = rules(
        "{a: {when: {inside: left_half, keypoint: snout}, fire: laser, hold: true},"
        " b: {when: {inside: left_half, keypoint: snout}, fire: marks, hold: true}}",
        limits={"max_on_s": 0.05},
    )
    bench = Bench(two)
    bench.see(IN)
    released = bench.wait(40)
    assert [d.now_ns for d in released] == [START_NS + 30 * MS] * 2
    assert verdicts(released) == ["released", "released"]


def test_chance_is_the_same_for_the_same_seed_and_spares_the_limits() -> None:
    def run(seed: int) -> list[str]:
        bench = Bench(one_rule(ENTERED, probability=0.5, max_fired=40), seed=seed)
        bench.see_all([OUT, IN] * 100)
        return verdicts(bench.decisions)

    first = run(1)
    assert run(1) == first != run(2)
    assert first.count("fired") == 40
    assert 20 <= first[: first.index("refused")].count("sham") <= 60


def test_a_sham_hold_reports_its_duration_and_switches_nothing() -> None:
    bench = Bench(one_rule(INSIDE, hold=True, probability=0))
    bench.see_all([IN, None, IN, OUT])
    assert [(d.verdict, d.frame) for d in bench.decisions if d.verdict != "refused"] == [("sham", 0), ("released", 3)]
    assert not any(d.actions for d in bench.decisions)


def test_sham_trials_wait_for_the_refractory_time_like_real_ones() -> None:
    bench = Bench(one_rule(ENTERED, probability=0, refractory_ms=1000))
    bench.see_all([OUT, IN, OUT, IN])
    assert verdicts(bench.decisions) == ["sham", "refused"]


def test_minutes_count_from_arming() -> None:
    """Minute 0.01 is 600 ms after."""
    bench = Bench(one_rule(INSIDE, hold=True, minutes=[0.01, 0.02]), step_ms=60)
    bench.see_all([IN] * 20)
    assert [(d.verdict, d.frame) for d in bench.decisions] == [("refused", 0), ("fired", 10)]
    assert bench.decisions[0].reason.startswith("outside its minutes")
    (released,) = bench.wait(30)
    assert told([released]) == [("released", "outside its minutes")]
    assert released.now_ns == START_NS + 1200 * MS


def test_a_disarmed_rule_reports_what_would_have_fired() -> None:
    bench = Bench(one_rule(ENTERED), armed=False)
    bench.see_all([OUT, IN, IN, OUT, IN])
    assert told(bench.decisions) == [("refused", "disarmed: snout entered left_half (300.0, 100.0)")] * 2


def test_arming_inside_a_zone_is_not_an_entry_but_starts_a_hold() -> None:
    for when, frames in ((ENTERED, [4]), (INSIDE, [2, 4])):
        bench = Bench(one_rule(when), armed=False)
        bench.see_all([OUT, IN])
        bench.take(order("arm", 20))
        bench.see_all([IN, OUT, IN])
        assert fired_frames(bench.decisions) == frames


def test_disarming_releases_at_once() -> None:
    bench = Bench(one_rule(INSIDE, hold=True))
    bench.see(IN)
    released, disarmed = bench.take(order("disarm", 12))
    assert (released.verdict, acts(released), disarmed.verdict) == ("released", ["laser off"], "disarmed")
    assert bench.take(order("disarm", 13)) == []
    bench.decisions.clear()
    bench.see(IN)
    bench.take(order("arm", 25))
    bench.see(IN)
    assert verdicts(bench.decisions) == ["armed", "fired"]


def test_one_rule_can_be_armed() -> None:
    two = rules(
        "{a: {when: {inside: left_half, keypoint: snout}, fire: laser, pulse_ms: 1},"
        " b: {when: {inside: left_half, keypoint: snout}, fire: marks, pulse_ms: 1}}"
    )
    bench = Bench(two, armed=False)
    bench.take(order("arm", 0, "b"))
    assert bench.engine.armed == ("b",)
    bench.see(IN)
    assert [(d.verdict, d.rule) for d in bench.decisions] == [("armed", "b"), ("refused", "a"), ("fired", "b")]
    (refused,) = bench.take(order("arm", 1, "c"))
    assert refused.reason == "no rule 'c'; there are a, b"


def test_a_test_pulse_is_marked_needs_no_arming_and_counts_for_the_session() -> None:
    bench = Bench(one_rule(ENTERED, limits={"max_on_s": 0.025}), armed=False)
    (test,) = bench.take(order("test", 0, "laser"))
    assert (test.verdict, test.rule, test.actions[0].ms) == (Verdict.TEST, "", 10.0)
    (refused,) = bench.take(order("test", 0, "lamp"))
    assert refused.reason == "no output 'lamp' to test; there are laser, marks"
    tests = bench.take(order("test", 1, "marks"), order("test", 2, "marks"))
    assert verdicts(tests) == ["test", "refused"]


def test_stop_is_safe_and_the_end() -> None:
    bench = Bench(one_rule(INSIDE, hold=True))
    bench.see(IN)
    (safe,) = bench.take(order("stop", 20))
    assert (safe.verdict, acts(safe)) == ("safe", ["laser safe", "marks safe"])
    assert bench.engine.deadline_ns is None
    assert bench.see(IN) == bench.take(order("test", 30, "laser")) == []


def test_a_stop_has_the_reason_that_it_is_given() -> None:
    for reason, text in [(None, "stopped by run"), ("the run has ended: finished", "the run has ended: finished")]:
        (safe,) = Bench(one_rule(INSIDE)).take(Command(START_NS, Order.STOP, "run", reason=reason))
        assert safe.reason == text


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ({"p": 0.3}, "snout likelihood 0.30 < 0.6"),
        ({"p": None}, "snout likelihood unknown < 0.6"),
        ({"state": "coasting"}, "state coasting"),
        ({"latency_ms": 51.0}, "stale: older than 50 ms"),
        ({"x": None}, "no snout"),
        ({"x": math.nan}, "no snout"),
        ({"x": 1e9}, "snout is at no place"),
        ({"stream": "stalled"}, "the stream is stalled"),
    ],
)
def test_an_untrusted_period_is_reported_once_with_its_length(bad: dict[str, Any], why: str) -> None:
    bench = Bench(one_rule(INSIDE, hold=True))
    bench.see(IN)
    for _ in range(15):
        bench.see(**{"x": IN, **bad})
    bench.see_all([IN] * 12)
    refused = [("refused", why), ("fired", "snout inside left_half (300.0, 100.0)")]
    over = ("allowed", f"over: {why}; 15 poses in 140 ms")
    first, released, *rest = told(bench.decisions)
    assert (first[0], released) == ("fired", ("released", why))
    assert rest == [*refused, over]
    assert acts(bench.decisions[1]) == ["laser off"]


def test_a_pause_of_the_publishing_is_silence_to_the_rules() -> None:
    """Poses stop, and live status messages go on: the hold ends, and only a fresh pose fires again."""
    bench = Bench(one_rule(INSIDE, hold=True, max_age_ms=100))
    bench.see_all([IN] * 3)
    told_before = len(bench.decisions)
    for _ in range(5):
        bench.wait(1000)
        bench.take(status("live", bench.at_ms))
    silent = bench.decisions[told_before:]
    assert verdicts(silent)[0] in ("released", "safe")
    assert fired_frames(silent) == []
    assert {str(action.act) for decision in silent for action in decision.actions} <= {"off", "safe"}
    bench.see_all([IN] * 30)
    assert len(fired_frames(bench.decisions)) == 2, "the second one after the pause"


def test_a_hold_resumes_after_a_short_untrusted_period() -> None:
    bench = Bench(one_rule(INSIDE, hold=True, max_fired=1, refractory_ms=500))
    bench.see_all([IN, None, IN, None, None, IN])
    assert verdicts(bench.decisions, "fired", "released", "resumed") == [
        *("fired", "released", "resumed", "released", "resumed"),
    ]
    assert verdicts(bench.decisions).count("refused") == 1


def test_a_pose_from_the_future_fires_nothing_and_spoils_nothing() -> None:
    bench = Bench(one_rule(ENTERED))
    bench.see_all([OUT, OUT])
    future = received(pose(2, 1e6, {"snout": (IN, 0.0, 0.9)}), latency_ms=-1e6 + 25)
    (refused,) = bench.take(future)
    assert (refused.verdict, refused.reason) == ("refused", "from the future: the clocks disagree")
    assert bench.take(future) == []
    assert bench.engine.ignored == 2
    bench.frame = 3
    bench.see(IN)
    assert fired_frames(bench.decisions) == [3]


def test_uncertain_clocks_make_poses_older() -> None:
    bench = Bench(one_rule(INSIDE))
    message = received(pose(0, 0, {"snout": (IN, 0.0, 0.9)}))
    (refused,) = bench.take(msgspec.structs.replace(message, uncertainty_ns=46 * MS))
    assert (refused.verdict, refused.reason) == ("refused", "stale: poses are older than 50 ms")
    assert refused.age_ms == 51.0


def test_poses_that_are_too_old_from_the_start_are_reported_once() -> None:
    bench = Bench(one_rule(INSIDE))
    for _ in range(100):
        bench.see(IN, latency_ms=80.0)
    assert told(bench.decisions) == [("refused", "stale: poses are older than 50 ms")]


def test_a_rule_may_be_stricter_than_the_others() -> None:
    two = rules(
        "{a: {when: {inside: left_half, keypoint: snout}, fire: laser, pulse_ms: 1, max_age_ms: 10, min_likelihood: 0},"
        " b: {when: {inside: left_half, keypoint: snout}, fire: marks, pulse_ms: 1}}"
    )
    bench = Bench(two)
    bench.see(IN, p=0.1)
    assert [(d.rule, d.verdict) for d in bench.decisions] == [("a", "fired"), ("b", "refused")]
    bench = Bench(two)
    bench.see(IN, latency_ms=20.0)
    assert [(d.rule, d.verdict) for d in bench.decisions] == [("a", "refused"), ("b", "fired")]


def test_a_hold_without_poses_lets_go_and_then_all_is_safe_once() -> None:
    bench = Bench(one_rule(INSIDE, hold=True))
    bench.see(IN)
    released, safe = bench.wait(2000)
    assert released.now_ns == START_NS + 100 * MS
    assert told([released]) == [("released", "no pose younger than 100 ms")]
    assert safe.now_ns == START_NS + 505 * MS
    assert told([safe]) == [("safe", "no fresh pose for 500 ms")]
    assert bench.engine.deadline_ns is None


def test_stale_poses_do_not_keep_a_stream() -> None:
    bench = Bench(one_rule(INSIDE, hold=True))
    bench.see(IN)
    for _ in range(70):
        bench.see(IN, latency_ms=60.0)
    assert verdicts(bench.decisions, "safe", "released") == ["released", "safe"]


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (status("stalled", 12), "the stream is stalled"),
        (status("reconnecting", 12), "the stream is reconnecting"),
        (end(12), "the run has ended: finished"),
        (hello([], 12, run="other"), "the publisher has begun a new run"),
        (received(pose(0, 12, {}, run="other")), "the publisher has begun a new run"),
        (received(pose(5, 12, {}, segment=1)), "the source broke off and came back"),
    ],
)
def test_a_break_makes_outputs_safe_and_forgets_sides(event: PublisherEvent, why: str) -> None:
    bench = Bench(one_rule(ENTERED))
    bench.see(OUT)
    safe, *_ = bench.take(event)
    assert told([safe]) == [("safe", why)]
    assert acts(safe) == ["laser safe", "marks safe"]
    bench.decisions.clear()
    bench.at_ms, bench.frame = 30, 10
    run, segment = ("other", 0) if event.run == "other" else ("run", getattr(event, "segment", 0))
    bench.see_all([IN, OUT, IN], run=run, segment=segment)
    assert fired_frames(bench.decisions) == [12]


def test_a_live_status_changes_nothing() -> None:
    bench = Bench(one_rule(ENTERED))
    bench.see(OUT)
    assert bench.take(status("live", 11), hello(["snout"], 12)) == []
    bench.see(IN)
    assert fired_frames(bench.decisions) == [1]


def test_old_duplicate_and_foreign_poses_are_ignored() -> None:
    bench = Bench(one_rule(ENTERED))
    bench.see_all([OUT, OUT, OUT])
    snout = {"snout": (IN, 0.0, 0.9)}
    strange = [
        pose(1, 40, snout),
        pose(2, 40, snout),
        pose(9, 15, snout),
        pose(9, 20, snout),
        pose(9, 40, snout, camera="cam1"),
        pose(-1, 40, snout),
    ]
    assert bench.take(*(event_from_message(m, START_NS + 45 * MS) for m in strange)) == []
    assert bench.engine.ignored == len(strange)
    bench.see(IN)
    assert fired_frames(bench.decisions) == [3]


def test_messages_of_an_earlier_run_are_ignored() -> None:
    bench = Bench(one_rule(ENTERED))
    bench.see_all([OUT, OUT])
    bench.see_all([OUT, OUT], run="second")
    assert bench.take(end(41), received(pose(99, 42, {}))) == []
    bench.see(IN, run="second")
    assert fired_frames(bench.decisions) == [4]


def test_one_absurd_number_does_not_end_the_session() -> None:
    """A sequence number near the end of all numbers makes those after it look old, until the stream is lost."""
    bench = Bench(one_rule(ENTERED))
    bench.see(OUT, seq=2**62)
    bench.see_all([OUT] * 60)
    assert verdicts(bench.decisions) == ["safe"]
    bench.see(IN)
    assert verdicts(bench.decisions) == ["safe", "fired"]


def test_a_missing_keypoint_is_reported_and_fires_nothing() -> None:
    bench = Bench(one_rule(ENTERED))
    (line,) = bench.take(hello(["nose", "tail"]))
    assert told([line]) == [("refused", "rules.r: no keypoint 'snout'; the model has nose, tail")]


def test_an_engine_needs_the_filter_and_the_calibration_of_its_rules() -> None:
    with pytest.raises(ValueError, match="filter: kalman"):
        Engine(one_rule(INSIDE, filter="kalman"), 1)
    with pytest.raises(ValueError, match="no calibration was given"):
        Engine(one_rule("{speed_cm_per_s: snout, above: 1}", calibration="x"), 1)


OTHER_MESSAGES = [
    status_message("stalled", START_NS),
    end_message(START_NS),
    hello_message(["x"]),
    hello_message([], run="q"),
]

MANY = """
pulse: {when: {entered: left_half, keypoint: snout}, fire: laser, pulse_ms: 7, refractory_ms: 90, max_on_s: 0.03}
hold: {when: {inside: left_half, keypoint: snout, margin_px: 5}, fire: [laser, marks], hold: true, max_on_s: 0.4}
sham: {when: {inside: left_half, keypoint: snout}, fire: marks, pulse_ms: 5, probability: 0.5, max_per_minute: 4}
again: {when: {speed_px_per_s: snout, above: 100}, fire: laser, pulse_ms: 5, repeat: true, refractory_ms: 60}
late: {when: {dwelt: left_half, keypoint: snout, for_ms: 40}, for_ms: 20, fire: laser, hold: true,
       minutes: [0.001, 0.02]}
turn: {when: {any: [{turning_deg_per_s: [tail, snout], above: 10}, {not: {likelihood: tail, above: 0.5}}]},
       fire: marks, pulse_ms: 5, refractory_ms: 10}
"""
MAX_ON_S = 0.5


def many(**more: Any) -> Any:
    return rules(MANY, limits={"max_on_s": MAX_ON_S, "max_fired": 60}, **more)


places = st.one_of(st.none(), st.floats(250, 390), st.sampled_from([math.nan, math.inf, -math.inf, 1e308, -1e308]))
likelihoods = st.one_of(st.none(), st.floats(0, 1), st.sampled_from([0.9, 0.95, math.nan]))
points = st.tuples(places, places, likelihoods)
usual = st.tuples(st.floats(250, 390), st.floats(0, 480), st.just(0.9))


@st.composite
def streams(draw: st.DrawFn) -> list[Event]:
    """Messages, orders and silences in any order, most of them in the right one."""
    events: list[Event] = []
    at_ms, frame = 0.0, 0
    for _ in range(draw(st.integers(1, 60))):
        kind = draw(st.sampled_from("ppppppppppppppoosxweh"))
        at_ms += draw(st.sampled_from([2.0, 10.0, 10.0, 33.0, 120.0, 700.0] if kind == "w" else [2.0, 10.0, 10.0]))
        if kind == "p":
            frame += 1
            where = {"snout": draw(st.one_of(usual, usual, points)), "tail": draw(st.one_of(usual, points))}
            state = draw(st.sampled_from(["tracking"] * 8 + ["coasting", "lost"]))
            latency_ms = draw(st.sampled_from([4.0] * 8 + [60.0, -30.0]))
            events.append(received(pose(frame, at_ms, where, state=state), latency_ms))
        elif kind == "x":
            odd = pose(draw(st.integers(-5, 2**70)), draw(st.sampled_from([at_ms, -1e9, 1e20])), {}, run="odd")
            events.append(event_from_message(odd, START_NS + round(at_ms * MS)))
        elif kind == "s":
            events.append(status(draw(st.sampled_from(["live", "live", "stalled"])), at_ms))
        elif kind == "o":
            what = draw(st.sampled_from(["arm", "arm", "disarm", "test"]))
            target = "laser" if what == "test" else draw(st.sampled_from([None, None, "hold", "pulse"]))
            events.append(order(what, at_ms, target))
        elif kind == "e":
            events.append(end(at_ms))
        elif kind == "h":
            events.append(hello(["snout", "tail"], at_ms))
    return events


def with_ticks(engine: Engine, events: list[Event]) -> list[tuple[Event, list[Decision]]]:
    """What a loop that never sleeps too long hands over, and what came of each."""
    taken: list[tuple[Event, list[Decision]]] = []
    for event in events:
        for _ in range(100):
            due_ns = engine.deadline_ns
            if due_ns is None or due_ns >= event.at_ns:
                break
            taken.append((Tick(due_ns), engine.take(Tick(due_ns))))
        else:
            raise AssertionError("deadlines that bring nothing forward")
        taken.append((event, engine.take(event)))
    return taken


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(streams())
def test_the_rules_of_safety_hold_for_any_stream(events: list[Event]) -> None:
    built = many()
    engine = Engine(built, 3)
    armed: set[str] = set()
    on_since: dict[str, int] = {}
    on_ns: dict[str, int] = dict.fromkeys([*built.rules, ""], 0)
    last_fired: dict[str, int] = {}
    taken = with_ticks(engine, [order("arm"), *events, Command(10**18, Order.STOP, "key")])
    for event, decisions in taken:
        for d in decisions:
            if d.verdict is Verdict.ARMED:
                armed.add(d.rule)
            elif d.verdict is Verdict.DISARMED:
                armed.discard(d.rule)
            elif d.verdict in (Verdict.FIRED, Verdict.RESUMED, Verdict.SHAM):
                rule = built.rules[d.rule]
                assert d.rule in armed
                assert isinstance(event, PoseEvent)
                assert event.state == "tracking"
                assert 0 <= event.at_ns - event.captured_ns <= 50 * MS
                if "snout" in d.reason and d.rule != "turn":
                    assert (event.keypoints["snout"][2] or 0.0) >= 0.6
                if d.verdict is not Verdict.RESUMED:
                    gap_ns = d.now_ns - last_fired.get(d.rule, -(10**18))
                    assert gap_ns >= rule.refractory_ms * MS
                    last_fired[d.rule] = d.now_ns
                if d.verdict is Verdict.SHAM:
                    assert not d.actions
                elif rule.hold:
                    assert d.rule not in on_since
                    on_since[d.rule] = d.now_ns
                else:
                    on_ns[d.rule] += round((rule.pulse_ms or 0) * MS)
            elif d.verdict is Verdict.TEST:
                on_ns[""] += 10 * MS
            elif d.verdict is Verdict.RELEASED and d.rule in on_since:
                on_ns[d.rule] += d.now_ns - on_since.pop(d.rule)
            elif d.verdict is Verdict.SAFE:
                for name in list(on_since):
                    on_ns[name] += d.now_ns - on_since.pop(name)
                assert acts(d) == ["laser safe", "marks safe"]
    assert [d.number for _, ds in taken for d in ds] == list(range(sum(len(ds) for _, ds in taken)))
    assert not on_since
    assert sum(on_ns.values()) <= MAX_ON_S * 1e9
    for name, rule in built.rules.items():
        assert rule.max_on_s is None or on_ns[name] <= rule.max_on_s * 1e9
    again = Engine(many(), 3)
    repeated = [d for event, _ in taken for d in again.take(event)]
    assert decisions_text(repeated) == decisions_text(d for _, ds in taken for d in ds)


@pytest.mark.slow
def test_no_message_that_decodes_stops_the_engine() -> None:
    """100 000 messages, most of them with something absurd in it, some cut and spliced; ticks and orders between."""
    chance = random.Random(7)
    engines = [Engine(many(), 1)]
    filtered = many(filter="kalman", predict=True)
    engines.append(Engine(filtered, 1, smoother=build_smoother(filtered)))
    numbers = [0.0, 1e308, -1e308, 5e-324, math.nan, math.inf, -math.inf, None, 300.0, 310.0, 400.0, 0.9, 1.0]
    whole = [0, 1, -1, 2**31, 2**63 - 1, 2**64 - 1, -(2**63)]
    now_ns, decided = START_NS, 0
    for engine in engines:
        engine.take(Command(now_ns, Order.ARM, "key"))
    for i in range(100_000):
        now_ns += chance.choice([1 * MS, 2 * MS, 2 * MS, 200 * MS if i % 1000 == 0 else 2 * MS])
        where = {"snout": (chance.uniform(250, 390), 5.0, 0.9), "tail": (1.0, 2.0, 0.9)}
        message: Any = pose(i, (now_ns - START_NS) / MS - 3, where)
        kind = chance.random()
        if kind < 0.2:
            point = tuple(chance.choice(numbers) for _ in range(3))
            message = msgspec.structs.replace(message, keypoints={chance.choice(["snout", "tail", "", "é\n"]): point})
        elif kind < 0.25:
            field = chance.choice(["seq", "frame", "segment", "schema"])
            message = msgspec.structs.replace(message, **{field: chance.choice([*whole, i])})
        elif kind < 0.3:
            times = msgspec.structs.replace(message.time, captured_ns=chance.choice([*whole, now_ns]))
            message = msgspec.structs.replace(message, time=times)
        elif kind < 0.32:
            field = chance.choice(["state", "stream", "run", "camera"])
            message = msgspec.structs.replace(
                message, **{field: chance.choice(["", "live", "lost", '\x00,\n"', "r" * 99])}
            )
        elif kind < 0.33:
            message = chance.choice(OTHER_MESSAGES)
        payload = bytearray(encode(message, chance.choice(["json", "msgpack"])))
        if 0.3 < kind < 0.5:
            for _ in range(chance.randint(1, 3)):
                payload[chance.randrange(len(payload))] = chance.choice(b'0123456789e-.,":\xff')
        try:
            message = decode(bytes(payload))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        for engine in engines[: 1 + (i % 8 == 0)]:
            decisions = engine.take(event_from_message(message, now_ns))
            decided += len(decisions)
            decisions_text(decisions)
            assert engine.deadline_ns is None or engine.deadline_ns <= now_ns + 500 * MS
        if i % 50 == 0:
            for engine in engines:
                engine.take(Tick(now_ns))
                engine.take(Command(now_ns, chance.choice([Order.ARM, Order.ARM, Order.DISARM]), "key"))
    assert decided > 1000
    for engine in engines:  # it still works once sense comes back
        engine.take(Tick(now_ns + 1000 * MS))
        engine.take(Command(now_ns + 1000 * MS, Order.ARM, "key"))
        good = event_from_message(
            pose(1, (now_ns - START_NS) / MS + 1100, {"snout": (1.0, 1.0, 0.9)}), now_ns + 1104 * MS
        )
        engine.take(good)
        assert engine.live


def in_region(frame: int, region: str | None, x: float, *, segment: int = 0) -> PoseEvent:
    """A pose of the animal in a region, whose numbers are its own."""
    message = pose(frame, frame * 10.0, {"snout": (x, 240.0, 0.9)}, segment=segment)
    return received(msgspec.structs.replace(message, region=region))


TWO_BOXES = f"""
one: {{when: {INSIDE}, fire: laser, pulse_ms: 10, region: box1}}
two: {{when: {INSIDE}, fire: marks, pulse_ms: 10, region: box2}}
"""


def decided(engine: Engine, *events: Event) -> list[tuple[str, str | None, int | None]]:
    found = [decision for event in events for decision in engine.take(event)]
    return [(d.rule, d.region, d.frame) for d in found if d.verdict is Verdict.FIRED]


def test_a_rule_sees_the_animal_of_its_region_and_no_other() -> None:
    engine = Engine(rules(TWO_BOXES), 1)
    engine.take(order("arm"))
    events = [
        in_region(frame, region, IN if frame == at else OUT)
        for frame in range(8)
        for region, at in (("box1", 3), ("box2", 5), ("box3", 1), (None, 2))
    ]
    assert decided(engine, *events) == [("one", "box1", 3), ("two", "box2", 5)]
    assert engine.ignored == 0, "each region has numbers of its own"


@pytest.mark.parametrize("settings", [{}, {"filter": "one_euro"}])
def test_speeds_of_two_animals_are_not_mixed(settings: dict[str, Any]) -> None:
    """Two animals that stand still, far apart: a speed from one to the other would be large."""
    text = (
        "{a: {when: W, fire: laser, pulse_ms: 10, region: box1}, b: {when: W, fire: marks, pulse_ms: 10, region: box2}}"
    )
    built = rules(text.replace("W", "{speed_px_per_s: snout, above: 50, over_ms: 30}"), **settings)
    engine = Engine(built, 1, smoother=build_smoother(built))
    engine.take(order("arm"))
    events = [in_region(f, region, x) for f in range(30) for region, x in (("box1", 10.0), ("box2", 600.0))]
    assert decided(engine, *events) == []
    assert [rule for rule, _, _ in decided(engine, *(in_region(f, "box2", 600.0 + 5 * f) for f in range(30, 40)))] == [
        "b"
    ]


def test_the_source_of_all_regions_breaks_off_once() -> None:
    engine = Engine(rules(TWO_BOXES), 1)
    engine.take(order("arm"))
    before = [in_region(f, region, OUT) for f in range(3) for region in ("box1", "box2")]
    after = [in_region(f, region, OUT, segment=1) for f in range(3, 6) for region in ("box1", "box2")]
    found = [decision for event in (*before, *after) for decision in engine.take(event)]
    assert [d.reason for d in found if d.verdict is Verdict.SAFE] == ["the source broke off and came back"]


def test_a_file_may_name_the_region_of_all_its_rules() -> None:
    built = rules(TWO_BOXES.replace(", region: box2", ""), region="box3")
    assert [built.region_of(name) for name in built.rules] == ["box1", "box3"]


@pytest.mark.parametrize(
    ("regions", "said"),
    [
        (["box1", "box2"], []),
        (["box1"], ["rules.two: no region 'box2'; there are box1. Did you mean 'box1'?"]),
        ([], ["rules.one: names the region 'box1', but the run has none; leave it out"]),
    ],
)
def test_regions_that_the_run_does_not_have_are_named(regions: list[str], said: list[str]) -> None:
    assert rules(TWO_BOXES).unfit_regions(regions)[: len(said)] == said
    assert bool(rules(TWO_BOXES).unfit_regions(regions)) == bool(said)


def test_a_rule_without_a_region_is_refused_where_there_are_several() -> None:
    built = one_rule(INSIDE)
    assert built.unfit_regions([]) == []
    assert built.unfit_regions(["box1", "box2"]) == [
        "rules.r: names no region, but the run has box1, box2; give the rule one, as region: box1"
    ]
    engine = Engine(built, 1)
    engine.take(order("arm"))
    assert decided(engine, *(in_region(f, "box1", IN) for f in range(5))) == []


def several(frame: int, *animals: tuple[float, bool]) -> PublisherEvent:
    """The event of a frame with several animals: x of the snout, and whether the animal is uncertain."""
    first = pose(frame, frame * 10.0, {"snout": (0.0, 0.0, 0.9)})
    message = AnimalsMessage(
        schema=first.schema,
        run=first.run,
        camera=first.camera,
        seq=first.seq,
        frame=first.frame,
        stream=first.stream,
        animals=[
            Animal(number, "tracking", {"snout": (x, 240.0, 0.9)}, None, uncertain, 0, plausible=True)
            for number, (x, uncertain) in enumerate(animals, start=1)
        ],
        time=first.time,
        counts=first.counts,
    )
    return event_from_message(message, received(first).at_ns)


TWO_ANIMALS = f"""
one: {{when: {INSIDE}, fire: laser, pulse_ms: 10, animal: 1}}
two: {{when: {INSIDE}, fire: marks, pulse_ms: 10, animal: 2}}
"""


def test_a_rule_sees_its_animal_and_no_other() -> None:
    engine = Engine(rules(TWO_ANIMALS), 1)
    engine.take(order("arm"))
    frames = [several(n, (IN if n == 3 else OUT, False), (IN if n == 5 else OUT, False)) for n in range(8)]
    assert decided(engine, *frames) == [
        ("one", "animal1", 3),
        ("two", "animal2", 5),
    ]
    assert engine.ignored == 0


@pytest.mark.parametrize(
    ("allowed", "fired"), [("", []), (", uncertain: allow", [("one", "animal1", 0)])], ids=["refused", "allowed"]
)
def test_an_uncertain_animal_is_refused_unless_the_rule_allows_it(allowed: str, fired: list[Any]) -> None:
    engine = Engine(rules(TWO_ANIMALS.replace("animal: 1", f"animal: 1{allowed}")), 1)
    engine.take(order("arm"))
    found = [decision for n in range(3) for decision in engine.take(several(n, (IN, True), (OUT, True)))]
    assert [(d.rule, d.region, d.frame) for d in found if d.verdict is Verdict.FIRED] == fired
    refused = {d.rule: d.reason for d in found if d.verdict is Verdict.REFUSED}
    assert refused["two"] == "uncertain: it may be another animal"
    assert ("one" in refused) is not bool(fired)


@pytest.mark.parametrize(
    ("given", "animals", "said"),
    [
        ("animal: 1", 2, []),
        ("animal: 3", 2, ["rules.r: names the animal 3, but the run has 2; give 1 to 2"]),
        ("animal: 1", 1, ["rules.r: says animal: 1, but the run follows one; leave it out"]),
        ("repeat: false", 2, ["rules.r: names no animal, but the run has 2; give it one, as animal: 1, any or all"]),
        ("repeat: false", 1, []),
        (
            "animal: 1, region: a",
            2,
            ["rules.r: names an animal and a region; a region has one animal, leave out animal"],
        ),
    ],
)
def test_animals_that_the_run_does_not_have_are_named(given: str, animals: int, said: list[str]) -> None:
    built = rules(f"r: {{when: {INSIDE}, fire: laser, pulse_ms: 10, {given}}}")
    assert built.unfit_regions([], animals) == said


def test_a_file_may_name_the_animal_of_all_its_rules() -> None:
    built = rules(TWO_ANIMALS.replace(", animal: 2", ""), animal=4)
    assert [built.animal_of(name) for name in built.rules] == [1, 4]
