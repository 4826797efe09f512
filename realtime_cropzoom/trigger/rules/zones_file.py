"""Zones of a rules file, read alone: they are drawn and looked at before the file has outputs and rules."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.trigger.rules.rules import (
    Name,
    Rules,
    ZoneShape,
    all_setting_names,
    mistakes_located_in,
    zone_contradictions,
)
from realtime_cropzoom.trigger.rules.schema import Strict
from realtime_cropzoom.trigger.rules.validation_errors import RulesError, explain
from realtime_cropzoom.yaml_file import parse_mapping, read_text


class ZonesPart(Strict):
    """The part of a rules file that says where zones are."""

    calibration: Annotated[str, Field(max_length=4000)] | None = None
    """Calibration file, relative to the rules file."""
    zones: Annotated[dict[Name, ZoneShape], Field(min_length=1, max_length=200)]
    outputs: Any = None
    """Not checked."""
    rules: Any = None
    """Not checked."""

    @property
    def is_whole_file(self) -> bool:
        """Whether the file also has outputs and rules, which ``cropzoom trigger`` needs."""
        return bool(self.outputs and self.rules)


def load_zones(path: Path) -> ZonesPart:
    """Read the zones of a rules file, and the calibration that it names. Its outputs and rules are not checked.

    Raises:
        ConfigError: one line for each thing that is wrong, with its place.
    """
    text = read_text(path)
    content = parse_mapping(text, str(path))
    if "zones" not in content and content.keys() <= Rules.model_fields.keys():
        raise ConfigError(
            f"{path} has no zones; give lines such as 'zones: {{corner: {{rectangle_px: [0, 0, 200, 200]}}}}'"
        )
    with mistakes_located_in(text, str(path)):
        return _parse(content)


def _parse(content: dict[str, Any]) -> ZonesPart:
    """Check the zones. A key that no rules file has is wrong here, too: it may be a misspelt one."""
    others = Rules.model_fields.keys() - ZonesPart.model_fields.keys()
    try:
        part = ZonesPart.model_validate({name: value for name, value in content.items() if name not in others})
    except ValidationError as error:
        raise RulesError([explain(e, content, all_setting_names()) for e in error.errors()]) from None
    if problems := list(zone_contradictions(part.zones, part.calibration)):
        raise RulesError(problems)
    return part
