"""Overrides of a configuration, ``section.name=value``, in the form of Lightning Pose's command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.yaml_file import parse_yaml


def apply_override(tree: dict[str, Any], override: str, is_read: Callable[[Sequence[str]], bool]) -> None:
    """Apply one override to a configuration in place.

    Args:
        tree: The configuration.
        override: ``a.b=value``. With ``+`` or ``++`` before it, as in Hydra, any name may be set.
        is_read: Returns whether the command reads a setting, so that it may be set without being in the file.

    Raises:
        ConfigError: if the override is malformed, or its name is unknown or a section.
    """
    name, equals, text = override.lstrip("+").partition("=")
    parts = name.split(".")
    if not equals or not all(parts):
        raise ConfigError(f"override: got {override!r}, expected the form section.name=value")
    if not (override.startswith("+") or _in_file(tree, parts) or is_read(parts)):
        raise ConfigError(f"override {override!r}: there is no setting {name}; expected one of the file's, or of ours")
    try:
        value = parse_yaml(text)
    except ConfigError:
        raise ConfigError(f"override {override!r}: {text!r} is not a value YAML can read") from None
    node = tree
    for part in parts[:-1]:
        node[part] = node.get(part) or {}
        node = node[part]
        if not isinstance(node, dict):
            raise ConfigError(f"override {override!r}: {part} is {node!r}, no section")
    if isinstance(node.get(parts[-1]), dict) and not isinstance(value, dict):
        raise ConfigError(f"override {override!r}: {name} is a section; expected {name}.name=value")
    node[parts[-1]] = value


def _in_file(tree: Any, parts: Sequence[str]) -> bool:
    for part in parts:
        if not isinstance(tree, dict) or part not in tree:
            return False
        tree = tree[part]
    return True
