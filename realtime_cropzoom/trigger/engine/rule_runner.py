"""Rule runner: runs one rule, from the value of its condition for each pose to firing, refusal and release.

It has no thread. The thread of an output is in ``outputs.runner``.

::

                arm                  the condition holds
    DISARMED ─────────→ READY ───────────────────────────→ WAITING
        ↑                 ↑                                   │ for for_ms, and limits and clock allow it
        │ disarm          │ the condition no longer           ├─ pulse ────────→ FIRED ──→ again, if it repeats
        │ (from all)      │ holds, or its poses stay          ├─ hold ─────────→ HOLDING
        │                 │ away for bridge_ms                └─ random draw ──→ SHAM
        └─────────────────┴──────────────────────────────────────── (from all)

    HOLDING ── no pose that can be trusted, a limit, no pose at all ──→ FIRED
    HOLDING ── all of its outputs have failed ────────────────────────→ FIRED
    FIRED   ── a hold, and the condition holds again (resumed) ───────→ HOLDING

A *bout* is an interval in which the condition holds. A rule fires at most once per bout, unless it repeats, and
reports each kind of refusal once. A rule that is disarmed follows bouts, too: what holds when it is armed may fire.
An *untrusted period* is an interval in which the poses do not show whether the condition holds. Its beginning and its
end are reported.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from realtime_cropzoom.trigger.engine.events import Action, ActionType, Verdict
from realtime_cropzoom.trigger.engine.firing_limits import FiringLimits, RateBudget
from realtime_cropzoom.trigger.engine.pose_sample import PoseSample
from realtime_cropzoom.trigger.engine.watch import Watch


class RuleState(enum.Enum):
    """What a rule does, see the diagram of the module."""

    DISARMED = enum.auto()
    READY = enum.auto()
    """Armed; the condition does not hold."""
    WAITING = enum.auto()
    """The condition holds; the rule has not fired in this bout."""
    FIRED = enum.auto()
    """The rule has fired in this bout and holds nothing: after a pulse, or because a hold had to end early."""
    HOLDING = enum.auto()
    """The rule holds its outputs on."""
    SHAM = enum.auto()
    """The rule would have fired in this bout, but the random draw decided against it."""


@dataclass(frozen=True, slots=True)
class RuleParameters:
    """Parameters of a rule other than its condition."""

    outputs: tuple[str, ...]
    pulse_ms: float | None
    """Duration of the pulse (ms); None: a hold."""
    repeat: bool
    for_ns: int
    max_age_ms: float
    hold_max_age_ns: int
    bridge_ns: int

    @property
    def pulse_ns(self) -> int | None:
        """Duration of the pulse (ns); None: a hold."""
        return None if self.pulse_ms is None else round(self.pulse_ms * 1e6)


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """One result of a step, of which the engine makes a decision."""

    verdict: Verdict
    reason: str
    switch_on: tuple[Action, ...] = ()
    let_go: tuple[str, ...] = ()
    """Outputs that the rule lets go of. Each goes off if no other rule holds it."""
    fresh_until_ns: int | None = None
    """Time (ns) at which the pose becomes too old to switch an output on; None unless it does."""
    animals: tuple[str, ...] = ()
    """Names of the animals that it is about, of several in one arena."""


@dataclass(slots=True)
class _Bout:
    since_ns: int
    """Capture time (ns)."""
    last_ns: int
    reported: tuple[str, ...] = ()
    """Refusals that were reported already."""
    lost: frozenset[str] = frozenset()
    """Outputs that have failed since the rule fired. They stay off until it fires anew."""
    animals: tuple[str, ...] = ()
    """The animals for which the condition held last."""


@dataclass(slots=True)
class _UntrustedPeriod:
    reason: str
    since_ns: int
    """Capture time (ns)."""
    last_ns: int
    poses: int = 1
    animals: tuple[str, ...] = ()
    """The animals that could not be judged at first."""


class RuleRunner:
    """Evaluates poses for one rule."""

    __slots__ = (
        *("_accounted_ns", "_armed_ns", "_bout", "_limits", "_outcomes", "_pose_until_ns", "_pulse_until_ns"),
        *("_session", "_untrusted", "fired_number", "name", "parameters", "state", "watch"),
    )

    def __init__(
        self, name: str, watch: Watch, parameters: RuleParameters, limits: FiringLimits, session: RateBudget
    ) -> None:
        """Create a disarmed rule.

        Args:
            name: Name of the rule.
            watch: The animals that it watches, with their conditions.
            parameters: Its other parameters.
            limits: Its own limits on firing.
            session: The budget that all rules share.
        """
        self.name = name
        self.watch = watch
        """The animals that it watches."""
        self.parameters = parameters
        self.state = RuleState.DISARMED
        self.fired_number: int | None = None
        """Number of the decision that switched its outputs on last."""
        self._limits, self._session = limits, session
        self._armed_ns = 0
        """Engine time (ns) at which the rule was armed; without meaning while it is disarmed."""
        self._bout: _Bout | None = None
        self._untrusted: _UntrustedPeriod | None = None
        self._accounted_ns = 0
        self._pose_until_ns = 0
        """Time (ns) at which the pose that justifies a hold becomes too old."""
        self._pulse_until_ns = 0
        """Engine time (ns) at which its last pulse ends."""
        self._outcomes: list[RuleOutcome] = []

    @property
    def armed(self) -> bool:
        """Whether the rule may fire."""
        return self.state is not RuleState.DISARMED

    @property
    def holding(self) -> bool:
        """Whether the rule holds its outputs on."""
        return self.state is RuleState.HOLDING

    def step(
        self, samples: Sequence[PoseSample], now_ns: int, unusable: str | None, clock: Callable[[], int]
    ) -> tuple[RuleOutcome, ...]:
        """Decide on a frame; return the outcomes in order.

        Args:
            samples: The pose of each animal that the rule watches, at least one. Their times are the same.
            now_ns: Engine time (ns).
            unusable: Reason why no rule may use the frame; None if there is none.
            clock: Function that returns the time (ns) by now. It is called right before the rule fires.
        """
        value, sample = self.watch.value(samples, unusable), samples[0]
        if value is not None and self._untrusted is not None:
            self._end_untrusted(self._untrusted, sample.captured_ns)
        if self._bout is not None and not self.watch.lasts:
            self._end_bout(now_ns, self.watch.ended)
        if value is None:
            self._unknown(sample.captured_ns, now_ns)
        elif value:
            self._holds(sample, now_ns, clock)
        return self._take_outcomes() if self._outcomes else ()

    def release(self, reason: str, now_ns: int) -> tuple[RuleOutcome, ...]:
        """Release the outputs, if the rule holds them."""
        self._release(reason, now_ns)
        return self._take_outcomes()

    def lose(self, output: str, reason: str, now_ns: int) -> tuple[RuleOutcome, ...]:
        """Note that an output has failed. The rule holds the others on, and lets go when none is left.

        Args:
            output: Name of the output.
            reason: What happened, in words.
            now_ns: Engine time (ns).
        """
        if self.holding and self._bout is not None:
            self._bout.lost |= {output}
            if self._bout.lost.issuperset(self.parameters.outputs):
                self._release(reason, now_ns)
            else:
                lost = RuleOutcome(Verdict.REFUSED, reason, let_go=(output,), animals=self._bout.animals)
                self._outcomes.append(lost)
        return self._take_outcomes()

    def arm(self, now_ns: int) -> None:
        """Arm the rule; what holds now may fire."""
        self.state = RuleState.READY if self._bout is None else RuleState.WAITING
        self._armed_ns = now_ns
        if self._bout is not None:
            self._bout.reported = ()

    def disarm(self, now_ns: int) -> tuple[RuleOutcome, ...]:
        """Release the outputs; from now on the rule only watches."""
        self._release("disarmed", now_ns)
        self.state = RuleState.DISARMED
        self._untrusted = None
        return self._take_outcomes()

    def drop(self, now_ns: int) -> None:
        """Stop holding without releasing the outputs, which the caller handles."""
        if self.holding:
            self.account(now_ns)
            self.state = RuleState.FIRED
            self._limits.rest(now_ns)

    def retire(self, reason: str, now_ns: int) -> tuple[RuleOutcome, ...]:
        """End what the rule does, because another takes its place. A pulse that runs ends, too."""
        if self.state is RuleState.SHAM and self.parameters.pulse_ms is None:
            self._report(Verdict.RELEASED, f"sham: {reason}", self._animals)
        elif not self.holding and now_ns < self._pulse_until_ns:
            self._outcomes.append(RuleOutcome(Verdict.RELEASED, reason, let_go=self.parameters.outputs))
        self._release(reason, now_ns)
        return self._take_outcomes()

    def stay_armed(self, earlier: RuleRunner) -> None:
        """Be armed since the earlier rule of this name was armed, if it is."""
        if earlier.armed:
            self.arm(earlier._armed_ns)

    def reset(self) -> None:
        """Clear the state from earlier poses; outputs are no longer held."""
        self.watch.reset()
        self._bout = self._untrusted = None
        if self.armed:
            self.state = RuleState.READY

    def account(self, now_ns: int) -> None:
        """Add the time held since the last call to the on-time that is used up."""
        if self.holding and now_ns > self._accounted_ns:
            for budget in (self._limits.budget, self._session):
                budget.on_ns += now_ns - self._accounted_ns
            self._accounted_ns = now_ns

    def must_let_go(self, now_ns: int) -> str | None:
        """Return the reason why a hold must end without a new pose; None if it need not. Call ``account`` before."""
        if not self.holding:
            return None
        if now_ns >= self._pose_until_ns:
            return f"no pose younger than {self.parameters.hold_max_age_ns / 1e6:g} ms"
        return self._lasting_refusal(now_ns)

    def lets_go_ns(self, now_ns: int) -> int | None:
        """Return the time (ns) at which a hold must end, if no pose comes and the session's budget lasts; else None."""
        if not self.holding:
            return None
        left_ns = self._limits.budget.left_ns()
        times = (
            self._pose_until_ns,
            self._limits.span_end_ns(now_ns, self._armed_ns),
            None if left_ns is None else self._accounted_ns + left_ns,
        )
        return min(time for time in times if time is not None)

    def _take_outcomes(self) -> tuple[RuleOutcome, ...]:
        outcomes = tuple(self._outcomes)
        self._outcomes.clear()
        return outcomes

    @property
    def _animals(self) -> tuple[str, ...]:
        """The animals of the bout."""
        return () if self._bout is None else self._bout.animals

    def _report(self, verdict: Verdict, reason: str, animals: tuple[str, ...]) -> None:
        self._outcomes.append(RuleOutcome(verdict, reason, animals=animals))

    def _unknown(self, at_ns: int, now_ns: int) -> None:
        reason, animals = self.watch.reason, self.watch.unknown
        self._release(reason, now_ns)
        if self._bout is not None and at_ns - self._bout.last_ns > self.parameters.bridge_ns:
            self._forget_bout()
        if not self.armed:
            return
        if self._untrusted is None:
            self._untrusted = _UntrustedPeriod(reason, at_ns, at_ns, animals=animals)
            self._report(Verdict.REFUSED, reason, animals)
        else:
            self._untrusted.last_ns = at_ns
            self._untrusted.poses += 1

    def _end_untrusted(self, period: _UntrustedPeriod, at_ns: int) -> None:
        """End an untrusted period. One that returns within the bridge is the same, because likelihoods flicker."""
        if at_ns - period.last_ns > self.parameters.bridge_ns:
            lasted_ms = (period.last_ns - period.since_ns) / 1e6
            self._untrusted = None
            poses = f"{period.poses} poses in {lasted_ms:.0f} ms" if period.poses > 1 else "1 pose"
            self._report(Verdict.ALLOWED, f"over: {period.reason}; {poses}", period.animals)

    def _holds(self, sample: PoseSample, now_ns: int, clock: Callable[[], int]) -> None:
        at_ns = sample.captured_ns
        bout = self._bout
        if bout is None or at_ns - bout.last_ns > self.parameters.bridge_ns:
            self._end_bout(now_ns, "poses stayed away for longer than bridge_ms")
            bout = self._bout = _Bout(at_ns, at_ns)
            if self.armed:
                self.state = RuleState.WAITING
        bout.last_ns, bout.animals = at_ns, self.watch.holders
        if self.holding:
            self._pose_until_ns = self._hold_until_ns(sample, now_ns)
        elif at_ns - bout.since_ns >= self.parameters.for_ns:
            self._would_fire(bout, sample, now_ns, clock)

    def _end_bout(self, now_ns: int, reason: str) -> None:
        if self.holding:
            self._release(reason, now_ns)
        elif self.state is RuleState.SHAM and self.parameters.pulse_ms is None:
            self._report(Verdict.RELEASED, f"sham: {reason}", self._animals)
        self._forget_bout()

    def _forget_bout(self) -> None:
        self._bout = None
        if self.armed:
            self.state = RuleState.READY

    def _would_fire(self, bout: _Bout, sample: PoseSample, now_ns: int, clock: Callable[[], int]) -> None:
        if self.state in (RuleState.FIRED, RuleState.SHAM):
            if self.parameters.pulse_ms is None and self.state is RuleState.FIRED:
                self._resume(bout, sample, now_ns, clock)
            if not self.parameters.repeat or (self._limits.ready_ns is not None and now_ns < self._limits.ready_ns):
                return
        if refusal := self._refusal(now_ns):
            self._refuse(bout, refusal)
            return
        if self._is_late(bout, sample, clock):
            return
        bout.reported, bout.lost = (), frozenset()
        self._limits.passed(now_ns)
        if not self._limits.draw():
            self.state = RuleState.SHAM
            self._report(Verdict.SHAM, self.watch.describe(), bout.animals)
            return
        for budget in (self._limits.budget, self._session):
            budget.fired += 1
            budget.on_ns += self.parameters.pulse_ns or 0
        self._fire(Verdict.FIRED, sample, now_ns)

    def _resume(self, bout: _Bout, sample: PoseSample, now_ns: int, clock: Callable[[], int]) -> None:
        """Hold the outputs again after a short untrusted period; the bout and its random draw are the same."""
        if bout.lost.issuperset(self.parameters.outputs):
            return
        if refusal := self._lasting_refusal(now_ns):
            self._refuse(bout, refusal)
        elif not self._is_late(bout, sample, clock):
            self._fire(Verdict.RESUMED, sample, now_ns)

    def _fire(self, verdict: Verdict, sample: PoseSample, now_ns: int) -> None:
        reason, actions = self.watch.describe(), self._switch_on(sample, now_ns)
        fresh_until_ns = self._fresh_until_ns(sample)
        self._outcomes.append(
            RuleOutcome(verdict, reason, actions, fresh_until_ns=fresh_until_ns, animals=self._animals)
        )

    def _switch_on(self, sample: PoseSample, now_ns: int) -> tuple[Action, ...]:
        parameters = self.parameters
        if parameters.pulse_ms is not None:
            self.state = RuleState.FIRED
            self._pulse_until_ns = now_ns + (parameters.pulse_ns or 0)
            return tuple(Action(output, ActionType.PULSE, parameters.pulse_ms) for output in parameters.outputs)
        self.state = RuleState.HOLDING
        self._accounted_ns = now_ns
        self._pose_until_ns = self._hold_until_ns(sample, now_ns)
        lefts_ns = (self._limits.budget.left_ns(), self._session.left_ns())
        max_on_ms = min((round(left_ns / 1e6, 3) for left_ns in lefts_ns if left_ns is not None), default=None)
        lost = () if self._bout is None else self._bout.lost
        return tuple(
            Action(output, ActionType.ON, max_on_ms=max_on_ms) for output in parameters.outputs if output not in lost
        )

    def _release(self, reason: str, now_ns: int) -> None:
        if self.holding:
            self.drop(now_ns)
            if self._bout is not None:
                self._bout.reported += (reason,)
            self._outcomes.append(
                RuleOutcome(Verdict.RELEASED, reason, let_go=self.parameters.outputs, animals=self._animals)
            )

    def _fresh_until_ns(self, sample: PoseSample) -> int:
        """Return the time (ns) at which the pose becomes too old to switch an output on."""
        return sample.captured_ns - sample.uncertainty_ns + round(self.parameters.max_age_ms * 1e6)

    def _hold_until_ns(self, sample: PoseSample, now_ns: int) -> int:
        """Return the time (ns) at which the pose becomes too old to justify a hold."""
        return now_ns + self.parameters.hold_max_age_ns - round(sample.age_ms * 1e6)

    def _is_late(self, bout: _Bout, sample: PoseSample, clock: Callable[[], int]) -> bool:
        """Return whether the pose became too old since it arrived: rules take time, and a process may be delayed."""
        late_ns = clock() - self._fresh_until_ns(sample)
        if late_ns > 0:
            max_age_ms = self.parameters.max_age_ms
            reason = f"stale at the hand-over: older than {max_age_ms:g} ms"
            self._refuse(bout, reason, f" ({late_ns / 1e6 + max_age_ms:.1f} ms)")
        return late_ns > 0

    def _refusal(self, now_ns: int) -> str | None:
        """Return the reason why the rule must not fire now; None if it may."""
        if not self.armed:
            return "disarmed"
        return self._limits.refusal(now_ns, self._armed_ns, self._session, self.parameters.pulse_ns)

    def _lasting_refusal(self, now_ns: int) -> str | None:
        """Return the reason why the rule must not hold its outputs on any longer; None if it may."""
        if not self.armed:
            return "disarmed"
        if not self._limits.in_span(now_ns, self._armed_ns):
            return "outside its minutes"
        return self._limits.budget.time_used_up() or self._session.time_used_up()

    def _refuse(self, bout: _Bout, reason: str, detail: str = "") -> None:
        if reason not in bout.reported:
            bout.reported += (reason,)
            self._report(Verdict.REFUSED, f"{reason}{detail}: {self.watch.describe()}", bout.animals)
