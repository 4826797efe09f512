"""Part of the stand-in: reads a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def read_config_as_dict(config_path: Path) -> Any:
    return yaml.safe_load(config_path.read_text())
