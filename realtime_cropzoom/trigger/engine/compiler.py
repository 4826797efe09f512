"""Compiler of rules: turns checked rules into the objects evaluated at every pose. Shared parts are computed once."""

from __future__ import annotations

import math
from functools import singledispatchmethod
from typing import Any

from realtime_cropzoom.trigger.engine import conditions, quantities, trajectory
from realtime_cropzoom.trigger.engine.pose_sample import AnyPosition, ArenaMap, FixedPosition, KeypointPosition
from realtime_cropzoom.trigger.rules import schema
from realtime_cropzoom.trigger.rules.rules import Rule, Rules

_TURN_SIGN = {"right": 1, "left": -1, "either": 0}


class Compiler:
    """Builds conditions. Feed each sample to all ``tracks`` before evaluating them."""

    def __init__(self, rules: Rules, arena: ArenaMap | None) -> None:
        """Create a compiler for the rules of one engine.

        Args:
            rules: The rules.
            arena: Conversion to cm; None without a calibration.
        """
        self._rules = rules
        self._arena = arena
        self._bridge_ns = round(rules.bridge_ms * 1e6)
        self._shared: dict[tuple[Any, ...], Any] = {}
        self.tracks: list[trajectory.Track] = []

    def condition(self, model: schema.ConditionModel, rule: Rule) -> conditions.Condition:
        """Return the condition that evaluates poses for ``model``, with the likelihood that ``rule`` demands."""
        return self._build(model, self._rules.min_likelihood if rule.min_likelihood is None else rule.min_likelihood)

    @singledispatchmethod
    def _build(self, model: schema.ConditionModel, min_likelihood: float) -> conditions.Condition:
        raise TypeError(f"no compiler for {type(model).__name__}")

    @_build.register
    def _all(self, model: schema.AllOf, min_likelihood: float) -> conditions.Condition:
        return conditions.All([self._build(part, min_likelihood) for part in model.all])

    @_build.register
    def _any(self, model: schema.AnyOf, min_likelihood: float) -> conditions.Condition:
        return conditions.Any([self._build(part, min_likelihood) for part in model.any])

    @_build.register
    def _not(self, model: schema.NotThis, min_likelihood: float) -> conditions.Condition:
        return conditions.Not(self._build(model.not_, min_likelihood))

    @_build.register
    def _state(self, model: schema.StateIs, min_likelihood: float) -> conditions.Condition:
        return conditions.StateIs(model.names())

    @_build.register
    def _in_zone(self, model: schema.InZone, min_likelihood: float) -> conditions.Condition:
        return self._side(model, min_likelihood)

    def _side(self, model: schema.InZone, min_likelihood: float) -> conditions.Side:
        zone = self._rules.zones[model.given]
        return conditions.Side(
            self._position(model.keypoint, min_likelihood, cm=zone.in_cm),
            zone.shape(),
            model.given,
            model.margin_px or model.margin_cm,
            self._bridge_ns,
            inside=model.wants_inside,
        )

    @_build.register
    def _crossing(self, model: schema.Entered | schema.Left, min_likelihood: float) -> conditions.Condition:
        return conditions.Crossing(self._side(model, min_likelihood), model.kind, self._bridge_ns)

    @_build.register
    def _dwelling(self, model: schema.Dwelt, min_likelihood: float) -> conditions.Condition:
        return conditions.Lasting(self._side(model, min_likelihood), round(model.for_ms * 1e6), self._bridge_ns)

    @_build.register
    def _threshold(self, model: schema.Limits, min_likelihood: float) -> conditions.Condition:
        key = ("quantity", model.quantity(), min_likelihood)
        if key not in self._shared:
            self._shared[key] = self._quantity(model, min_likelihood)
        low, high = model.range()
        return conditions.Threshold(
            self._shared[key], low, high, model.hysteresis, self._bridge_ns, circular=model.circular()
        )

    @singledispatchmethod
    def _quantity(self, model: schema.Limits, min_likelihood: float) -> quantities.Quantity:
        raise TypeError(f"no quantity for {type(model).__name__}")

    @_quantity.register
    def _likelihood(self, model: schema.Likelihood, min_likelihood: float) -> quantities.Quantity:
        return quantities.Likelihood(model.likelihood)

    @_quantity.register
    def _length(self, model: schema.Length, min_likelihood: float) -> quantities.Quantity:
        cm = model.unit == "cm"
        return quantities.Length(
            tuple(self._any_position(position, min_likelihood, cm=cm) for position in model.given), model.unit
        )

    @_quantity.register
    def _heading_of(self, model: schema.Heading, min_likelihood: float) -> quantities.Quantity:
        base, tip = model.heading_deg
        return self._heading(self._position(base, min_likelihood), self._position(tip, min_likelihood))

    @_quantity.register
    def _speed(self, model: schema.Speed, min_likelihood: float) -> quantities.Quantity:
        position = self._position(model.given, min_likelihood, cm=model.unit == "cm")
        return quantities.Speed(position, self._track(position), round(model.over_ms * 1e6), f"{model.unit}/s")

    @_quantity.register
    def _acceleration(self, model: schema.Acceleration, min_likelihood: float) -> quantities.Quantity:
        position = self._position(model.given, min_likelihood, cm=model.unit == "cm")
        return quantities.Acceleration(position, self._track(position), round(model.over_ms * 1e6), f"{model.unit}/s²")

    @_quantity.register
    def _angle(self, model: schema.Angle, min_likelihood: float) -> quantities.Quantity:
        """Return the angle in frame space, or in arena space if the target is a zone in cm."""
        given = model.angle_deg
        zone = self._rules.zones.get(given.target) if isinstance(given.target, str) else None
        cm = zone is not None and zone.in_cm
        if zone is None:
            target = self._any_position(given.target, min_likelihood)
        else:
            x, y = zone.shape().centre
            target = self._place(x, y, str(given.target))
        base, tip = self._position(given.from_, min_likelihood, cm=cm), self._position(given.to, min_likelihood, cm=cm)
        return quantities.Angle(self._heading(base, tip), self._heading(base, target), target.name)

    def _heading(self, base: AnyPosition, tip: AnyPosition) -> quantities.Heading:
        key = ("heading", base, tip)
        if key not in self._shared:
            self._shared[key] = quantities.Heading(base, tip)
        heading: quantities.Heading = self._shared[key]
        return heading

    @_quantity.register
    def _turning(self, model: schema.Turning, min_likelihood: float) -> quantities.Quantity:
        base, tip = (self._position(name, min_likelihood) for name in model.turning_deg_per_s)
        key = ("heading track", base, tip)
        if key not in self._shared:
            self._shared[key] = trajectory.HeadingTrack(base, tip, self._bridge_ns)
            self.tracks.append(self._shared[key])
        over_ns, sign = round(model.over_ms * 1e6), _TURN_SIGN[model.direction]
        return quantities.Turning(self._heading(base, tip), self._shared[key], over_ns, sign)

    def _track(self, position: KeypointPosition) -> trajectory.Track:
        if (position,) not in self._shared:
            self._shared[(position,)] = trajectory.Track(position, self._bridge_ns)
            self.tracks.append(self._shared[(position,)])
        track: trajectory.Track = self._shared[(position,)]
        return track

    def _any_position(self, given: Any, min_likelihood: float, *, cm: bool = False) -> AnyPosition:
        if isinstance(given, str):
            return self._position(given, min_likelihood, cm=cm)
        x, y = given
        return self._place(x, y, f"({x:g}, {y:g})")

    def _place(self, x: float, y: float, name: str) -> FixedPosition:
        key = ("place", x, y, name)
        if key not in self._shared:
            self._shared[key] = FixedPosition(x, y, name)
        place: FixedPosition = self._shared[key]
        return place

    def _position(self, name: str, min_likelihood: float, *, cm: bool = False) -> KeypointPosition:
        key = ("spot", name, min_likelihood, cm)
        if key not in self._shared:
            self._shared[key] = KeypointPosition(name, min_likelihood, self._mapping() if cm else None)
        position: KeypointPosition = self._shared[key]
        return position

    def _mapping(self) -> Any:
        if self._arena is None:
            raise ValueError("rules in cm, but no calibration was given")
        to_arena = self._arena.point_to_arena

        def checked(x: float, y: float) -> tuple[float, float]:
            try:
                return to_arena(x, y)
            except (ArithmeticError, ValueError):  # a point at the horizon of a tilted camera has no position
                return math.nan, math.nan

        return checked
