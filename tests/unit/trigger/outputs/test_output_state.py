"""The state machine of an output: its transitions, its safety, and the same levels as a slow model gives."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import pose_streams

from realtime_cropzoom.trigger.engine.events import Action, ActionType, Outcome
from realtime_cropzoom.trigger.outputs.base import Job, WriteResult, build_jobs
from realtime_cropzoom.trigger.outputs.output_state import (
    MAX_QUEUED,
    RETRY_NS,
    Beat,
    OutputState,
    OutputTiming,
    Phase,
    Report,
    Wait,
    Write,
)

MS = 1_000_000
START_NS = 1_000_000_000
SILENT_NS = 1000 * MS
TIMED_HERE = OutputTiming(holds_level=True, supports_pulse=False, late_after_ns=60_000 * MS, silent_after_ns=SILENT_NS)
TIMED_THERE = replace(TIMED_HERE, supports_pulse=True)
MESSAGES = replace(TIMED_THERE, holds_level=False)


@dataclass
class Reason:
    """A reason for the output to be on: a rule that holds it, or a pulse with an end."""

    rule: str | None
    until_ns: int | None = None


@dataclass
class Bench:
    """An output and its state, executed step by step. The clock is the test's own."""

    timing: OutputTiming = TIMED_HERE
    now_ns: int = START_NS
    works: bool = True
    late: bool = False
    """Whether the output finds the next pulse or on too late, right before it writes."""
    delayed_ms: float = 0.0
    """How long the process is delayed right before the next write."""
    alive: bool = True
    on: bool = False
    requests: list[Job] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    beats: int = 0
    reasons: list[Reason] = field(default_factory=list)
    """The slow model: every reason for the output to be on."""
    submitted: int = 0
    safe_at: int = -2
    """Number of the last SAFE that was submitted."""
    closed_at: int | None = None

    def __post_init__(self) -> None:
        self.state = OutputState("laser", self.timing)
        self.seen_ns = self.now_ns

    def submit(self, act: ActionType, ms: float = 0.0, rule: str = "a", *, fresh_ms: float | None = None) -> Job:
        fresh_until_ns = None if fresh_ms is None else self.now_ns + round(fresh_ms * MS)
        self.submitted += 1
        job = Job(Action("laser", act, ms), self.now_ns, self.submitted, 1, rule=rule, fresh_until_ns=fresh_until_ns)
        if act is ActionType.SAFE:
            self.safe_at = self.submitted
        self.reports += self.state.submit(job)
        return job

    def lose(self) -> None:
        """The receiver goes away. What was on may still be on."""
        self.reports += self.state.lose("gone", self.now_ns)
        self.reasons.clear()

    def finish(self) -> None:
        self.closed_at = self.closed_at or self.submitted
        self.reports += self.state.finish(self.now_ns)

    def step(self) -> bool:
        """Execute one step; returns False if the output waits or has ended."""
        if self.alive:
            self.seen_ns = self.now_ns
        step = self.state.next(self.now_ns, self.seen_ns)
        if isinstance(step, Write):
            result = self.write(step)
            reports = self.state.written(step, result, self.now_ns)
            self.reports += reports
            self.note(step, reports)
        elif isinstance(step, Report):
            self.reports.append(step)
            if step.result.outcome is Outcome.STILL_ON:
                self.drop_holder(step.job.rule)
        elif isinstance(step, Beat):
            self.beats += 1
        return step is not None and not isinstance(step, Wait)

    def run(self) -> None:
        """Execute steps until the output waits or has ended."""
        for _ in range(2 * MAX_QUEUED + 20):
            if not self.step():
                return
        raise AssertionError("the output never comes to rest")

    def let_pass(self, ms: float) -> None:
        """Let time pass in steps of 10 ms, as a thread that wakes up in time."""
        for _ in range(round(ms / 10)):
            self.run()
            self.now_ns += 10 * MS
        self.run()

    def write(self, write: Write) -> WriteResult:
        act = write.request.act
        if act in (ActionType.PULSE, ActionType.ON):
            self.check_safety(write)
            if self.late:
                self.late = False
                return WriteResult(None, None, "late", Outcome.LATE)
        self.now_ns += round(self.delayed_ms * MS)
        self.delayed_ms = 0.0
        self.requests.append(write.request)
        if self.works or act in (
            ActionType.PULSE,
            ActionType.ON,
        ):  # the worst case: on although it failed, not off because it failed
            self.on = act in (ActionType.PULSE, ActionType.ON)
        return WriteResult(self.now_ns, None, None if self.works else "broken")

    def check_safety(self, write: Write) -> None:
        """A SAFE goes before everything, and a closed output switches nothing on."""
        assert write.reported.number > self.safe_at, "switched on by a job from before the SAFE"
        assert self.closed_at is None or write.reported.number <= self.closed_at, "switched on after the end"

    def note(self, write: Write, reports: list[Report]) -> None:
        job = write.reported
        outcome = reports[0].result.outcome if reports else None
        if write.request.act is ActionType.SAFE:
            self.reasons.clear()
        elif write.request.act is ActionType.OFF:
            self.drop_holder(job.rule)
        elif outcome is Outcome.LATE:
            if reports[0].result.written_ns is not None:
                self.drop_holder(job.rule)
        elif job.act is ActionType.ON:
            self.drop_holder(job.rule)
            self.reasons.append(Reason(job.rule))
        else:
            self.reasons.append(Reason(None, self.now_ns + round(job.ms * MS)))

    def drop_holder(self, rule: str) -> None:
        self.reasons = [reason for reason in self.reasons if reason.rule != rule]

    @property
    def needed(self) -> bool:
        """Whether the slow model has a reason for the output to be on now."""
        return any(reason.until_ns is None or reason.until_ns > self.now_ns for reason in self.reasons)

    @property
    def acts(self) -> list[ActionType]:
        return [request.act for request in self.requests]


