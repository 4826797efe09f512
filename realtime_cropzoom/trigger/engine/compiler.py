"""Compiler of rules: turns checked rules into the objects evaluated at every pose. Shared parts are computed once."""

from __future__ import annotations

import math
from functools import singledispatchmethod
from typing import Any

from realtime_cropzoom.trigger.engine import conditions, quantities, trajectory
from realtime_cropzoom.trigger.engine.pose_sample import AnyPosition, ArenaMap, Demands, FixedPosition, KeypointPosition
from realtime_cropzoom.trigger.rules import schema
from realtime_cropzoom.trigger.rules.rules import Rules

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

    def condition(self, model: schema.ConditionModel, demands: Demands, for_ns: int = 0) -> conditions.Condition:
        """Return the condition that evaluates poses.

        Args:
            model: The condition as it was written.
            demands: What the rule demands of a pose.
            for_ns: Time (ns of capture time) for which it must have held.
        """
        built = self._build(model, demands)
        return conditions.Lasting(built, for_ns, self._bridge_ns) if for_ns else built

    @singledispatchmethod
    def _build(self, model: schema.ConditionModel, demands: Demands) -> conditions.Condition:
        raise TypeError(f"no compiler for {type(model).__name__}")

    @_build.register
    def _all(self, model: schema.AllOf, demands: Demands) -> conditions.Condition:
        return conditions.All([self._build(part, demands) for part in model.all])

    @_build.register
    def _any(self, model: schema.AnyOf, demands: Demands) -> conditions.Condition:
        return conditions.Any([self._build(part, demands) for part in model.any])

    @_build.register
    def _not(self, model: schema.NotThis, demands: Demands) -> conditions.Condition:
        return conditions.Not(self._build(model.not_, demands))

    @_build.register
    def _state(self, model: schema.StateIs, demands: Demands) -> conditions.Condition:
        return conditions.StateIs(model.names())

    @_build.register
    def _in_zone(self, model: schema.InZone, demands: Demands) -> conditions.Condition:
        return self._side(model, demands)

    def _side(self, model: schema.InZone, demands: Demands) -> conditions.Side:
        zone = self._rules.zones[model.given]
        return conditions.Side(
            self._position(model.keypoint, demands, cm=zone.in_cm),
            zone.shape(),
            model.given,
            model.margin_px or model.margin_cm,
            self._bridge_ns,
            inside=model.wants_inside,
        )

    @_build.register
    def _crossing(self, model: schema.Entered | schema.Left, demands: Demands) -> conditions.Condition:
        return conditions.Crossing(self._side(model, demands), model.kind, self._bridge_ns)

    @_build.register
    def _dwelling(self, model: schema.Dwelt, demands: Demands) -> conditions.Condition:
        return conditions.Lasting(self._side(model, demands), round(model.for_ms * 1e6), self._bridge_ns)

    @_build.register
    def _threshold(self, model: schema.Limits, demands: Demands) -> conditions.Condition:
        key = ("quantity", model.quantity(), demands)
        if key not in self._shared:
            self._shared[key] = self._quantity(model, demands)
        low, high = model.range()
        return conditions.Threshold(
            self._shared[key], low, high, model.hysteresis, self._bridge_ns, circular=model.circular()
        )

    @singledispatchmethod
    def _quantity(self, model: schema.Limits, demands: Demands) -> quantities.Quantity:
        raise TypeError(f"no quantity for {type(model).__name__}")

    @_quantity.register
    def _likelihood(self, model: schema.Likelihood, demands: Demands) -> quantities.Quantity:
        return quantities.Likelihood(model.likelihood)

    @_quantity.register
    def _length(self, model: schema.Length, demands: Demands) -> quantities.Quantity:
        cm = model.unit == "cm"
        return quantities.Length(
            tuple(self._any_position(position, demands, cm=cm) for position in model.given), model.unit
        )

    @_quantity.register
    def _nearest(self, model: schema.DistanceBetweenAnimals, demands: Demands) -> quantities.Quantity:
        cm = model.unit == "cm"
        own, others = model.given
        to = KeypointPosition(others, demands.min_likelihood, self._mapping() if cm else None)
        return quantities.NearestAnimal(self._position(own, demands, cm=cm), to, model.unit, demands)

    @_quantity.register
    def _heading_of(self, model: schema.Heading, demands: Demands) -> quantities.Quantity:
        base, tip = model.heading_deg
        return self._heading(self._position(base, demands), self._position(tip, demands))

    @_quantity.register
    def _speed(self, model: schema.Speed, demands: Demands) -> quantities.Quantity:
        position = self._position(model.given, demands, cm=model.unit == "cm")
        return quantities.Speed(position, self._track(position), round(model.over_ms * 1e6), f"{model.unit}/s")

    @_quantity.register
    def _acceleration(self, model: schema.Acceleration, demands: Demands) -> quantities.Quantity:
        position = self._position(model.given, demands, cm=model.unit == "cm")
        return quantities.Acceleration(position, self._track(position), round(model.over_ms * 1e6), f"{model.unit}/s²")

    @_quantity.register
    def _angle(self, model: schema.Angle, demands: Demands) -> quantities.Quantity:
        """Return the angle in frame space, or in arena space if the target is a zone in cm."""
        given = model.angle_deg
        zone = self._rules.zones.get(given.target) if isinstance(given.target, str) else None
        cm = zone is not None and zone.in_cm
        if zone is None:
            target = self._any_position(given.target, demands)
        else:
            x, y = zone.shape().centre
            target = self._place(x, y, str(given.target))
        base, tip = self._position(given.from_, demands, cm=cm), self._position(given.to, demands, cm=cm)
        return quantities.Angle(self._heading(base, tip), self._heading(base, target), target.name)

    def _heading(self, base: AnyPosition, tip: AnyPosition) -> quantities.Heading:
        key = ("heading", base, tip)
        if key not in self._shared:
            self._shared[key] = quantities.Heading(base, tip)
        heading: quantities.Heading = self._shared[key]
        return heading

    @_quantity.register
    def _turning(self, model: schema.Turning, demands: Demands) -> quantities.Quantity:
        base, tip = (self._position(name, demands) for name in model.turning_deg_per_s)
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

    def _any_position(self, given: Any, demands: Demands, *, cm: bool = False) -> AnyPosition:
        if isinstance(given, str):
            return self._position(given, demands, cm=cm)
        x, y = given
        return self._place(x, y, f"({x:g}, {y:g})")

    def _place(self, x: float, y: float, name: str) -> FixedPosition:
        key = ("place", x, y, name)
        if key not in self._shared:
            self._shared[key] = FixedPosition(x, y, name)
        place: FixedPosition = self._shared[key]
        return place

    def _position(self, name: str, demands: Demands, *, cm: bool = False) -> KeypointPosition:
        key = ("spot", name, demands.min_likelihood, cm)
        if key not in self._shared:
            self._shared[key] = KeypointPosition(name, demands.min_likelihood, self._mapping() if cm else None)
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
