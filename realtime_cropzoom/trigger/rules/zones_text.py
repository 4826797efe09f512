"""Writes zones into the text of a rules file, and leaves everything else as it is: comments, order, spaces.

A zone that does not change keeps its lines. One that changes becomes one line, with the comment at its end; new ones
follow the last. The result is read again: if it does not say exactly what was wanted, it is refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.files.atomic import write_whole
from realtime_cropzoom.trigger.rules.rules import ZoneShape
from realtime_cropzoom.yaml_file import compose_yaml, end_of, parse_mapping, parse_yaml, read_text

_INDENT = "  "
_ADVICE = "; nothing was changed"
_BY_HAND = "write the zones into the file by hand, and give the whole text with the order rules"
_MARK = b"\xef\xbb\xbf"
"""Byte order mark, with which some editors begin a file."""


def zone_entry(name: str, shape: ZoneShape) -> str:
    """Return a zone as a line of ``zones:``, without indentation."""
    (kind,) = shape.model_fields_set
    key = name if parse_yaml(name) == name else json.dumps(name)  # yes, no, on and null are no text in YAML
    return f"{key}: {{{kind}: {_flow(_plain(getattr(shape, kind)))}}}"


def with_zones(text: str, zones: Mapping[str, ZoneShape]) -> str:
    """Return the text of a rules file with other zones.

    Args:
        text: The text.
        zones: All zones that the result has.

    Raises:
        ConfigError: if the zones of this text can only be written by hand.
    """
    content = parse_mapping(text, "the rules file")
    wanted = {name: _content(shape) for name, shape in zones.items()}
    before = content.get("zones") or {}
    if before == wanted:
        return text
    try:
        new = _edited(text, before, zones)
        exact = parse_mapping(new, "the result") == content | {"zones": wanted}
    except (ConfigError, KeyError):  # names that come from an alias are not in the text
        exact = False
    if not exact:
        raise ConfigError(f"zones of the rules file: their form is not one that can be changed here. {_BY_HAND}")
    return new


def save_zones(path: Path, zones: Mapping[str, ZoneShape]) -> None:
    """Write zones into a rules file. The file before stays beside it, as ``NAME.bak``.

    Raises:
        ConfigError: if the file cannot be read, or its zones can only be written by hand.
        SinkError: if a file cannot be written.
    """
    new = with_zones(read_text(path), zones).encode()
    try:
        old, mode = path.read_bytes(), path.stat().st_mode
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}{_ADVICE}") from error
    write_whole(path.with_name(path.name + ".bak"), old, _ADVICE)
    write_whole(path, _MARK + new if old.startswith(_MARK) else new, _ADVICE)
    with suppress(OSError):  # of another owner
        os.chmod(path, mode)


class _Entry(NamedTuple):
    """Place of a zone in the text."""

    name: str
    begin: int
    """Place of its first line."""
    column: int
    """Indentation of that line."""
    value_end: int
    end: int
    """Place after its last line."""


def _edited(text: str, before: Mapping[str, Any], zones: Mapping[str, ZoneShape]) -> str:
    """Return the text with other zones; ``before`` are those that it has."""
    root, eol = compose_yaml(text), "\r\n" if "\r\n" in text else "\n"
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    key, value = next(((k, v) for k, v in pairs if k.value == "zones"), (None, None))
    lines = "".join(f"{_INDENT}{zone_entry(name, shape)}{eol}" for name, shape in zones.items())
    if key is None or value is None:
        gap = "" if not text or text.endswith("\n") else eol
        return f"{text}{gap}zones:{eol}{lines}"
    begin, end = key.end_mark.index, end_of(value)
    if not zones:
        return f"{text[:begin]}: {{}}{text[end:]}"
    if isinstance(value, yaml.MappingNode) and not value.flow_style:
        return _edited_block(text, list(_entries(text, value)), before, zones, eol)
    comment, newline, after = text[max(end, begin + 1) :].partition("\n")  # what follows in the line of the key
    return f"{text[:begin]}:{comment.rstrip()}{eol}{lines if newline else lines.removesuffix(eol)}{after}"


def _edited_block(
    text: str, entries: list[_Entry], before: Mapping[str, Any], zones: Mapping[str, ZoneShape], eol: str
) -> str:
    """Change zones that have lines of their own."""
    parts, at = [], 0
    for entry in entries:
        shape = zones.get(entry.name)
        same = shape is not None and before[entry.name] == _content(shape)
        parts += [
            text[at : entry.begin],
            text[entry.begin : entry.end] if same else _edited_entry(text, entry, shape, eol),
        ]
        at = entry.end
    added = [(name, shape) for name, shape in zones.items() if name not in before]
    edited = "".join(parts)
    if added and not edited.endswith("\n"):
        edited += eol
    indent = " " * entries[0].column
    lines = "".join(f"{indent}{zone_entry(name, shape)}{eol}" for name, shape in added)
    return f"{edited}{lines}{text[at:]}"


def _edited_entry(text: str, entry: _Entry, shape: ZoneShape | None, eol: str) -> str:
    """Return the lines of a zone that changes, or of which only comments stay."""
    lines = text[entry.begin : entry.end].splitlines(keepends=True)
    comments = [line for line in lines if line.lstrip().startswith("#")]
    if shape is not None:
        comment = text[entry.value_end : entry.end].rstrip()
        comments.append(f"{' ' * entry.column}{zone_entry(entry.name, shape)}{comment}{eol}")
    return "".join(comments)


def _entries(text: str, block: yaml.MappingNode) -> Iterator[_Entry]:
    for key, value in block.value:
        end, column = end_of(value), key.start_mark.column
        line_end = text.find("\n", end)
        yield _Entry(
            str(key.value), key.start_mark.index - column, column, end, len(text) if line_end < 0 else line_end + 1
        )


def _content(shape: ZoneShape) -> dict[str, Any]:
    """Return a shape as the file has it."""
    return {kind: _plain(getattr(shape, kind)) for kind in shape.model_fields_set}


def _flow(value: Any) -> str:
    """Return numbers and lists of them as YAML. It takes 1e-05 for text, and 1.0e-05 for a number."""
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    return str(value) if "." in str(value) else str(value).replace("e", ".0e")


def _plain(value: Any) -> Any:
    """Return lists of numbers; whole numbers without a decimal point."""
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return int(value) if value == int(value) else value
