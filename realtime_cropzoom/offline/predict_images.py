"""Predictions of labelled images and of images without labels, with pixel errors and pictures next to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from realtime_cropzoom.errors import DataError, listed, quoted
from realtime_cropzoom.files.atomic import replacing
from realtime_cropzoom.files.csv_text import text_cell
from realtime_cropzoom.inference.context_window import CONTEXT_RADIUS, InferenceRequest
from realtime_cropzoom.inference.pose_quality import InputKind
from realtime_cropzoom.offline.annotate import annotate_image
from realtime_cropzoom.offline.bbox_csv import read_boxes
from realtime_cropzoom.offline.frame_reader import progress
from realtime_cropzoom.offline.images import ImageFolder, check_images, context_images, images_sha256
from realtime_cropzoom.offline.inference_pool import InferenceAnswer, Item
from realtime_cropzoom.offline.inputs import Images
from realtime_cropzoom.offline.metrics import pixel_errors, write_pixel_errors
from realtime_cropzoom.offline.prediction import COMMAND, PredictionContext, QualityCheck
from realtime_cropzoom.offline.provenance import input_entry, write_origin
from realtime_cropzoom.sessions.dlc_csv import Labels, labels_outside, read_labels
from realtime_cropzoom.sessions.pose_rows import pose_header
from realtime_cropzoom.sources.image_file import depth_note
from realtime_cropzoom.types import Box, Float64, FrameMeta, Keypoints


def predict_labels(context: PredictionContext, csv: Path, bbox_dir: Path | None) -> Path:
    """Predict the images of a label file and return the file of their predictions, see ``Predictor.predict``."""
    folder = context.directory.image_preds(csv.name)
    final = folder / "predictions.csv"
    boxes_file = None if bbox_dir is None else read_boxes(bbox_dir / "bbox.csv")
    check_images(csv)
    made_of = context.made_of(labels=input_entry(csv), boxes=context.boxes_entry(boxes_file))
    if context.is_done(final, made_of):
        return final
    labels = _read_labels(csv, context.model.keypoint_names)
    # Boxes apply to whole frames. The crops that a pose model was trained on have the same names.
    data_dir = context.directory.data_dir() if bbox_dir is None else context.directory.frames_dir()
    images = ImageFolder.of_labels(csv, labels.images, data_dir)
    boxes = None if boxes_file is None else boxes_file.of_images(labels.images)
    sets = context.directory.sets(csv, len(labels.images))
    predicted = _PredictedImages(context, csv.name, images, boxes)
    errors = pixel_errors(labels.xy, predicted.xy())
    write_pixel_errors(
        folder / "predictions_pixel_error.csv", labels.images, context.model.keypoint_names, errors, sets
    )
    predicted.write(final, sets)  # last: a command that finds this file takes the result as complete
    write_origin(final, COMMAND, made_of)
    predicted.report_labels_outside(csv, labels)
    _report_errors(context, csv, labels, errors)
    predicted.report_quality()
    predicted.draw(folder, labels.xy)
    return final


def predict_images(context: PredictionContext, given: Images, bbox_dir: Path | None) -> Path:
    """Predict images without labels and return the file of their predictions, see ``Predictor.predict``."""
    folder = context.directory.image_preds(given.name)
    final = folder / "predictions.csv"
    boxes_file = None if bbox_dir is None else read_boxes(bbox_dir / "bbox.csv")
    boxes_entry = None if boxes_file is None else boxes_file.entry()
    made_of = context.made_of(images=images_sha256(given.paths), boxes=boxes_entry)
    if context.is_done(final, made_of):
        return final
    images = ImageFolder(tuple(path.name for path in given.paths), given.paths)
    boxes = None if boxes_file is None else boxes_file.of_images(images.names)
    predicted = _PredictedImages(context, given.name, images, boxes)
    predicted.write(final, None)
    write_origin(final, COMMAND, made_of)
    predicted.report_quality()
    predicted.draw(folder, None)
    return final


def _read_labels(csv: Path, keypoint_names: Sequence[str]) -> Labels:
    """Read labels with the model's keypoints, in its order. Raises DataError if the keypoints differ."""
    given = read_labels(csv).keypoint_names
    if set(given) != set(keypoint_names):
        raise DataError(f"{csv} labels {listed(given)}, but the model's keypoints are {listed(keypoint_names)}")
    return read_labels(csv, keypoint_names)


