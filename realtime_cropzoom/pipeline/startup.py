"""Startup: decides everything about a run before it leaves anything behind.

``plan_run`` loads the models, reads the calibration and the schedule, and checks that settings, source and models fit
together. It starts no thread and writes no file, so a refusal costs nothing. ``build`` makes the stages from the plan.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace

from realtime_cropzoom.calibration.calibration import Calibration, read_calibration
from realtime_cropzoom.config.group import NONE
from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.errors import ConfigError, advise
from realtime_cropzoom.files.paths import user_path
from realtime_cropzoom.inference.box_size import BoxSizeCheck
from realtime_cropzoom.inference.boxes import BoxRule
from realtime_cropzoom.inference.following import FollowingSchedule
from realtime_cropzoom.inference.manifest import Role, Rows
from realtime_cropzoom.inference.model import Model, Models
from realtime_cropzoom.inference.model_paths import model_path
from realtime_cropzoom.inference.schedule import Gaps, LatestSchedule, LockstepSchedule, Schedule, WholeFrameSchedule
from realtime_cropzoom.pipeline.animals import AnimalFinder, check_animals
from realtime_cropzoom.pipeline.detect import Assign, DetectOptions
from realtime_cropzoom.pipeline.lost_animal import LostWords
from realtime_cropzoom.pipeline.pose import PoseOptions
from realtime_cropzoom.pipeline.region_plan import boxes_of, check_regions, plan_calls
from realtime_cropzoom.pipeline.regions import InOneLook, Region, make_regions
from realtime_cropzoom.pipeline.source_reader import CaptureOptions
from realtime_cropzoom.pipeline.startup_messages import box_notes, model_notes, priority_notes
from realtime_cropzoom.pipeline.subject import Subject
from realtime_cropzoom.pipeline.threads import load_quickest
from realtime_cropzoom.runtime.box_slot import BoxSlot
from realtime_cropzoom.sessions.folder import file_stem
from realtime_cropzoom.sessions.pose_rows import animal_names
from realtime_cropzoom.sessions.schedule_file import find_gaps, read_schedule
from realtime_cropzoom.sinks.csv_writer import CsvOptions
from realtime_cropzoom.sinks.recorder import check_copy
from realtime_cropzoom.sinks.zmq_publisher import PublishOptions
from realtime_cropzoom.sources.base import SourceInfo, without_password
from realtime_cropzoom.sources.live.reconnect import ReconnectPolicy
from realtime_cropzoom.types import Box

_LOCKSTEP_SLOTS = 8
"""Number of slots of the ring in lockstep (``pace: fast``), where the writer waits for the readers."""
_SPARE_SLOTS = 6
"""Number of slots beyond ``max_lag`` in a live run: for the leases, and for the frame that is being written."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Everything that is decided before the first frame."""

    settings: Settings
    info: SourceInfo
    """Properties of the source; its name is fit for file names."""
    models: Models
    box_rule: BoxRule | None
    """Makes boxes from detections; None if the run replays a schedule."""
    schedules: tuple[Schedule, ...]
    """What chooses the boxes: one for the whole frame, or one for each region."""
    regions: tuple[Region, ...]
    """The parts of the frame with one animal each; empty if there is one animal in the whole frame."""
    together: bool
    """Whether the crops of all animals go through the pose model as one batch."""
    gaps: Gaps
    """Frames that the source lacks; none unless a context model sees a recording with gaps."""
    calibration: Calibration | None
    notes: tuple[str, ...]
    """Messages for the user, one line each."""
    problems: tuple[str, ...]
    """Problems that are known before the first frame, for the summary."""

    @property
    def lockstep(self) -> bool:
        """Whether each stage waits for the one before it, so that no frame is skipped."""
        return self.settings.pace == "fast"

    @property
    def restart(self) -> bool:
        """Whether a failed stage starts again. In lockstep it does not, because a replay must be reproducible."""
        return self.settings.on_failure == "restart" and not self.lockstep

    @property
    def urgent(self) -> bool:
        """Whether the threads that a pose waits for have real-time priority."""
        return _is_urgent(self.settings)

    def slots(self, *, recording: bool) -> int:
        """Return the number of frames in the ring.

        Args:
            recording: Whether frames or crops are encoded.
        """
        s = self.settings
        return _LOCKSTEP_SLOTS if self.lockstep else s.max_lag + _SPARE_SLOTS + (s.record_buffer + 2) * recording

    @property
    def max_lag(self) -> int | None:
        """Number of frames that the pose stage may fall behind; None in lockstep, where the source waits for it."""
        return None if self.lockstep else self.settings.max_lag

    @property
    def crop_size(self) -> tuple[int, int]:
        """(width, height) of recorded crops in pixels."""
        rule = self.box_rule
        return self.models.pose.size if rule is None or rule.crop_size is None else (rule.crop_size,) * 2

    def pose_options(self) -> PoseOptions:
        """Return the options of the pose stage."""
        return PoseOptions(
            edge=self.settings.edge,
            gaps=self.gaps,
            own_box=isinstance(self.schedules[0], WholeFrameSchedule),
            together=self.together,
            one_message=self.settings.animals > 1,
            restart=self.restart,
            urgent=self.urgent,
        )

    def subjects(self) -> list[Subject]:
        """Return the animals to track, each with a new plausibility check and a new filter."""
        s, pose = self.settings, self.models.pose
        return [
            Subject(
                pose,
                BoxSlot(schedule),
                s.pose_judge(pose.presence),
                s.pose_filter(len(pose.keypoint_names)),
                number=number,
                region=region,
            )
            for number, (schedule, region) in enumerate(zip(self.schedules, self._places(), strict=True))
        ]

    def _places(self) -> tuple[Region | None, ...]:
        """Return the region of each animal; None for the whole frame, which several animals may share."""
        return self.regions or (None,) * self.settings.animals

    def detect_options(self, rule: BoxRule) -> DetectOptions:
        """Return the options of the detector stage."""
        s = self.settings
        return DetectOptions(
            rule=rule,
            sizes=BoxSizeCheck(self.models.pose.expected_side if rule.crop_size is None else None),
            gaps=self.gaps if self.lockstep else None,
            every=s.detector_every if self.lockstep else 1,
            max_fps=None if self.lockstep else s.detector_max_fps,
            restart=self.restart,
        )

    def in_one_look(self) -> Assign | None:
        """Return what finds all animals in one look at the frame; None to look for each on its own."""
        detector = self.models.detector
        if detector is None or not detector.finds_several:
            return None
        if self.settings.animals > 1:
            return AnimalFinder(detector, self.settings.animals)
        return InOneLook(detector, self.regions) if self.regions else None

    def publish_options(self) -> PublishOptions | None:
        """Return the options of the publisher; None if nothing is published."""
        s = self.settings
        if s.publish == NONE:
            return None
        return PublishOptions(
            endpoint=s.publish,
            latest_endpoint=None if s.publish_latest == NONE or self.regions else s.publish_latest,
            echo_endpoint=s.echo_endpoint(),
            preview_endpoint=s.preview_endpoint(),
            encoding=s.encoding,
            urgent=self.urgent,
            max_age_ms=None if self.lockstep else s.max_age_ms,
        )

    def lost_words(self) -> LostWords:
        """Return what the run says if it does not find the animal."""
        both = [model for model in (self.models.detector, self.models.pose) if model is not None]
        known = (model.manifest.trained for model in both)
        return LostWords(
            source=shlex.quote(without_password(self.settings.source or self.info.name)),
            shipped=all(model.is_shipped for model in both),
            trained=next((trained for trained in known if trained is not None), None),
            live=self.info.live,
        )

    def csv_options(self) -> CsvOptions:
        """Return the options of the CSV writer."""
        pose = self.models.pose
        return CsvOptions(
            name=self.info.name,
            keypoint_names=pose.keypoint_names,
            scorer=pose.file.scorer,
            lockstep=self.lockstep,
            calibration=self.calibration,
            regions=tuple(region.name for region in self.regions) or animal_names(self.settings.animals),
            together=self.settings.animals > 1,
        )


