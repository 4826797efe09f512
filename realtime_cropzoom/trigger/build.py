"""Rules → an engine, with the filter and the calibration that they name; the same for live and replay."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from realtime_cropzoom.calibration import Calibration, read_calibration
from realtime_cropzoom.filters import PoseFilter, make_filter
from realtime_cropzoom.trigger.engine import Engine
from realtime_cropzoom.trigger.look import Moving
from realtime_cropzoom.trigger.rules import Rules


def build_engine(rules: Rules, rules_path: Path, seed: int) -> Engine:
    """Return the engine of a rules file. Raises ConfigError where its calibration cannot be read."""
    calibration = calibration_of(rules, rules_path)
    floor = None if calibration is None else _Floor(calibration)
    return Engine(rules, seed, floor, None if rules.filter == "none" else KeypointSmoother(rules.filter))


def calibration_of(rules: Rules, rules_path: Path) -> Calibration | None:
    """Return the calibration that rules name, relative to their file. Raises ConfigError."""
    if rules.calibration is None:
        return None
    return read_calibration(rules_path.parent / Path(rules.calibration).expanduser())


class _Floor:
    """A calibration, point by point."""

    def __init__(self, calibration: Calibration) -> None:
        self.to_arena = calibration.point_to_arena


class KeypointSmoother:
    """A filter by the names of keypoints, made when it is known how many there are."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._names: tuple[str, ...] = ()
        self._filter: PoseFilter | None = None

    def update(
        self, captured_ns: int, keypoints: Mapping[str, tuple[float | None, float | None, float | None]]
    ) -> Mapping[str, Moving]:
        """Take the keypoints of a frame, and return those that have a filtered place and velocity."""
        if self._filter is None or self._names != tuple(keypoints):
            self._names = tuple(keypoints)
            self._filter = make_filter(self._name, len(keypoints))
        values = [tuple(math.nan if v is None else v for v in one) for one in keypoints.values()]
        pose = self._filter.update(captured_ns, [(x, y) for x, y, _ in values], [p for *_, p in values])
        known = zip(keypoints, pose.points, strict=True)
        return {name: (p.x, p.y, p.vx, p.vy) for name, p in known if math.isfinite(p.x + p.vx)}

    def reset(self) -> None:
        """Forget everything."""
        if self._filter is not None:
            self._filter.reset()
