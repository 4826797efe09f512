"""Desk for new rules: checks rules or zones that shall replace those that run, and keeps their text.

Everything is checked before anything changes, as when a file is loaded. The text of the rules stays the text of a
person: new zones are written into it, and its comments and order stay. A copy of each text that has run is in the log:
``rules.yaml`` is that of the start, then come ``rules-2.yaml``, ``rules-3.yaml`` and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from realtime_cropzoom.control.protocol import OrderError, Request
from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.files.atomic import MAKE_ROOM, write_whole
from realtime_cropzoom.trigger.rules.rules import Rules, mistakes_located_in, parse_rules, read_rules
from realtime_cropzoom.trigger.rules.rules_change import RulesChange, check_replaceable, compare_rules
from realtime_cropzoom.trigger.rules.zones_text import save_zones, with_zones
from realtime_cropzoom.yaml_file import parse_mapping, read_text

RULES, ZONES = "rules", "zones"
_NEW = "the new rules"


class RulesValue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Value of the order ``rules``."""

    yaml: str
    """Text of a whole rules file."""
    dry: bool = False
    """Check only, and say what would change."""
    keep_armed: bool = False
    """Leave an armed rule armed if only its zones have moved."""


class ZonesValue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Value of the order ``zones``."""

    zones: dict[str, dict[str, Any]]
    """All zones by name, with their shapes as in a rules file."""
    save: bool = False
    """Write them into the rules file, too."""
    dry: bool = False
    keep_armed: bool = False


_Value = TypeVar("_Value", RulesValue, ZonesValue)
_EXAMPLES = {
    RulesValue: '{"yaml": TEXT, "dry": false, "keep_armed": false}',
    ZonesValue: '{"zones": {NAME: SHAPE}, "save": false, "dry": false, "keep_armed": false}',
}


class Proposal(NamedTuple):
    """Rules that have been checked and may replace those that run."""

    rules: Rules
    text: str
    number: int
    """Counts the rules of a session, see ``NewRules``."""
    change: RulesChange
    keep_armed: bool


class RulesDesk:
    """Rules that run, and those that shall replace them. Use it from one thread."""

    def __init__(self, path: Path, given: Mapping[str, Any], running: Callable[[], Rules]) -> None:
        """Read the text of the rules that run.

        Args:
            path: The rules file.
            given: Settings that were given in place of those of the file.
            running: Function that returns the rules that run.

        Raises:
            ConfigError: if the file has changed since the rules were read.
        """
        self._path, self._given, self._running = path, given, running
        self._text, self._number = read_text(path), 1
        if self._with_given(read_rules(self._text, str(path))) != running():
            raise ConfigError(f"{path} was changed while the rules were starting; start them again")

    def propose(self, request: Request, check: Callable[[Rules], None]) -> tuple[Proposal, RulesValue | ZonesValue]:
        """Return what an order proposes, and its value.

        Args:
            request: An order ``rules`` or ``zones``.
            check: Function that raises ConfigError if the rules do not fit the process.

        Raises:
            OrderError: if the value of the order is not one.
            ConfigError: one line for each thing that is wrong.
        """
        if request.order == RULES:
            rules_value = _value_of(request, RulesValue)
            return self._propose(rules_value.yaml, check, keep_armed=rules_value.keep_armed), rules_value
        value = _value_of(request, ZonesValue)
        shapes = parse_rules(parse_mapping(self._text, _NEW) | {"zones": value.zones}).zones
        proposal = self._propose(with_zones(self._text, shapes), check, keep_armed=value.keep_armed)
        if value.save:  # the file may have been edited since
            read_rules(with_zones(read_text(self._path), shapes), f"{self._path} with these zones")
        return proposal, value

    def accept(self, proposal: Proposal, folder: Path, *, save: bool) -> None:
        """Write the copy of the rules into the log, and their zones into the rules file. They are the rules then.

        Args:
            proposal: The new rules.
            folder: Folder of the log.
            save: Whether to write the zones into the rules file.

        Raises:
            ConfigError: if the rules file cannot be changed.
            SinkError: if a file cannot be written.
        """
        write_whole(folder / f"rules-{proposal.number}.yaml", proposal.text, MAKE_ROOM)
        if save:
            save_zones(self._path, proposal.rules.zones)
        self._text, self._number = proposal.text, proposal.number

    def _propose(self, text: str, check: Callable[[Rules], None], *, keep_armed: bool) -> Proposal:
        running = self._running()
        with mistakes_located_in(text, _NEW):
            rules = self._with_given(parse_rules(parse_mapping(text, _NEW)))
            check_replaceable(running, rules)
        check(rules)
        return Proposal(rules, text, self._number + 1, compare_rules(running, rules), keep_armed)

    def _with_given(self, rules: Rules) -> Rules:
        return rules.model_copy(update=dict(self._given))


def _value_of(request: Request, kind: type[_Value]) -> _Value:
    try:
        return msgspec.convert(request.value, type=kind)
    except msgspec.ValidationError as error:
        raise OrderError(f"order {request.order}: {error}; expected the value {_EXAMPLES[kind]}") from None