def idle(bench: Bench) -> None:
    """Leave the output as it is at the start."""


def holding(bench: Bench) -> None:
    bench.submit(ActionType.ON)
    bench.run()


def pulsing(bench: Bench) -> None:
    bench.submit(ActionType.PULSE, 200, "p")
    bench.run()


def pulsing_and_held(bench: Bench) -> None:
    pulsing(bench)
    holding(bench)


def safing(bench: Bench) -> None:
    """A SAFE could not be written."""
    bench.works = False
    bench.submit(ActionType.SAFE)
    bench.run()
    bench.works = True


def closed(bench: Bench) -> None:
    bench.finish()
    bench.run()


@pytest.mark.parametrize(
    ("before", "event", "acts", "after"),
    [
        (idle, lambda b: b.submit(ActionType.ON), [ActionType.ON], Phase.HOLDING),
        (idle, lambda b: b.submit(ActionType.PULSE, 5), [ActionType.ON], Phase.PULSING),
        (idle, lambda b: b.submit(ActionType.OFF), [ActionType.OFF], Phase.IDLE),
        (idle, lambda b: b.finish(), [ActionType.SAFE], Phase.CLOSED),
        (holding, lambda b: b.submit(ActionType.OFF), [ActionType.OFF], Phase.IDLE),
        (holding, lambda b: b.submit(ActionType.OFF, rule="b"), [], Phase.HOLDING),
        (holding, lambda b: b.submit(ActionType.PULSE, 5), [ActionType.ON], Phase.PULSING),
        (holding, lambda b: b.submit(ActionType.SAFE), [ActionType.SAFE], Phase.IDLE),
        (holding, lambda b: b.finish(), [ActionType.SAFE], Phase.CLOSED),
        (pulsing, lambda b: b.submit(ActionType.OFF), [], Phase.PULSING),
        (pulsing, lambda b: b.submit(ActionType.ON), [ActionType.ON], Phase.PULSING),
        (pulsing, lambda b: b.let_pass(210), [ActionType.OFF], Phase.IDLE),
        (pulsing, lambda b: b.submit(ActionType.SAFE), [ActionType.SAFE], Phase.IDLE),
        (pulsing_and_held, lambda b: b.let_pass(210), [], Phase.HOLDING),
        (idle, lambda b: b.lose(), [], Phase.IDLE),
        (holding, lambda b: b.lose(), [ActionType.SAFE], Phase.IDLE),
        (pulsing_and_held, lambda b: b.lose(), [ActionType.SAFE], Phase.IDLE),
        (safing, lambda b: b.let_pass(110), [ActionType.SAFE], Phase.IDLE),
        (safing, lambda b: b.submit(ActionType.SAFE), [ActionType.SAFE], Phase.IDLE),
        (closed, lambda b: b.submit(ActionType.ON), [], Phase.CLOSED),
        (closed, lambda b: b.submit(ActionType.PULSE, 5), [], Phase.CLOSED),
    ],
)
def test_each_transition_of_the_table(
    before: Callable[[Bench], None], event: Callable[[Bench], object], acts: list[ActionType], after: Phase
) -> None:
    bench = Bench()
    before(bench)
    bench.requests.clear()
    event(bench)
    bench.run()
    assert bench.acts == acts
    assert bench.state.phase is after


