"""Live settings: what may be set while a run goes, within which limits, and how a change reaches the stages.

A change takes effect between two frames: the pose stage applies it before the next frame gets its box. ``config.yaml``
keeps the settings with which the run began; the changes are in the events and in ``summary.json``. A replay with the
boxes of the session needs none of them: the boxes are those that the changes have made.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from msgspec import structs

from realtime_cropzoom.control.protocol import OrderError
from realtime_cropzoom.inference.boxes import DEFAULT_CROP_RATIO, MAX_SIDE, even
from realtime_cropzoom.inference.presence import JudgeLimits
from realtime_cropzoom.pipeline.detect import DetectStage
from realtime_cropzoom.pipeline.orders import Settable
from realtime_cropzoom.pipeline.pose import PoseStage
from realtime_cropzoom.pipeline.region_plan import largest_box
from realtime_cropzoom.pipeline.startup import RunPlan
from realtime_cropzoom.types import FrameMeta

_SMALLEST_CROP = 16
"""Smallest side of a box that an order may set (frame pixels)."""
_LONGEST_MS = 600_000.0
"""Longest time that an order may set (ms)."""
_OF_BOXES = ("crop_size", "crop_ratio", "min_likelihood")
"""Settings of the rule that makes boxes."""
_OF_POSES = ("pose_min_likelihood", "shape_tolerance", "jump_limit", "lost_after_ms")
"""Settings of the plausibility check."""
_OF_AGES = ("coast_after_ms", "lost_after_ms")
"""Settings of the limits on the age of a box. The first must be below the second."""


class SettingChange(NamedTuple):
    """One change of a setting while a run went."""

    setting: str
    before: float
    after: float
    frame: int
    """Index of the first frame that saw it."""
    captured_ns: int
    """When that frame was captured (monotonic, ns)."""
    by: str
    """Who gave the order."""


class LiveSettings:
    """The settings of one run that may change while it goes. Any thread may call it."""

    def __init__(self, plan: RunPlan, pose: PoseStage, detect: DetectStage | None) -> None:
        """Take the stages that changes reach; the values are those of the plan."""
        self._pose, self._detect = pose, detect
        self._limits = plan.settings.judge_limits(plan.models.pose.presence)
        self._ages = plan.settings.state_limits()
        self._setting = threading.Lock()
        self._settable = {} if plan.lockstep else _settable(plan)
        self.changes: tuple[SettingChange, ...] = ()
        """The changes that frames have seen, in order; replaced as a whole."""

    def settable(self) -> dict[str, Settable]:
        """Return what may be set, by name, with the values of the last order. Nothing in lockstep, a replay."""
        found = dict(self._settable)
        if all(name in found for name in _OF_AGES):
            coast, lost = (found[name] for name in _OF_AGES)
            found["coast_after_ms"] = structs.replace(coast, most=_number(lost) - 1)
            found["lost_after_ms"] = structs.replace(lost, least=_number(coast) + 1)
        return found

    def set(self, setting: str, value: float, by: str, on_change: Callable[[SettingChange, FrameMeta], None]) -> None:
        """Change a setting from the next frame on.

        Args:
            setting: One of ``settable``.
            value: The new value, within its limits.
            by: Who gave the order.
            on_change: Is told the first frame that sees it, in the thread of the pose stage.

        Raises:
            OrderError: if the setting cannot be set in this run.
        """
        with self._setting:
            known = self._settable.get(setting)
            if known is None:
                raise OrderError(f"set: {setting} cannot be set while this run goes")
            if setting == "crop_size":
                value = even(round(value))
            self._settable = {**self._settable, setting: structs.replace(known, value=value)}

            def change(meta: FrameMeta) -> None:
                self._apply(setting, value, meta)
                made = SettingChange(setting, _number(known), value, meta.index, meta.captured_ns, by)
                self.changes = (*self.changes, made)
                on_change(made, meta)

            self._pose.before_next_frame(change)

    def _apply(self, setting: str, value: float, meta: FrameMeta) -> None:
        """Bring a value to the stages. Called by the pose stage, before the frame ``meta`` gets its box."""
        changed: dict[str, Any] = {setting: value}
        if setting in _OF_BOXES:
            for subject in self._pose.subjects:
                subject.slot.use_rule(lambda rule: replace(rule, **changed))
            if self._detect is not None:
                self._detect.rule = replace(self._detect.rule, **changed)
        if setting in _OF_POSES:
            self._limits = _changed(self._limits, setting, value)
            for subject in self._pose.subjects:
                subject.judge.change_from(meta.index, self._limits)
        if setting in _OF_AGES:
            self._ages = replace(self._ages, **changed)
            for subject in self._pose.subjects:
                subject.slot.use_limits(self._ages)
        if setting == "detector_max_fps" and self._detect is not None:
            self._detect.max_fps = value


def _changed(limits: JudgeLimits, setting: str, value: float) -> JudgeLimits:
    if setting == "pose_min_likelihood":
        return replace(limits, presence=limits.presence.with_limits(None, value))
    changed: dict[str, Any] = {setting: value}
    return replace(limits, **changed)


def _settable(plan: RunPlan) -> dict[str, Settable]:
    """Return what may be set in a run. The size of boxes is only if the input of the pose model has a fixed size."""
    s, presence = plan.settings, plan.models.pose.presence
    found = {
        "pose_min_likelihood": Settable(presence.min_likelihood, 0, 1),
        "jump_limit": Settable(s.jump_limit, 0.1, 1000, "box sides/s"),
        "lost_after_ms": Settable(s.lost_after_ms, 1, _LONGEST_MS, "ms"),
    }
    if presence.distances:
        found["shape_tolerance"] = Settable(s.shape_tolerance, 0, 1000)
    rule = plan.box_rule
    if rule is None:
        return found
    found["min_likelihood"] = Settable(rule.min_likelihood, 0, 1)
    found["coast_after_ms"] = Settable(s.coast_after_ms, 1, _LONGEST_MS, "ms")
    found["detector_max_fps"] = Settable(s.detector_max_fps, 0.1, 1000, "detections/s")
    if plan.models.pose.manifest.input.size is not None:
        least = max(_SMALLEST_CROP, even(rule.min_box))
        most = min(MAX_SIDE, 2 * max(plan.info.width, plan.info.height), largest_box(plan.regions))
        side, ratio = rule.crop_size, DEFAULT_CROP_RATIO if rule.crop_ratio is None else rule.crop_ratio
        found |= (
            {"crop_ratio": Settable(ratio, 0.5, 20)}
            if side is None
            else {"crop_size": Settable(side, least, most, "px")}
        )
    return found


def _number(settable: Settable) -> float:
    assert not isinstance(settable.value, list)
    return settable.value
