"""Nothing is fired on a pose older than ``max_age_ms``: judged when a rule fires, and again when an output writes."""

from __future__ import annotations

import functools
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest
import yaml
from support.pipelines import cropzoom, finish, start_process
from support.pose_stream_process import Feed
from support.pose_streams import MS, START_NS, Bench, one_rule, pose, received, rules, verdicts
from support.serial_boards import wait_for

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.trigger.engine.engine import Engine
from realtime_cropzoom.trigger.engine.events import (
    Action,
    ActionResult,
    ActionType,
    Command,
    Decision,
    Event,
    Order,
    Outcome,
    PoseEvent,
    Withheld,
)
from realtime_cropzoom.trigger.outputs.base import Job, Output, WriteResult
from realtime_cropzoom.trigger.outputs.runner import OutputThread
from realtime_cropzoom.trigger.process.decision_log import decisions_text, read_decisions
from realtime_cropzoom.trigger.process.input_log import InputLog
from realtime_cropzoom.trigger.process.replay import replay_inputs

INSIDE = "{inside: left_half, keypoint: snout}"
AT = {"snout": (100.0, 100.0, 0.9)}


class Loop:
    """An engine as a live loop runs it: its clock shows ``takes_ms`` more than when the message was received."""

    def __init__(self, **rule: Any) -> None:
        self.takes_ms = 0.0
        self.events: list[Event] = []
        self.rules = one_rule(INSIDE, **rule)
        self.handed: list[Decision] = []
        self.received_ns = 0
        self.engine = Engine(self.rules, 1, clock=self._clock, hand_over=self.handed.append)
        self.take(Command(START_NS, Order.ARM, "start"))

    def _clock(self) -> int:
        return self.received_ns + round(self.takes_ms * MS)

    def take(self, event: Event) -> list[Decision]:
        decisions = self.engine.take(event)
        is_pose = isinstance(event, PoseEvent)
        self.events.append(msgspec.structs.replace(event, asked_ns=self.engine.asked_ns) if is_pose else event)
        return decisions

    def see(self, frame: int, takes_ms: float) -> list[Decision]:
        """A pose 5 ms old when it is received; the rules take ``takes_ms``."""
        event = received(pose(frame, frame * 10.0, AT))
        self.takes_ms, self.received_ns = takes_ms, event.at_ns
        return self.take(event)


def test_a_pose_that_became_too_old_during_the_rules_fires_nothing() -> None:
    loop = Loop()
    assert [d.reason for d in loop.see(0, 60.0)] == [
        "stale at the hand-over: older than 50 ms (65.0 ms): snout inside left_half (100.0, 100.0)"
    ]
    assert loop.see(1, 60.0) == []  # said once
    (fired,) = loop.see(2, 44.0)
    assert (fired.verdict, fired.frame) == ("fired", 2)
    assert fired.fresh_until_ns == START_NS + 20 * MS + 50 * MS
    assert loop.handed[-1] is fired


def test_a_rules_own_limit_and_the_clocks_uncertainty_count() -> None:
    loop = Loop(max_age_ms=20)
    event = msgspec.structs.replace(received(pose(0, 0.0, AT)), uncertainty_ns=10 * MS)
    loop.received_ns = event.at_ns
    assert verdicts(loop.take(event)) == ["fired"]
    loop = Loop(max_age_ms=20)
    loop.received_ns, loop.takes_ms = event.at_ns, 6.0
    assert verdicts(loop.take(event)) == ["refused"]


def test_each_decision_is_handed_over_before_the_next_rule_is_evaluated() -> None:
    """A hundred slow rules must not make the first of them late."""
    order: list[str] = []

    def clock() -> int:
        order.append("asked")
        return START_NS

    two = rules("""
        {a: {when: {state: tracking}, fire: laser, pulse_ms: 1}, b: {when: {state: tracking}, fire: laser, pulse_ms: 1}}
    """)
    engine = Engine(two, 1, clock=clock, hand_over=lambda d: order.append(d.rule))
    engine.take(Command(START_NS, Order.ARM, "start"))
    order.clear()
    engine.take(received(pose(0, 0.0, AT)))
    assert order == ["asked", "a", "asked", "b"]


