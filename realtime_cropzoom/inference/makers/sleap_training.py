"""Training of SLEAP: what the configuration of a training says that its export does not. An export carries a copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.yaml_file import parse_yaml

_MAX_LENGTH = 256 << 10
"""Maximum length of a configuration. Usual ones have 10 kB."""
_MAX_SIDE = 1 << 16
"""Maximum of a stride or a side (pixels)."""


@dataclass(frozen=True, slots=True)
class Training:
    """What is known of a training. All is optional."""

    max_stride: int | None = None
    """Multiple to which its frames are padded (pixels)."""
    output_stride: int | None = None
    """Input pixels per cell of its maps."""
    max_size: tuple[int, int] | None = None
    """(width, height) of its largest frames, to which sleap-nn resizes others."""
    edges: tuple[tuple[str, str], ...] = ()
    """Pairs of keypoints that its skeleton joins."""
    tiled: bool = False
    """Whether it saw tiles of its frames."""

    def skeleton(self, names: Sequence[str]) -> tuple[tuple[int, int], ...]:
        """Return the pairs of ``names`` that are joined, as indices."""
        known = [(one, other) for one, other in self.edges if one in names and other in names]
        return tuple((names.index(one), names.index(other)) for one, other in known)


def read_training(text: str, kind: str, part: str = "") -> Training:
    """Read the configuration of a training. What cannot be read is left out: nothing depends on it alone.

    Args:
        text: The configuration as YAML; for a combined export, JSON with one for each of its parts.
        kind: Kind of the model.
        part: Name of the part, for a combined export.
    """
    try:
        if part:
            text = msgspec.json.decode(text, type=dict[str, str]).get(part, "")
        config = parse_yaml(text) if len(text) <= _MAX_LENGTH else None
    except (ConfigError, msgspec.DecodeError):
        return Training()
    backbones = _at(config, "model_config", "backbone_config")
    used = [one for one in backbones.values() if isinstance(one, dict)] if isinstance(backbones, dict) else []
    shown = _at(config, "data_config", "preprocessing")
    size = _count(_at(shown, "max_width")), _count(_at(shown, "max_height"))
    return Training(
        max_stride=_count(_at(used[0], "max_stride")) if len(used) == 1 else None,
        output_stride=_count(_at(config, "model_config", "head_configs", kind, "confmaps", "output_stride")),
        max_size=None if None in size else size,  # type: ignore[arg-type]
        edges=_edges(_at(config, "data_config", "skeletons")),
        tiled=_at(shown, "tiling", "enabled") is True,
    )


def _at(value: Any, *keys: str) -> Any:
    """Return a value inside of nested mappings; None if it is not there."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MAX_SIDE else None


def _edges(skeletons: Any) -> tuple[tuple[str, str], ...]:
    edges = _at(skeletons[0], "edges") if isinstance(skeletons, list) and skeletons else None
    if not isinstance(edges, list):
        return ()
    pairs = [(_at(edge, "source", "name"), _at(edge, "destination", "name")) for edge in edges]
    return tuple((one, other) for one, other in pairs if isinstance(one, str) and isinstance(other, str))
