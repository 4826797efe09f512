"""Rule set: the rules that an engine evaluates, and what they share. New rules replace old ones here.

A rule that does not change keeps its runner, with all of its state. What a rule has used of its limits stays with its
name, also while no rule has that name: no exchange of rules gives an animal more than the limits allow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from realtime_cropzoom.sessions.pose_rows import animal_name
from realtime_cropzoom.trigger.engine.animal_view import ViewKey
from realtime_cropzoom.trigger.engine.compiler import Compiler
from realtime_cropzoom.trigger.engine.firing_limits import FiringLimits, RateBudget
from realtime_cropzoom.trigger.engine.pose_sample import ArenaMap, Demands
from realtime_cropzoom.trigger.engine.rule_runner import RuleParameters, RuleRunner
from realtime_cropzoom.trigger.engine.trajectory import Track
from realtime_cropzoom.trigger.engine.watch import Watch, WatchOne, WatchSeveral
from realtime_cropzoom.trigger.rules.rules import Quantifier, Rule, Rules


class RuleSet:
    """The rules of a session, in the order in which they are evaluated."""

    def __init__(self, rules: Rules, seed: int, arena: ArenaMap | None) -> None:
        """Create disarmed rules.

        Args:
            rules: The rules.
            seed: Seed of the random draws.
            arena: Conversion to cm; None if nothing is in cm.

        Raises:
            ValueError: if ``arena`` is missing.
        """
        self._rules, self._seed, self._arena = rules, seed, arena
        self.session = RateBudget("session", rules.limits.max_fired, rules.limits.max_on_s)
        """Budget that all rules share."""
        self.runners: list[RuleRunner] = []
        self.tracks: dict[ViewKey, list[Track]] = {}
        """Trajectories to feed with each pose of an animal before the rules are evaluated."""
        self._animals: tuple[int, ...] = ()
        """Numbers of the animals in one arena; empty while unknown."""
        self._limits: dict[str, FiringLimits] = {}
        """Limits by the name of the rule, also of rules that were removed."""
        self._compilers: dict[ViewKey, Compiler] = {}
        """One for each view: what rules share is about one animal."""
        self._tracks_of: dict[str, dict[ViewKey, list[Track]]] = {}
        """Tracks of the rules that were compiled together, by the name of each."""
        self.replace(rules, ())

    def replace(self, rules: Rules, kept: Collection[str]) -> None:
        """Replace all rules but those named in ``kept``. The new ones are disarmed."""
        old = {runner.name: runner for runner in self.runners}
        self._rules, self._compilers = rules, {}
        self._tracks_of = {name: tracks for name, tracks in self._tracks_of.items() if name in kept}
        self.runners = [old[name] if name in kept else self._build(name, rule) for name, rule in rules.rules.items()]
        self._collect_tracks()
        self.session.set_limits(rules.limits.max_fired, rules.limits.max_on_s)

    def follow(self, animals: int) -> None:
        """Let rules on any or all animals watch the animals of a run: those with the numbers 1 to ``animals``."""
        self._animals = tuple(range(1, animals + 1))
        for runner in self.runners:
            if isinstance(runner.watch, WatchSeveral):
                self._watch_all(runner.name, runner.watch)
        self._collect_tracks()

    @property
    def refusals(self) -> frozenset[bool]:
        """Whether rules refuse uncertain animals: True, False, or both if some do."""
        return frozenset(self._demands(rule).refuses_uncertain for rule in self._rules.rules.values())

    def _build(self, name: str, rule: Rule) -> RuleRunner:
        rules = self._rules
        max_age_ms = rule.max_age_ms or rules.max_age_ms
        # Of any animals, each needs the whole time, so that it is part of the condition.
        each_lasts = rules.animal_of(name) is Quantifier.ANY
        parameters = RuleParameters(
            outputs=rule.fire,
            pulse_ms=rule.pulse_ms,
            repeat=rule.repeat,
            for_ns=0 if each_lasts else round(rule.for_ms * 1e6),
            max_age_ms=max_age_ms,
            hold_max_age_ns=round(max(rules.hold_max_age_ms, max_age_ms) * 1e6),
            bridge_ns=round(rules.bridge_ms * 1e6),
        )
        return RuleRunner(name, self._watch(name, rule), parameters, self._build_limits(name, rule), self.session)

    def _watch(self, name: str, rule: Rule) -> Watch:
        demands, animal = self._demands(rule), self._rules.animal_of(name)
        if isinstance(animal, Quantifier):
            several = WatchSeveral(animal, demands)
            Compiler(self._rules, self._arena).condition(rule.when, demands)  # a mistake shows before animals come
            self._watch_all(name, several)
            return several
        if animal is None:
            view, known_as = ViewKey(self._rules.region_of(name)), None
        else:
            known_as = animal_name(animal)
            view = ViewKey(known_as, demands.refuses_uncertain)
        condition = self._compiler(view).condition(rule.when, demands)
        self._tracks_of[name] = {view: self._compiler(view).tracks}
        return WatchOne(condition, demands, view, known_as)

    def _watch_all(self, name: str, watch: WatchSeveral) -> None:
        """Let a rule watch all animals."""
        rule = self._rules.rules[name]
        demands, names = self._demands(rule), [animal_name(number) for number in self._animals]
        views = [ViewKey(animal, demands.refuses_uncertain) for animal in names]
        for_ns = round(rule.for_ms * 1e6) if self._rules.animal_of(name) is Quantifier.ANY else 0
        conditions = [self._compiler(view).condition(rule.when, demands, for_ns) for view in views]
        self._tracks_of[name] = {view: self._compiler(view).tracks for view in views}
        watch.follow(views, names, conditions)

    def _compiler(self, view: ViewKey) -> Compiler:
        if view not in self._compilers:
            self._compilers[view] = Compiler(self._rules, self._arena)
        return self._compilers[view]

    def _collect_tracks(self) -> None:
        self.tracks = {}
        for view in _distinct(view for tracks in self._tracks_of.values() for view in tracks):
            compiled = {id(tracks[view]): tracks[view] for tracks in self._tracks_of.values() if view in tracks}
            self.tracks[view] = [track for tracks in compiled.values() for track in tracks]

    def _demands(self, rule: Rule) -> Demands:
        """Return what a rule demands of a pose."""
        rules = self._rules
        return Demands(
            states=frozenset(rule.states or rules.states),
            max_age_ms=rule.max_age_ms or rules.max_age_ms,
            min_likelihood=rules.min_likelihood if rule.min_likelihood is None else rule.min_likelihood,
            refuses_implausible=(rule.implausible or rules.implausible) == "refuse",
            refuses_uncertain=(rule.uncertain or rules.uncertain) == "refuse",
        )

    def _build_limits(self, name: str, rule: Rule) -> FiringLimits:
        limits = FiringLimits(
            f"{self._seed}:{name}",
            probability=rule.probability,
            refractory_ns=round(rule.refractory_ms * 1e6),
            max_per_minute=rule.max_per_minute,
            minutes=rule.minutes or self._rules.minutes,
            budget=RateBudget("rule", rule.max_fired, rule.max_on_s),
        )
        if name in self._limits:
            limits.continue_from(self._limits[name])
        self._limits[name] = limits
        return limits


def _distinct(views: Iterable[ViewKey]) -> list[ViewKey]:
    return list(dict.fromkeys(views))