def _report_errors(context: PredictionContext, csv: Path, labels: Labels, errors: Float64) -> None:
    if np.isfinite(errors).any():
        each = ", ".join(
            f"{quoted(name)} {np.nanmean(column):.2f}"
            for name, column in zip(labels.keypoint_names, errors.T, strict=True)
            if np.isfinite(column).any()
        )
        context.command.say(f"{csv.name}: mean pixel error {np.nanmean(errors):.2f} ({each})")


class _PredictedImages:
    """The predictions of a set of images, in its order."""

    def __init__(self, context: PredictionContext, name: str, images: ImageFolder, boxes: Sequence[Box] | None) -> None:
        """Predict all images.

        Args:
            context: The model and the command.
            name: Name of the set, for progress and reports.
            images: The images.
            boxes: The box of each image; None predicts on whole images.
        """
        self._context, self._name, self._images, self._boxes = context, name, images, boxes
        if note := depth_note(images.paths[0]):
            context.command.say(note)
        self._found = self._predict()

    def _predict(self) -> list[Keypoints]:
        images, context_radius = self._images, self._context.model.context_radius
        inference = self._context.inference(of_videos=False)
        found: list[Keypoints] = []
        with progress(self._name, len(images.names), unit="images") as bar:

            def take(answers: Iterator[InferenceAnswer[int]]) -> None:
                for answer in answers:
                    images.check_size(answer.key, answer.size)
                    found.append(answer.keypoints)
                    bar.update()

            for row, path in enumerate(images.paths):
                box = None if self._boxes is None else self._boxes[row]
                paths = context_images(path) if context_radius else [path]
                items = tuple(Item(row, partial(images.read, path), box) for path in paths)
                inference.ask(InferenceRequest(items, (items[CONTEXT_RADIUS if context_radius else 0],)))
                take(inference.take())
            take(inference.finish())
        return found

    def xy(self) -> Float64:
        """Return the keypoints, (N, K, 2), in frame pixels."""
        return np.stack([keypoints.xy for keypoints in self._found]).astype(np.float64)

    def write(self, final: Path, sets: Sequence[str] | None) -> None:
        """Write the predictions, with the training set of each image if there are ``sets``."""
        model, names = self._context.model, self._images.names
        with replacing(final) as file:
            file.write(pose_header(model.keypoint_names, model.file.scorer, sets=sets is not None))
            ends = [""] * len(names) if sets is None else [f",{word}" for word in sets]
            for name, keypoints, end in zip(names, self._found, ends, strict=True):
                file.write(f"{text_cell(name)}{self._context.pose_cells(keypoints)}{end}\n")

    def report_labels_outside(self, csv: Path, labels: Labels) -> None:
        """Tell the user which labels lie outside their images."""
        sizes = [self._images.sizes[row] for row in range(len(labels.images))]
        if line := labels_outside(csv, labels.images, labels.keypoint_names, labels.xy, sizes):
            self._context.command.say(line)

    def report_quality(self) -> None:
        """Tell the user whether the poses look like an animal."""
        check = QualityCheck(self._context.model)
        for row, keypoints in enumerate(self._found):
            width, height = self._images.sizes[row]
            # Images need not follow each other: each is a sequence of its own, in which nothing jumps.
            meta = FrameMeta(row, 0, None, 0, segment=row)
            check.add(meta, Box(0, 0, width, height) if self._boxes is None else self._boxes[row], keypoints)
        sides = None if self._boxes is None else [max(box.w, box.h) for box in self._boxes]
        check.report(self._name, self._context.command, InputKind.IMAGES, sides)

    def draw(self, folder: Path, labels: Float64 | None) -> None:
        """Write each image with its keypoints, and its labels if there are any, below ``folder``."""
        if self._context.command.options.skip_viz:
            return
        names, stems = self._context.model.keypoint_names, _stems(self._images.names)
        for row, name in enumerate(self._images.names):
            # Whatever the image is called, its picture stays in the folder.
            parts = [part for part in Path(name).parts[:-1] if part not in (Path(name).anchor, "..")]
            path = folder.joinpath(*parts, f"{stems[row]}_labeled.png")
            truth = None if labels is None else labels[row]
            picture = self._images.read(self._images.paths[row])
            annotate_image(picture, names, self._found[row], truth, path, self._context.shown_above)


def _stems(names: Sequence[str]) -> list[str]:
    """Return the file name of each picture: the image's name, without its ending unless another image shares it."""
    shared = Counter(str(Path(name).with_suffix("")).lower() for name in names)
    return [
        Path(name).name if shared[str(Path(name).with_suffix("")).lower()] > 1 else Path(name).stem for name in names
    ]
