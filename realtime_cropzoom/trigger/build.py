"""Rules → an engine, with the filter and the calibration that they name; the same for live and replay."""

from __future__ import annotations

from pathlib import Path

from realtime_cropzoom.calibration import Calibration, read_calibration
from realtime_cropzoom.trigger.engine import Engine
from realtime_cropzoom.trigger.rules import Rules
from realtime_cropzoom.trigger.smoothing import smoothing_of


def build_engine(rules: Rules, rules_path: Path, seed: int) -> Engine:
    """Return the engine of a rules file. Raises ConfigError where its calibration cannot be read."""
    return Engine(rules, seed, calibration_of(rules, rules_path), smoothing_of(rules))


def calibration_of(rules: Rules, rules_path: Path) -> Calibration | None:
    """Return the calibration that rules name, relative to their file. Raises ConfigError."""
    if rules.calibration is None:
        return None
    return read_calibration(rules_path.parent / Path(rules.calibration).expanduser())