def test_a_replay_is_byte_for_byte_the_same(tmp_path: Path) -> None:
    loop = Loop(hold=True)
    decisions = loop.see(0, 60.0) + loop.see(1, 1.0)
    fired = decisions[-1]
    decisions += loop.take(Withheld(START_NS + 16 * MS, fired.number, "laser", "late: it had waited for 120 ms"))
    decisions += loop.see(2, 1.0) + loop.see(3, 49.0)
    log = InputLog(tmp_path, "x", loop.rules, 1)
    for event in loop.events:
        log.add(event)
    log.close()
    again = list(replay_inputs(log.path))
    assert verdicts(again) == ["armed", "refused", "fired", "refused", "released", "resumed"]
    assert decisions_text(again[1:]) == decisions_text(decisions)


def test_a_withheld_hold_is_released_and_resumes_with_the_next_pose() -> None:
    bench = Bench(one_rule(INSIDE, hold=True))
    (fired,) = bench.see(100.0)
    refused, released = bench.take(Withheld(START_NS + 8 * MS, fired.number, "laser", "late: too old"))
    assert refused.reason == f"late: too old: decision {fired.number}, laser"
    assert (released.verdict, [(a.output, a.act) for a in released.actions]) == (
        "released",
        [("laser", ActionType.OFF)],
    )
    assert verdicts(bench.see(100.0)) == ["resumed"]
    assert verdicts(bench.take(Withheld(START_NS + 20 * MS, -1, "laser", "the rule loop was silent"))) == ["released"]
    assert verdicts(bench.see(100.0)) == ["resumed"]


def test_an_output_that_is_lost_stays_off_until_its_rule_fires_anew() -> None:
    bench = Bench(one_rule(INSIDE, hold=True))
    (fired,) = bench.see(100.0)
    (released,) = bench.take(Withheld(START_NS + 8 * MS, fired.number, "laser", "unplugged", ended=True, lost=True))
    assert (released.verdict, released.reason) == ("released", "laser is off: unplugged")
    assert bench.see(100.0) == []
    assert verdicts(bench.see(100.0, state="lost")) == ["refused"]
    bench.see_all([100.0] * 20)
    assert bench.engine.holding == ()
    bench.see_all([400.0] * 2)
    assert verdicts(bench.see(100.0)) == ["fired"]


def test_a_rule_holds_its_other_outputs_when_one_is_lost() -> None:
    bench = Bench(one_rule(INSIDE, hold=True, fire=["laser", "marks"]))
    (fired,) = bench.see(100.0)
    (lost,) = bench.take(Withheld(START_NS + 8 * MS, fired.number, "laser", "unplugged", ended=True, lost=True))
    assert (lost.verdict, [(a.output, a.act) for a in lost.actions]) == ("refused", [("laser", ActionType.OFF)])
    assert bench.engine.holding == ("r",)
    assert [a.output for d in bench.see(100.0, state="lost") for a in d.actions] == ["laser", "marks"]
    (resumed,) = bench.see(100.0)
    assert [(a.output, a.act) for a in resumed.actions] == [("marks", ActionType.ON)]
    (last,) = bench.take(Withheld(START_NS + 50 * MS, resumed.number, "marks", "gone", ended=True, lost=True))
    assert last.verdict == "released"
    assert not bench.engine.holding


def test_news_of_an_earlier_hold_do_not_end_the_next_one() -> None:
    """After SIGCONT the thread of an output may report a silent rule loop later than the next firing."""
    bench = Bench(one_rule(INSIDE, hold=True))
    (first,) = bench.see(100.0)
    bench.see_all([400.0] * 2)
    assert "fired" in verdicts(bench.see(100.0))
    assert not bench.take(Withheld(START_NS + 50 * MS, first.number, "laser", "silent", ended=True))
    assert bench.engine.holding == ("r",)


def test_a_withheld_pulse_is_reported() -> None:
    bench = Bench(one_rule(INSIDE))
    (fired,) = bench.see(100.0)
    assert verdicts(bench.take(Withheld(START_NS + 8 * MS, fired.number, "laser", "late"))) == ["refused"]
    assert bench.see(100.0) == []


