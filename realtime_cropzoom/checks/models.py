"""Check that the models load, run on the chosen provider, and are fast enough for the source."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

import numpy as np

from realtime_cropzoom.checks.result import CheckResult, bad, good
from realtime_cropzoom.checks.source import Measured
from realtime_cropzoom.clock import now_s
from realtime_cropzoom.config.group import NONE
from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.errors import CropzoomError
from realtime_cropzoom.inference.boxes import BoxRule, whole_image
from realtime_cropzoom.inference.manifest import Role
from realtime_cropzoom.inference.model import Model, Models
from realtime_cropzoom.pipeline.animals import check_animals
from realtime_cropzoom.pipeline.region_plan import check_regions
from realtime_cropzoom.pipeline.regions import make_regions
from realtime_cropzoom.pipeline.report import TOO_SLOW
from realtime_cropzoom.pipeline.startup import check_crop_size, load_model
from realtime_cropzoom.runtime.tuning import tuned
from realtime_cropzoom.sessions.schedule_file import read_schedule_file
from realtime_cropzoom.types import Box, UInt8

_TIME_S = 1.0
_RUNS = (3, 50)
"""Minimum and maximum number of inferences that are timed."""
_MAX_SHARE = 0.9
"""Maximum share of the time between two frames for the pose model. Capturing and sending need the rest."""


class CheckedModels:
    """The models of one camera, and their times."""

    def __init__(self, settings: Settings, measured: Measured) -> None:
        self.settings, self.measured = settings, measured
        self.loaded: dict[Role, Model] = {}
        self.ms: dict[Role, float] = {}
        """Median time from pixels to keypoints (ms), by role."""
        self.record_ms = 0.0
        """Time (ms) of recording, per frame; 0 without a recording."""

    @property
    def fps(self) -> float | None:
        """Expected frame rate of the run; None if unknown."""
        return self.measured.run_fps

    @property
    def poses_per_frame(self) -> int:
        """Number of animals of the run: the pose model runs once for each of them."""
        return max(self.settings.animals, len(self.settings.regions or ()))

    @property
    def detections_per_second(self) -> float:
        """Expected number of detections per second."""
        if "detector" not in self.ms:
            return 0.0
        asked = min(self.settings.detector_max_fps, self.fps or self.settings.detector_max_fps)
        return min(asked, 1000 / self.ms["detector"])

    @property
    def cores(self) -> float | None:
        """Number of cores that reading, models and recording keep busy; None if unknown, or in
        lockstep (``pace: fast``)."""
        if self.fps is None or not self.ms:
            return None
        per_second: dict[Role, float] = {
            "pose": self.fps * self.poses_per_frame,
            "detector": self.detections_per_second,
        }
        sessions = {role: model.session for role, model in self.loaded.items() if model.session.provider == "cpu"}
        models = sum(min(1.0, per_second[role] * self.ms[role] / 1000) * s.threads for role, s in sessions.items())
        return models + self.fps * (self.measured.read_ms + self.record_ms) / 1000

    @property
    def image(self) -> UInt8:
        """A frame of the source, (H, W, 3) RGB; black if there is none."""
        samples, info = self.measured.samples, self.measured.info
        if samples:
            return samples[-1]
        return np.zeros((info.height, info.width, 3) if info else (480, 640, 3), np.uint8)


def check_models(models: CheckedModels) -> Iterator[CheckResult]:
    """Load both models, time them, and yield a line for each, and one about the speed."""
    yield _load(models, "pose")
    yield _check_detector(models)
    yield from _boxes(models)
    yield from _speed(models)


def _check_detector(models: CheckedModels) -> CheckResult:
    if models.settings.schedule is not None:
        return _schedule(models.settings)
    if (pose := models.loaded.get("pose")) is not None:
        chosen = models.settings.chosen_detector(pose.manifest, has_detector=pose.file.has_detector)
        models.settings = models.settings.model_copy(update={"detector": chosen})
    if models.settings.detector == NONE:
        return good("detector", "none: the pose model sees whole frames")
    return _load(models, "detector")


def _load(models: CheckedModels, role: Role) -> CheckResult:
    given = models.settings.pose if role == "pose" else models.settings.detector
    try:
        model = load_model(models.settings, role)
    except CropzoomError as error:
        return bad(role, str(error))
    with tuned():
        ms = models.ms[role] = _milliseconds(model, models)
    models.loaded[role] = model
    provider, size = model.session.provider, f"{model.size[0]}x{model.size[1]}"
    which = given if model.is_shipped else f"{given} ({model.title})"
    chosen = f"; {model.file.chosen}" if model.file.chosen else ""
    on = f" with {model.session.threads} threads" if model.session.threads > 1 else ""
    return good(
        role,
        f"{which} on {model.session.device}{on}, {size}: {ms:.1f} ms a frame{chosen}",
        provider=provider,
        threads=model.session.threads,
        ms=round(ms, 3),
    )


def _milliseconds(model: Model, models: CheckedModels) -> float:
    image = models.image
    height, width = image.shape[:2]
    box = Box(0, 0, width, height)
    side = models.settings.crop_size or model.trained_crop_size
    if side is not None:
        side = min(side, max(width, height))
        box = Box((width - side) // 2, (height - side) // 2, side, side)
    model_input = model.new_input()
    times_ms: list[float] = []
    until = now_s() + _TIME_S
    while len(times_ms) < _RUNS[0] or (len(times_ms) < _RUNS[1] and now_s() < until):
        began = now_s()
        view = model.prepare(image, box, models.settings.edge, model_input)
        model.decode(model.infer(*[model_input] * (2 * model.context_radius + 1)), view)
        times_ms.append((now_s() - began) * 1e3)
    return median(times_ms)


def _schedule(settings: Settings) -> CheckResult:
    assert settings.schedule is not None
    try:
        folder = settings.schedule
        of_regions = sorted(folder.glob("*_bbox.csv")) if settings.regions and folder.is_dir() else [folder]
        for boxes in of_regions:
            read_schedule_file(boxes)
    except CropzoomError as error:
        return bad("schedule", str(error))
    return good("schedule", f"{settings.schedule} gives the boxes; no detector runs")


def _boxes(models: CheckedModels) -> Iterator[CheckResult]:
    """Yield a line if the settings of the boxes do not fit the detector or the frames."""
    detector, pose = models.loaded.get("detector"), models.loaded.get("pose")
    try:
        if models.measured.info is not None:
            check_crop_size(models.settings, models.measured.info)
        regions = () if models.measured.info is None else make_regions(models.settings.regions, models.measured.info)
        if pose is not None and (detector is not None or models.settings.detector == NONE):
            check_animals(models.settings, Models(detector, pose))
        if detector is not None:
            rule = models.settings.box_rule(detector.keypoint_names, pose.manifest if pose else None)
            if regions and pose is not None:
                check_regions(regions, models.settings, Models(detector, pose), rule)
            if pose is not None and (warning := _box_warning(detector, pose, rule, models.image)):
                yield bad("box", warning)
    except CropzoomError as error:
        yield bad("box", str(error))


def _box_warning(detector: Model, pose: Model, rule: BoxRule, image: UInt8) -> str | None:
    """Return a warning if the box size differs much from the boxes in the training of the pose model, else None."""
    if rule.crop_size is not None:
        return pose.expected_side.warning([rule.crop_size])
    box = rule.box(detector.predict_still(image, whole_image(image)))
    return None if box is None else pose.expected_side.warning([box.w])


def _speed(models: CheckedModels) -> Iterator[CheckResult]:
    pose_ms, detector_ms, fps = models.ms.get("pose"), models.ms.get("detector"), models.fps
    if pose_ms is None:
        return
    frame_ms, animals = models.poses_per_frame * pose_ms, models.poses_per_frame
    parts = [f"a pose takes {pose_ms:.1f} ms" + (f", those of {animals} animals {frame_ms:.1f} ms" * (animals > 1))]
    if fps is not None:
        parts.append(f"frames come every {1000 / fps:.1f} ms")
    if detector_ms is not None:
        parts.append(
            f"the detector makes {min(1000 / detector_ms, models.settings.detector_max_fps):.0f} boxes per second"
        )
    text = ", ".join(parts)
    if fps is not None and frame_ms > _MAX_SHARE * 1000 / fps:
        yield bad("speed", f"{text}: frames will be skipped; {TOO_SLOW}")
    elif fps is not None and detector_ms is not None and detector_ms + 1000 / fps > models.settings.coast_after_ms:
        limit = f"coast_after_ms is {models.settings.coast_after_ms:g}"
        yield bad("speed", f"{text}, but {limit}: the state will never be tracking; take a smaller detector, or a GPU")
    else:
        yield good("speed", text)