def plan_run(settings: Settings, info: SourceInfo) -> RunPlan:
    """Load and check what a run needs.

    Args:
        settings: The settings of the run.
        info: Properties of the open source.

    Raises:
        ConfigError: if settings, source and models do not fit together.
        ModelError: if a model is missing or cannot be used.
        ScheduleError: if the box file cannot be used.
    """
    info = replace(info, name=file_stem(info.name))
    _check_pace(settings, info)
    check_copy(settings, info)
    regions = make_regions(settings.regions, info)
    settings, models = load_models(settings)
    check_animals(settings, models)
    notes = [*info.notes, *priority_notes(settings), *model_notes("pose", models.pose, settings, info.fps)]
    check_crop_size(settings, info)
    check_filter(settings, info)
    calibration = load_calibration(settings, info)
    rule = None
    if models.detector is not None:
        notes += model_notes("detector", models.detector, settings, info.fps)
        rule = settings.box_rule(models.detector.keypoint_names, models.pose.manifest)
    check_regions(regions, settings, models, rule)
    frame = Box(0, 0, info.width, info.height)
    parts = [region.bounds for region in regions] or [frame]
    schedules = tuple(
        make_schedule(settings.model_copy(update={"schedule": boxes}), models, part)
        for part, boxes in zip(
            parts * settings.animals, boxes_of(regions, settings.schedule) * settings.animals, strict=True
        )
    )
    in_one_look = models.detector is not None and models.detector.finds_several
    for part in [frame] if in_one_look else parts:
        make_ready(models, rule, (part.w, part.h))
    notes += box_notes(models.pose, rule, schedules[0], sized=settings.sizes_boxes)
    together, region_notes = plan_calls(regions, settings, models)
    from_begin = settings.start_s == 0 and not settings.loop
    gaps = find_gaps(settings.source, schedules[0]) if models.context_radius and from_begin else Gaps()
    problem = gaps.problem(str(settings.source))
    return RunPlan(
        settings=settings,
        info=info,
        models=models,
        box_rule=rule,
        schedules=schedules,
        regions=regions,
        together=together,
        gaps=gaps,
        calibration=calibration,
        notes=(*notes, *region_notes),
        problems=(problem,) if problem else (),
    )


