"""The input log: its events give the same decisions again, byte for byte."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.pose_streams import MS, START_NS, end, hello, one_rule, order, pose, received, rules, status, tick

from realtime_cropzoom.calibration.calibration import from_scale
from realtime_cropzoom.errors import DataError
from realtime_cropzoom.trigger.engine.engine import Engine
from realtime_cropzoom.trigger.engine.events import (
    ActionType,
    Command,
    Decision,
    Event,
    NewRules,
    Order,
    PoseEvent,
    Verdict,
    Withheld,
)
from realtime_cropzoom.trigger.engine.factory import build_smoother
from realtime_cropzoom.trigger.process.decision_log import decisions_text
from realtime_cropzoom.trigger.process.input_log import InputLog, read_inputs, rules_content
from realtime_cropzoom.trigger.process.replay import replay_inputs

ARENA_RULES = """
crossed: {when: {entered: left_half, keypoint: snout}, fire: marks, pulse_ms: 10}
left_side: {when: {inside: left_half, keypoint: snout, margin_px: 10}, fire: laser, hold: true, probability: 0.5}
running: {when: {speed_px_per_s: tailbase, above: 150, hysteresis: 30}, fire: laser, pulse_ms: 5}
turned: {when: {turning_deg_per_s: [tailbase, snout], above: 90}, for_ms: 30, fire: [laser, marks], pulse_ms: 5}
"""


def all_kinds_of_events() -> list[Event]:
    nan, inf = float("nan"), float("inf")
    odd = {"snout": (nan, 5.0, 0.9), "tailbase": (inf, -0.0, nan), "schwänzchen": (1e308, None, None)}
    poses = [received(pose(i, i * 10, {"snout": (400.1 - 4 * i, 0.1 + i, 0.7)}, segment=i // 30)) for i in range(60)]
    return [
        hello(["snout", "tailbase"]),
        order("arm"),
        *poses[:20],
        status("stalled", 205),
        *poses[20:40],
        tick(401),
        received(pose(40, 402, odd)),
        *poses[41:],
        order("disarm", 600, "crossed"),
        order("arm", 601, 'strange "name"\n'),
        end(602),
        Command(START_NS + 603 * MS, Order.STOP, "run", reason="the run has ended: finished"),
    ]


@pytest.mark.parametrize("calibrated", [False, True])
def test_inputs_give_the_same_decisions_byte_for_byte(tmp_path: Path, calibrated: bool) -> None:
    calibration = from_scale(10.0, (640, 480)) if calibrated else None
    built = (
        one_rule("{distance_cm: [snout, [3, 3]], below: 38}", calibration="x.yaml")
        if calibrated
        else rules(ARENA_RULES)
    )
    engine = Engine(built, 7, calibration, build_smoother(built))
    log = InputLog(tmp_path, "x", built, 7, calibration)
    decisions = []
    for event in all_kinds_of_events():
        log.add(event)
        decisions += engine.take(event)
    log.close()
    assert Verdict.FIRED in {d.verdict for d in decisions}
    assert decisions[-1].reason == "the run has ended: finished"
    assert decisions_text(replay_inputs(log.path)) == decisions_text(decisions)

    whole = log.path.read_bytes()
    log.path.write_bytes(whole[:-30])  # as kill -9 may leave it
    again = list(replay_inputs(log.path))
    assert again == decisions[: len(again)]
    assert len(again) >= len(decisions) - 2


HOLDS = """
left_side: {when: {inside: left_half, keypoint: snout, margin_px: 10}, fire: [laser, marks], hold: true}
near: {when: {inside: disc, keypoint: snout}, fire: laser, hold: true, for_ms: 5}
"""
MOVED = {"left_half": {"rectangle_px": [0, 0, 200, 480]}, "disc": {"circle_px": [200, 240, 160]}}
POOL = [
    rules(ARENA_RULES),
    rules(ARENA_RULES, zones=MOVED),
    rules(ARENA_RULES + HOLDS.replace("left_side", "also_left")),
    rules(HOLDS, limits={"max_fired": 3}),
    rules(HOLDS, zones=MOVED, stream_lost_after_ms=50),
    rules(HOLDS, max_age_ms=20),
]
STEPS = st.lists(
    st.tuples(
        st.sampled_from([1, 4, 10, 10, 10, 60, 300]),
        st.one_of(
            st.tuples(st.just("pose"), st.sampled_from([100.0, 190.0, 310.0, 330.0, 400.0])),
            st.tuples(st.just("rules"), st.integers(0, len(POOL) - 1), st.booleans()),
            st.tuples(st.sampled_from(["arm", "disarm"]), st.sampled_from([None, "left_side", "near", "running"])),
            st.tuples(st.sampled_from(["tick", "test", "withheld", "lost"])),
        ),
    ),
    max_size=60,
)


def _event(step: tuple[object, ...], at_ms: float, number: int) -> Event:
    at_ns, (kind, *more) = START_NS + round(at_ms * MS), step
    if kind == "pose":
        points = {"snout": (more[0], 240.0, 0.9), "tailbase": (more[0], 200.0, 0.9)}
        return received(pose(number, at_ms - 5, points))  # type: ignore[arg-type]
    if kind == "rules":
        new = rules_content(POOL[more[0]])  # type: ignore[call-overload]
        return NewRules(at_ns, rules=new, by="page", number=number, keep_armed=bool(more[1]))
    if kind == "withheld":
        return Withheld(at_ns, number=number // 2, output="laser", reason="late")
    if kind in ("arm", "disarm", "test"):
        return order(str(kind), at_ms, "laser" if kind == "test" else more[0])  # type: ignore[arg-type]
    return tick(at_ms) if kind == "tick" else status("stalled", at_ms)


def _note(on: set[tuple[str, str]], decisions: list[Decision]) -> None:
    """Follow which outputs are on, and for which rule, as the outputs themselves do."""
    for decision in decisions:
        for action in decision.actions:
            if action.act is ActionType.ON:
                on.add((action.output, decision.rule))
            elif action.act is ActionType.OFF:
                on.discard((action.output, decision.rule))
            elif action.act is ActionType.SAFE:
                on -= {held for held in on if held[0] == action.output}


@settings(max_examples=150)
@given(STEPS, st.integers(0, 2**31))
def test_rules_that_are_replaced_in_between_are_decided_again_and_leave_nothing_on(
    steps: list[tuple[float, tuple[object, ...]]], seed: int
) -> None:
    late = random.Random(seed)
    engine = Engine(POOL[0], seed, clock=lambda: engine._now_ns + late.choice([0, 3, 60]) * MS)
    decisions: list[Decision] = []
    on: set[tuple[str, str]] = set()
    at_ms = 0.0
    with tempfile.TemporaryDirectory() as folder:
        log = InputLog(Path(folder), "x", POOL[0], seed)
        for number, (wait_ms, step) in enumerate([(10, ("arm", None)), *steps]):
            at_ms += wait_ms
            event = _event(step, at_ms, number)
            new = engine.take(event)
            if isinstance(event, PoseEvent):
                event = msgspec.structs.replace(event, asked_ns=engine.asked_ns)
            log.add(event)
            decisions += new
            _note(on, new)
            assert {rule for _, rule in on} == set(engine.holding)
        log.close()
        assert decisions_text(replay_inputs(log.path)) == decisions_text(decisions)


def test_a_file_that_is_not_an_input_log_is_an_error_of_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for content in (b"", b"[]\n", b"{}\n", b'{"format": "other"}\n', b"\xff\xfe\n"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="not a log of trigger inputs") as raised:
            read_inputs(path)
        assert "\n" not in str(raised.value)
    log = InputLog(tmp_path, "y", one_rule("{state: tracking}"), 1)
    log.close()
    log.path.write_bytes(log.path.read_bytes() + b'{"type": "tick"}\n')
    with pytest.raises(DataError, match="line 2"):
        list(replay_inputs(log.path))
    with pytest.raises(DataError, match="cannot read"):
        read_inputs(tmp_path / "missing")
