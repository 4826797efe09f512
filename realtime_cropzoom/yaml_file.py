"""YAML as this package reads it: of a bounded size and depth, and each name of a mapping is there once.

Every YAML goes through here: settings, rules, calibrations, the configs of models and of training. A file of
a few lines can stand for gigabytes (aliases of aliases) or for more nesting than Python can follow; what is
beyond the limits is refused in one line, before anything is built from it.
"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from realtime_cropzoom.errors import ConfigError

_LARGEST_BYTES = 256 << 10
"""The largest config that people write has 10 kB."""
_DEEPEST = 50
_MOST_VALUES = 100_000
"""With every alias counted as what it stands for."""


class _Loader(yaml.SafeLoader):
    """Safe tags only, within the limits."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Build a node. Raises ConfigError where it lies too deep."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ConfigError(f"line {self.line + 1}: nested more than {_DEEPEST} deep")
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def get_single_node(self) -> yaml.Node | None:
        """Build the tree. Raises ConfigError where aliases make it too large, or put it within itself."""
        node: yaml.Node | None = super().get_single_node()
        if node is not None:
            _measure(node, {})
        return node


def _measure(node: yaml.Node, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """Return how many values a node stands for, and how deep they are nested. Raises ConfigError."""
    if id(node) in known:
        found = known[id(node)]
        if found is None:
            raise ConfigError(f"line {node.start_mark.line + 1}: an alias stands for what it is itself in")
        return found
    known[id(node)] = None
    children: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        children = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        children = node.value
    measured = [_measure(child, known) for child in children]
    count, depth = 1 + sum(c for c, _ in measured), 1 + max((d for _, d in measured), default=0)
    line = node.start_mark.line + 1
    if count > _MOST_VALUES:
        raise ConfigError(f"line {line}: stands for more than {_MOST_VALUES} values; write fewer aliases (*name)")
    if depth > _DEEPEST:
        raise ConfigError(f"line {line}: nested more than {_DEEPEST} deep")
    known[id(node)] = count, depth
    return count, depth


class _UniqueKeys(_Loader):
    """YAML lets the last of two equal keys win without a word; a camera that is there twice would vanish."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build a mapping. Raises ConfigError where a key is there twice."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise ConfigError(f"line {key.start_mark.line + 1}: {key.value} is there twice; leave one of them")
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def parse_yaml(text: str, *, unique_keys: bool = False) -> Any:
    """Return what a text of YAML stands for. Raises ConfigError, one line that begins with the place."""
    try:
        return yaml.load(text, _UniqueKeys) if unique_keys else yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ConfigError(" ".join(str(error).split())) from error
    except (ValueError, OverflowError, RecursionError) as error:  # numbers of 5000 digits, the 30th of February
        raise ConfigError(f"a value cannot be read: {' '.join(str(error).split())[:200]}") from error


def read_yaml(path: Path, *, unique_keys: bool = False) -> Any:
    """Return what a file of YAML holds. Raises ConfigError, one line, where it cannot be read or is beyond limits."""
    text = _text(path)
    try:
        return parse_yaml(text, unique_keys=unique_keys)
    except ConfigError as error:
        if isinstance(error.__cause__, yaml.YAMLError):
            raise ConfigError(f"{path} is no YAML: {error}") from error
        raise ConfigError(f"{path}, {error}") from error


def compose_yaml(path: Path) -> yaml.Node | None:
    """Return the tree of a file, in which each node knows its line. Raises ConfigError."""
    try:
        return _Loader(_text(path)).get_single_node()
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is no YAML: {' '.join(str(error).split())}") from error


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"cannot read the config file {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        if len(data) <= _LARGEST_BYTES:
            raise ConfigError(f"cannot read the config file {path}: it is not text in UTF-8") from error
    if len(data) > _LARGEST_BYTES:
        raise ConfigError(f"{path}: has more than {_LARGEST_BYTES >> 10} kB; expected a config of some lines")
    return text


def read_config(path: Path) -> dict[str, Any]:
    """Return what the file holds; nothing where it is empty. Raises ConfigError."""
    content = read_yaml(path, unique_keys=True)
    if content is not None and not isinstance(content, dict):
        raise ConfigError(f"{path} holds a {type(content).__name__}; expected lines such as 'crop_size: 240'")
    if odd := [key for key in content or () if not isinstance(key, str)]:
        raise ConfigError(f"{path}: {odd[0]!r} is no setting; see docs/reference/settings.md for their names")
    return content or {}
