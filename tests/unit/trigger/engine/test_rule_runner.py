"""The state machine of a rule: only the transitions of its diagram, and the firings that a slow model gives."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_cropzoom.trigger.engine.animal_view import ViewKey
from realtime_cropzoom.trigger.engine.conditions import Condition
from realtime_cropzoom.trigger.engine.events import Verdict
from realtime_cropzoom.trigger.engine.firing_limits import FiringLimits, RateBudget
from realtime_cropzoom.trigger.engine.pose_sample import Demands, PoseSample
from realtime_cropzoom.trigger.engine.rule_runner import RuleOutcome, RuleParameters, RuleRunner, RuleState
from realtime_cropzoom.trigger.engine.watch import WatchOne

MS = 1_000_000
BRIDGE_MS, FOR_MS = 50, 20

DISARMED, READY, WAITING = RuleState.DISARMED, RuleState.READY, RuleState.WAITING
FIRED, HOLDING, SHAM = RuleState.FIRED, RuleState.HOLDING, RuleState.SHAM

IN_A_STEP = {
    (DISARMED, DISARMED),
    (READY, READY),
    *((READY, state) for state in (WAITING, FIRED, HOLDING, SHAM)),
    *((WAITING, state) for state in (READY, WAITING, FIRED, HOLDING, SHAM)),
    *((FIRED, state) for state in (READY, WAITING, FIRED, HOLDING, SHAM)),
    *((HOLDING, state) for state in (READY, WAITING, FIRED, HOLDING, SHAM)),
    *((SHAM, state) for state in (READY, WAITING, FIRED, HOLDING, SHAM)),
}
"""Pairs of states before and after a pose. With one pose a bout may end and the next one begin and fire."""


@dataclass
class Transition:
    """What a pose has changed."""

    before: RuleState
    after: RuleState
    outcomes: tuple[RuleOutcome, ...]


class Scripted(Condition):
    """A condition with a value that the test sets."""

    def __init__(self) -> None:
        super().__init__()
        self.now: bool | None = None
        self.reason = "unknown"

    def value(self, sample: PoseSample) -> bool | None:
        return self.now

    def describe(self) -> str:
        return "scripted"


@dataclass
class Seen:
    """One line of the history: what came, when, and whether the rule fired with it."""

    kind: str
    at_ms: int
    value: bool | None = None
    fired: bool = False


class Bench:
    """A rule with a scripted condition."""

    def __init__(self, *, pulse_ms: float | None = 5.0, probability: float = 1.0, repeat: bool = False) -> None:
        self.condition = Scripted()
        parameters = RuleParameters(
            outputs=("laser",),
            pulse_ms=pulse_ms,
            repeat=repeat,
            for_ns=FOR_MS * MS,
            max_age_ms=50,
            hold_max_age_ns=100 * MS,
            bridge_ns=BRIDGE_MS * MS,
        )
        limits = FiringLimits(
            "1:r",
            probability=probability,
            refractory_ns=30 * MS if repeat else 0,
            max_per_minute=None,
            minutes=None,
            budget=RateBudget("rule", None, None),
        )
        watch = WatchOne(self.condition, Demands(), ViewKey(None))
        self.runner = RuleRunner("r", watch, parameters, limits, RateBudget("session", None, None))
        self.at_ms = 0
        self.history: list[Seen] = []

    def pose(self, value: bool | None, after_ms: int = 10, state: str = "tracking") -> Transition:
        self.at_ms += after_ms
        self.condition.now = value
        at_ns = self.at_ms * MS
        sample = PoseSample(len(self.history), at_ns, 5.0, state, {})
        before = self.runner.state
        outcomes = self.runner.step([sample], at_ns, None, lambda: at_ns)
        transition = Transition(before, self.runner.state, outcomes)
        known = value if state == "tracking" else None
        fired = any(outcome.verdict is Verdict.FIRED for outcome in transition.outcomes)
        self.history.append(Seen("pose", self.at_ms, known, fired))
        return transition

    def arm(self) -> None:
        if not self.runner.armed:
            self.runner.arm(self.at_ms * MS)
            self.history.append(Seen("arm", self.at_ms))

    def disarm(self) -> None:
        if self.runner.armed:
            self.runner.disarm(self.at_ms * MS)
            self.history.append(Seen("disarm", self.at_ms))

    def lose_stream(self) -> None:
        self.runner.drop(self.at_ms * MS)
        self.runner.reset()
        self.history.append(Seen("reset", self.at_ms))


def bout_of(history: list[Seen], last: int) -> list[int]:
    """Return the poses of the bout that pose ``last`` belongs to, up to it, oldest first."""
    bout = [last]
    for i in range(last - 1, -1, -1):
        seen = history[i]
        if seen.kind == "reset" or seen.value is False:
            break
        if seen.kind == "pose" and seen.value:
            if history[bout[0]].at_ms - seen.at_ms > BRIDGE_MS:
                break
            bout.insert(0, i)
    return bout


def fires(history: list[Seen], at: int) -> bool:
    """The slow model: whether a rule that pulses once a bout fires with pose ``at``, from the history alone."""
    orders = [i for i in range(at) if history[i].kind in ("arm", "disarm")]
    if not history[at].value or not orders or history[orders[-1]].kind == "disarm":
        return False
    bout = bout_of(history, at)
    lasts = history[at].at_ms - history[bout[0]].at_ms >= FOR_MS
    return lasts and not any(history[i].fired for i in bout if i > orders[-1] and i != at)


@settings(max_examples=300, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 80))
def test_a_rule_fires_when_the_slow_model_fires(chance: random.Random, count: int) -> None:
    bench = Bench()
    bench.arm()
    for _ in range(count):
        action = chance.choice(["pose"] * 12 + ["arm", "disarm", "lose"])
        if action == "pose":
            bench.pose(
                chance.choice([True, True, True, False, None]),
                chance.choice([5, 10, 30, 60]),
                chance.choice(["tracking"] * 5 + ["lost"]),
            )
            assert bench.history[-1].fired is fires(bench.history, len(bench.history) - 1)
        else:
            {"arm": bench.arm, "disarm": bench.disarm, "lose": bench.lose_stream}[action]()


@settings(max_examples=300, deadline=None)
@given(
    st.randoms(use_true_random=False),
    st.sampled_from([5.0, None]),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.booleans(),
)
def test_only_the_transitions_of_the_diagram_happen(
    chance: random.Random, pulse_ms: float | None, probability: float, repeat: bool
) -> None:
    bench = Bench(pulse_ms=pulse_ms, probability=probability, repeat=repeat and pulse_ms is not None)
    for _ in range(60):
        action = chance.choice(["pose"] * 12 + ["arm", "arm", "disarm", "lose"])
        if action != "pose":
            {"arm": bench.arm, "disarm": bench.disarm, "lose": bench.lose_stream}[action]()
            assert bench.runner.armed or bench.runner.state is DISARMED
            assert action != "lose" or bench.runner.state in (READY, DISARMED)
            continue
        transition = bench.pose(
            chance.choice([True, True, True, False, None]),
            chance.choice([5, 10, 30, 60]),
            chance.choice(["tracking"] * 5 + ["lost"]),
        )
        before, after = transition.before, transition.after
        assert (before, after) in IN_A_STEP
        verdicts = [outcome.verdict for outcome in transition.outcomes]
        on = [outcome for outcome in transition.outcomes if outcome.switch_on]
        assert len(on) <= 1, "one pose switches the outputs on once at most"
        assert bool(on) is bool({Verdict.FIRED, Verdict.RESUMED} & set(verdicts))
        assert all(outcome.fresh_until_ns is not None for outcome in on)
        if on:
            assert after is (FIRED if pulse_ms else HOLDING)
        if Verdict.SHAM in verdicts:
            assert after is SHAM
        released = any(outcome.let_go for outcome in transition.outcomes)
        assert released is (before is HOLDING and (after is not HOLDING or bool(on)))
        if after is HOLDING:
            assert pulse_ms is None
        if before is DISARMED:
            assert not on
            assert not released


def test_a_hold_goes_through_the_diagram() -> None:
    bench = Bench(pulse_ms=None)
    bench.arm()
    states = [bench.pose(value, after_ms).after for value, after_ms in [(False, 0), (True, 10), (True, 10), (True, 10)]]
    assert states == [READY, WAITING, WAITING, HOLDING]
    assert bench.pose(None).after is FIRED
    resumed = bench.pose(True)
    assert (resumed.after, [o.verdict for o in resumed.outcomes]) == (HOLDING, [Verdict.RESUMED])
    assert bench.pose(False).after is READY


def test_a_condition_that_holds_when_the_rule_is_armed_may_fire() -> None:
    bench = Bench()
    bench.pose(True)
    assert bench.runner.state is DISARMED
    bench.arm()
    assert bench.runner.state is WAITING


@pytest.mark.parametrize("pulse_ms", [5.0, None])
def test_a_sham_lasts_until_its_bout_ends(pulse_ms: float | None) -> None:
    bench = Bench(pulse_ms=pulse_ms, probability=0.0)
    bench.arm()
    states = [bench.pose(value).after for value in (True, True, True, True, None, True, False)]
    assert states == [WAITING, WAITING, SHAM, SHAM, SHAM, SHAM, READY]


def test_a_bout_after_a_long_gap_is_new_and_releases_first() -> None:
    bench = Bench(pulse_ms=None)
    bench.arm()
    for _ in range(3):
        bench.pose(True)
    gap = bench.pose(True, BRIDGE_MS + 1)
    assert (gap.before, gap.after) == (HOLDING, WAITING)
    assert [o.reason for o in gap.outcomes] == ["poses stayed away for longer than bridge_ms"]
