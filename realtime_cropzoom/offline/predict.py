"""``cropzoom predict``: keypoints for videos, labelled images and images, as ``litpose predict`` writes them.

Videos are resized as Lightning Pose does with videos, images as it does with images, so the
numbers are those of its own runtime. With boxes, what a box shows of a video's frame is cut off
at the frame's edge and a labelled image's is padded with zeros, as in the crops that pose models
are trained on; either way the keypoints come out in frame space.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from realtime_cropzoom.errors import DataError, SourceError
from realtime_cropzoom.files.atomic import ResumableCsv, Say, partial_of, replacing
from realtime_cropzoom.inference.context_window import REACH, InferenceRequest
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.inference.pose_quality import Of, PoseQuality, say_quality
from realtime_cropzoom.inference.presence import Doubt, PoseJudge
from realtime_cropzoom.inference.schedule import Gaps
from realtime_cropzoom.offline.annotate import annotate_image, annotate_video
from realtime_cropzoom.offline.bbox_csv import Boxes, read_boxes, read_video_boxes
from realtime_cropzoom.offline.frame_reader import FrameReader, progress
from realtime_cropzoom.offline.images import ImageFolder, check_images, context_images, images_sha256
from realtime_cropzoom.offline.inference_pool import Item, OrderedInference
from realtime_cropzoom.offline.inputs import Images, Input, LabelFile, Video
from realtime_cropzoom.offline.metrics import (
    pixel_errors,
    temporal_norm_path,
    write_pixel_errors,
    write_temporal_norm,
)
from realtime_cropzoom.offline.model_directory import ModelDirectory
from realtime_cropzoom.offline.provenance import MadeOf, input_entry, is_there, write_origin
from realtime_cropzoom.sessions.dlc_csv import Labels, labels_outside, read_header, read_labels
from realtime_cropzoom.sessions.pose_rows import pose_cells, pose_header, text_cell
from realtime_cropzoom.sources.image_file import depth_note
from realtime_cropzoom.sources.recording_table import find_gaps
from realtime_cropzoom.types import Box, Float32, Float64, FrameMeta, Keypoints, State

COMMAND = "predict"


@dataclass(frozen=True, slots=True)
class Options:
    """How to predict."""

    overwrite: bool = False
    """Predict anew what has been predicted."""
    resume: bool = False
    """Go on where an interrupted command has stopped."""
    skip_viz: bool = False
    """Draw nothing."""
    batch: int = 1
    """Frames that go to the model at once."""


class Predictor:
    """A model, and where its predictions go."""

    def __init__(
        self,
        model: Model,
        directory: ModelDirectory,
        pool: ThreadPoolExecutor,
        workers: int,
        options: Options,
        say: Say,
        warn: Say | None = None,
    ) -> None:
        """``warn`` is told what is missing from an input that was done all the same."""
        self._model, self._directory = model, directory
        self._pool, self._workers = pool, workers
        self._options, self._say, self._warn = options, say, warn or say

    def predict(self, given: Input, bbox_dir: Path | None) -> Path:
        """Predict one input and return the file. Raises SourceError, DataError or SinkError."""
        if isinstance(given, Video):
            return self._video(given.path, bbox_dir)
        return self._labels(given.path, bbox_dir) if isinstance(given, LabelFile) else self._images(given, bbox_dir)

    def _video(self, video: Path, bbox_dir: Path | None) -> Path:
        final = self._directory.video_preds / f"{video.stem}.csv"
        if not video.exists():
            raise SourceError(f"no file at {video}")
        boxes = None if bbox_dir is None else read_video_boxes(bbox_dir / f"{video.stem}_bbox.csv")
        made_of = self._made_of(video=input_entry(video), boxes=self._checked(boxes, video))
        is_done = self._is_done(final, made_of)
        if not is_done:
            self._predict_video(final, video, boxes, made_of)
            write_origin(final, COMMAND, made_of)
        if not is_done or self._options.resume:
            self._write_beside(final, video, anew=not is_done)
        return final

    def _predict_video(self, final: Path, video: Path, boxes: Boxes | None, made_of: MadeOf) -> None:
        with FrameReader(str(video)) as reader:
            for note in reader.info.notes:
                self._say(note)
            if boxes is not None:
                boxes.check_promised(reader.info.frame_count, video)
            with self._rows_file(final, made_of) as file:
                look = self._fill(file, reader, boxes, video)
                file.commit()
        look.say(video.name, self._say, self._warn, Of.VIDEO)
        for problem in reader.problems:
            self._warn(problem)

    def _write_beside(self, final: Path, video: Path, *, anew: bool) -> None:
        """Write what is made of the predictions, or what an interrupted command has not come to."""
        if anew or not temporal_norm_path(final).exists():
            write_temporal_norm(final)
        labelled = self._directory.labeled_videos / f"{video.stem}_labeled.mp4"
        if not self._options.skip_viz and (anew or not labelled.exists()):
            annotate_video(str(video), final, labelled, self._shown_above)

    def _made_of(self, **inputs: object) -> dict[str, object]:
        return {**inputs, "model": self._model.sha256, "decoder": self._model.method}

    def _checked(self, boxes: Boxes | None, video: Path | None = None) -> dict[str, object] | None:
        """Return boxes as an input. Raises DataError where they were made of another video than ``video`` is now."""
        if boxes is None:
            return None
        if video is not None:
            boxes.check_video(video)
        if warning := self._model.expected_side.warning(boxes.sides):
            self._say(f"{boxes.path}: {warning}")
        return boxes.entry()

    def _rows_file(self, final: Path, made_of: MadeOf) -> ResumableCsv:
        partial_before = partial_of(final)
        if partial_before.exists() and not self._options.resume:
            self._say(f"{partial_before} is of an interrupted command; starting over (--resume goes on)")
        header = pose_header(self._model.keypoint_names, self._model.file.scorer)
        provider = self._model.session.provider  # another one may round otherwise
        return ResumableCsv(final, header, {**made_of, "provider": provider}, resume=self._options.resume)

    def _fill(self, file: ResumableCsv, reader: FrameReader, boxes: Boxes | None, video: Path) -> _Look:
        begin = file.rows
        lane: OrderedInference[int] = self._lane(edge_of_videos=True)
        look, stamps = _Look(self._model), dict[int, tuple[FrameMeta, Box]]()
        count = 0
        gaps = find_gaps(str(video)) if self._model.reach else Gaps()
        if problem := gaps.problem(str(video)):
            self._warn(problem)
        ends_before = frozenset(gaps.before)
        with progress(video.name, reader.info.frame_count, begin) as bar:

            def write(frame: int, keypoints: Keypoints) -> None:
                stamp, box = stamps.pop(frame)
                if frame >= begin:  # those before were only context
                    look.take(stamp, box, keypoints)
                    file.add(f"{frame}{pose_cells(self._with_likelihood(keypoints))}\n")
                    bar.update()

            for frame in reader.frames(max(0, begin - 2 * self._model.reach)):
                index, image = frame.stamp.index, frame.image
                count = index + 1
                if boxes is not None and index >= len(boxes):
                    raise DataError(f"{boxes.path} has {len(boxes)} rows, but {video} has a frame {index}")
                stamps[index] = frame.stamp, boxes[index] if boxes is not None else _whole(image.shape)
                if index in ends_before:
                    lane.end_sequence()
                lane.put(index, partial(np.asarray, image), None if boxes is None else boxes[index])
                for answer in lane.take():
                    write(answer.tag, answer.keypoints)
            for answer in lane.finish():
                write(answer.tag, answer.keypoints)
        if boxes is not None:
            boxes.check_length(max(count, begin), video)
        return look

    def _labels(self, csv: Path, bbox_dir: Path | None) -> Path:
        folder = self._directory.image_preds(csv.name)
        final = folder / "predictions.csv"
        boxes_file = None if bbox_dir is None else read_boxes(bbox_dir / "bbox.csv")
        check_images(csv)
        made_of = self._made_of(labels=input_entry(csv), boxes=self._checked(boxes_file))
        if self._is_done(final, made_of):
            return final
        labels = read_labels(csv)
        names = self._model.keypoint_names
        if set(labels.keypoint_names) != set(names):
            raise DataError(
                f"{csv} labels {', '.join(labels.keypoint_names)}, but the model's keypoints are {', '.join(names)}"
            )
        labels = read_labels(csv, names)
        # Boxes are of whole frames, and the crops that a pose model was trained on have the same names.
        data_dir = self._directory.data_dir() if bbox_dir is None else self._directory.frames_dir()
        images = ImageFolder.of_labels(csv, labels.images, data_dir)
        if note := depth_note(images.paths[0]):
            self._say(note)
        boxes = None if boxes_file is None else boxes_file.of_images(labels.images)
        sets = self._directory.sets(csv, len(labels.images))
        found = self._look_at(csv.name, images, boxes)
        xy = np.stack([keypoints.xy for keypoints in found]).astype(np.float64)
        errors = pixel_errors(labels.xy, xy)
        write_pixel_errors(folder / "predictions_pixel_error.csv", labels.images, names, errors, sets)
        self._write_images(final, labels.images, found, sets)  # last: once it is there, it counts as done
        write_origin(final, COMMAND, made_of)
        sizes = [images.sizes[row] for row in range(len(labels.images))]
        if line := labels_outside(csv, labels.images, names, labels.xy, sizes):
            self._say(line)
        self._report(csv, labels, errors)
        self._say_quality(csv.name, images, boxes, found)
        self._draw(folder, images, found, labels.xy)
        return final

    def _images(self, given: Images, bbox_dir: Path | None) -> Path:
        folder = self._directory.image_preds(given.name)
        final = folder / "predictions.csv"
        boxes_file = None if bbox_dir is None else read_boxes(bbox_dir / "bbox.csv")
        made_of = self._made_of(
            images=images_sha256(given.paths), boxes=None if boxes_file is None else boxes_file.entry()
        )
        if self._is_done(final, made_of):
            return final
        images = ImageFolder(tuple(path.name for path in given.paths), given.paths)
        if note := depth_note(given.paths[0]):
            self._say(note)
        boxes = None if boxes_file is None else boxes_file.of_images(images.names)
        found = self._look_at(given.name, images, boxes)
        self._write_images(final, images.names, found, None)
        write_origin(final, COMMAND, made_of)
        self._say_quality(given.name, images, boxes, found)
        self._draw(folder, images, found, None)
        return final

    def _look_at(self, what: str, images: ImageFolder, boxes: Sequence[Box] | None) -> list[Keypoints]:
        lane: OrderedInference[int] = self._lane(edge_of_videos=False)
        found: list[Keypoints] = []
        with progress(what, len(images.names), unit="images") as bar:
            for row in range(len(images.names)):
                box = None if boxes is None else boxes[row]
                paths = context_images(images.paths[row]) if self._model.reach else [images.paths[row]]
                items = tuple(Item(row, partial(images.read, path), box) for path in paths)
                lane.ask(InferenceRequest(items, (items[REACH if self._model.reach else 0],)))
                for answer in lane.take():
                    images.check_size(answer.tag, answer.size)
                    found.append(answer.keypoints)
                    bar.update()
            for answer in lane.finish():
                images.check_size(answer.tag, answer.size)
                found.append(answer.keypoints)
                bar.update()
        return found

    def _write_images(
        self, final: Path, names: Sequence[str], found: Sequence[Keypoints], sets: Sequence[str] | None
    ) -> None:
        with replacing(final) as file:
            file.write(pose_header(self._model.keypoint_names, self._model.file.scorer, sets=sets is not None))
            ends = [""] * len(names) if sets is None else [f",{word}" for word in sets]
            for name, keypoints, end in zip(names, found, ends, strict=True):
                file.write(f"{text_cell(name)}{pose_cells(self._with_likelihood(keypoints))}{end}\n")

    def _report(self, csv: Path, labels: Labels, errors: Float64) -> None:
        if np.isfinite(errors).any():
            each = ", ".join(
                f"{name} {np.nanmean(column):.2f}"
                for name, column in zip(labels.keypoint_names, errors.T, strict=True)
                if np.isfinite(column).any()
            )
            self._say(f"{csv.name}: mean pixel error {np.nanmean(errors):.2f} ({each})")

    def _say_quality(
        self, name: str, images: ImageFolder, boxes: Sequence[Box] | None, found: Sequence[Keypoints]
    ) -> None:
        look = _Look(self._model)
        for row, keypoints in enumerate(found):
            width, height = images.sizes[row]
            # Images need not follow each other: each is a sequence of its own, in which nothing jumps.
            stamp = FrameMeta(row, 0, None, 0, segment=row)
            look.take(stamp, Box(0, 0, width, height) if boxes is None else boxes[row], keypoints)
        look.say(name, self._say, self._warn, Of.IMAGES)

    def _draw(self, folder: Path, images: ImageFolder, found: Sequence[Keypoints], labels: Float64 | None) -> None:
        if self._options.skip_viz:
            return
        stems = _stems(images.names)
        for row, name in enumerate(images.names):
            # Whatever the image is called, its picture stays in the folder.
            parts = [part for part in Path(name).parts[:-1] if part not in (Path(name).anchor, "..")]
            path = folder.joinpath(*parts, f"{stems[row]}_labeled.png")
            truth = None if labels is None else labels[row]
            picture = images.read(images.paths[row])
            annotate_image(picture, self._model.keypoint_names, found[row], truth, path, self._shown_above)

    def _lane(self, *, edge_of_videos: bool) -> OrderedInference[int]:
        return OrderedInference(
            self._model,
            self._pool,
            self._workers,
            edge="clamp" if edge_of_videos else "pad",
            resize="linear" if edge_of_videos else "cubic",
            batch=self._options.batch,
        )

    @property
    def _shown_above(self) -> float:
        """From which likelihood on a keypoint is sure; of a regression model, which knows none, every one."""
        return -1.0 if self._model.file.kind == "regression" else self._directory.shown_above

    def _is_done(self, final: Path, made_of: MadeOf) -> bool:
        def fits() -> bool:
            return set(read_header(final).keypoint_names) == set(self._model.keypoint_names)

        return is_there(final, COMMAND, made_of, overwrite=self._options.overwrite, say=self._say, fits=fits)

    def _with_likelihood(self, keypoints: Keypoints) -> Keypoints:
        """A regression model knows no likelihood; Lightning Pose writes 0 into its files."""
        if self._model.file.kind != "regression":
            return keypoints
        zeros: Float32 = np.zeros(len(keypoints.likelihood), np.float32)
        return Keypoints(keypoints.xy, zeros)


def _stems(names: Sequence[str]) -> list[str]:
    """Return what pictures are called after: the name without its ending, unless another image has that too."""
    shared = Counter(str(Path(name).with_suffix("")).lower() for name in names)
    return [
        Path(name).name if shared[str(Path(name).with_suffix("")).lower()] > 1 else Path(name).stem for name in names
    ]


class _Look:
    """Looks at the poses of a file as they are written, and says how well they look like an animal."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._judge = PoseJudge(model.presence, lost_after_ms=math.inf)
        self._quality = PoseQuality(model.keypoint_names)

    def take(self, stamp: FrameMeta, box: Box, found: Keypoints) -> None:
        """Take in the pose of a frame."""
        if not np.isfinite(found.xy).all():
            self._quality.add(State.SEARCHING, None, None)
            return
        doubt = self._judge.doubt(stamp, box, found)
        self._quality.add(State.TRACKING if doubt in (None, Doubt.JUMP) else State.SEARCHING, found, doubt)

    def say(self, name: str, say: Say, warn: Say, of: Of) -> None:
        """Say it, once all have been taken in."""
        say_quality(name, self._quality, shipped=self._model.is_shipped, say=say, warn=warn, of=of)


def _whole(shape: Sequence[int]) -> Box:
    return Box(0, 0, shape[1], shape[0])
