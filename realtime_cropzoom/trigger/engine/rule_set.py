"""Rule set: the rules that an engine evaluates, and what they share. New rules replace old ones here.

A rule that does not change keeps its runner, with all of its state. What a rule has used of its limits stays with its
name, also while no rule has that name: no exchange of rules gives an animal more than the limits allow.
"""

from __future__ import annotations

from collections.abc import Collection

from realtime_cropzoom.trigger.engine.compiler import Compiler
from realtime_cropzoom.trigger.engine.firing_limits import FiringLimits, RateBudget
from realtime_cropzoom.trigger.engine.pose_sample import ArenaMap
from realtime_cropzoom.trigger.engine.rule_runner import RuleParameters, RuleRunner
from realtime_cropzoom.trigger.engine.trajectory import Track
from realtime_cropzoom.trigger.rules.rules import Rule, Rules


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
        self._seed, self._arena = seed, arena
        self.session = RateBudget("session", rules.limits.max_fired, rules.limits.max_on_s)
        """Budget that all rules share."""
        self.runners: list[RuleRunner] = []
        self.tracks: dict[str | None, list[Track]] = {}
        """Trajectories to feed with each pose of a region before the rules are evaluated, by the region."""
        self._limits: dict[str, FiringLimits] = {}
        """Limits by the name of the rule, also of rules that were removed."""
        self._tracks_of: dict[str, list[Track]] = {}
        """Tracks of the rules that were compiled together, by the name of each."""
        self.replace(rules, ())

    def replace(self, rules: Rules, kept: Collection[str]) -> None:
        """Replace all rules but those named in ``kept``. The new ones are disarmed."""
        old = {runner.name: runner for runner in self.runners}
        regions = {name: rules.region_of(name) for name in rules.rules}
        # One for each region: what rules share is about one animal.
        compilers = {region: Compiler(rules, self._arena) for region in regions.values()}
        self.runners = [
            old[name] if name in kept else self._build(compilers[regions[name]], rules, name, rule)
            for name, rule in rules.rules.items()
        ]
        self._tracks_of = {
            name: self._tracks_of[name] if name in kept else compilers[region].tracks
            for name, region in regions.items()
        }
        self.tracks = {}
        for region in compilers:
            compiled = {id(tracks): tracks for name, tracks in self._tracks_of.items() if regions[name] == region}
            self.tracks[region] = [track for tracks in compiled.values() for track in tracks]
        self.session.set_limits(rules.limits.max_fired, rules.limits.max_on_s)

    def _build(self, compiler: Compiler, rules: Rules, name: str, rule: Rule) -> RuleRunner:
        max_age_ms = rule.max_age_ms or rules.max_age_ms
        parameters = RuleParameters(
            outputs=rule.fire,
            pulse_ms=rule.pulse_ms,
            repeat=rule.repeat,
            for_ns=round(rule.for_ms * 1e6),
            max_age_ms=max_age_ms,
            hold_max_age_ns=round(max(rules.hold_max_age_ms, max_age_ms) * 1e6),
            states=frozenset(rule.states or rules.states),
            bridge_ns=round(rules.bridge_ms * 1e6),
            refuses_implausible=(rule.implausible or rules.implausible) == "refuse",
            refuses_uncertain=(rule.uncertain or rules.uncertain) == "refuse",
            region=rules.region_of(name),
        )
        condition = compiler.condition(rule.when, rule)
        return RuleRunner(name, condition, parameters, self._build_limits(rules, name, rule), self.session)

    def _build_limits(self, rules: Rules, name: str, rule: Rule) -> FiringLimits:
        limits = FiringLimits(
            f"{self._seed}:{name}",
            probability=rule.probability,
            refractory_ns=round(rule.refractory_ms * 1e6),
            max_per_minute=rule.max_per_minute,
            minutes=rule.minutes or rules.minutes,
            budget=RateBudget("rule", rule.max_fired, rule.max_on_s),
        )
        if name in self._limits:
            limits.continue_from(self._limits[name])
        self._limits[name] = limits
        return limits
