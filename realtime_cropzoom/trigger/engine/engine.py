"""Engine: applies all rules to the stream of one camera, and turns events into decisions. No files, no threads.

A live loop passes every event to ``take``. If none comes until ``deadline_ns``, it passes a tick. Right before a rule
fires, the engine asks the loop's clock how old the pose is by then. The reading is stored in ``asked_ns`` and belongs
to the event. Equal events give equal decisions, byte for byte.

An engine starts disarmed. No message from the wire makes it raise: messages that are old, duplicate or from
another camera are ignored and counted in ``ignored``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from realtime_cropzoom.inference.tracks import MAX_ANIMALS
from realtime_cropzoom.sessions.pose_rows import animal_name
from realtime_cropzoom.trigger.engine.animal_view import AnimalView, ViewKey
from realtime_cropzoom.trigger.engine.events import (
    Action,
    ActionType,
    AnimalPose,
    AnimalsEvent,
    Command,
    Decision,
    EndEvent,
    Event,
    FrameEvent,
    HelloEvent,
    NewRules,
    Order,
    PoseEvent,
    PublisherEvent,
    StreamEvent,
    Verdict,
    Withheld,
)
from realtime_cropzoom.trigger.engine.pose_sample import ArenaMap, PoseSample, Smoother
from realtime_cropzoom.trigger.engine.rule_runner import RuleOutcome, RuleRunner, RuleState
from realtime_cropzoom.trigger.engine.rule_set import RuleSet
from realtime_cropzoom.trigger.rules.rules import Rules, parse_rules
from realtime_cropzoom.trigger.rules.rules_change import RulesChange, compare_rules

_LIVE = "live"
_MAX_OLD_RUNS = 16
_MAX_FIRINGS = 4096
_MAX_REGIONS = 64
_MAX_TIME_NS = 1 << 62
"""Maximum of a monotonic clock (ns)."""


class Engine:
    """All rules of a session, and their state."""

    def __init__(
        self,
        rules: Rules,
        seed: int,
        arena: ArenaMap | None = None,
        smoother: Smoother | None = None,
        *,
        clock: Callable[[], int] | None = None,
        hand_over: Callable[[Decision], None] | None = None,
    ) -> None:
        """Create a disarmed engine.

        Args:
            rules: The rules.
            seed: Seed of the random draws.
            arena: Conversion to cm; None if nothing is in cm.
            smoother: Filter; None if the rules name none.
            clock: Function that returns the time of the publisher's clock (ns); None: the time of the event.
            hand_over: Function called with each decision as soon as it is made, before the other rules are evaluated.

        Raises:
            ValueError: if ``arena`` or ``smoother`` is missing, or a smoother is not needed.
        """
        if (rules.filter != "none") != (smoother is not None):
            raise ValueError(
                f"the rules say filter: {rules.filter}, but {'no' if smoother is None else 'a'} filter is given"
            )
        self.ignored = 0
        """Number of events that were ignored."""
        self._smoother = smoother
        self._views: dict[ViewKey, AnimalView] = {}
        """The animals that rules see."""
        self._clock, self._hand_over = clock, hand_over
        self._given: deque[int] = deque()
        self._asked: list[int] = []
        self._fired_by: dict[int, str] = {}
        """Number of a decision that an output may still withhold → its rule."""
        self._set = RuleSet(rules, seed, arena)
        self._session = self._set.session
        self._follow(rules)
        self._decisions: list[Decision] = []
        self._number = 0
        self._samples = 0
        self._now_ns = 0
        self._camera = rules.camera
        self._stopped = False
        self._pose: FrameEvent | None = None
        self._age_ms: float | None = None
        self._fresh_ns: int | None = None
        """Time (ns) at which the last fresh pose was received; None while the stream is lost, or has not begun."""
        self._reported_unseen = False
        self._run: str | None = None
        self._old_runs: deque[str] = deque(maxlen=_MAX_OLD_RUNS)
        self._last: dict[str | None, tuple[int, int]] = {}
        """seq and captured_ns of the last pose of each region; None for the whole frame, whoever is in it."""
        self._animals: int | None = None
        """Number of animals of the run, if several share an arena; None while unknown."""
        self._segment = 0
        """Segment of the last pose."""

    def _follow(self, rules: Rules) -> None:
        """Take over what ``rules`` and their runners say for all rules together."""
        self._rules = rules
        self._runners, self._tracks, self._refusals = self._set.runners, self._set.tracks, self._set.refusals
        self._lost_after_ns = round(rules.stream_lost_after_ms * 1e6)
        self._max_age_ms = max(runner.parameters.max_age_ms for runner in self._runners)
        self._watchers = {view: [r for r in self._runners if r.watch.views == (view,)] for view in self._tracks}

    def take(self, event: Event) -> list[Decision]:
        """Take an event; return the decisions that follow, in order. After a stop there are none."""
        if self._stopped:
            return []
        self._decisions, self._asked = [], []
        self._pose = self._age_ms = None
        self._given = deque(event.asked_ns if isinstance(event, FrameEvent) else ())
        self._pass_time(event.at_ns)
        if isinstance(event, PublisherEvent):
            self._received(event)
        elif isinstance(event, Command):
            self._execute(event)
        elif isinstance(event, NewRules):
            self._replace(event)
        elif isinstance(event, Withheld):
            self._take_withheld(event)
        return self._decisions

    @property
    def asked_ns(self) -> tuple[int, ...]:
        """Readings of the clock during the last event. They belong in its ``asked_ns``."""
        return tuple(self._asked)

    @property
    def rules(self) -> Rules:
        """The rules that are evaluated."""
        return self._rules

    @property
    def hold_max_age_ms(self) -> float:
        """Maximum time (ms) for which any rule holds its outputs on without a pose."""
        return max(runner.parameters.hold_max_age_ns for runner in self._runners) / 1e6

    @property
    def deadline_ns(self) -> int | None:
        """Time (ns) at which something happens without a message; None if nothing will."""
        if self._fresh_ns is None or self._stopped:
            return None
        deadline_ns = self._fresh_ns + self._lost_after_ns
        holding = [runner for runner in self._runners if runner.state is RuleState.HOLDING]
        for runner in holding:
            deadline_ns = min(deadline_ns, runner.lets_go_ns(self._now_ns) or deadline_ns)
        left_ns = self._session.left_ns()
        if holding and left_ns is not None:
            deadline_ns = min(deadline_ns, self._now_ns + max(0, left_ns) // len(holding))
        return deadline_ns

    @property
    def live(self) -> bool:
        """Whether fresh poses arrive."""
        return self._fresh_ns is not None

    @property
    def armed(self) -> tuple[str, ...]:
        """The rules that are armed."""
        return tuple(runner.name for runner in self._runners if runner.armed)

    @property
    def holding(self) -> tuple[str, ...]:
        """The rules that hold their outputs on."""
        return tuple(runner.name for runner in self._runners if runner.holding)

    def _pass_time(self, at_ns: int) -> None:
        """Do what was due. Time never goes back."""
        self._now_ns = max(self._now_ns, at_ns)
        holding = [runner for runner in self._runners if runner.state is RuleState.HOLDING]
        for runner in holding:
            runner.account(self._now_ns)
        if self._fresh_ns is not None and self._now_ns - self._fresh_ns >= self._lost_after_ns:
            self._lose_stream(f"no fresh pose for {self._rules.stream_lost_after_ms:g} ms")
            return
        for runner in holding:
            if reason := runner.must_let_go(self._now_ns) or self._session.time_used_up(len(holding)):
                self._decide_all(runner, runner.release(reason, self._now_ns))

    def _lose_stream(self, reason: str) -> None:
        """Make all outputs safe, once until fresh poses come again, and forget all earlier poses."""
        if self._fresh_ns is not None:
            self._make_safe(reason)
        self._fresh_ns = None
        self._reported_unseen = False
        self._last.clear()
        self._old_runs.clear()
        self._forget()

    def _forget(self) -> None:
        for runner in self._runners:
            runner.reset()
        for tracks in self._tracks.values():
            for track in tracks:
                track.reset()
        for view in self._views.values():
            view.reset()

    def _make_safe(self, reason: str) -> None:
        for runner in self._runners:
            runner.drop(self._now_ns)
        self._decide(Verdict.SAFE, "", reason, tuple(Action(output, ActionType.SAFE) for output in self._rules.outputs))

    def _received(self, event: PublisherEvent) -> None:
        if not self._is_ours(event):
            self.ignored += 1
            return
        if self._run != event.run:
            self._begin_run(event)
        if isinstance(event, PoseEvent):
            self._take_pose(event, event.region)
        elif isinstance(event, AnimalsEvent):
            if self._are_the_animals(event):
                self._take_pose(event, None)
            else:
                self.ignored += 1
        elif isinstance(event, StreamEvent) and event.stream != _LIVE:
            self._lose_stream(f"the stream is {event.stream}")
        elif isinstance(event, EndEvent):
            self._lose_stream(f"the run has ended: {event.reason}")
        elif isinstance(event, HelloEvent):
            unknown = self._rules.unknown_keypoints(event.keypoint_names)
            for line in (*unknown, *self._rules.unfit_regions(event.regions, event.animals)):
                self._decide(Verdict.REFUSED, "", line, ())

    def _is_ours(self, event: PublisherEvent) -> bool:
        if self._camera is None:
            self._camera = event.camera
        return event.camera == self._camera and event.run not in self._old_runs

    def _begin_run(self, event: PublisherEvent) -> None:
        if self._run is not None:
            before = self._run
            self._lose_stream("the publisher has begun a new run")
            self._old_runs.append(before)
        self._run = event.run
        self._last.clear()
        self._segment = 0
        self._animals = None

    def _are_the_animals(self, event: AnimalsEvent) -> bool:
        """Return whether the animals of a frame are those of the run. With one less, ``all`` would hold for fewer."""
        count = len(event.animals)
        if count > MAX_ANIMALS or [animal.number for animal in event.animals] != list(range(1, count + 1)):
            return False
        if self._animals is None:
            self._animals = count
            self._set.follow(count)
            self._follow(self._rules)
        return count == self._animals

    def _take_pose(self, event: FrameEvent, region: str | None) -> None:
        seq, captured_ns = self._last.get(region, (-1, -1))
        at_ns = event.captured_ns
        if event.seq <= seq or at_ns <= captured_ns or not 0 <= at_ns < _MAX_TIME_NS:
            self.ignored += 1
            return
        self._pose = event
        self._age_ms = (event.at_ns + event.uncertainty_ns - at_ns) / 1e6
        if self._age_ms < 0:  # its times would make all later poses look old
            self.ignored += 1
            self._report_once("from the future: the clocks disagree")
            return
        unusable = None if event.stream == _LIVE else f"the stream is {event.stream}"
        if event.segment != self._segment and self._fresh_ns is not None:
            self._lose_stream("the source broke off and came back")
        self._segment = event.segment
        self._remember(event, region)
        if unusable or self._age_ms > self._max_age_ms:
            if self._fresh_ns is None:
                self._report_once(unusable or f"stale: poses are older than {self._max_age_ms:g} ms")
                return
        else:
            self._fresh_ns = self._now_ns
            self._reported_unseen = False
        self._judge(event, unusable)

    def _remember(self, event: FrameEvent, region: str | None) -> None:
        """Keep the number of the last pose of each region; names from the wire do not fill the memory."""
        if region not in self._last and len(self._last) >= _MAX_REGIONS:
            del self._last[next(iter(self._last))]
        self._last[region] = (event.seq, event.captured_ns)

    def _report_once(self, reason: str) -> None:
        """Report why no rule sees poses, once until a fresh pose comes."""
        if not self._reported_unseen:
            self._reported_unseen = True
            self._decide(Verdict.REFUSED, "", reason, ())

    def _judge(self, event: FrameEvent, unusable: str | None) -> None:
        """Let rules see the animals that they watch. They never see others."""
        for runner, samples in self._shown(event):
            if outcomes := runner.step(samples, self._now_ns, unusable, self._read_clock):
                self._decide_all(runner, outcomes)

    def _shown(self, event: FrameEvent) -> Iterator[tuple[RuleRunner, list[PoseSample]]]:
        """Yield each rule that watches animals of a frame, with their samples."""
        if isinstance(event, PoseEvent):
            view = ViewKey(event.region)
            runners = self._watchers.get(view, ())
            samples = [self._sample(view, event, event)] if runners else []
            for runner in runners:
                yield runner, samples
            return
        found = self._samples_of(event)
        for runner in self._runners:
            views = runner.watch.views
            if views and all(view in found for view in views):
                yield runner, [found[view] for view in views]

    def _samples_of(self, event: AnimalsEvent) -> dict[ViewKey, PoseSample]:
        """Return the samples of several animals, by who is seen how. Each is the other of the others."""
        samples: dict[ViewKey, PoseSample] = {}
        for refuses in self._refusals:
            seen = {ViewKey(animal_name(a.number), refuses): a for a in event.animals}
            found = {view: self._sample(view, event, animal) for view, animal in seen.items()}
            for view, sample in found.items():
                sample.others = [other for its_view, other in found.items() if its_view != view]
            samples |= found
        return samples

    def _sample(self, view: ViewKey, event: FrameEvent, of: PoseEvent | AnimalPose) -> PoseSample:
        """Return the sample of one animal: ``of`` is the event itself, or one of its animals."""
        assert self._age_ms is not None
        self._samples += 1
        sample = PoseSample(
            self._samples,
            event.captured_ns,
            self._age_ms,
            of.state,
            of.keypoints,
            uncertainty_ns=event.uncertainty_ns,
        )
        meetings = 0
        if isinstance(of, AnimalPose):
            sample.animal, sample.uncertain, meetings = animal_name(of.number), of.uncertain, of.meetings
        if of.plausible is False:
            sample.implausible = of.doubt or "unknown"
        ahead_s = (self._age_ms + self._rules.output_delay_ms) / 1000 if self._rules.predict else None
        self._view(view).see(sample, meetings, self._tracks.get(view, ()), ahead_s)
        return sample

    def _view(self, view: ViewKey) -> AnimalView:
        if view not in self._views:
            smoother = self._smoother
            if smoother is not None and self._views:
                smoother = smoother.another()
            self._views[view] = AnimalView(view, smoother)
        return self._views[view]

    def _execute(self, command: Command) -> None:
        if command.order is Order.STOP:
            self._make_safe(command.reason or f"stopped by {command.by}")
            self._stopped = True
        elif command.order is Order.TEST:
            self._test(command)
        else:
            self._arm_or_disarm(command)

    def _arm_or_disarm(self, command: Command) -> None:
        chosen = [r for r in self._runners if command.target in (None, r.name)]
        if not chosen:
            self._decide(
                Verdict.REFUSED, "", f"no rule {command.target!r}; there are {', '.join(self._rules.rules)}", ()
            )
        arm = command.order is Order.ARM
        for runner in chosen:
            if runner.armed is arm:
                continue
            if arm:
                runner.arm(self._now_ns)
            else:
                self._decide_all(runner, runner.disarm(self._now_ns))
            self._decide(Verdict.ARMED if arm else Verdict.DISARMED, runner.name, f"by {command.by}", ())

    def _replace(self, event: NewRules) -> None:
        """Replace the rules. Before new ones are evaluated, what old ones have switched on goes to its safe level."""
        rules = parse_rules(event.rules)
        change = compare_rules(self._rules, rules)
        old = self._runners
        self._set.replace(rules, change.kept)
        new = {runner.name: runner for runner in self._set.runners}
        held = {
            output
            for runner in old
            if runner.holding and runner.name in change.kept
            for output in runner.parameters.outputs
        }
        for runner in old:
            if runner.name not in change.kept:
                stays = event.keep_armed and runner.name in change.moved
                self._retire(runner, _why_retired(runner.name, change), held, disarms=not stays)
                if stays:
                    new[runner.name].stay_armed(runner)
        self._follow(rules)
        self._decide(Verdict.REPLACED, "", f"by {event.by}, rules {event.number}: {change}", ())

    def _retire(self, runner: RuleRunner, reason: str, held: set[str], *, disarms: bool) -> None:
        """End a rule; each of its outputs goes to its safe level, unless it is in ``held``, on for another rule."""
        for outcome in runner.retire(reason, self._now_ns):
            actions = (Action(o, ActionType.OFF if o in held else ActionType.SAFE) for o in outcome.let_go)
            self._decide(outcome.verdict, runner.name, outcome.reason, tuple(actions))
        if runner.armed and disarms:
            self._decide(Verdict.DISARMED, runner.name, reason, ())

    def _test(self, command: Command) -> None:
        """Fire a test pulse, armed or not. It adds to the on-time of the session."""
        output, pulse_ms = command.target or "", self._rules.test_pulse_ms
        pulse_ns = round(pulse_ms * 1e6)
        if output not in self._rules.outputs:
            reason = f"no output {output!r} to test; there are {', '.join(self._rules.outputs)}"
            self._decide(Verdict.REFUSED, "", reason, ())
        elif used_up := self._session.time_used_up(pulse_ns):
            self._decide(Verdict.REFUSED, "", f"{used_up}: test of {output}", ())
        else:
            self._session.on_ns += pulse_ns
            self._decide(Verdict.TEST, "", f"by {command.by}", (Action(output, ActionType.PULSE, pulse_ms),))

    def _take_withheld(self, event: Withheld) -> None:
        if event.number >= 0 and not event.ended:
            rule, which = self._fired_by.get(event.number, ""), f"decision {event.number}, {event.output}"
            self._decide(Verdict.REFUSED, rule, f"{event.reason}: {which}", ())
        for runner in self._runners:
            if event.output in runner.parameters.outputs and event.number in (-1, runner.fired_number):
                reason = f"{event.output} is off: {event.reason}"
                end = partial(runner.lose, event.output) if event.lost else runner.release
                self._decide_all(runner, end(reason, self._now_ns))

    def _read_clock(self) -> int:
        """Return the time by now (ns of the publisher's clock)."""
        if self._given:
            at_ns = self._given.popleft()
        elif self._clock is not None:
            at_ns = self._clock()
        else:
            return self._now_ns
        self._asked.append(at_ns)
        return at_ns

    def _decide_all(self, runner: RuleRunner, outcomes: tuple[RuleOutcome, ...]) -> None:
        """Make a decision of each outcome of a rule."""
        for outcome in outcomes:
            actions = _switch_off(outcome) if outcome.let_go else outcome.switch_on
            animals = ";".join(outcome.animals)
            number = self._decide(
                outcome.verdict, runner.name, outcome.reason, actions, outcome.fresh_until_ns, animals or None
            )
            if outcome.switch_on:
                runner.fired_number = number

    def _decide(
        self,
        verdict: Verdict,
        rule: str,
        reason: str,
        actions: tuple[Action, ...],
        fresh_until_ns: int | None = None,
        animals: str | None = None,
    ) -> int:
        pose = self._pose
        known = {"region": animals} if pose is None else _pose_fields(pose, animals)
        times = (None, None) if pose is None else (pose.captured_ns, pose.published_ns)
        decision = Decision(
            number=self._number,
            verdict=verdict,
            rule=rule,
            reason=reason,
            actions=actions,
            now_ns=self._now_ns,
            captured_ns=times[0],
            published_ns=times[1],
            age_ms=self._age_ms,
            fresh_until_ns=fresh_until_ns,
            **known,
        )
        if self._hand_over is not None:
            self._hand_over(decision)
        if fresh_until_ns is not None:
            self._fired_by[decision.number] = rule
            if len(self._fired_by) > _MAX_FIRINGS:
                del self._fired_by[next(iter(self._fired_by))]
        self._number += 1
        self._decisions.append(decision)
        return decision.number


def _pose_fields(pose: FrameEvent, animals: str | None) -> dict[str, Any]:
    """Return the fields of a decision that say of which pose it is. ``animals`` are those that it is about, if any."""
    fields = {name: getattr(pose, name) for name in ("run", "camera", "seq", "frame")}
    return {**fields, "region": pose.region if isinstance(pose, PoseEvent) else animals}


def _why_retired(name: str, change: RulesChange) -> str:
    if name in change.removed:
        return "the rule was removed"
    return "its zones have moved" if name in change.moved else "the rule has changed"


def _switch_off(outcome: RuleOutcome) -> tuple[Action, ...]:
    """Return the actions with which a rule lets go of outputs. Each stays on if another rule holds it."""
    return tuple(Action(output, ActionType.OFF) for output in outcome.let_go)
