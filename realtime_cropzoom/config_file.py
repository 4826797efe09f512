"""A config file, read: YAML that is a mapping of names, each of them there once."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from realtime_cropzoom.errors import ConfigError


class _UniqueKeys(yaml.SafeLoader):
    """YAML lets the last of two equal keys win without a word; a camera that is there twice would vanish."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build a mapping. Raises ConfigError where a key is there twice."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise ConfigError(f"line {key.start_mark.line + 1}: {key.value} is there twice; leave one of them")
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def read_config(path: Path) -> dict[str, Any]:
    """Return what the file holds; nothing where it is empty. Raises ConfigError."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)
    except ConfigError as error:
        raise ConfigError(f"{path}, {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the config file {path}: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if content is not None and not isinstance(content, dict):
        raise ConfigError(f"{path} holds a {type(content).__name__}; expected lines such as 'crop_size: 240'")
    if odd := [key for key in content or () if not isinstance(key, str)]:
        raise ConfigError(f"{path}: {odd[0]!r} is no setting; see docs/settings.md for their names")
    return content or {}