def test_a_safe_is_the_phase_from_the_moment_it_is_submitted() -> None:
    bench = Bench()
    holding(bench)
    bench.submit(ActionType.SAFE)
    assert (bench.state.phase, bench.state.preempted) == (Phase.SAFING, True)
    bench.run()
    assert (bench.state.phase, bench.state.preempted) == (Phase.IDLE, False)


def test_a_safe_ends_a_pulse_and_its_end_is_forgotten() -> None:
    bench = Bench()
    pulsing(bench)
    bench.submit(ActionType.SAFE)
    bench.let_pass(500)
    assert bench.acts == [ActionType.ON, ActionType.SAFE]


def test_a_hold_ends_when_the_rule_loop_is_silent() -> None:
    bench = Bench()
    holding(bench)
    bench.alive = False
    bench.let_pass(1000)
    assert bench.acts == [ActionType.ON]
    bench.let_pass(20)
    assert bench.acts == [ActionType.ON, ActionType.SAFE]
    assert bench.reports[-1].result.outcome is Outcome.SILENT
    assert bench.state.phase is Phase.IDLE


def test_the_sync_line_outlives_a_silent_rule_loop() -> None:
    bench = Bench()
    bench.reports += bench.state.submit(Job(Action("laser", ActionType.ON), bench.now_ns, rule="sync"))
    bench.alive = False
    bench.let_pass(5000)
    assert bench.acts == [ActionType.ON]


def test_heartbeats_are_sent_while_a_rule_holds() -> None:
    bench = Bench(replace(MESSAGES, beat_every_ns=100 * MS))
    bench.let_pass(500)
    assert bench.beats == 0
    holding(bench)
    bench.let_pass(500)
    assert bench.beats == 5
    bench.submit(ActionType.OFF)
    bench.let_pass(500)
    assert bench.beats == 5


def test_a_pulse_that_is_found_late_does_not_keep_the_pulse_before_it_on() -> None:
    bench = Bench()
    bench.submit(ActionType.PULSE, 30)
    bench.run()
    bench.late = True
    bench.submit(ActionType.PULSE, 1000)
    bench.let_pass(40)
    assert bench.acts == [ActionType.ON, ActionType.OFF]
    assert not bench.on


def test_an_on_that_is_found_late_leaves_the_hold_of_its_rule_as_it_was() -> None:
    bench = Bench()
    holding(bench)
    bench.late = True
    bench.submit(ActionType.ON)
    bench.run()
    assert (bench.on, bench.state.phase) == (True, Phase.HOLDING)
    bench.submit(ActionType.OFF)
    bench.run()
    assert (bench.on, bench.state.phase) == (False, Phase.IDLE)


def test_a_short_pulse_ends_in_time_although_an_off_before_it_failed() -> None:
    bench = Bench()
    holding(bench)
    bench.works = False
    bench.submit(ActionType.OFF)
    bench.run()
    bench.works = True
    bench.submit(ActionType.PULSE, 10)
    bench.let_pass(10)
    assert not bench.on


def test_a_late_write_is_ended_at_once_unless_a_rule_holds_the_output() -> None:
    for held, acts in [(False, [ActionType.ON, ActionType.SAFE]), (True, [ActionType.ON, ActionType.ON])]:
        bench = Bench()
        if held:
            bench.submit(ActionType.ON, rule="b")
            bench.run()
        bench.delayed_ms = 80
        bench.submit(ActionType.ON, fresh_ms=50)
        bench.run()
        assert bench.acts == acts
        late = next(report.result for report in bench.reports if report.result.outcome is Outcome.LATE)
        assert late.error == "written late: its pose was too old for 30 ms"


def test_a_full_queue_drops_the_newest_job_but_takes_a_safe() -> None:
    bench = Bench()
    for _ in range(MAX_QUEUED + 1):
        bench.submit(ActionType.ON)
    assert [report.job.number for report in bench.reports] == [MAX_QUEUED + 1]
    bench.submit(ActionType.SAFE)
    bench.run()
    assert bench.acts == [ActionType.SAFE]


