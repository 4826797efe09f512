"""Comparison of two sets of rules: what new rules change in a trigger process that runs.

A rule *keeps* its state if nothing of it has changed: neither its own settings, nor those of the file that it uses, nor
the zones that it names. It has *moved* if only zones differ that it names. All other differences *change* it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from realtime_cropzoom.trigger.rules.rules import Rules, named_zones
from realtime_cropzoom.trigger.rules.validation_errors import Place, RulesError

_FIXED = ("endpoint", "camera", "calibration", "filter", "seed", "outputs", "sync")
"""Settings that cannot change while the process runs."""
_OF_A_RULE = ("max_age_ms", "min_likelihood", "states", "implausible", "minutes", "region", "animal", "uncertain")
"""Settings of a rule that it takes from the file if it has none of its own."""
_OF_EACH_RULE = ("bridge_ms", "predict", "output_delay_ms")
"""Settings of the file that each rule uses."""
_OF_NO_RULE = ("limits", "stream_lost_after_ms", "test_pulse_ms")
"""Settings of the file that apply to all rules together. A change leaves the rules as they are."""


@dataclass(frozen=True, slots=True)
class RulesChange:
    """What new rules change; names in the order of the files."""

    kept: tuple[str, ...]
    """Rules that keep their state."""
    moved: tuple[str, ...]
    """Rules of which only zones differ."""
    changed: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    settings: tuple[str, ...]
    """Settings of the file that differ and apply to all rules together."""

    def __str__(self) -> str:
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        named = [f"{what} {', '.join(names)}" for what, names in parts.items() if names and what != "kept"]
        return "; ".join(named) or "no change"

    def as_dict(self) -> dict[str, list[str]]:
        """Return the change in types that JSON knows."""
        return {field.name: list(getattr(self, field.name)) for field in fields(self)}


def compare_rules(old: Rules, new: Rules) -> RulesChange:
    """Return what ``new`` changes."""
    kinds: dict[str, list[str]] = {"kept": [], "moved": [], "changed": [], "added": []}
    for name in new.rules:
        kinds[_kind(old, new, name)].append(name)
    return RulesChange(
        **{kind: tuple(names) for kind, names in kinds.items()},
        removed=tuple(name for name in old.rules if name not in new.rules),
        settings=tuple(name for name in _OF_NO_RULE if getattr(old, name) != getattr(new, name)),
    )


def check_replaceable(old: Rules, new: Rules) -> None:
    """Check that ``new`` may replace ``old`` while the process runs.

    Raises:
        RulesError: if a setting differs that cannot change.
    """
    differ = [name for name in _FIXED if _content(getattr(old, name)) != _content(getattr(new, name))]
    if differ:
        problems: list[tuple[Place, str]] = [
            ((name,), "cannot change while the rules run; end 'cropzoom trigger' and start it with the new file")
            for name in differ
        ]
        raise RulesError(problems)


def _kind(old: Rules, new: Rules, name: str) -> str:
    if name not in old.rules:
        return "added"
    if _definition(old, name) != _definition(new, name):
        return "changed"
    before, after = _zones(old, name), _zones(new, name)
    if before.keys() != after.keys():  # a target was a keypoint and is a zone now
        return "changed"
    return "kept" if before == after else "moved"


def _definition(rules: Rules, name: str) -> dict[str, Any]:
    """Return all settings that a rule uses, but not its zones."""
    rule = rules.rules[name]
    taken = {key: getattr(rules, key) for key in _OF_A_RULE if getattr(rule, key) is None}
    shared = (*_OF_EACH_RULE, "hold_max_age_ms") if rule.hold else _OF_EACH_RULE
    return {"rule": rule.model_dump() | taken, **{key: getattr(rules, key) for key in shared}}


def _zones(rules: Rules, name: str) -> dict[str, dict[str, Any]]:
    """Return the shapes of the zones that a rule names."""
    named = named_zones(rules.rules[name].when, rules.zones)
    return {zone: rules.zones[zone].model_dump() for zone in named}


def _content(value: Any) -> Any:
    """Return a value in which lists and tuples are the same."""
    if isinstance(value, dict):
        return {key: _content(part) for key, part in value.items()}
    return [_content(part) for part in value] if isinstance(value, list | tuple) else value
