"""Rule runner: runs one rule, from the value of its condition for each pose to firing, refusal and release.

An *episode* is an interval in which the condition holds. A rule fires at most once per episode, unless it
repeats, and reports each kind of refusal once. A *doubt* is an interval in which the poses do not show
whether the condition holds. Its beginning and its end are reported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from realtime_cropzoom.trigger.engine.conditions import Condition
from realtime_cropzoom.trigger.engine.events import Act, Action, Verdict
from realtime_cropzoom.trigger.engine.firing_limits import FiringLimits, RateBudget
from realtime_cropzoom.trigger.engine.pose_sample import PoseSample


class Tell(Protocol):
    """Makes a decision of it, and returns its number."""

    def __call__(
        self,
        verdict: Verdict,
        rule: str,
        reason: str,
        actions: tuple[Action, ...],
        fresh_until_ns: int | None = None,
    ) -> int:
        """``fresh_until_ns`` is when the pose becomes too old for these actions."""
        ...


Release = Callable[["RuleRunner"], tuple[Action, ...]]
"""Gives the actions that let go of a rule's outputs, but for those that others hold."""


@dataclass(frozen=True, slots=True)
class RuleParameters:
    """Parameters of a rule other than its condition."""

    outputs: tuple[str, ...]
    pulse_ms: float | None
    """None: a hold."""
    repeat: bool
    for_ns: int
    max_age_ms: float
    hold_max_age_ns: int
    states: frozenset[str]
    bridge_ns: int
    refuses_implausible: bool = True

    @property
    def pulse_ns(self) -> int | None:
        """The same in ns."""
        return None if self.pulse_ms is None else round(self.pulse_ms * 1e6)


@dataclass(slots=True)
class _Episode:
    since_ns: int
    """Frame time."""
    last_ns: int
    fired: bool = False
    sham: bool = False
    told: tuple[str, ...] = ()
    """Refusals that were said already."""


@dataclass(slots=True)
class _Doubt:
    why: str
    since_ns: int
    """Frame time."""
    last_ns: int
    poses: int = 1


