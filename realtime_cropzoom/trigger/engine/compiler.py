"""Compiler of rules: turns checked rules into the objects evaluated at every pose. Shared parts are computed once."""

from __future__ import annotations

import math
from functools import singledispatchmethod
from typing import Any

from realtime_cropzoom.trigger.engine import conditions, quantities, trajectory
from realtime_cropzoom.trigger.engine.pose_sample import AnySpot, ArenaMap, FixedPosition, KeypointPosition
from realtime_cropzoom.trigger.rules import schema
from realtime_cropzoom.trigger.rules.rules import Rule, Rules

_TURN_SIGN = {"right": 1, "left": -1, "either": 0}


class Compiler:
    """Builds conditions; ``tracks`` are what they need to be fed with every look."""

    def __init__(self, rules: Rules, arena: ArenaMap | None) -> None:
        """Raises ValueError where something is in cm and there is no ``arena``."""
        self._rules = rules
        self._arena = arena
        self._bridge_ns = round(rules.bridge_ms * 1e6)
        self._shared: dict[tuple[Any, ...], Any] = {}
        self.tracks: list[trajectory.Track] = []

    def condition(self, model: schema.ConditionModel, rule: Rule) -> conditions.Condition:
        """Return the condition that evaluates poses for ``model``, with the likelihood that ``rule`` demands."""
        return self._build(model, self._rules.min_likelihood if rule.min_likelihood is None else rule.min_likelihood)

    @singledispatchmethod
    def _build(self, model: schema.ConditionModel, least: float) -> conditions.Condition:
        raise TypeError(f"no compiler for {type(model).__name__}")

    @_build.register
    def _all(self, model: schema.AllOf, least: float) -> conditions.Condition:
        return conditions.All([self._build(part, least) for part in model.all])

    @_build.register
    def _any(self, model: schema.AnyOf, least: float) -> conditions.Condition:
        return conditions.Any([self._build(part, least) for part in model.any])

    @_build.register
    def _not(self, model: schema.NotThis, least: float) -> conditions.Condition:
        return conditions.Not(self._build(model.not_, least))

    @_build.register
    def _state(self, model: schema.StateIs, least: float) -> conditions.Condition:
        return conditions.StateIs(model.names())

    @_build.register
    def _in_zone(self, model: schema.InZone, least: float) -> conditions.Condition:
        return self._side(model, least)

    def _side(self, model: schema.InZone, least: float) -> conditions.Side:
        zone = self._rules.zones[model.given]
        return conditions.Side(
            self._spot(model.keypoint, least, cm=zone.in_cm),
            zone.shape(),
            model.given,
            model.margin_px or model.margin_cm,
            self._bridge_ns,
            inside=model.wants_inside,
        )

    @_build.register
    def _crossing(self, model: schema.Entered | schema.Left, least: float) -> conditions.Condition:
        return conditions.Crossing(self._side(model, least), model.kind, self._bridge_ns)

    @_build.register
    def _dwelling(self, model: schema.Dwelt, least: float) -> conditions.Condition:
        return conditions.Lasting(self._side(model, least), round(model.for_ms * 1e6), self._bridge_ns)

    @_build.register
    def _threshold(self, model: schema.Limits, least: float) -> conditions.Condition:
        key = ("quantity", model.quantity(), least)
        if key not in self._shared:
            self._shared[key] = self._quantity(model, least)
        low, high = model.range()
        return conditions.Threshold(
            self._shared[key], low, high, model.hysteresis, self._bridge_ns, circular=model.circular()
        )

    @singledispatchmethod
    def _quantity(self, model: schema.Limits, least: float) -> quantities.Quantity:
        raise TypeError(f"no quantity for {type(model).__name__}")

    @_quantity.register
    def _likelihood(self, model: schema.Likelihood, least: float) -> quantities.Quantity:
        return quantities.Likelihood(model.likelihood)

    @_quantity.register
    def _length(self, model: schema.Length, least: float) -> quantities.Quantity:
        cm = model.unit == "cm"
        return quantities.Length(tuple(self._any_spot(spot, least, cm=cm) for spot in model.given), model.unit)

    @_quantity.register
    def _heading_of(self, model: schema.Heading, least: float) -> quantities.Quantity:
        base, tip = model.heading_deg
        return self._heading(self._spot(base, least), self._spot(tip, least))

    @_quantity.register
    def _speed(self, model: schema.Speed, least: float) -> quantities.Quantity:
        spot = self._spot(model.given, least, cm=model.unit == "cm")
        return quantities.Speed(spot, self._track(spot), round(model.over_ms * 1e6), f"{model.unit}/s")

    @_quantity.register
    def _acceleration(self, model: schema.Acceleration, least: float) -> quantities.Quantity:
        spot = self._spot(model.given, least, cm=model.unit == "cm")
        return quantities.Acceleration(spot, self._track(spot), round(model.over_ms * 1e6), f"{model.unit}/s²")

    @_quantity.register
    def _angle(self, model: schema.Angle, least: float) -> quantities.Quantity:
        """Return the angle in frame space, or in arena space if the target is a zone in cm."""
        given = model.angle_deg
        zone = self._rules.zones.get(given.target) if isinstance(given.target, str) else None
        cm = zone is not None and zone.in_cm
        if zone is None:
            target = self._any_spot(given.target, least)
        else:
            x, y = zone.shape().centre
            target = self._place(x, y, str(given.target))
        base, tip = self._spot(given.from_, least, cm=cm), self._spot(given.to, least, cm=cm)
        return quantities.Angle(self._heading(base, tip), self._heading(base, target), target.name)

    def _heading(self, base: AnySpot, tip: AnySpot) -> quantities.Heading:
        key = ("heading", base, tip)
        if key not in self._shared:
            self._shared[key] = quantities.Heading(base, tip)
        heading: quantities.Heading = self._shared[key]
        return heading

    @_quantity.register
    def _turning(self, model: schema.Turning, least: float) -> quantities.Quantity:
        base, tip = (self._spot(name, least) for name in model.turning_deg_per_s)
        key = ("heading track", base, tip)
        if key not in self._shared:
            self._shared[key] = trajectory.HeadingTrack(base, tip, self._bridge_ns)
            self.tracks.append(self._shared[key])
        over_ns, sign = round(model.over_ms * 1e6), _TURN_SIGN[model.direction]
        return quantities.Turning(self._heading(base, tip), self._shared[key], over_ns, sign)

    def _track(self, spot: KeypointPosition) -> trajectory.Track:
        if (spot,) not in self._shared:
            self._shared[(spot,)] = trajectory.Track(spot, self._bridge_ns)
            self.tracks.append(self._shared[(spot,)])
        track: trajectory.Track = self._shared[(spot,)]
        return track

    def _any_spot(self, given: Any, least: float, *, cm: bool = False) -> AnySpot:
        if isinstance(given, str):
            return self._spot(given, least, cm=cm)
        x, y = given
        return self._place(x, y, f"({x:g}, {y:g})")

    def _place(self, x: float, y: float, name: str) -> FixedPosition:
        key = ("place", x, y, name)
        if key not in self._shared:
            self._shared[key] = FixedPosition(x, y, name)
        place: FixedPosition = self._shared[key]
        return place

    def _spot(self, name: str, least: float, *, cm: bool = False) -> KeypointPosition:
        key = ("spot", name, least, cm)
        if key not in self._shared:
            self._shared[key] = KeypointPosition(name, least, self._mapping() if cm else None)
        spot: KeypointPosition = self._shared[key]
        return spot

    def _mapping(self) -> Any:
        if self._arena is None:
            raise ValueError("rules in cm, but no calibration was given")
        to_arena = self._arena.point_to_arena

        def checked(x: float, y: float) -> tuple[float, float]:
            try:
                return to_arena(x, y)
            except (ArithmeticError, ValueError):  # a point at the horizon of a slanted camera is nowhere
                return math.nan, math.nan

        return checked
