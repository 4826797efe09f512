"""``cropzoom crop``: cuts videos and labelled images to their boxes, to look at and to train on.

Pixels outside the frame are zero. The crops of a video are resized to the median box, because a video has one
size; images keep the size of their box. Each frame has its own box and all its pixels. ``litpose crop`` loses
the last row and column of a frame, and gives a few frames in a thousand the box of the frame before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import cv2
import numpy as np

from realtime_cropzoom.errors import ConfigError, DataError
from realtime_cropzoom.files.atomic import Say, make_folder, replacing
from realtime_cropzoom.files.atomic_images import is_same_image, write_image
from realtime_cropzoom.files.csv_text import name_rows
from realtime_cropzoom.inference.box_size import tiny_warning
from realtime_cropzoom.inference.crop import pad
from realtime_cropzoom.offline.bbox_csv import Boxes, read_boxes, read_video_boxes
from realtime_cropzoom.offline.create_bbox import BoxFlags, box_files, create_bbox
from realtime_cropzoom.offline.frame_reader import FrameReader, progress
from realtime_cropzoom.offline.images import ImageFolder, below, context_images, images_sha256, is_numbered
from realtime_cropzoom.offline.inputs import Input, LabelFile, Video
from realtime_cropzoom.offline.model_directory import ModelDirectory
from realtime_cropzoom.offline.predict import Predictor
from realtime_cropzoom.offline.provenance import MadeOf, already_made, input_entry, write_origin
from realtime_cropzoom.offline.video_writer import VideoWriter
from realtime_cropzoom.sessions.dlc_csv import (
    Labels,
    header_text,
    iter_rows,
    labels_outside,
    read_header,
    read_labels,
)
from realtime_cropzoom.sources.image_file import read_as_it_is
from realtime_cropzoom.sources.video_file import VideoFile
from realtime_cropzoom.types import Box, Picture, UInt8

COMMAND = "crop"


class Cropper:
    """Crops inputs with their boxes, and makes missing boxes first."""

    def __init__(
        self,
        directory: ModelDirectory,
        flags: BoxFlags,
        predictor: Callable[[], AbstractContextManager[Predictor]],
        *,
        bbox_dir: Path | None,
        overwrite: bool,
        say: Say,
        warn: Say | None = None,
    ) -> None:
        """Set up the command.

        Args:
            directory: The detector's directory, with its predictions and boxes; the crops go there, too.
            flags: How missing boxes are made.
            predictor: Opens a predictor, for an input without predictions.
            bbox_dir: Folder with the boxes to use; None for the boxes of ``directory``.
            overwrite: Whether to replace existing results.
            say: Shows a line.
            warn: Shows what a cropped video lacks; None shows it with ``say``.
        """
        self._warn = warn or say
        self._directory, self._flags, self._predictor = directory, flags, predictor
        self._bbox_dir, self._overwrite, self._say = bbox_dir, overwrite, say

    def crop(self, given: Input) -> Path:
        """Crop a video or a label file.

        Args:
            given: A video or a label file.

        Returns:
            The cropped video, or the label file of the crops.

        Raises:
            SourceError, DataError: if an input cannot be read, or an existing result was made of something else.
            ConfigError: if flags contradict each other.
            SinkError: if a result cannot be written.
        """
        # Training expects both folders, even if one is empty.
        make_folder(self._directory.cropped_images)
        make_folder(self._directory.cropped_videos)
        boxes = self._boxes(given)
        if isinstance(given, Video):
            output = self._directory.cropped_videos / f"cropped_{given.path.stem}.mp4"
            self._crop_video(given.path, read_video_boxes(boxes), output)
            return output
        assert isinstance(given, LabelFile)
        name = given.path.name
        output = self._directory.image_preds(name) / f"cropped_{name}"
        self._crop_labels(given.path, read_boxes(boxes), output)
        return output

    def _crop_video(self, video: Path, boxes: Boxes, output: Path) -> None:
        boxes.check_video(video)
        size = boxes.cropped_size()
        if warning := tiny_warning(boxes.sides, None):
            self._say(f"{boxes.path}: {warning}")
        made_of = {"video": input_entry(video), "boxes": boxes.entry()}

        def fits() -> bool:
            return video_size(output) == size

        if not self._is_there(output, made_of, fits):
            crop_video(video, boxes, output, self._say, self._warn)
            write_origin(output, COMMAND, made_of, size=size)

    def _crop_labels(self, csv: Path, boxes: Boxes, output: Path) -> None:
        labels = read_labels(csv)
        images = ImageFolder.of_labels(csv, labels.images, self._directory.data_dir())
        boxes_in_order = boxes.of_images(labels.images)
        made_of = {"labels": input_entry(csv), "boxes": boxes.entry()}

        def fits() -> bool:
            return output.read_text(encoding="utf-8") == moved_labels(csv, boxes_in_order)

        if self._is_there(output, made_of, fits):
            return
        crops = crop_images(
            csv, images, boxes_in_order, self._directory.cropped_images, overwrite=self._overwrite, say=self._say
        )
        self._say_outside(csv, labels, images, boxes_in_order)
        with replacing(output) as file:
            file.write(moved_labels(csv, boxes_in_order))
        entry = {"paths": [str(path.resolve()) for path in crops], "sha256": images_sha256(crops)}
        write_origin(output, COMMAND, made_of, images=entry)

    def _say_outside(self, csv: Path, labels: Labels, images: ImageFolder, boxes: Sequence[Box]) -> None:
        """Tell the user which labels lie outside their image or their crop, where a pose model cannot see them."""
        corners = np.array([(box.x, box.y) for box in boxes], np.float64)[:, None]
        sizes = [images.sizes[row] for row in range(len(boxes))]
        sides = [(box.w, box.h) for box in boxes]
        names = labels.keypoint_names
        lines = (
            labels_outside(csv, labels.images, names, labels.xy, sizes),
            labels_outside(csv, labels.images, names, labels.xy - corners, sides, "crop"),
        )
        for line in filter(None, lines):
            self._say(line)

    def _is_there(self, output: Path, made_of: MadeOf, fits: Callable[[], bool]) -> bool:
        return already_made(output, COMMAND, made_of, overwrite=self._overwrite, say=self._say, fits=fits)

    def _boxes(self, given: Input) -> Path:
        """Return the box file. Make it if it is missing; existing boxes must fit the flags."""
        assert isinstance(given, Video | LabelFile)
        files = box_files(self._directory, given)
        if self._bbox_dir is not None:
            if self._flags.given:
                raise ConfigError("both --bbox_dir and flags for making boxes are given; give one of them")
            return self._bbox_dir / files.boxes.name
        if files.boxes.exists() and not self._flags.given:
            return files.boxes
        if not files.predictions.exists():
            if files.boxes.exists() and not self._overwrite:
                raise DataError(
                    f"{files.boxes} exists, but its predictions do not. Leave out the flags for making boxes to use "
                    "these, or add --overwrite to make others"
                )
            with self._predictor() as predictor:
                predictor.predict(given, None)
        made = not files.boxes.exists() or self._overwrite
        create_bbox(files, self._flags, given.path, overwrite=self._overwrite, say=self._say)
        if made:
            self._say(f"made the boxes {files.boxes}")
        return files.boxes


def video_size(path: Path) -> tuple[int, int]:
    """Return (W, H) of a video. Raises SourceError."""
    video = VideoFile(path)
    video.close()
    return video.info.width, video.info.height


def crop_video(video: Path, boxes: Boxes, output: Path, say: Say, warn: Say) -> None:
    """Write a video cut to its boxes. After an error no file stays.

    Args:
        video: The video.
        boxes: Its boxes, in frame order.
        output: The video to write.
        say: Shows a line.
        warn: Shows what the video lacks.

    Raises:
        SourceError: if the video cannot be read.
        DataError: if the number of boxes is not the number of frames.
        SinkError: if the output cannot be written.
    """
    size = boxes.cropped_size()
    with FrameReader(str(video)) as reader:
        for note in reader.info.notes:
            say(note)
        boxes.check_promised(reader.info.frame_count, video)
        count = 0
        with VideoWriter(output, size, reader.info.fps) as writer, progress(output.name, len(boxes)) as bar:
            for frame in reader.frames():
                if frame.meta.index >= len(boxes):
                    raise DataError(f"{boxes.path} has {len(boxes)} rows, but {video} has a frame {frame.meta.index}")
                writer.write(cut_to(frame.image, boxes[frame.meta.index], size), frame.meta.pts_ns)
                count += 1
                bar.update()
            boxes.check_length(count, video)
            writer.commit()
    for problem in reader.problems:
        warn(problem)


def cut_to(image: Picture, box: Box, size: tuple[int, int]) -> UInt8:
    """Return the pixels inside a box, with zeros outside the frame, resized to ``size`` (W, H) if it differs."""
    pixels = pad(image, box)
    if (box.w, box.h) == size:
        return pixels
    return np.asarray(cv2.resize(pixels, size), np.uint8)


def crop_images(
    csv: Path, images: ImageFolder, boxes: Sequence[Box], images_dir: Path, *, overwrite: bool, say: Say
) -> list[Path]:
    """Write the images of a label file cut to their boxes, and the frames around them for a context model.

    A frame near a labelled one may be labelled in another file. Its crop then keeps the box of that file.

    Args:
        csv: The label file.
        images: Its images; their sizes are noted here.
        boxes: The box of each image.
        images_dir: Folder of the crops.
        overwrite: Whether to replace existing crops. Otherwise labelled crops that exist must be equal.
        say: Shows a line.

    Returns:
        The path of each labelled crop.

    Raises:
        DataError: if a labelled crop exists with another box, or an image cannot be read.
        SinkError: if a crop cannot be written.
    """
    jobs: dict[Path, tuple[Path, Box]] = {}
    of_labelled = dict(zip(images.paths, boxes, strict=True))
    rows: dict[Path, list[int]] = {}
    for row, path in enumerate(images.paths):
        rows.setdefault(path, []).append(row)
    for name, path in zip(images.names, images.paths, strict=True):
        folder = below(images_dir, name, csv).parent
        around = set(context_images(path)) if is_numbered(path) else {path}
        for source in around:
            # A labelled frame keeps its own box. A frame near two labelled ones gets the box of the first.
            box = of_labelled.get(source, of_labelled[path])
            jobs.setdefault(folder / source.name, (source, box))
    kept_neighbours = 0
    pool = ThreadPoolExecutor()
    try:
        with progress(images_dir.name, len(jobs), unit="images") as bar:
            done = pool.map(lambda job: _crop_image(job[1][0], job[1][1], job[0], overwrite=overwrite), jobs.items())
            for (target, (source, _)), (matches, size) in zip(jobs.items(), done, strict=True):
                images.sizes.update(dict.fromkeys(rows.get(source, ()), size))
                if not matches and source in of_labelled:
                    raise DataError(
                        f"{target} is there already, cropped to another box, as for another label file. "
                        "Add --overwrite to replace it, then train and predict again with the new crops"
                    )
                kept_neighbours += not matches
                bar.update()
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C waits only for the images in work
    if kept_neighbours:
        say(
            f"{kept_neighbours} frames around labelled ones keep the box of another label file; --overwrite replaces it"
        )
    return [below(images_dir, name, csv) for name in images.names]


def _crop_image(source: Path, box: Box, target: Path, *, overwrite: bool) -> tuple[bool, tuple[int, int]]:
    """Write the crop of an image. Return whether ``target`` now has it, and the (W, H) of the image."""
    image = read_as_it_is(source)
    pixels, size = pad(image, box), (image.shape[1], image.shape[0])
    if overwrite or not target.exists():
        write_image(target, pixels)
        return True, size
    return is_same_image(target, pixels), size


def moved_labels(csv: Path, boxes: Sequence[Box]) -> str:
    """Return the text of a label file with its coordinates relative to the boxes, as Lightning Pose writes it."""
    header = read_header(csv)
    (table,) = iter_rows(csv, header, 1 << 40)
    _, table = name_rows(csv, table, header.index_columns)
    corners = np.array([(box.x, box.y) for box in boxes])
    for position, (_, coord) in enumerate(header.columns, header.index_columns):
        if coord in ("x", "y"):
            table[position] = table[position] - corners[:, "xy".index(coord)]
    return header_text(csv) + str(table.to_csv(header=False, index=False, lineterminator="\n"))
