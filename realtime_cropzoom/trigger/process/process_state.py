"""State of a trigger process, in types that JSON knows: part of every answer to an order, and of the feed."""

from __future__ import annotations

from typing import Any

from realtime_cropzoom.trigger.engine.engine import Engine
from realtime_cropzoom.trigger.outputs.factory import OutputLevel, output_kind
from realtime_cropzoom.trigger.rules.rules import Rules, named_zones


def rules_state(engine: Engine) -> dict[str, Any]:
    """Return the rules and zones, and what each rule does."""
    rules, armed, holding = engine.rules, engine.armed, engine.holding
    return {
        "holding": list(holding),
        "live": engine.live,
        "rules": [_rule(rules, name, name in armed, name in holding) for name in rules.rules],
        "zones": {name: zone.model_dump(mode="json", exclude_unset=True) for name, zone in rules.zones.items()},
    }


def outputs_state(rules: Rules, levels: dict[str, OutputLevel]) -> dict[str, dict[str, Any]]:
    """Return the kind of each output, its level, and its error while it fails."""
    return {
        name: {"kind": output_kind(mapping), "level": levels[name].level, "error": levels[name].error}
        for name, mapping in rules.outputs.items()
    }


def _rule(rules: Rules, name: str, armed: bool, holding: bool) -> dict[str, Any]:
    rule = rules.rules[name]
    zones = sorted(named_zones(rule.when, rules.zones))
    return {"name": name, "zones": zones, "outputs": list(rule.fire), "armed": armed, "holding": holding}
