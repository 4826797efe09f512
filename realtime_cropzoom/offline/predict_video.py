"""Predictions of a video: one row per frame, with the temporal norms and the labelled video next to them."""

from __future__ import annotations

from pathlib import Path

from realtime_cropzoom.errors import DataError, SourceError
from realtime_cropzoom.files.atomic import ResumableCsv, partial_path
from realtime_cropzoom.inference.boxes import whole_image
from realtime_cropzoom.inference.pose_quality import InputKind
from realtime_cropzoom.inference.schedule import Gaps
from realtime_cropzoom.offline.annotate import annotate_video
from realtime_cropzoom.offline.bbox_csv import Boxes, read_video_boxes
from realtime_cropzoom.offline.frame_reader import FrameReader, progress
from realtime_cropzoom.offline.inference_pool import decoded
from realtime_cropzoom.offline.metrics import temporal_norm_path, write_temporal_norm
from realtime_cropzoom.offline.prediction import COMMAND, PredictionContext, QualityCheck
from realtime_cropzoom.offline.provenance import MadeOf, input_entry, write_origin
from realtime_cropzoom.sessions.pose_rows import pose_header
from realtime_cropzoom.sessions.schedule_file import find_gaps
from realtime_cropzoom.types import Box, Frame, FrameMeta, Keypoints


def predict_video(context: PredictionContext, video: Path, bbox_dir: Path | None) -> Path:
    """Predict a video and return the file of its predictions, see ``Predictor.predict``."""
    final = context.directory.video_preds / f"{video.stem}.csv"
    if not video.exists():
        raise SourceError(f"no file at {video}")
    boxes = None if bbox_dir is None else read_video_boxes(bbox_dir / f"{video.stem}_bbox.csv")
    if boxes is not None:
        boxes.check_video(video)
    made_of = context.made_of(video=input_entry(video), boxes=context.boxes_entry(boxes))
    is_done = context.is_done(final, made_of)
    if not is_done:
        _write_rows(context, final, video, boxes, made_of)
        write_origin(final, COMMAND, made_of)
    if not is_done or context.command.options.resume:
        _write_derived(context, final, video, is_new=not is_done)
    return final


def _write_rows(context: PredictionContext, final: Path, video: Path, boxes: Boxes | None, made_of: MadeOf) -> None:
    with FrameReader(str(video)) as reader:
        for note in reader.info.notes:
            context.command.say(note)
        if boxes is not None:
            boxes.check_promised(reader.info.frame_count, video)
        with _rows_file(context, final, made_of) as file:
            quality = _VideoRows(context, video, boxes, file).write(reader)
            file.commit()
    quality.report(video.name, context.command, InputKind.VIDEO, None if boxes is None else boxes.sides)
    for problem in reader.problems:
        context.command.warn(problem)


def _write_derived(context: PredictionContext, final: Path, video: Path, *, is_new: bool) -> None:
    """Write the files that are made of the predictions. If these are not new, write only those that are missing."""
    if is_new or not temporal_norm_path(final).exists():
        write_temporal_norm(final)
    labelled = context.directory.labeled_videos / f"{video.stem}_labeled.mp4"
    if not context.command.options.skip_viz and (is_new or not labelled.exists()):
        annotate_video(str(video), final, labelled, context.shown_above)


def _rows_file(context: PredictionContext, final: Path, made_of: MadeOf) -> ResumableCsv:
    model, resume = context.model, context.command.options.resume
    partial_rows = partial_path(final)
    if partial_rows.exists() and not resume:
        context.command.say(f"{partial_rows} is of an interrupted command; it is started again (--resume continues it)")
    header = pose_header(model.keypoint_names, model.file.scorer)
    provider = model.session.provider  # another one may round differently
    return ResumableCsv(final, header, {**made_of, "provider": provider}, resume=resume)


class _VideoRows:
    """Writes the rows of one video, from the first row that its file lacks."""

    def __init__(self, context: PredictionContext, video: Path, boxes: Boxes | None, file: ResumableCsv) -> None:
        self._context, self._video, self._boxes, self._file = context, video, boxes, file
        self._begin = file.rows
        self._quality = QualityCheck(context.model)
        self._waiting: dict[int, tuple[FrameMeta, Box]] = {}
        """Time and box of each frame that waits for its keypoints."""

    def write(self, reader: FrameReader) -> QualityCheck:
        """Predict all frames and write their rows; return the quality of the poses."""
        inference = self._context.inference(of_videos=True)
        ends_before = self._gaps()
        context_radius, count = self._context.model.context_radius, 0
        with progress(self._video.name, reader.info.frame_count, self._begin) as self._bar:
            for frame in reader.frames(max(0, self._begin - 2 * context_radius)):
                index = frame.meta.index
                count = index + 1
                box = self._box(frame)
                self._waiting[index] = frame.meta, box or whole_image(frame.image)
                if index in ends_before:
                    inference.end_sequence()
                inference.put(index, decoded(frame.image), None if self._boxes is None else self._boxes[index])
                for answer in inference.take():
                    self._add(answer.key, answer.keypoints)
            for answer in inference.finish():
                self._add(answer.key, answer.keypoints)
        if self._boxes is not None:
            self._boxes.check_length(max(count, self._begin), self._video)
        return self._quality

    def _gaps(self) -> frozenset[int]:
        """Return the frames before which the recording lacks frames: a context model must not look across."""
        gaps = find_gaps(str(self._video)) if self._context.model.context_radius else Gaps()
        if problem := gaps.problem(str(self._video)):
            self._context.command.warn(problem)
        return frozenset(gaps.before)

    def _box(self, frame: Frame) -> Box | None:
        if self._boxes is None:
            return None
        index = frame.meta.index
        if index >= len(self._boxes):
            raise DataError(f"{self._boxes.path} has {len(self._boxes)} rows, but {self._video} has a frame {index}")
        return self._boxes[index]

    def _add(self, frame: int, keypoints: Keypoints) -> None:
        meta, box = self._waiting.pop(frame)
        if frame >= self._begin:  # earlier frames are only context
            self._quality.add(meta, box, keypoints)
            self._file.add(f"{frame}{self._context.pose_cells(keypoints)}\n")
            self._bar.update()
