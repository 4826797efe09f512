"""``cropzoom crop``: videos and labelled images cut to their boxes, to look at and to train on.

What lies beyond the frame is zero. A video's crops are resized to the median box, so that they
make a video; images keep the size of their box. The frames are those of the source, every one
with its own box and all its pixels: ``litpose crop`` loses the frame's last row and column, and
gives a few frames in a thousand the box of the frame before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import cv2
import numpy as np

from realtime_cropzoom.crop import cut
from realtime_cropzoom.csv_text import named_rows
from realtime_cropzoom.errors import ConfigError, DataError
from realtime_cropzoom.image_file import read_as_it_is
from realtime_cropzoom.offline.boxfile import read_boxes, read_video_boxes
from realtime_cropzoom.offline.create_bbox import BoxFlags, box_files, create_bbox
from realtime_cropzoom.offline.directory import ModelDirectory
from realtime_cropzoom.offline.frames import FrameReader
from realtime_cropzoom.offline.images import ImageFolder, below, context_images, has_frame_number
from realtime_cropzoom.offline.inputs import Input, LabelFile, Video
from realtime_cropzoom.offline.outputs import Say, make_folder, replacing, write_image
from realtime_cropzoom.offline.predict import Predictor
from realtime_cropzoom.offline.progress import progress
from realtime_cropzoom.offline.videowriter import VideoWriter
from realtime_cropzoom.tables import chunks_of_rows, header_text, read_header, read_labels
from realtime_cropzoom.types import Box, UInt8


class Cropper:
    """Crops inputs with the boxes that are there, and makes those that are not."""

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
        """``predictor`` gives what predicts an input that has not been predicted yet.

        ``warn`` is told what is missing from a video that was cropped all the same.
        """
        self._warn = warn or say
        self._directory, self._flags, self._predictor = directory, flags, predictor
        self._bbox_dir, self._overwrite, self._say = bbox_dir, overwrite, say

    def crop(self, given: Input) -> Path:
        """Crop a video or a label file and return the cropped file. Raises what its parts raise."""
        # Both folders, whichever is filled: training looks for both.
        make_folder(self._directory.cropped_images)
        make_folder(self._directory.cropped_videos)
        boxes = self._boxes(given)
        if isinstance(given, Video):
            output = self._directory.cropped_videos / f"cropped_{given.path.stem}.mp4"
            crop_video(given.path, boxes, output, self._say, self._warn)
            return output
        assert isinstance(given, LabelFile)
        name = given.path.name
        output = self._directory.image_preds(name) / f"cropped_{name}"
        crop_labels(given.path, boxes, self._directory.data_dir(), self._directory.cropped_images, output)
        return output

    def _boxes(self, given: Input) -> Path:
        files = box_files(self._directory, given)
        if self._bbox_dir is not None:
            if self._flags.given:
                raise ConfigError("both --bbox_dir and how to make boxes were given; give one of them")
            return self._bbox_dir / files.boxes.name
        if files.boxes.exists() and not self._overwrite:
            if self._flags.given:
                self._say(f"using the boxes in {files.boxes}, however they were made (--overwrite makes them anew)")
            return files.boxes
        if not files.predictions.exists():
            with self._predictor() as predictor:
                predictor.predict(given, None)
        create_bbox(files, self._flags)
        self._say(f"made the boxes {files.boxes}")
        return files.boxes


def crop_video(video: Path, box_file: Path, output: Path, say: Say, warn: Say) -> None:
    """Write ``video`` cut to its boxes; ``warn`` is told what the video lacks.

    Raises SourceError, DataError or SinkError; then nothing is left behind.
    """
    boxes = read_video_boxes(box_file)
    size = boxes.cropped_size()
    with FrameReader(str(video)) as reader:
        for note in reader.info.notes:
            say(note)
        boxes.check_promised(reader.info.frame_count, video)
        count = 0
        with VideoWriter(output, size, reader.info.fps) as writer, progress(output.name, len(boxes)) as bar:
            for frame in reader.frames():
                if frame.stamp.index >= len(boxes):
                    raise DataError(f"{box_file} has {len(boxes)} rows, but {video} has a frame {frame.stamp.index}")
                writer.write(cut_to(frame.image, boxes[frame.stamp.index], size), frame.stamp.pts_ns)
                count += 1
                bar.update()
            boxes.check_length(count, video)
            writer.commit()
    for problem in reader.problems:
        warn(problem)


def cut_to(image: UInt8, box: Box, size: tuple[int, int]) -> UInt8:
    """Return what ``box`` shows, zero beyond the frame, resized to (W, H) where it is not that large."""
    pixels, _ = cut(image, box, "pad")
    if (box.w, box.h) == size:
        return pixels
    return np.asarray(cv2.resize(pixels, size), np.uint8)


def crop_labels(csv: Path, box_file: Path, data_dir: Path | None, images_dir: Path, output: Path) -> None:
    """Write the images of a label file cut to their boxes, the frames around them too, and the labels moved along.

    Raises DataError or SinkError.
    """
    boxes = read_boxes(box_file)
    labels = read_labels(csv)
    images = ImageFolder.of_labels(csv, labels.images, data_dir)
    jobs: dict[Path, tuple[Path, Box]] = {}
    boxes_in_order = boxes.of_images(labels.images)
    of_labelled = dict(zip(images.paths, boxes_in_order, strict=True))
    for name, path in zip(labels.images, images.paths, strict=True):
        folder = below(images_dir, name, csv).parent
        around = set(context_images(path)) if has_frame_number(path) else {path}
        for source in around:
            # A labelled frame near another keeps its own box; one near two labelled frames, the first's.
            box = of_labelled.get(source, of_labelled[path])
            jobs.setdefault(folder / source.name, (source, box))
    pool = ThreadPoolExecutor()
    try:
        with progress(images_dir.name, len(jobs), unit="images") as bar:
            for _ in pool.map(lambda job: _crop_image(job[1][0], job[1][1], job[0]), jobs.items()):
                bar.update()
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C waits for the images at hand, not for all
    _move_labels(csv, boxes_in_order, output)


def _crop_image(source: Path, box: Box, target: Path) -> None:
    image = read_as_it_is(source)
    planes = image if image.ndim == 3 else image[:, :, None]
    pixels = np.zeros((box.h, box.w, planes.shape[2]), planes.dtype)
    left, top = max(0, box.x), max(0, box.y)
    right, bottom = min(planes.shape[1], box.x + box.w), min(planes.shape[0], box.y + box.h)
    if left < right and top < bottom:
        pixels[top - box.y : bottom - box.y, left - box.x : right - box.x] = planes[top:bottom, left:right]
    write_image(target, pixels if image.ndim == 3 else pixels[:, :, 0])


def _move_labels(csv: Path, boxes: Sequence[Box], output: Path) -> None:
    """Labels less the corner of their box, written as pandas writes them, as Lightning Pose does."""
    header = read_header(csv)
    (table,) = chunks_of_rows(csv, header, 1 << 40)
    _, table = named_rows(csv, table, header.index_columns)
    corners = np.array([(box.x, box.y) for box in boxes])
    for position, (_, coord) in enumerate(header.columns, header.index_columns):
        if coord in ("x", "y"):
            table[position] = table[position] - corners[:, "xy".index(coord)]
    with replacing(output) as file:
        file.write(header_text(csv))
        table.to_csv(file, header=False, index=False, lineterminator="\n")
