"""YAML reader of the package: every YAML file and text is read here, within limits on size, depth and aliases.

A file of a few lines can stand for gigabytes (aliases of aliases), or for more nesting than Python can follow. Such a
file is refused before anything is built from it. All errors are one line.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import yaml

from realtime_cropzoom.errors import ConfigError

_MAX_BYTES = 256 << 10
"""Maximum size of a file. The largest configuration that people write has 10 kB."""
_MAX_DEPTH = 50
_MAX_VALUES = 100_000
"""Maximum number of values. Each alias adds the number of its values."""

_SETTINGS = "lines such as 'crop_size: 240'"


class _Loader(yaml.SafeLoader):
    """Loader of plain values, within the limits."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Build a node. Raises ConfigError if it is nested too deep."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise _too_deep(self.line + 1)
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def get_single_node(self) -> yaml.Node | None:
        """Build the tree. Raises ConfigError if aliases make it too large, or contain themselves."""
        node: yaml.Node | None = super().get_single_node()
        if node is not None:
            _measure(node, {})
        return node


def _too_deep(line: int) -> ConfigError:
    return ConfigError(f"line {line}: nested more than {_MAX_DEPTH} deep")


def _measure(node: yaml.Node, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """Return the number of values that a node stands for, and their depth.

    Args:
        node: The node.
        known: Results by the id of the node; None for a node that is being measured.

    Raises:
        ConfigError: if a limit is exceeded, or the node contains itself.
    """
    line = node.start_mark.line + 1
    if id(node) in known:
        found = known[id(node)]
        if found is None:
            raise ConfigError(f"line {line}: an alias contains itself")
        return found
    known[id(node)] = None
    measured = [_measure(child, known) for child in _children(node)]
    count, depth = 1 + sum(c for c, _ in measured), 1 + max((d for _, d in measured), default=0)
    if count > _MAX_VALUES:
        raise ConfigError(f"line {line}: stands for more than {_MAX_VALUES} values; write fewer aliases (*name)")
    if depth > _MAX_DEPTH:
        raise _too_deep(line)
    known[id(node)] = count, depth
    return count, depth


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


class _UniqueKeys(_Loader):
    """Loader that refuses a key that occurs twice. In YAML the last one wins, so that a camera could vanish."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build a mapping. Raises ConfigError if a key occurs twice."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise ConfigError(f"line {key.start_mark.line + 1}: {key.value} occurs twice; remove one of them")
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def parse_yaml(text: str, *, unique_keys: bool = False) -> Any:
    """Return the value of a YAML text.

    Args:
        text: The text.
        unique_keys: Whether a key that occurs twice is an error.

    Raises:
        ConfigError: if the text is not YAML or exceeds a limit; the error begins with the line.
    """
    try:
        return yaml.load(text, _UniqueKeys) if unique_keys else yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ConfigError(" ".join(str(error).split())) from error
    except (ValueError, OverflowError, RecursionError) as error:  # numbers of 5000 digits, the 30th of February
        raise ConfigError(f"a value cannot be read: {' '.join(str(error).split())[:200]}") from error


def read_yaml(path: Path, *, unique_keys: bool = False) -> Any:
    """Return the value of a YAML file.

    Args:
        path: The file, UTF-8.
        unique_keys: Whether a key that occurs twice is an error.

    Raises:
        ConfigError: if the file cannot be read, is not YAML, or exceeds a limit.
    """
    return _parse_named(read_text(path), str(path), unique_keys=unique_keys)


def _parse_named(text: str, name: str, *, unique_keys: bool) -> Any:
    try:
        return parse_yaml(text, unique_keys=unique_keys)
    except ConfigError as error:
        if isinstance(error.__cause__, yaml.YAMLError):
            raise ConfigError(f"{name} is not YAML: {error}") from error
        raise ConfigError(f"{name}, {error}") from error


def read_mapping(path: Path, expected: str = _SETTINGS, *, unique_keys: bool = True) -> dict[str, Any]:
    """Return a YAML file of names with their values: {name: value}; empty for an empty file.

    Args:
        path: The file, UTF-8.
        expected: Content of such a file, for the error text.
        unique_keys: Whether a name that occurs twice is an error.

    Raises:
        ConfigError: if the file cannot be read, holds something else, or exceeds a limit.
    """
    return parse_mapping(read_text(path), str(path), expected, unique_keys=unique_keys)


def parse_mapping(text: str, name: str, expected: str = _SETTINGS, *, unique_keys: bool = True) -> dict[str, Any]:
    """Return the text of a YAML file of names with their values: {name: value}; empty for an empty text.

    Args:
        text: The text.
        name: Name of the file, for the error text.
        expected: See ``read_mapping``.
        unique_keys: See ``read_mapping``.

    Raises:
        ConfigError: if the text holds something else, or exceeds a limit.
    """
    content = _parse_named(text, name, unique_keys=unique_keys)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{name} holds a {type(content).__name__}; expected {expected}")
    if odd := [key for key in content if not isinstance(key, str)]:
        raise ConfigError(f"{name}: got the name {odd[0]!r}, expected text; put it in quotes, or remove it")
    return content


def compose_yaml(text: str) -> yaml.Node | None:
    """Return the tree of a YAML text, in which each node knows its place; None for an empty text.

    Raises:
        ConfigError: if the text is not YAML, or exceeds a limit.
    """
    try:
        return _Loader(text).get_single_node()
    except yaml.YAMLError as error:
        raise ConfigError(f"not YAML: {' '.join(str(error).split())}") from error


def line_of(node: yaml.Node | None, place: Sequence[str | int]) -> int | None:
    """Return the line of a place in a tree, from 1; that of the deepest part of it that is there, None without any.

    Args:
        node: The tree, as ``compose_yaml`` returns it.
        place: The keys and indices that lead to the place.
    """
    line = None
    for part in place:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == part), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line


def end_of(node: yaml.Node) -> int:
    """Return the place in the text after a node. The mark of a block is behind the comments that follow it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return end_of(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def read_text(path: Path) -> str:
    """Return the text of a YAML file, without its byte order mark.

    Raises:
        ConfigError: if it cannot be read, is not UTF-8, or is too large.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) <= _MAX_BYTES:
            return data.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"cannot read the config file {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"cannot read the config file {path}: it is not text in UTF-8") from error
    raise ConfigError(f"{path} has more than {_MAX_BYTES >> 10} kB; expected a configuration of some lines")
