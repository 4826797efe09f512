"""Mistakes in a rules file as text: one line each, with the line number in the file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

from realtime_cropzoom.errors import ConfigError, did_you_mean, pluralize, shorten
from realtime_cropzoom.trigger.rules.schema import KINDS
from realtime_cropzoom.yaml_file import line_of

Place = tuple[str | int, ...]
"""Place in the file: the keys and indices that lead to it."""


class RulesError(ConfigError):
    """Mistakes in rules."""

    def __init__(self, problems: list[tuple[Place, str]]) -> None:
        """Create the error; ``problems`` are pairs of a place and a text."""
        super().__init__("\n".join(f"{_dotted(place)}: {text}" for place, text in problems))
        self.problems = problems


def explain(error: Any, content: Any, names: Iterable[str]) -> tuple[Place, str]:
    """Return the place and the text of an error of pydantic.

    Args:
        error: The error, as pydantic gives it. The tags in its location are not keys of the file.
        content: Content of the file.
        names: Names of all settings, to find the one that was misspelt.
    """
    place: list[str | int] = []
    at = content
    for part in error["loc"]:
        if (isinstance(at, dict) and part in at) or (isinstance(at, list) and isinstance(part, int) and part < len(at)):
            at = at[part]
        else:
            continue  # a tag of pydantic, or a missing key
        place.append(part)
    if (numbers := _numbers_expected(place)) and (error["type"] in ("missing", "too_long") and isinstance(at, list)):
        return tuple(place), f"expected {numbers}; got {pluralize(len(at), 'number')}"
    if error["type"] == "missing":
        return tuple(place), f"{error['loc'][-1]}: is missing"
    if error["type"] == "no_condition" and isinstance(error["input"], dict):
        keys = [str(key) for key in error["input"]]
        likely = next((text for key in keys if (text := did_you_mean(key, KINDS))), "")
        return tuple(place), f"given {', '.join(keys) or 'nothing'}, but {error['msg']}.{likely}".removesuffix(".")
    if error["type"] == "extra_forbidden":
        likely = did_you_mean(str(place[-1]), names)
        return tuple(place), f"no such setting; docs/reference/rules.md lists the names.{likely}"
    text = error["msg"].removeprefix("Value error, ")
    given = "" if isinstance(error["input"], dict | list) else f"given {shorten(error['input'])}, but "
    return tuple(place), f"{given}{text[0].lower()}{text[1:]}"


_NUMBERS = {"rectangle": "4 numbers: x, y, width, height", "circle": "3 numbers: x, y, radius"}


def _numbers_expected(place: list[str | int]) -> str:
    """Return the numbers that a shape needs; empty if the place is not a shape."""
    if len(place) > 1 and str(place[-2]).startswith("polygon_"):
        return "2 numbers: x, y"
    return next((text for shape, text in _NUMBERS.items() if place and str(place[-1]).startswith(f"{shape}_")), "")


def with_line(name: str, node: yaml.Node | None, place: Place, text: str) -> str:
    """Return a line with the file, the line number, the place and the mistake.

    Args:
        name: Name of the file.
        node: Its tree; None if there is none.
        place: Place of the mistake.
        text: The mistake.
    """
    line = line_of(node, place)
    where = name if line is None else f"{name}, line {line}"
    return f"{where}: {_dotted(place)}: {text}" if place else f"{where}: {text}"


def _dotted(place: Place) -> str:
    return ".".join(str(part) for part in place) or "rules"
