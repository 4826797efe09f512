"""Factory of engines: builds one from rules, with their filter and calibration, in the same way for live and replay."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

from realtime_cropzoom.calibration.calibration import Calibration, read_calibration
from realtime_cropzoom.files.paths import user_path
from realtime_cropzoom.filters import PoseFilter, make_filter
from realtime_cropzoom.trigger.engine.engine import Engine
from realtime_cropzoom.trigger.engine.events import Decision
from realtime_cropzoom.trigger.engine.pose_sample import Moving, is_likelihood
from realtime_cropzoom.trigger.rules.rules import Rules
from realtime_cropzoom.trigger.rules.zones_file import ZonesPart

_NOTHING = (math.nan, math.nan, math.nan)


class FilterSmoother:
    """A ``Smoother`` that uses a ``PoseFilter``, created when the first frame shows the keypoint names."""

    def __init__(self, name: str) -> None:
        """``name`` is one_euro or kalman. Raises ConfigError for any other name."""
        self._name = name
        self._keypoints: tuple[str, ...] = ()
        self._filter: PoseFilter = make_filter(name, 0)

    def update(
        self, captured_ns: int, keypoints: Mapping[str, tuple[float | None, float | None, float | None]]
    ) -> Mapping[str, Moving]:
        """Take the keypoints of a frame; return those for which the filter has a state."""
        if tuple(keypoints) != self._keypoints:
            self._keypoints = tuple(keypoints)
            self._filter = make_filter(self._name, len(keypoints))
        points = [_measured(point) for point in keypoints.values()]
        pose = self._filter.update(captured_ns, [(x, y) for x, y, _ in points], [p for _, _, p in points])
        pairs = zip(self._keypoints, pose.points, strict=True)
        return {name: point[:4] for name, point in pairs if math.isfinite(point.x)}

    def reset(self) -> None:
        """Clear the state."""
        self._filter.reset()

    def another(self) -> FilterSmoother:
        """Return a new one of the same kind, for another animal."""
        return FilterSmoother(self._name)


def build_smoother(rules: Rules) -> FilterSmoother | None:
    """Return the filter that the rules request; None if they request none."""
    return None if rules.filter == "none" else FilterSmoother(rules.filter)


def _measured(point: tuple[float | None, float | None, float | None]) -> tuple[float, float, float]:
    """Return a keypoint as (x, y, likelihood); all NaN if it is missing or unfit for a filter."""
    x, y, likelihood = point
    if x is None or y is None or not (abs(x) < 1e6 and abs(y) < 1e6):
        return _NOTHING
    if likelihood is not None and not (math.isnan(likelihood) or is_likelihood(likelihood)):
        return _NOTHING
    return x, y, math.nan if likelihood is None else likelihood


def build_engine(
    rules: Rules,
    seed: int,
    calibration: Calibration | None,
    clock: Callable[[], int] | None = None,
    hand_over: Callable[[Decision], None] | None = None,
) -> Engine:
    """Return the engine of rules that name this calibration; ``clock`` and ``hand_over`` as in ``Engine``."""
    return Engine(rules, seed, calibration, build_smoother(rules), clock=clock, hand_over=hand_over)


def load_calibration(rules: Rules | ZonesPart, rules_path: Path) -> Calibration | None:
    """Return the calibration that the rules name; None if they name none.

    Args:
        rules: The rules, or their zones.
        rules_path: Their file, relative to which the calibration is found.

    Raises:
        ConfigError: if the calibration cannot be read.
    """
    if rules.calibration is None:
        return None
    return read_calibration(rules_path.parent / user_path(rules.calibration))
