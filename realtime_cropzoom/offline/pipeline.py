"""``cropzoom pipeline``: detector, boxes and pose in one pass over a video.

The reference for the live path: the same settings, schedule and pure functions, and for the same
frames the same numbers. ``--pace fast`` of ``cropzoom run`` gives them too, with messages; this
takes all cores for the models, and leaves files as ``predict`` and ``create_bbox`` do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from realtime_cropzoom.calibration.calibration import read_calibration
from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.errors import DataError, ScheduleError, SinkError
from realtime_cropzoom.files.atomic import ResumableCsv, Say, partial_of
from realtime_cropzoom.inference.box_size import BoxSizes
from realtime_cropzoom.inference.boxes import BoxRule
from realtime_cropzoom.inference.model import Models
from realtime_cropzoom.inference.pose_quality import PoseQuality, say_quality
from realtime_cropzoom.inference.presence import Presence, judged
from realtime_cropzoom.inference.schedule import PASSED_OVER, Gaps, LockstepSchedule, Schedule
from realtime_cropzoom.offline.annotate import annotate_video
from realtime_cropzoom.offline.frame_reader import FrameReader, count_frames, progress
from realtime_cropzoom.offline.inference_pool import InferenceAnswer, OrderedInference
from realtime_cropzoom.offline.inputs import LabelFile, Refuse, Video, gather
from realtime_cropzoom.offline.metrics import temporal_norm_path, write_temporal_norm
from realtime_cropzoom.offline.poses_in_cm import write_cm
from realtime_cropzoom.offline.predict import Options
from realtime_cropzoom.offline.provenance import MadeOf, input_entry, is_there, write_origin
from realtime_cropzoom.pipeline.startup import box_notes, load_model
from realtime_cropzoom.sessions.dlc_csv import read_header
from realtime_cropzoom.sessions.pose_rows import BBOX_COLUMNS, blank_cells, box_cells, pose_cells, pose_header
from realtime_cropzoom.sources.base import SourceInfo
from realtime_cropzoom.sources.factory import SYNTHETIC
from realtime_cropzoom.sources.recording_table import find_gaps, read_schedule
from realtime_cropzoom.types import ActiveBox, Box, Detection, Frame, FrameMeta, Keypoints, State

COMMAND = "pipeline"
_CHANGES_NUMBERS = {
    *("crop_size", "crop_ratio", "anchor_keypoints", "min_likelihood", "min_box", "edge", "detector_every", "frames"),
    *("decoder", "coast_after_ms", "lost_after_ms", "detector_min_sharpness", "pose_min_sharpness"),
    *("pose_min_likelihood", "shape_tolerance"),
}
"""Settings that what an interrupted pass has left must have been made with."""


def load_models(settings: Settings) -> Models:
    """Load the models that the settings name. Raises ModelError.

    Each uses one thread, whatever the settings say: all cores work on different frames, and another number of
    threads in a network adds up in another order.
    """
    detector = None if settings.schedule else load_model(settings, "detector", threads=1)
    return Models(detector, load_model(settings, "pose", threads=1))


def sources_of(given: Sequence[Path], refuse: Refuse | None = None) -> list[str]:
    """Return the sources that were given, folders expanded. Raises DataError; see ``gather`` for ``refuse``."""
    synthetic = [str(path) for path in given if str(path).startswith(SYNTHETIC)]
    inputs = gather([path for path in given if not str(path).startswith(SYNTHETIC)], refuse)
    labels = [i.path for i in inputs if isinstance(i, LabelFile)]
    if labels:
        raise DataError(f"{labels[0]} is no video; for labelled images use cropzoom predict --bbox_dir")
    return synthetic + [str(i.path) for i in inputs if isinstance(i, Video)]


class OfflinePipeline:
    """Runs over one video after the other."""

    def __init__(
        self,
        settings: Settings,
        models: Models,
        pool: ThreadPoolExecutor,
        workers: int,
        options: Options,
        say: Say,
        warn: Say | None = None,
    ) -> None:
        """``warn`` is told what is missing from a video that was done all the same.

        Raises ConfigError where the settings do not fit the models.
        """
        self._warn = warn or say
        self._settings, self._models = settings, models
        self._pool, self._workers, self._options, self._say = pool, workers, options, say
        self._rule: BoxRule | None = None
        if models.detector is not None:
            self._rule = settings.box_rule(models.detector.keypoint_names, models.pose.trained_crop_size)

    def run(self, source: str, folder: Path) -> Path:
        """Write ``<video>.csv``, ``<video>_bbox.csv`` and the rest to ``folder``; return the first of them.

        Raises SourceError, ScheduleError or SinkError; what is there then can be gone on from.
        """
        with FrameReader(source) as reader:
            final = folder / f"{reader.info.name}.csv"
            if (path := self._settings.calibration) is not None:
                read_calibration(path).check_frame(reader.info.width, reader.info.height, str(path))
            made_of = self._made_of(source)
            is_done = self._is_done(final, made_of)
            if not is_done:
                self._refuse_boxes_of_others(final)
                for note in reader.info.notes:
                    self._say(note)
                schedule = self._schedule(reader.info, source)
                for note in box_notes(self._models.pose, self._rule, schedule):
                    self._say(note)
                gaps = find_gaps(source, schedule) if self._models.reach else Gaps()
                if problem := gaps.problem(source):
                    self._warn(problem)
                with self._rows_file(final, made_of) as poses, self._boxes_file(final, made_of) as boxes:
                    this_pass = _Pass(self, reader, schedule, gaps, poses, boxes)
                    this_pass.run()
                    boxes.commit()
                    poses.commit()
                write_origin(final, COMMAND, made_of)
                self._say_quality(reader.info.name, this_pass.quality)
        for problem in reader.problems:
            self._warn(problem)
        if not is_done or self._options.resume:
            self._write_beside(final, source, anew=not is_done)
        if self._settings.calibration is not None:
            overwrite = self._options.overwrite or not is_done
            write_cm(final, self._settings.calibration, overwrite=overwrite, say=self._say)
        return final

    def _say_quality(self, name: str, quality: PoseQuality) -> None:
        models = (self._models.detector, self._models.pose)
        shipped = any(model is not None and model.is_shipped for model in models)
        say_quality(name, quality, shipped=shipped, say=self._say, warn=self._warn)

    def _write_beside(self, final: Path, source: str, *, anew: bool) -> None:
        """Write what is made of the poses, or what an interrupted command has not come to."""
        if anew or not temporal_norm_path(final).exists():
            write_temporal_norm(final)
        labelled = final.parent / "labeled_videos" / f"{final.stem}_labeled.mp4"
        if not self._options.skip_viz and (anew or not labelled.exists()):
            annotate_video(source, final, labelled, shown_above=0.5)

    def _refuse_boxes_of_others(self, final: Path) -> None:
        """Boxes without poses are not of this command, unless it was killed while it gave them their names."""
        boxes, poses_so_far = _boxes_beside(final), partial_of(final)
        if boxes.exists() and not self._options.overwrite and not (self._options.resume and poses_so_far.exists()):
            raise SinkError(f"{boxes} exists; give another folder with --out, or --overwrite to replace it")

    def _schedule(self, info: SourceInfo, source: str) -> Schedule:
        s = self._settings
        if s.schedule is None:
            return LockstepSchedule(s.state_limits(), s.detector_every)
        schedule = read_schedule(s.schedule, source)
        if s.frames is None and info.frame_count not in (None, len(schedule)):
            frames = count_frames(source)  # a header counts frames that do not decode, too
            if frames != len(schedule):
                raise ScheduleError(
                    f"{s.schedule} has {len(schedule)} rows, but {source} has {frames} frames; "
                    "expected the box file of this very recording, or --frames"
                )
        return schedule

    def _is_done(self, final: Path, made_of: MadeOf) -> bool:
        def fits() -> bool:
            return read_header(final).keypoint_names == self._models.pose.keypoint_names

        return is_there(final, COMMAND, made_of, overwrite=self._options.overwrite, say=self._say, fits=fits)

    def _rows_file(self, final: Path, made_of: MadeOf) -> ResumableCsv:
        pose = self._models.pose
        header = pose_header(pose.keypoint_names, pose.file.scorer)
        return ResumableCsv(final, header, self._with_provider(made_of), resume=self._options.resume)

    def _boxes_file(self, final: Path, made_of: MadeOf) -> ResumableCsv:
        path, header = _boxes_beside(final), BBOX_COLUMNS + "\n"
        return ResumableCsv(path, header, self._with_provider(made_of), resume=self._options.resume, announce=False)

    def _with_provider(self, made_of: MadeOf) -> dict[str, object]:
        """What half a file must have been made of: another provider may round otherwise."""
        return {**made_of, "provider": self._models.pose.session.provider}

    def _made_of(self, source: str) -> dict[str, object]:
        detector, path, schedule = self._models.detector, Path(source), self._settings.schedule
        return {
            "source": input_entry(path) if path.is_file() else source,
            "detector": None if detector is None else detector.sha256,
            "pose": self._models.pose.sha256,
            "schedule": None if schedule is None else _schedule_entry(schedule),
            **self._settings.model_dump(mode="json", include=_CHANGES_NUMBERS),
        }


@dataclass(slots=True)
class _Row:
    """A frame on its way to the files."""

    stamp: FrameMeta
    in_force: ActiveBox
    keypoints: Keypoints | None = None
    done: bool = False


class _Pass:
    """One pass over one video."""

    def __init__(
        self,
        pipeline: OfflinePipeline,
        reader: FrameReader,
        schedule: Schedule,
        gaps: Gaps,
        poses: ResumableCsv,
        boxes: ResumableCsv,
    ) -> None:
        s = self._settings = pipeline._settings
        self._reader, self._poses, self._boxes = reader, poses, boxes
        self._rule = pipeline._rule
        by_ratio = self._rule is not None and self._rule.crop_size is None
        self._sizes = BoxSizes(pipeline._models.pose.expected_side if by_ratio else None)
        self._say = pipeline._say
        self._finder = Presence() if pipeline._models.detector is None else pipeline._models.detector.presence
        self._gaps = frozenset(gaps.before)
        self._schedule = schedule
        lane = partial(OrderedInference, pool=pipeline._pool, workers=pipeline._workers, batch=pipeline._options.batch)
        self._pose: OrderedInference[_Row] = lane(pipeline._models.pose, edge=s.edge)
        self._detector: OrderedInference[FrameMeta] | None = None
        if pipeline._models.detector is not None:
            self._detector = lane(pipeline._models.detector, wanted=self._is_detected)
        self._judge = s.pose_judge(pipeline._models.pose.presence)
        self.quality = PoseQuality(pipeline._models.pose.keypoint_names)
        self._keypoints = len(pipeline._models.pose.keypoint_names)
        self._every_frame = pipeline._models.detector is not None and pipeline._models.detector.reach > 0
        self._waiting: deque[Frame] = deque()
        self._rows: deque[_Row] = deque()
        self._begin = min(poses.rows, boxes.rows)
        poses.shorten(self._begin)
        boxes.shorten(self._begin)
        self._first = self._first_frame(pipeline._models)
        detector = pipeline._models.detector
        self._recorded = 0 if detector is None or self._first == 0 else detector.reach

    def run(self) -> None:
        """Read, detect, crop and write until the video ends."""
        info, limit = self._reader.info, self._settings.frames
        with progress(info.name, limit or info.frame_count, self._begin) as self._bar:
            for frame in self._reader.frames(self._first):
                if frame.stamp.index == limit:
                    break
                if frame.stamp.index == self._first and self._first > 0:
                    self._take_up_box()
                    self._take_up_state()
                if self._detector is not None and self._every_frame and frame.stamp.index in self._gaps:
                    self._detector.end_sequence()
                if self._detector is not None and (self._every_frame or self._is_detected(frame.stamp)):
                    self._detector.put(frame.stamp, partial(np.asarray, frame.image))
                self._waiting.append(frame)
                self._advance(self._detector.take() if self._detector else ())
            self._advance(self._detector.finish() if self._detector else ())
            self._write(self._pose.finish())
        if warning := self._sizes.end():
            self._say(warning)

    def _is_detected(self, stamp: FrameMeta) -> bool:
        return stamp.index % self._settings.detector_every == 0

    def _advance(self, detections: Iterable[InferenceAnswer[FrameMeta]]) -> None:
        """Give their boxes to all frames whose detection is there."""
        for answer in detections:
            box = self._detected(answer)
            if box is not None and (warning := self._sizes.see(box.w, answer.keypoints)):
                self._say(warning)
            self._schedule.offer(Detection(answer.tag, box, detected_ns=0))
        while self._waiting:
            in_force = self._schedule.choose(self._waiting[0].stamp)
            if in_force is None:
                return
            self._crop(self._waiting.popleft(), in_force)
            self._write(self._pose.take())

    def _crop(self, frame: Frame, in_force: ActiveBox) -> None:
        row = _Row(frame.stamp, in_force)
        self._rows.append(row)
        if frame.stamp.index in self._gaps:  # what a context model sees does not reach over frames that are missing
            self._pose.end_sequence()
        if in_force.box is not None:
            self._pose.put(row, partial(np.asarray, frame.image), in_force.box)
            return
        row.done = True
        if in_force is not PASSED_OVER:  # what a context model sees ends where the animal is not there
            self._pose.end_sequence()

    def _write(self, answers: Iterable[InferenceAnswer[_Row]]) -> None:
        """Write all rows that are complete, in order."""
        for answer in answers:
            answer.tag.keypoints, answer.tag.done = answer.keypoints, True
        while self._rows and self._rows[0].done:
            row = self._rows.popleft()
            if row.stamp.index < self._begin:  # it was only needed for what comes after it
                self._take_up_row(row.stamp)
                continue
            index, found = row.stamp.index, row.keypoints
            if found is not None and not np.isfinite(found.xy).all():
                found = None
            cells = blank_cells(self._keypoints) if found is None else pose_cells(found)
            in_force = None if row.in_force is PASSED_OVER else self._in_the_end(row, found)
            self._boxes.add(f"{index}{box_cells(in_force)}\n")
            self._poses.add(f"{index}{cells}\n")
            self._bar.update()

    def _in_the_end(self, row: _Row, found: Keypoints | None) -> ActiveBox:
        """Return the box with the state that the pose leaves it, as the pose stage does."""
        stamp, in_force = row.stamp, row.in_force
        doubt = None if found is None or in_force.box is None else self._judge.doubt(stamp, in_force.box, found)
        state = self._judge.state(stamp, in_force, doubt, posed=found is not None)
        self.quality.add(state, found, doubt)
        return judged(in_force, state)

    def _first_frame(self, models: Models) -> int:
        """Where to begin reading, so that the first row to be written is what it would have been."""
        if self._settings.schedule is not None:  # frames passed over do not count for a context model
            return 0 if models.pose.reach else self._begin
        every = self._settings.detector_every
        context = 2 * models.pose.reach
        if models.detector is not None and models.detector.reach:
            context += 2 * models.detector.reach + every
        return max(0, self._begin - context) // every * every

    def _take_up_box(self) -> None:
        """Tell the schedule of the last usable detection: there may be none again for a while."""
        cells = self._boxes.row(self._first - 1).split(",")
        if cells[1] != "" and cells[5] != "":
            frame = int(cells[5])
            stamp = FrameMeta(frame, self._reader.before[frame], None, 0)
            self._schedule.offer(Detection(stamp, _box_in(cells), detected_ns=0))

    def _take_up_state(self) -> None:
        """Tell the judge when the animal was last seen."""
        states = (row.rpartition(",")[2] for row in self._boxes.earlier_rows(self._first))
        seen = [frame for frame, state in enumerate(states) if state == State.TRACKING]
        self._judge.take_up(self._reader.before[seen[-1]] if seen else None)

    def _take_up_row(self, stamp: FrameMeta) -> None:
        """The same of a frame that is read again: without those before it, its pose may be another."""
        if self._boxes.row(stamp.index).endswith(f",{State.TRACKING}"):
            self._judge.take_up(stamp.pts_ns)

    def _detected(self, answer: InferenceAnswer[FrameMeta]) -> Box | None:
        """Return the box of a detection, or None.

        Where it goes on, a context detector gives its first frames a neighbour's answer, as at the beginning
        of a video; what their own was is in the file.
        """
        assert self._rule is not None
        frame = answer.tag.index
        if self._first <= frame < self._first + self._recorded:
            cells = self._boxes.row(frame).split(",")
            return _box_in(cells) if cells[5] == str(frame) else None
        return self._rule.box(answer.keypoints) if self._finder.is_sharp(answer.keypoints) else None


def _box_in(cells: Sequence[str]) -> Box:
    x, y, h, w = (int(cell) for cell in cells[1:5])
    return Box(x, y, w, h)


def _schedule_entry(path: Path) -> dict[str, object]:
    try:
        return input_entry(path)
    except DataError as error:
        raise ScheduleError(str(error).replace("cannot read", "cannot read the schedule", 1)) from None


def _boxes_beside(poses: Path) -> Path:
    return poses.with_name(f"{poses.stem}_bbox.csv")