def capture_options(settings: Settings) -> CaptureOptions:
    """Return the options of the capture, which starts before there is a plan."""
    return CaptureOptions(
        realtime=settings.pace != "fast",
        frames=settings.frames,
        speed=settings.speed,
        reconnect=ReconnectPolicy(settings.reconnect_for_s, settings.changed == "adapt"),
        stall_after_ms=settings.stall_after_ms,
        urgent=_is_urgent(settings),
    )


def _is_urgent(settings: Settings) -> bool:
    return settings.realtime_priority and settings.pace != "fast"


def load_models(settings: Settings, *, threads: int | None = None) -> tuple[Settings, Models]:
    """Load the models of a run as the settings say.

    Args:
        settings: The settings of the run.
        threads: Number of threads of each network; None uses the numbers in the settings.

    Returns:
        The settings, with the detector decided, and the models.

    Raises:
        ModelError: if a model is missing or cannot be used.
        ConfigError: if the models cannot work as the settings say.
    """
    pose = load_model(settings, "pose", threads=threads)
    chosen = settings.chosen_detector(pose.manifest, has_detector=pose.file.has_detector)
    settings = settings.model_copy(update={"detector": chosen})
    if settings.schedule is not None or settings.detector == NONE:
        _check_alone(settings, pose)
        return settings, Models(None, pose)
    models = Models(load_model(settings, "detector", threads=threads), pose)
    if settings.box_from == "pose" and models.context_radius:
        raise ConfigError("box_from is pose, but a context model sees later frames; expected box_from detection")
    return settings, models


def _check_alone(settings: Settings, pose: Model) -> None:
    """Raise ConfigError if a run without a detector has settings that need one."""
    if settings.box_from == "pose" and settings.schedule is None:
        raise ConfigError(
            f"box_from is pose, but detector is {settings.detector}; expected a detector, which finds the animal first"
        )
    if settings.schedule is not None and isinstance(pose.manifest.decoder, Rows):
        raise ConfigError(
            f"the pose model {pose.path} finds its boxes itself, in whole frames; "
            + advise("leave out --schedule", "leave out the boxes")
        )