@pytest.mark.parametrize("waiting", [ActionType.ON, ActionType.PULSE, ActionType.OFF])
def test_a_full_queue_takes_an_off_in_place_of_another_job(waiting: ActionType) -> None:
    bench = Bench()
    bench.submit(ActionType.ON)
    bench.run()
    for _ in range(MAX_QUEUED):
        bench.submit(waiting, 5.0 if waiting is ActionType.PULSE else 0.0)
    off = bench.submit(ActionType.OFF)
    assert [report.job.number for report in bench.reports[1:]] == [2], "the oldest made room"
    bench.let_pass(20)
    assert not bench.on
    assert off.number in {report.job.number for report in bench.reports}


def test_offs_of_many_rules_are_all_kept() -> None:
    bench = Bench()
    for number in range(MAX_QUEUED + 5):
        bench.submit(ActionType.OFF, rule=f"r{number}")
    assert bench.reports == []


@pytest.mark.parametrize("timing", [TIMED_HERE, OutputTiming(False, True, 10**9)], ids=["levels", "messages"])
def test_an_output_that_two_rules_hold_goes_off_with_the_last_release(timing: OutputTiming) -> None:
    poses = pose_streams.Bench(
        pose_streams.rules(
            "{a: {when: {inside: left_half, keypoint: snout}, fire: laser, hold: true},"
            " b: {when: {inside: left_half, keypoint: tail}, fire: laser, hold: true}}"
        )
    )
    bench = Bench(timing)
    inside, outside = (300.0, 100.0, 0.9), (400.0, 100.0, 0.9)
    for snout, tail in [(inside, inside), (outside, inside), (outside, outside)]:
        for decision in poses.see(snout[0], tail=tail):
            for job in build_jobs(decision, bench.now_ns):
                bench.reports += bench.state.submit(job)
        bench.run()
        assert bench.on is bool(poses.engine.holding)
    assert [report.result.error for report in bench.reports] == [None, None, "still on for b", None]


def test_a_lost_receiver_ends_the_holds_and_is_made_safe_until_that_succeeds() -> None:
    bench = Bench(TIMED_THERE)
    for rule in "ab":
        bench.submit(ActionType.ON, rule=rule)
    bench.run()
    bench.works = False
    bench.lose()
    lost = bench.reports[-1]
    assert (lost.job.act, lost.result.outcome, lost.result.error) == (ActionType.SAFE, Outcome.LOST, "gone (it was on)")
    assert lost.ended == (1, 2)
    bench.submit(ActionType.OFF)
    bench.let_pass(500)
    assert bench.state.phase is Phase.SAFING
    bench.works = True
    bench.let_pass(110)
    assert (bench.acts[-1], bench.on, bench.state.phase) == (ActionType.SAFE, False, Phase.IDLE)
    assert bench.reports[-1].result.error is None, "the log says when it was off for certain"


def test_a_receiver_that_is_lost_during_a_write_is_made_safe_after_it() -> None:
    bench = Bench(TIMED_THERE)
    bench.submit(ActionType.ON)
    write = bench.state.next(bench.now_ns, bench.now_ns)
    assert isinstance(write, Write)
    assert bench.state.lose("gone", bench.now_ns) == []
    done = WriteResult(bench.now_ns, bench.now_ns)
    assert [report.ended for report in bench.state.written(write, done, bench.now_ns)] == [(), (1,)]
    bench.run()
    assert bench.acts == [ActionType.SAFE]


def test_a_pulse_that_the_board_times_is_lost_until_it_is_over() -> None:
    bench = Bench(TIMED_THERE)
    bench.submit(ActionType.PULSE, 200)
    bench.let_pass(100)
    bench.lose()
    assert bench.reports[-1].result.outcome is Outcome.LOST
    bench.submit(ActionType.PULSE, 50)
    bench.let_pass(100)
    count = len(bench.reports)
    bench.lose()
    assert len(bench.reports) == count


