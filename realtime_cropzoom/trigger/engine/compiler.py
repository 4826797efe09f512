"""Compiler of rules: turns checked rules into the objects evaluated at every pose. Shared parts are computed once."""

from __future__ import annotations

import math
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

    def condition(self, model: Any, rule: Rule) -> conditions.Condition:
        """Return what asks ``model`` of a look, with the likelihood that ``rule`` demands."""
        least = self._rules.min_likelihood if rule.min_likelihood is None else rule.min_likelihood
        if isinstance(model, schema.AllOf):
            return conditions.All([self.condition(part, rule) for part in model.all])
        if isinstance(model, schema.AnyOf):
            return conditions.Any([self.condition(part, rule) for part in model.any])
        if isinstance(model, schema.NotThis):
            return conditions.Not(self.condition(model.not_, rule))
        if isinstance(model, schema.StateIs):
            return conditions.StateIs(model.names())
        if isinstance(model, schema.InZone):
            return self._on_zone(model, least)
        low, high = model.range()
        return conditions.Threshold(
            self._quantity(model, least), low, high, model.hysteresis, self._bridge_ns, circular=model.circular()
        )

    def _on_zone(self, model: schema.InZone, least: float) -> conditions.Condition:
        kind = next(kind for kind in ("inside", "outside", "entered", "left", "dwelt") if hasattr(model, kind))
        name = getattr(model, kind)
        zone = self._rules.zones[name]
        side = conditions.Side(
            self._spot(model.keypoint, least, cm=zone.in_cm),
            zone.shape(),
            name,
            model.margin_px or model.margin_cm,
            self._bridge_ns,
            inside=kind in ("inside", "entered", "dwelt"),
        )
        if isinstance(model, schema.Entered | schema.Left):
            return conditions.Crossing(side, kind, self._bridge_ns)
        if isinstance(model, schema.Dwelt):
            return conditions.Lasting(side, round(model.for_ms * 1e6), self._bridge_ns)
        return side

    def _quantity(self, model: Any, least: float) -> quantities.Quantity:
        kind = schema.kind_of(model) or ""
        key = (kind, repr(getattr(model, kind)), getattr(model, "over_ms", 0), getattr(model, "direction", ""), least)
        if key not in self._shared:
            self._shared[key] = self._make_quantity(kind, model, least)
        found: quantities.Quantity = self._shared[key]
        return found

    def _make_quantity(self, kind: str, model: Any, least: float) -> quantities.Quantity:
        given = getattr(model, kind)
        cm = "_cm" in kind
        unit = "cm" if cm else "px"
        if kind == "likelihood":
            return quantities.Likelihood(given)
        if kind.startswith(("distance", "length")):
            return quantities.Length(tuple(self._any_spot(spot, least, cm=cm) for spot in given), unit)
        if kind == "heading_deg":
            return self._heading(self._spot(given[0], least), self._spot(given[1], least))
        if kind == "angle_deg":
            return self._angle(given, least)
        over_ns = round(model.over_ms * 1e6)
        if kind == "turning_deg_per_s":
            return self._turning(given, least, over_ns, _TURN_SIGN[model.direction])
        spot = self._spot(given, least, cm=cm)
        if kind.startswith("speed"):
            return quantities.Speed(spot, self._track(spot), over_ns, f"{unit}/s")
        return quantities.Acceleration(spot, self._track(spot), over_ns, f"{unit}/s²")

    def _angle(self, given: schema.AngleBetween, least: float) -> quantities.Quantity:
        """In frame pixels; in cm where the target is a zone in cm."""
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

    def _turning(self, names: tuple[str, str], least: float, over_ns: int, sign: int) -> quantities.Quantity:
        base, tip = (self._spot(name, least) for name in names)
        key = ("heading track", base, tip)
        if key not in self._shared:
            self._shared[key] = trajectory.HeadingTrack(base, tip, self._bridge_ns)
            self.tracks.append(self._shared[key])
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