class Clocked(Output):
    """Writes at ``now``, which ``takes_ns`` moves on before the write is done."""

    def __init__(self, *, holds_level: bool, supports_pulse: bool = True) -> None:
        super().__init__()
        self.holds_level, self.supports_pulse = holds_level, supports_pulse
        self.now, self.takes_ns = START_NS, 0
        self.loop_seen_ns: int | None = None
        """Last sign of life of the rule loop; None: now."""
        self.acts: list[ActionType] = []

    def open(self) -> None:
        pass

    def perform(self, job: Job) -> WriteResult:
        self.check(job)
        self.now += self.takes_ns
        self.takes_ns = 0
        self.acts.append(job.act)
        return WriteResult(self.now)

    def close(self) -> None:
        pass


@pytest.fixture(params=["level", "timed by the thread", "message"])
def clocked(request: pytest.FixtureRequest) -> Iterator[tuple[Clocked, OutputThread, list[ActionResult]]]:
    done: list[ActionResult] = []
    output = Clocked(holds_level=request.param != "message", supports_pulse=request.param != "timed by the thread")
    thread = OutputThread(
        "laser",
        output,
        done.append,
        now=lambda: output.now,
        loop_seen_ns=lambda: output.now if output.loop_seen_ns is None else output.loop_seen_ns,
    )
    thread.start()
    thread.wait_open()
    yield output, thread, done
    assert thread.close()


def order(act: ActionType, fresh_ms: float | None = 50.0, rule: str = "a") -> Job:
    fresh_until_ns = None if fresh_ms is None else START_NS + round(fresh_ms * MS)
    return Job(Action("laser", act, 1000.0), START_NS, 3, 4, rule=rule, fresh_until_ns=fresh_until_ns)


@pytest.mark.parametrize("act", [ActionType.PULSE, ActionType.ON])
def test_an_output_does_not_write_on_a_pose_that_became_too_old(clocked: Any, act: ActionType) -> None:
    output, thread, done = clocked
    output.now += 51 * MS
    thread.submit(order(act))
    wait_for(lambda: done)
    assert (done[0].error, done[0].outcome) == ("late: its pose became too old 1.0 ms ago", Outcome.LATE)
    assert output.acts == []


@pytest.mark.parametrize("act", [ActionType.OFF, ActionType.SAFE])
def test_off_and_safe_are_never_too_late(clocked: Any, act: ActionType) -> None:
    output, thread, done = clocked
    output.now += 60_000 * MS
    thread.submit(order(act))
    wait_for(lambda: done)
    assert (done[0].error, output.acts) == (None, [act])


@pytest.mark.parametrize("act", [ActionType.PULSE, ActionType.ON])
def test_a_job_without_a_pose_is_late_only_if_it_waited(clocked: Any, act: ActionType) -> None:
    output, thread, done = clocked
    output.now += 51 * MS
    thread.submit(order(act, None))
    wait_for(lambda: done)
    assert done[0].error is None


@pytest.mark.parametrize("act", [ActionType.PULSE, ActionType.ON])
def test_a_write_that_was_delayed_is_ended_at_once(clocked: Any, act: ActionType) -> None:
    output, thread, done = clocked
    output.takes_ns = 400 * MS
    thread.submit(order(act))
    wait_for(lambda: len(done) == 2)
    assert (done[0].error, done[0].outcome) == ("written late: its pose was too old for 350 ms", Outcome.LATE)
    assert (done[1].action.act, output.acts[-1]) == (ActionType.SAFE, ActionType.SAFE)


def test_a_delayed_write_does_not_end_the_hold_of_another_rule(clocked: Any) -> None:
    output, thread, done = clocked
    thread.submit(order(ActionType.ON, None, rule="b"))
    wait_for(lambda: done)
    output.takes_ns = 80 * MS
    thread.submit(order(ActionType.ON))
    wait_for(lambda: len(done) == 2)
    assert done[1].outcome is Outcome.LATE
    assert output.acts == [ActionType.ON, ActionType.ON]


def test_a_loop_that_hangs_does_not_keep_any_kind_of_output_on(clocked: Any) -> None:
    output, thread, done = clocked
    output.loop_seen_ns = START_NS
    thread.submit(order(ActionType.ON))
    wait_for(lambda: done)
    output.now += 1001 * MS
    wait_for(lambda: len(done) == 2)
    assert (done[1].action.act, done[1].outcome, output.acts[-1]) == (ActionType.SAFE, Outcome.SILENT, ActionType.SAFE)