class RuleRunner:
    """Evaluates poses for one rule."""

    def __init__(
        self,
        name: str,
        condition: Condition,
        terms: RuleParameters,
        gates: FiringLimits,
        session: RateBudget,
        tell: Tell,
        off: Release,
        ask: Callable[[], int],
    ) -> None:
        """``ask`` says what time it is by now."""
        self.name = name
        self.terms = terms
        self.gates = gates
        self.armed_ns: int | None = None
        """Engine time (ns) at which the rule was armed; None while it is disarmed."""
        self.holding = False
        self.fired_number: int | None = None
        """Of the decision that switched its outputs on last."""
        self._condition = condition
        self._session = session
        self._tell, self._off, self._ask = tell, off, ask
        self._episode: _Episode | None = None
        self._doubt: _Doubt | None = None
        self._accounted_ns = 0
        self._pose_until_ns = 0
        """Time (ns) at which the pose that justifies a hold becomes too old."""

    def take(self, look: PoseSample, now_ns: int, unusable: str | None) -> None:
        """Judge a look; ``unusable`` is the reason why no rule may use it, None if there is none."""
        distrust = unusable or self._distrust(look)
        value = None if distrust else self._condition.value(look)
        if value is None:
            self._unknown(distrust or self._condition.why, look.captured_ns, now_ns)
            return
        if self._doubt is not None:
            self._end_doubt(self._doubt, look.captured_ns)
        if value:
            self._holds(look, now_ns)
        elif self._episode is not None or self.holding:
            self._ends(now_ns)

    def _distrust(self, look: PoseSample) -> str | None:
        """Return the reason why this rule does not trust a pose; None if it does."""
        if look.state not in self.terms.states:
            return f"state {look.state}"
        if not look.age_ms <= self.terms.max_age_ms:
            return f"stale: older than {self.terms.max_age_ms:g} ms"
        if look.implausible and self.terms.refuses_implausible:
            return f"implausible: {look.implausible}"
        return None

    def _unknown(self, why: str, at_ns: int, now_ns: int) -> None:
        self.release(why, now_ns)
        if self._episode is not None and at_ns - self._episode.last_ns > self.terms.bridge_ns:
            self._episode = None
        if self.armed_ns is None:
            return
        if self._doubt is None:
            self._doubt = _Doubt(why, at_ns, at_ns)
            self._tell(Verdict.REFUSED, self.name, why, ())
        else:
            self._doubt.last_ns = at_ns
            self._doubt.poses += 1

    def _end_doubt(self, doubt: _Doubt, at_ns: int) -> None:
        """End a doubt. One that returns within the bridge is the same doubt, because likelihoods flicker."""
        if at_ns - doubt.last_ns > self.terms.bridge_ns:
            lasted_ms = (doubt.last_ns - doubt.since_ns) / 1e6
            self._doubt = None
            poses = f"{doubt.poses} poses in {lasted_ms:.0f} ms" if doubt.poses > 1 else "1 pose"
            self._tell(Verdict.ALLOWED, self.name, f"over: {doubt.why}; {poses}", ())

    def _holds(self, look: PoseSample, now_ns: int) -> None:
        at_ns = look.captured_ns
        episode = self._episode
        if episode is None or at_ns - episode.last_ns > self.terms.bridge_ns:
            self._ends(now_ns, "poses stayed away for longer than bridge_ms")
            episode = self._episode = _Episode(at_ns, at_ns)
        episode.last_ns = at_ns
        if self.holding:
            self._stand_on(look, now_ns)
        elif at_ns - episode.since_ns >= self.terms.for_ns:
            self._would_fire(episode, look, now_ns)

    def _ends(self, now_ns: int, why: str = "no longer holds") -> None:
        if self.holding:
            self.release(why, now_ns)
        elif self._episode is not None and self._episode.sham and self.terms.pulse_ms is None:
            self._tell(Verdict.RELEASED, self.name, f"sham: {why}", ())
        self._episode = None

    def _would_fire(self, episode: _Episode, look: PoseSample, now_ns: int) -> None:
        if episode.fired:
            if self.terms.pulse_ms is None and not episode.sham:
                self._resume(episode, look, now_ns)
            if not self.terms.repeat or (self.gates.ready_ns is not None and now_ns < self.gates.ready_ns):
                return
        if refusal := self._refusal(now_ns):
            self._refuse(episode, refusal)
            return
        if self._is_late(episode, look):
            return
        episode.fired = True
        episode.told = ()
        self.gates.passed(now_ns)
        reason = self._condition.words()
        if not self.gates.draw():
            episode.sham = True
            self._tell(Verdict.SHAM, self.name, reason, ())
            return
        for allowance in (self.gates.allowance, self._session):
            allowance.fired += 1
            allowance.on_ns += self.terms.pulse_ns or 0
        self._fire(Verdict.FIRED, reason, look, now_ns)

    def _resume(self, episode: _Episode, look: PoseSample, now_ns: int) -> None:
        """A short doubt let go of the outputs; the episode and its draw are the same."""
        refusal = self._refusal(now_ns, only_lasting=True)
        if refusal:
            self._refuse(episode, refusal)
        elif not self._is_late(episode, look):
            self._fire(Verdict.RESUMED, self._condition.words(), look, now_ns)

    def _fire(self, verdict: Verdict, reason: str, look: PoseSample, now_ns: int) -> None:
        actions = self._on(look, now_ns)
        self.fired_number = self._tell(verdict, self.name, reason, actions, self._fresh_until_ns(look))

    def _fresh_until_ns(self, look: PoseSample) -> int:
        """Return the time (ns) at which the pose becomes too old to switch an output on."""
        return look.captured_ns - look.uncertainty_ns + round(self.terms.max_age_ms * 1e6)

    def _is_late(self, episode: _Episode, look: PoseSample) -> bool:
        """Return whether the pose became too old since it arrived: rules take time, and a process may be delayed."""
        late_ns = self._ask() - self._fresh_until_ns(look)
        if late_ns > 0:
            age_ms = late_ns / 1e6 + self.terms.max_age_ms
            why = f"stale at the hand-over: older than {self.terms.max_age_ms:g} ms"
            self._refuse(episode, why, f" ({age_ms:.1f} ms)")
        return late_ns > 0

    def _refusal(self, now_ns: int, *, only_lasting: bool = False) -> str | None:
        if self.armed_ns is None:
            return "disarmed"
        if not only_lasting:
            return self.gates.refusal(now_ns, self.armed_ns, self._session, self.terms.pulse_ns)
        if not self.gates.in_span(now_ns, self.armed_ns):
            return "outside its minutes"
        return self.gates.allowance.time_used_up() or self._session.time_used_up()

    def _refuse(self, episode: _Episode, why: str, more: str = "") -> None:
        if why not in episode.told:
            episode.told += (why,)
            self._tell(Verdict.REFUSED, self.name, f"{why}{more}: {self._condition.words()}", ())

    def _on(self, look: PoseSample, now_ns: int) -> tuple[Action, ...]:
        if self.terms.pulse_ms is not None:
            return tuple(Action(output, Act.PULSE, self.terms.pulse_ms) for output in self.terms.outputs)
        self.holding = True
        self._accounted_ns = now_ns
        self._stand_on(look, now_ns)
        lefts_ns = (self.gates.allowance.left_ns(), self._session.left_ns())
        max_on_ms = min((round(left_ns / 1e6, 3) for left_ns in lefts_ns if left_ns is not None), default=None)
        return tuple(Action(output, Act.ON, max_on_ms=max_on_ms) for output in self.terms.outputs)

    def release(self, why: str, now_ns: int) -> None:
        """Release the outputs, if the rule holds them."""
        if self.holding:
            self.drop(now_ns)
            if self._episode is not None:
                self._episode.told += (why,)
            self._tell(Verdict.RELEASED, self.name, why, self._off(self))

    def drop(self, now_ns: int) -> None:
        """Stop holding without releasing the outputs, which the caller handles."""
        if self.holding:
            self.account(now_ns)
            self.holding = False
            self.gates.rest(now_ns)

    def account(self, now_ns: int) -> None:
        """Add the time held since the last call to the on-time that is used up."""
        if self.holding and now_ns > self._accounted_ns:
            for allowance in (self.gates.allowance, self._session):
                allowance.on_ns += now_ns - self._accounted_ns
            self._accounted_ns = now_ns

    def must_let_go(self, now_ns: int) -> str | None:
        """Return the reason why a hold must end without a new pose; None if it need not. Call ``account`` before."""
        if not self.holding or self.armed_ns is None:
            return None
        if now_ns >= self._pose_until_ns:
            return f"no pose younger than {self.terms.hold_max_age_ns / 1e6:g} ms"
        return self._refusal(now_ns, only_lasting=True)

    def lets_go_ns(self, now_ns: int) -> int | None:
        """Return when ``must_let_go`` will say so, if no pose comes and the session's time lasts."""
        if not self.holding or self.armed_ns is None:
            return None
        left_ns = self.gates.allowance.left_ns()
        times = (
            self._pose_until_ns,
            self.gates.span_end_ns(now_ns, self.armed_ns),
            None if left_ns is None else self._accounted_ns + left_ns,
        )
        return min(time for time in times if time is not None)

    def _stand_on(self, look: PoseSample, now_ns: int) -> None:
        self._pose_until_ns = now_ns + self.terms.hold_max_age_ns - round(look.age_ms * 1e6)

    def arm(self, now_ns: int) -> None:
        """Begin; what holds now may fire."""
        self.armed_ns = now_ns
        if self._episode is not None:
            self._episode.told = ()

    def disarm(self, now_ns: int) -> None:
        """Let go, and only watch."""
        self.release("disarmed", now_ns)
        self.armed_ns = None
        self._doubt = None
        if self._episode is not None:
            self._episode.fired = self._episode.sham = False

    def reset(self) -> None:
        """Clear the state from earlier poses; outputs are no longer held."""
        self._condition.reset()
        self._episode = self._doubt = None