def make_schedule(settings: Settings, models: Models, part: Box) -> Schedule:
    """Return what chooses the box of each frame.

    Args:
        settings: The settings of the run.
        models: Its models.
        part: The frame, or the region of it with the animal (frame pixels).

    Raises:
        ScheduleError: if the box file cannot be used.
    """
    limits, lockstep = settings.state_limits(), settings.pace == "fast"
    if settings.schedule is not None:
        return read_schedule(settings.schedule, settings.source)
    if models.detector is None:
        return WholeFrameSchedule(part)
    if settings.box_from == "pose":
        rule = settings.pose_box_rule(models.pose.manifest)
        return FollowingSchedule(limits, rule, check_s=settings.box_check_s, lockstep=lockstep)
    missing = settings.animals > 1
    if lockstep:
        return LockstepSchedule(limits, settings.detector_every, missing=missing)
    return LatestSchedule(limits, missing=missing)


def make_ready(models: Models, rule: BoxRule | None, frame: tuple[int, int]) -> None:
    """Make networks that take any size ready for the frames and boxes of a source.

    Args:
        models: The models.
        rule: Makes boxes from detections; None without a detector.
        frame: (width, height) of the frames, or of a region (pixels).

    Raises:
        ModelError: if a network cannot take that size.
    """
    side = rule.crop_size if rule is not None else None
    if models.detector is not None:
        models.detector.make_ready(frame)
    models.pose.make_ready(frame if side is None else (side, side))


def _check_pace(settings: Settings, info: SourceInfo) -> None:
    if info.live and settings.pace == "fast":
        raise ConfigError(
            f"pace is fast, but {info.name} is a live source; expected a recording. Leave out --pace fast"
        )
    if info.live and settings.speed != 1:
        raise ConfigError(
            f"speed is {settings.speed:g}, but {info.name} is a live source; expected a recording. Leave out speed"
        )


def load_model(settings: Settings, role: Role, *, threads: int | None = None) -> Model:
    """Load one of the two models as the settings say.

    Args:
        settings: The settings of the run.
        role: The model to load.
        threads: Number of threads of the network; None uses the number in the settings. If they name none for the pose
            model, a live run takes what is quickest here, see ``load_quickest``.

    Raises:
        ModelError: if the model is missing or cannot be used.
    """
    given = settings.pose if role == "pose" else settings.detector
    if threads is None:
        threads = settings.pose_threads if role == "pose" else settings.detector_threads

    def load(threads: int) -> Model:
        return Model(
            model_path(given, role),
            role,
            provider=settings.provider,
            precision=settings.precision,
            threads=threads,
            method=settings.decoder,
        )

    measured = threads is None and settings.pace != "fast"  # in lockstep the detector has another frame in work
    model = load_quickest(load) if measured else load(threads or 1)
    model.presence = settings.presence(role, model.presence)
    return model


def check_filter(settings: Settings, info: SourceInfo) -> None:
    """Check that frames arrive fast enough for the filter.

    Raises:
        ConfigError: if the filter would start again with each frame.
    """
    if settings.filter != NONE and info.fps and settings.filter_hold_ms * info.fps <= 1000:
        interval_ms = 1000 / info.fps
        raise ConfigError(
            f"filter_hold_ms is {settings.filter_hold_ms:g}, but frames come every {interval_ms:.0f} ms: the filter "
            f"would start again with each; give {3 * interval_ms:.0f} or more"
        )


def load_calibration(settings: Settings, info: SourceInfo) -> Calibration | None:
    """Read the calibration of the camera, if the settings name one.

    Raises:
        ConfigError: if it cannot be read, or is for frames of another size.
    """
    path = settings.calibration
    if path is None:
        return None
    calibration = read_calibration(user_path(path))
    calibration.check_frame(info.width, info.height, str(path))
    return calibration


def check_crop_size(settings: Settings, info: SourceInfo) -> None:
    """Check the size of the boxes against the size of the frames.

    Raises:
        ConfigError: if boxes would be more than twice as large as the frames.
    """
    limit = 2 * max(info.width, info.height)
    if settings.crop_size is not None and settings.crop_size > limit:
        raise ConfigError(
            f"crop_size is {settings.crop_size}, but frames are {info.width}x{info.height}; expected at most {limit}"
        )
