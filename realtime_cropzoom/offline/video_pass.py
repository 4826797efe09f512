"""One pass over one video: runs detector, schedule and pose model in order, and writes a row per frame.

A resumed pass must write the rows that an uninterrupted pass would have written. It therefore reads some frames
before the first missing row again, and reads the state of the schedule and of the plausibility check from the rows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.files.atomic import ResumableCsv
from realtime_cropzoom.inference.box_size import BoxSizeCheck
from realtime_cropzoom.inference.boxes import BoxRule, with_found_box
from realtime_cropzoom.inference.following import FollowingSchedule
from realtime_cropzoom.inference.model import Models
from realtime_cropzoom.inference.pose_quality import PoseQuality
from realtime_cropzoom.inference.presence import Presence, with_state
from realtime_cropzoom.inference.schedule import SKIPPED_IN_RECORDING, Gaps, Schedule, WholeFrameSchedule
from realtime_cropzoom.offline.bbox_csv import BboxRow
from realtime_cropzoom.offline.command import OfflineCommand
from realtime_cropzoom.offline.frame_reader import FrameReader, progress
from realtime_cropzoom.offline.inference_pool import InferenceAnswer, OrderedInference, decoded
from realtime_cropzoom.sessions.pose_rows import blank_cells, box_cells, pose_cells
from realtime_cropzoom.types import ActiveBox, Box, Detection, Frame, FrameMeta, Keypoints, State


@dataclass(frozen=True, slots=True)
class PassContext:
    """Everything that is the same for all videos of a command."""

    settings: Settings
    models: Models
    rule: BoxRule | None
    """How a detection becomes a box; None if the boxes come from a file."""
    command: OfflineCommand


@dataclass(slots=True)
class _Row:
    """A frame between its crop and its row in the files."""

    meta: FrameMeta
    active: ActiveBox
    keypoints: Keypoints | None = None
    done: bool = False


class VideoPass:
    """One pass over one video. Use it once, from one thread."""

    def __init__(
        self,
        context: PassContext,
        reader: FrameReader,
        schedule: Schedule,
        gaps: Gaps,
        poses: ResumableCsv,
        boxes: ResumableCsv,
    ) -> None:
        """Prepare the pass and find out where it begins.

        Args:
            context: Settings, models and threads.
            reader: The frames.
            schedule: Chooses the box of each frame.
            gaps: Frames that the recording lacks; a context model must not look across a gap.
            poses: File of the poses, with the rows of an interrupted pass if it is resumed.
            boxes: File of the boxes; likewise.
        """
        s, models = context.settings, context.models
        self._settings, self._rule, self._say = s, context.rule, context.command.say
        self._reader, self._schedule, self._gaps = reader, schedule, frozenset(gaps.before)
        self._following = schedule if isinstance(schedule, FollowingSchedule) else None
        self._own_box = isinstance(schedule, WholeFrameSchedule)
        self._files = _PassFiles(poses, boxes, keypoints=len(models.pose.keypoint_names))
        by_ratio = context.rule is not None and context.rule.crop_size is None
        self._box_sizes = BoxSizeCheck(models.pose.expected_side if by_ratio else None)
        self._finder = Presence() if models.detector is None else models.detector.presence
        self._judge = s.pose_judge(models.pose.presence)
        self._quality = PoseQuality(models.pose.keypoint_names)
        infer = partial(
            OrderedInference,
            pool=context.command.pool,
            workers=context.command.workers,
            batch=context.command.options.batch,
        )
        self._pose: OrderedInference[_Row] = infer(models.pose, edge=s.edge)
        self._detector: OrderedInference[FrameMeta] | None = None
        if models.detector is not None:
            self._detector = infer(models.detector, wanted=self._is_detected)
        self._detector_sees_all = models.detector is not None and models.detector.context_radius > 0
        self._waiting: deque[Frame] = deque()
        """Frames that wait for the detection that chooses their box."""
        self._rows: deque[_Row] = deque()
        """Frames that wait for their keypoints, in order."""
        self._first = _first_frame(s, models, self._files.begin)
        """Frame at which the pass begins to read; frames before ``_files.begin`` are only context."""
        self._recorded = 0 if models.detector is None or self._first == 0 else models.detector.context_radius
        """Number of frames from ``_first`` on whose detection is read from the file, see ``_detected``."""

    def run(self) -> PoseQuality:
        """Read, detect, crop and write until the video ends; return the quality of the poses."""
        info, limit = self._reader.info, self._settings.frames
        with progress(info.name, limit or info.frame_count, self._files.begin) as self._bar:
            for frame in self._reader.frames(self._first):
                if frame.meta.index == limit:
                    break
                if frame.meta.index == self._first and self._first > 0:
                    self._restore_box()
                    self._restore_state()
                if self._following is not None:
                    self._follow(self._following, frame)
                    continue
                self._detect(frame)
                self._waiting.append(frame)
                self._advance(self._detector.take() if self._detector else ())
            self._advance(self._detector.finish() if self._detector else ())
            self._write(self._pose.finish())
        if warning := self._box_sizes.end():
            self._say(warning)
        return self._quality

    def _follow(self, schedule: FollowingSchedule, frame: Frame) -> None:
        """Take a frame whose box lies around the pose before it: one frame is in work at a time."""
        assert self._detector is not None
        if schedule.wants_detection(frame.meta):
            self._detector.put(frame.meta, decoded(frame.image))
        self._waiting.append(frame)
        self._advance(self._detector.finish())
        self._write(self._pose.finish())

    def _detect(self, frame: Frame) -> None:
        """Hand a frame to the detector if it needs it."""
        if self._detector is None:
            return
        if self._detector_sees_all and frame.meta.index in self._gaps:
            self._detector.end_sequence()
        if self._detector_sees_all or self._is_detected(frame.meta):
            self._detector.put(frame.meta, decoded(frame.image))

    def _is_detected(self, meta: FrameMeta) -> bool:
        return meta.index % self._settings.detector_every == 0

    def _advance(self, detections: Iterable[InferenceAnswer[FrameMeta]]) -> None:
        """Take detections, and crop all frames whose box they decide."""
        for answer in detections:
            box = self._detected(answer)
            if box is not None and (warning := self._box_sizes.add(box.w, answer.keypoints)):
                self._say(warning)
            self._schedule.offer(Detection(answer.key, box, detected_ns=0))
        while self._waiting:
            active = self._schedule.choose(self._waiting[0].meta)
            if active is None:
                return
            self._crop(self._waiting.popleft(), active)
            self._write(self._pose.take())

    def _detected(self, answer: InferenceAnswer[FrameMeta]) -> Box | None:
        """Return the box of a detection, or None if it has none.

        At the beginning of a sequence a context detector repeats the answer of a later frame. Where a resumed
        pass begins, the interrupted pass had the frame's own answer: it is in the file.
        """
        assert self._rule is not None
        frame = answer.key.index
        if self._first <= frame < self._first + self._recorded:
            row = self._files.box_row(frame)
            return row.box if row.box_frame == frame else None
        return self._rule.box(answer.keypoints) if self._finder.is_sharp(answer.keypoints) else None

    def _crop(self, frame: Frame, active: ActiveBox) -> None:
        """Hand a frame to the pose model if it has a box."""
        row = _Row(frame.meta, active)
        self._rows.append(row)
        if frame.meta.index in self._gaps:  # a context model must not look across missing frames
            self._pose.end_sequence()
        if active.box is not None:
            self._pose.put(row, decoded(frame.image), active.box)
            return
        row.done = True
        if active is not SKIPPED_IN_RECORDING:  # nor across frames without the animal
            self._pose.end_sequence()

    def _write(self, answers: Iterable[InferenceAnswer[_Row]]) -> None:
        """Take keypoints, and write all rows that are now complete, in order."""
        for answer in answers:
            answer.key.keypoints, answer.key.done = answer.keypoints, True
        while self._rows and self._rows[0].done:
            row = self._rows.popleft()
            if row.meta.index < self._files.begin:  # only context: its row exists
                self._restore_state_of(row.meta)
                continue
            found = row.keypoints
            if found is not None and found.spoilt:
                found = None
            active = None if row.active is SKIPPED_IN_RECORDING else self._judged(row, found)
            self._files.write(row.meta.index, found, active)
            self._bar.update()

    def _judged(self, row: _Row, found: Keypoints | None) -> ActiveBox:
        """Return the box with the state that the pose gives it, as the pose stage does."""
        meta, active = row.meta, row.active
        if self._own_box and found is not None:
            active = with_found_box(active, found)
        doubt = None if found is None or active.box is None else self._judge.doubt(meta, active.box, found)
        state = self._judge.state(meta, active, doubt, posed=found is not None)
        self._quality.add(state, found, doubt)
        if self._following is not None:
            self._following.posed(meta, None if doubt is not None else found, 0)
        return with_state(active, state)

    def _restore_box(self) -> None:
        """Give the schedule the last usable detection of the interrupted pass."""
        row = self._files.box_row(self._first - 1)
        if row.box is not None and row.box_frame is not None:
            meta = FrameMeta(row.box_frame, self._reader.skipped_pts_ns[row.box_frame], None, 0)
            self._schedule.offer(Detection(meta, row.box, detected_ns=0))

    def _restore_state(self) -> None:
        """Give the plausibility check the time at which the interrupted pass last saw the animal."""
        frame = self._files.last_tracking(self._first)
        self._judge.restore(None if frame is None else self._reader.skipped_pts_ns[frame])

    def _restore_state_of(self, meta: FrameMeta) -> None:
        """Restore the recorded state of a context frame. Without its own context its pose may differ."""
        if self._files.box_row(meta.index).state is State.TRACKING:
            self._judge.restore(meta.pts_ns)


class _PassFiles:
    """The two files of a pass. Their rows of an interrupted pass are cut to the same number."""

    def __init__(self, poses: ResumableCsv, boxes: ResumableCsv, *, keypoints: int) -> None:
        self._poses, self._boxes, self._keypoints = poses, boxes, keypoints
        self.begin = min(poses.rows, boxes.rows)
        """The first frame to write."""
        poses.truncate_rows(self.begin)
        boxes.truncate_rows(self.begin)

    def box_row(self, frame: int) -> BboxRow:
        """Return the row of a frame that the interrupted pass wrote."""
        return BboxRow.parse(self._boxes.row(frame))

    def last_tracking(self, before: int) -> int | None:
        """Return the last frame below ``before`` with the state ``tracking``; None if there is none."""
        rows = map(BboxRow.parse, self._boxes.earlier_rows(before))
        return max((row.frame for row in rows if row.state is State.TRACKING), default=None)

    def write(self, frame: int, found: Keypoints | None, active: ActiveBox | None) -> None:
        """Add the row of a frame. ``active`` is None for a frame that the recorded run skipped."""
        cells = blank_cells(self._keypoints) if found is None else pose_cells(found)
        self._boxes.add(f"{frame}{box_cells(active)}\n")
        self._poses.add(f"{frame}{cells}\n")


def _first_frame(settings: Settings, models: Models, begin: int) -> int:
    """Return the frame at which to begin reading so that row ``begin`` is that of an uninterrupted pass."""
    if settings.schedule is not None:  # a context model does not see skipped frames, so its context may reach far back
        return 0 if models.pose.context_radius else begin
    context = 2 * models.pose.context_radius
    if models.detector is not None and models.detector.context_radius:
        context += 2 * models.detector.context_radius + settings.detector_every
    return max(0, begin - context) // settings.detector_every * settings.detector_every