@pytest.mark.parametrize(
    ("result", "ended"),
    [
        (WriteResult(None, None, "not connected"), (1,)),
        (WriteResult(START_NS, START_NS, "refused: no watchdog"), (1,)),
        (WriteResult(START_NS, None, "no answer"), ()),
        (WriteResult(START_NS, START_NS), ()),
    ],
)
def test_an_on_that_failed_for_certain_is_no_hold(result: WriteResult, ended: tuple[int, ...]) -> None:
    bench = Bench(TIMED_THERE)
    bench.submit(ActionType.ON)
    write = bench.state.next(bench.now_ns, bench.now_ns)
    assert isinstance(write, Write)
    assert [report.ended for report in bench.state.written(write, result, bench.now_ns)] == [ended]


OPERATIONS = ["on", "on", "off", "off", "pulse", "pulse", "safe", "step", "step", "run", "wait", "wait"]
FAULTS = ["breaks", "works", "late", "delayed", "silent", "alive", "lost"]


def play(bench: Bench, chance: random.Random, operations: list[str], count: int) -> None:
    """Do random operations; with a reliable output, hold its level against the slow model whenever it waits."""
    for _ in range(count):
        operation = chance.choice(operations)
        rule = chance.choice("abc")
        if operation == "on":
            bench.submit(ActionType.ON, rule=rule, fresh_ms=chance.choice([None, 20.0, 200.0]))
        elif operation == "off":
            bench.submit(ActionType.OFF, rule=rule)
        elif operation == "pulse":
            bench.submit(
                ActionType.PULSE, chance.choice([1, 5, 50, 400]), rule, fresh_ms=chance.choice([None, 20.0, 200.0])
            )
        elif operation == "safe":
            bench.submit(ActionType.SAFE)
        elif operation == "step":
            bench.step()
        elif operation == "run":
            bench.run()
            if operations is OPERATIONS:
                assert bench.on is bench.needed
        elif operation == "wait":
            bench.let_pass(chance.choice([10, 30, 100, 500]))
            if operations is OPERATIONS:
                assert bench.on is bench.needed
        elif operation in ("breaks", "works"):
            bench.works = operation == "works"
        elif operation in ("silent", "alive"):
            bench.alive = operation == "alive"
        elif operation == "lost":
            bench.lose()
        elif operation == "late":
            bench.late = True
        elif operation == "delayed":
            bench.delayed_ms = chance.choice([5.0, 60.0, 300.0])


@settings(max_examples=300, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 60))
def test_a_reliable_output_has_the_level_of_the_slow_model(chance: random.Random, count: int) -> None:
    bench = Bench()
    play(bench, chance, OPERATIONS, count)
    bench.run()
    assert bench.on is bench.needed
    in_phase = {Phase.IDLE: False, Phase.HOLDING: True, Phase.PULSING: True}
    assert in_phase[bench.state.phase] is bench.on


@settings(max_examples=400, deadline=None)
@given(
    st.randoms(use_true_random=False),
    st.integers(1, 80),
    st.sampled_from([TIMED_HERE, TIMED_THERE, MESSAGES, replace(MESSAGES, beat_every_ns=100 * MS)]),
)
def test_the_output_is_safe_for_any_failures(chance: random.Random, count: int, timing: OutputTiming) -> None:
    """``Bench.check_safety`` looks at each write. In the end the output is off, whatever failed before."""
    bench = Bench(timing)
    play(bench, chance, OPERATIONS + FAULTS, count)
    bench.works, bench.late, bench.delayed_ms = True, False, 0.0
    if timing is TIMED_HERE:
        bench.alive = True
        bench.let_pass(3 * RETRY_NS / MS)
        assert bench.needed or not bench.on, "on without a reason"
    bench.alive = False
    bench.let_pass(SILENT_NS / MS + 500)
    if timing is TIMED_HERE:
        assert not bench.on, "on although the rule loop is silent"
    bench.finish()
    bench.submit(ActionType.ON)
    bench.submit(ActionType.PULSE, 5)
    bench.let_pass(500)
    assert bench.state.phase is Phase.CLOSED
    assert bench.acts[-1] is ActionType.SAFE
    assert not bench.on
    assert not bench.step()


@settings(max_examples=200, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 80))
def test_each_job_is_reported_once(chance: random.Random, count: int) -> None:
    bench = Bench()
    play(bench, chance, OPERATIONS + FAULTS, count)
    bench.works = True
    bench.finish()
    bench.let_pass(500)
    acts = {ActionType.PULSE, ActionType.ON}
    reported = [report.job.number for report in bench.reports if report.job.act in acts]
    assert len(reported) == len(set(reported))
    assert sum(report.job.number > 0 and report.job.act in acts for report in bench.reports) == len(reported)
