"""Rules → an engine, with the filter and the calibration that they name; the same for live and replay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from realtime_cropzoom.calibration.calibration import Calibration, read_calibration
from realtime_cropzoom.files.paths import user_path
from realtime_cropzoom.trigger.engine.engine import Engine
from realtime_cropzoom.trigger.engine.events import Decision
from realtime_cropzoom.trigger.engine.smoothing import smoothing_of
from realtime_cropzoom.trigger.rules.rules import Rules


def build_engine(
    rules: Rules,
    seed: int,
    calibration: Calibration | None,
    clock: Callable[[], int] | None = None,
    hand_over: Callable[[Decision], None] | None = None,
) -> Engine:
    """Return the engine of rules that name this calibration; ``clock`` and ``hand_over`` as in ``Engine``."""
    return Engine(rules, seed, calibration, smoothing_of(rules), clock=clock, hand_over=hand_over)


def calibration_of(rules: Rules, rules_path: Path) -> Calibration | None:
    """Return the calibration that rules name, relative to their file. Raises ConfigError."""
    if rules.calibration is None:
        return None
    return read_calibration(rules_path.parent / user_path(rules.calibration))
