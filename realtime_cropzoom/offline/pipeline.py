"""``cropzoom pipeline``: detector, boxes and pose in one pass over a video.

This is the reference for the live path: the same settings, schedule and pure functions give the same
numbers for the same frames. ``cropzoom run --pace fast`` gives them, too, with messages. This command uses
all cores for the models, and writes the files of ``predict`` and ``create_bbox``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from realtime_cropzoom.calibration.calibration import read_calibration
from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.errors import ConfigError, DataError, ScheduleError, SinkError
from realtime_cropzoom.files.atomic import ResumableCsv, partial_path
from realtime_cropzoom.inference.boxes import BoxRule
from realtime_cropzoom.inference.model import Models
from realtime_cropzoom.inference.pose_quality import PoseQuality, report_quality
from realtime_cropzoom.inference.schedule import Gaps, Schedule
from realtime_cropzoom.offline.annotate import annotate_video
from realtime_cropzoom.offline.command import OfflineCommand
from realtime_cropzoom.offline.frame_reader import FrameReader, count_frames
from realtime_cropzoom.offline.inputs import LabelFile, Refuse, Video, gather
from realtime_cropzoom.offline.metrics import temporal_norm_path, write_temporal_norm
from realtime_cropzoom.offline.poses_in_cm import write_cm
from realtime_cropzoom.offline.provenance import MadeOf, already_made, input_entry, write_origin
from realtime_cropzoom.offline.video_pass import PassContext, VideoPass
from realtime_cropzoom.pipeline.startup import make_ready, make_schedule
from realtime_cropzoom.pipeline.startup_messages import box_notes
from realtime_cropzoom.sessions.dlc_csv import read_header
from realtime_cropzoom.sessions.pose_rows import BBOX_COLUMNS, pose_header
from realtime_cropzoom.sessions.schedule_file import find_gaps, read_schedule, refuse_boxes_of_several
from realtime_cropzoom.sources.base import SourceInfo
from realtime_cropzoom.sources.factory import SYNTHETIC
from realtime_cropzoom.types import Box

COMMAND = "pipeline"
_CHANGES_NUMBERS = {
    *("crop_size", "crop_ratio", "anchor_keypoints", "min_likelihood", "min_box", "edge", "detector_every", "frames"),
    *("decoder", "coast_after_ms", "lost_after_ms", "detector_min_sharpness", "pose_min_sharpness"),
    *("pose_min_likelihood", "shape_tolerance", "box_from", "box_check_s"),
}
"""Settings that change the numbers. ``--resume`` refuses rows that were written with other values."""
_SHOWN_ABOVE = 0.5
"""Minimum likelihood of a keypoint that the labelled video draws filled."""


def find_sources(given: Sequence[Path], refuse: Refuse | None = None) -> list[str]:
    """Return the sources that the user gave, with folders replaced by the videos in them.

    Args:
        given: Videos, folders of videos, or synthetic sources.
        refuse: Takes the error of an input that is not valid, see ``gather``.

    Raises:
        DataError: if no input is valid, or one is a label file.
    """
    synthetic = [str(path) for path in given if str(path).startswith(SYNTHETIC)]
    inputs = gather([path for path in given if not str(path).startswith(SYNTHETIC)], refuse)
    labels = [i.path for i in inputs if isinstance(i, LabelFile)]
    if labels:
        raise DataError(f"{labels[0]} is not a video; for labelled images use cropzoom predict --bbox_dir")
    return synthetic + [str(i.path) for i in inputs if isinstance(i, Video)]


class OfflinePipeline:
    """Writes poses and boxes of one video after another."""

    def __init__(self, settings: Settings, models: Models, command: OfflineCommand) -> None:
        """Prepare the passes. Raises ConfigError if the settings do not fit the models."""
        if settings.box_from == "pose" and command.options.resume:
            raise ConfigError(
                "box_from is pose, and --resume is given: each box needs the pose before it; leave out --resume"
            )
        if settings.regions is not None:
            raise ConfigError(
                "regions: pipeline tracks one animal in the frame; expected none. Use: cropzoom run VIDEO --pace fast"
            )
        if settings.animals > 1:
            raise ConfigError(
                f"animals is {settings.animals}: pipeline tracks one; expected 1. Use: cropzoom run VIDEO --pace fast"
            )
        rule: BoxRule | None = None
        if models.detector is not None:
            rule = settings.box_rule(models.detector.keypoint_names, models.pose.manifest)
        self._context = PassContext(settings, models, rule, command)
        self._settings, self._models, self._command = settings, models, command
        self._options, self._say, self._warn = command.options, command.say, command.warn

    def run(self, source: str, folder: Path) -> Path:
        """Write ``<video>.csv``, ``<video>_bbox.csv`` and the files made of them to ``folder``.

        Returns:
            The file of the poses.

        Raises:
            SourceError, ScheduleError, SinkError: if the pass breaks off. ``--resume`` continues it.
            DataError: if the existing files were made of something else.
        """
        with FrameReader(source) as reader:
            final = folder / f"{reader.info.name}.csv"
            if (path := self._settings.calibration) is not None:
                read_calibration(path).check_frame(reader.info.width, reader.info.height, str(path))
            made_of = self._inputs(source)
            is_done = self._is_done(final, made_of)
            if not is_done:
                self._refuse_boxes_of_others(final)
                quality = self._pass_over(source, reader, final, made_of)
                write_origin(final, COMMAND, made_of)
                self._report_quality(reader.info.name, quality)
        for problem in reader.problems:
            self._warn(problem)
        if not is_done or self._options.resume:
            self._write_derived(final, source, is_new=not is_done)
        if self._settings.calibration is not None:
            overwrite = self._options.overwrite or not is_done
            write_cm(final, self._settings.calibration, overwrite=overwrite, say=self._say)
        return final

    def _pass_over(self, source: str, reader: FrameReader, final: Path, made_of: MadeOf) -> PoseQuality:
        """Write the poses and boxes of one video, and return the quality of the poses."""
        for note in reader.info.notes:
            self._say(note)
        schedule = self._schedule(reader.info, source)
        make_ready(self._models, self._context.rule, (reader.info.width, reader.info.height))
        sized = self._settings.sizes_boxes
        for note in box_notes(self._models.pose, self._context.rule, schedule, sized=sized):
            self._say(note)
        gaps = find_gaps(source, schedule) if self._models.context_radius else Gaps()
        if problem := gaps.problem(source):
            self._warn(problem)
        with self._poses_file(final, made_of) as poses, self._boxes_file(final, made_of) as boxes:
            quality = VideoPass(self._context, reader, schedule, gaps, poses, boxes).run()
            boxes.commit()
            poses.commit()
        return quality

    def _report_quality(self, name: str, quality: PoseQuality) -> None:
        models = (self._models.detector, self._models.pose)
        shipped = any(model is not None and model.is_shipped for model in models)
        rule, expected = self._context.rule, self._models.pose.expected_side
        as_trained = rule is not None and expected.is_given(rule.crop_size)
        report_quality(name, quality, shipped=shipped, say=self._say, warn=self._warn, boxes_as_trained=as_trained)

    def _write_derived(self, final: Path, source: str, *, is_new: bool) -> None:
        """Write the files that are made of the poses. If the poses are not new, write only those that are missing."""
        if is_new or not temporal_norm_path(final).exists():
            write_temporal_norm(final)
        labelled = final.parent / "labeled_videos" / f"{final.stem}_labeled.mp4"
        if not self._options.skip_viz and (is_new or not labelled.exists()):
            annotate_video(source, final, labelled, shown_above=_SHOWN_ABOVE)

    def _refuse_boxes_of_others(self, final: Path) -> None:
        """Raise SinkError if boxes exist without poses, unless this command was killed between renaming the two."""
        boxes, partial_poses = _boxes_beside(final), partial_path(final)
        if boxes.exists() and not self._options.overwrite and not (self._options.resume and partial_poses.exists()):
            raise SinkError(f"{boxes} exists; give another folder with --out, or --overwrite to replace it")

    def _schedule(self, info: SourceInfo, source: str) -> Schedule:
        s = self._settings
        if s.schedule is None:
            return make_schedule(
                s.model_copy(update={"pace": "fast"}), self._models, Box(0, 0, info.width, info.height)
            )
        schedule = read_schedule(s.schedule, source)
        if s.frames is None and info.frame_count not in (None, len(schedule)):
            frames = count_frames(source)  # a header also counts frames that do not decode
            if frames != len(schedule):
                raise ScheduleError(
                    f"{s.schedule} has {len(schedule)} rows, but {source} has {frames} frames; "
                    "expected the box file of this very recording, or --frames"
                )
        return schedule

    def _is_done(self, final: Path, made_of: MadeOf) -> bool:
        def fits() -> bool:
            return read_header(final).keypoint_names == self._models.pose.keypoint_names

        unchecked = (
            "its model and crop size were not checked, and boxes"
            + ("" if self._options.skip_viz or self._options.resume else " and labelled video")
            + " were not made"
        )
        return already_made(
            final, COMMAND, made_of, overwrite=self._options.overwrite, say=self._say, fits=fits, unchecked=unchecked
        )

    def _poses_file(self, final: Path, made_of: MadeOf) -> ResumableCsv:
        pose = self._models.pose
        header = pose_header(pose.keypoint_names, pose.file.scorer)
        return ResumableCsv(final, header, self._with_provider(made_of), resume=self._options.resume)

    def _boxes_file(self, final: Path, made_of: MadeOf) -> ResumableCsv:
        path, header = _boxes_beside(final), BBOX_COLUMNS + "\n"
        return ResumableCsv(path, header, self._with_provider(made_of), resume=self._options.resume, announce=False)

    def _with_provider(self, made_of: MadeOf) -> dict[str, object]:
        """Add the provider to the inputs of a partial file: another provider may round differently."""
        return {**made_of, "provider": self._models.pose.session.provider}

    def _inputs(self, source: str) -> dict[str, object]:
        detector, path, schedule = self._models.detector, Path(source), self._settings.schedule
        return {
            "source": input_entry(path) if path.is_file() else source,
            "detector": None if detector is None else detector.sha256,
            "pose": self._models.pose.sha256,
            "schedule": None if schedule is None else _schedule_entry(schedule),
            **self._settings.model_dump(mode="json", include=_CHANGES_NUMBERS),
        }


def _schedule_entry(path: Path) -> dict[str, object]:
    refuse_boxes_of_several(path)
    try:
        return input_entry(path)
    except DataError as error:
        raise ScheduleError(str(error).replace("cannot read", "cannot read the schedule", 1)) from None


def _boxes_beside(poses: Path) -> Path:
    return poses.with_name(f"{poses.stem}_bbox.csv")