LINE = """
import time
def line(job):
    with open("line", "a") as file:
        file.write(f"{job.act} {job.captured_ns} {time.monotonic_ns()}\\n")
"""


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="Windows stops no process")
def test_a_process_that_was_stopped_fires_on_nothing_old(tmp_path: Path) -> None:
    (tmp_path / "my_line.py").write_text(LINE)
    (tmp_path / "rules.yaml").write_text(
        yaml.safe_dump(
            {
                **{"max_age_ms": 150, "limits": {"max_fired": 100_000, "max_on_s": 1000}},
                "outputs": {"mine": {"python": "my_line:line", "late_after_ms": 10_000}},
                "rules": {
                    "often": {
                        **{"when": {"state": ["tracking"]}, "fire": "mine", "pulse_ms": 1},
                        **{"repeat": True, "refractory_ms": 5},
                    }
                },
            }
        )
    )
    line = tmp_path / "line"

    def fired() -> list[tuple[int, int]]:
        rows = [row.split() for row in line.read_text().splitlines()] if line.exists() else []
        return [(int(captured), int(at)) for act, captured, at in rows if act == "pulse"]

    def has_fired(count: int) -> bool:
        return len(fired()) >= count

    def has_fired_after(at_ns: int) -> bool:
        return any(written_ns > at_ns for _, written_ns in fired())

    with Feed(fps=200) as feed:

        def has_sent(count: int) -> bool:
            return feed.sent >= count

        flags = ["--endpoint", feed.endpoint, "--arm", "--control", "none", "--log", tmp_path / "log", "--quiet"]
        trigger = start_process("trigger", "rules.yaml", *flags, cwd=tmp_path)
        try:
            for _ in range(3):
                wait_for(functools.partial(has_fired, len(fired()) + 4))
                trigger.send_signal(signal.SIGSTOP)
                stopped_ns, sent = now_ns(), feed.sent
                wait_for(functools.partial(has_sent, sent + 101))
                going_on_ns = now_ns()
                trigger.send_signal(signal.SIGCONT)
                wait_for(functools.partial(has_fired_after, going_on_ns))
                after = [captured for captured, written in fired() if written > going_on_ns]
                assert not [at for at in after if at < going_on_ns - 160 * MS], (stopped_ns, going_on_ns, after)
        finally:
            trigger.send_signal(signal.SIGCONT)
            trigger.send_signal(signal.SIGINT)
            assert finish(trigger).returncode in (130, 3)
    assert all(written - captured < 160 * MS for captured, written in fired())
    again = cropzoom("trigger", "--replay", tmp_path / "log")
    assert "the same as in the log" in again.stdout
    decided = read_decisions(tmp_path / "log" / "rules_decisions.csv")
    assert {d.reason for d in decided if d.verdict == "refused"}
    outputs = pd.read_csv(tmp_path / "log" / "rules_outputs.csv")
    of_fired = outputs[outputs["act"] == "pulse"].merge(
        pd.DataFrame([(d.number, d.captured_ns) for d in decided if d.verdict == "fired"], columns=["number", "at"])
    )
    in_time = of_fired[of_fired["error"].isna()]
    assert ((in_time["written_ns"] - in_time["at"]) <= 171 * MS).all()


def test_an_on_has_the_time_that_the_limits_allow() -> None:
    bench = Bench(one_rule(INSIDE, hold=True, max_on_s=5, limits={"max_on_s": 6}))
    (fired,) = bench.see(100.0)
    assert [action.max_on_ms for action in fired.actions] == [5000.0]
    bench.see_all([100.0] * 100)
    (_, resumed) = bench.see(100.0, state="lost"), bench.see(100.0)
    (action,) = resumed[-1].actions
    assert action.max_on_ms == pytest.approx(5000 - 1010)
    job = Job(action, 0)
    assert job.fields()["max_on_ms"] == action.max_on_ms
    assert "max_on_ms" not in Job(Action("laser", ActionType.PULSE, 10.0), 0).fields()
