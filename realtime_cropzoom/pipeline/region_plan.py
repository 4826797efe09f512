"""Region plan: whether the regions of a run fit its settings and models, and how the models are called for them."""

from __future__ import annotations

import glob
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np

from realtime_cropzoom.clock import now_s
from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.errors import ConfigError, advise
from realtime_cropzoom.inference.boxes import BoxRule
from realtime_cropzoom.inference.model import Model, Models
from realtime_cropzoom.pipeline.regions import Region
from realtime_cropzoom.sessions.pose_rows import ANIMALS

_GAIN = 1.1
"""Minimum gain in speed for which crops go through the model as one batch."""
_ROUNDS = 5
_LEAST_SHARE = 0.5
"""Smallest side of a region, as a share of the side of its boxes. A smaller one is mostly black in its crop."""


def check_regions(regions: Sequence[Region], settings: Settings, models: Models, rule: BoxRule | None) -> None:
    """Check that settings and models can serve several regions.

    Args:
        regions: The regions; there is nothing to check without any.
        settings: The settings of the run.
        models: Its models.
        rule: Makes boxes from detections; None without a detector.

    Raises:
        ConfigError: if they cannot.
    """
    if not regions:
        _refuse_boxes_of_regions(settings.schedule)
        return
    if models.context_radius:
        raise ConfigError(
            "regions: a context model sees five frames for each pose, which several regions cannot share; expected "
            "models that see one frame. Give others, or leave out the regions"
        )
    if settings.edge == "clamp":
        raise ConfigError("regions: edge is clamp, which cuts boxes at the frame and not at the region; expected pad")
    if settings.record_crops:
        raise ConfigError(
            "regions: record_crops records the crops of one animal. Record the frames instead ("
            + advise("--record", "record")
            + "); the boxes of each region are in its files"
        )
    side = None if rule is None else rule.crop_size
    for region in regions:
        _check_size(region, side)


def boxes_of(regions: Sequence[Region], schedule: Path | None) -> list[Path | None]:
    """Return the file with the recorded boxes of each region; None for each if a detector finds them.

    Args:
        regions: The regions; without any, there is one file for the whole frame.
        schedule: The folder of a run with these regions; None without recorded boxes.

    Raises:
        ConfigError: if it lacks the boxes of a region.
    """
    if schedule is None or not regions:
        return [schedule] * max(1, len(regions))
    if not schedule.is_dir():
        raise ConfigError(
            f"regions: {schedule} has the boxes of one animal; expected the folder of a run with these regions. "
            + advise("Give that folder to --schedule, or --regions none", "Give that folder, or leave out the regions")
        )
    found = [min(schedule.glob(f"*_{glob.escape(r.name)}_bbox.csv"), key=_length, default=None) for r in regions]
    lacking = next((region.name for region, path in zip(regions, found, strict=True) if path is None), None)
    if lacking is not None:
        raise ConfigError(
            f"regions.{lacking}: {schedule} has no boxes of it; expected the regions of that run, which are in "
            f"{schedule / 'config.yaml'}"
        )
    return found


def _length(path: Path) -> int:
    return len(path.name)


def _refuse_boxes_of_regions(schedule: Path | None) -> None:
    """Raise ConfigError if recorded boxes are those of several regions, and the run has none."""
    if schedule is None or not schedule.is_dir() or len(list(schedule.glob("*_bbox.csv"))) < 2:
        return
    if any(schedule.glob(f"*{ANIMALS}.csv")):
        raise ConfigError(
            f"{schedule} has the boxes of several animals; expected those of one. A run with several animals finds its "
            "boxes anew: " + advise("leave out --schedule, and give --animals and --detector", "leave out the schedule")
        )
    raise ConfigError(
        f"{schedule} has the boxes of several regions; expected the regions of that run. "
        + advise(f"Give them: --regions {schedule / 'config.yaml'}", "Give its regions")
    )


def largest_box(regions: Sequence[Region]) -> float:
    """Return the largest side of boxes (pixels) for which no region is too small; infinity without regions."""
    return min((min(r.bounds.w, r.bounds.h) / _LEAST_SHARE for r in regions), default=math.inf)


def _check_size(region: Region, side: int | None) -> None:
    """Raise ConfigError if a region is too small for boxes of this side (pixels; None if it is not fixed)."""
    bounds = region.bounds
    if side is not None and side > largest_box([region]):
        raise ConfigError(
            f"regions.{region.name}: got {bounds.w}x{bounds.h} pixels, expected sides of at least "
            f"{_LEAST_SHARE * side:.0f}: the crops of the pose model have {side}. Draw it larger, or give a smaller "
            "crop_size"
        )


def plan_calls(regions: Sequence[Region], settings: Settings, models: Models) -> tuple[bool, list[str]]:
    """Decide how the models are called for all animals of a frame.

    Args:
        regions: The regions; empty if the animals share the frame.
        settings: The settings of the run.
        models: Its models.

    Returns:
        Whether the crops go through the pose model as one batch, and lines for the user; none for one animal.
    """
    if not regions and settings.animals == 1:
        return False, []
    notes = _region_notes(regions, settings, models) if regions else []
    together, why = _plan_batch(models.pose, len(regions) or settings.animals, lockstep=settings.pace == "fast")
    return together, [*notes, f"crops go through the pose model {'as one batch' if together else 'one by one'}: {why}"]


def _region_notes(regions: Sequence[Region], settings: Settings, models: Models) -> list[str]:
    names = ", ".join(region.name for region in regions)
    notes = [f"{len(regions)} regions, each with one animal: {names}"]
    if models.detector is not None:
        notes.append(
            "the detector looks at the whole frame, once for all regions: it finds several animals at a look"
            if models.detector.finds_several
            else "the detector looks at each region on its own, in turn: it finds one animal at a look"
        )
    if settings.publish_latest != "none":
        notes.append("the endpoint of the newest pose is off: it keeps one pose, and each region has its own")
    return notes


def _plan_batch(pose: Model, count: int, *, lockstep: bool) -> tuple[bool, str]:
    """Return whether ``count`` crops go through a model as one batch, and why."""
    if count == 1:
        return False, "there is one"
    if lockstep:
        return False, "so that each run over a recording gives the same numbers"
    pose.take_batches()
    if pose.session.batch is not None:
        return False, f"its file takes {pose.session.batch} at a time"
    apart_ms, together_ms = measure_calls(pose, count)
    measured = f"{count} take {apart_ms:.1f} ms one by one, {together_ms:.1f} ms as a batch"
    return apart_ms > _GAIN * together_ms, measured


def measure_calls(model: Model, count: int) -> tuple[float, float]:
    """Return the time (ms) that ``count`` inputs take one by one, and as one batch; measured in turns."""
    random, shape = np.random.default_rng(0), model.new_input()
    windows = [[random.random(shape.shape).astype(shape.dtype)] for _ in range(count)]
    ways: tuple[Callable[[], object], ...] = (
        lambda: [model.infer(*window) for window in windows],
        lambda: model.infer_many(windows),
    )
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(_ROUNDS):
        for way, taken in zip(ways, times, strict=True):
            begun = now_s()
            way()
            taken.append((now_s() - begun) * 1e3)
    return median(times[0]), median(times[1])
