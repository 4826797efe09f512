"""``cropzoom create_bbox`` and ``smooth_bbox``: boxes from predictions, as Lightning Pose computes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from realtime_cropzoom.errors import ConfigError, DataError, listed
from realtime_cropzoom.files.atomic import Say, replacing
from realtime_cropzoom.files.csv_text import text_cell
from realtime_cropzoom.inference.box_size import tiny_warning
from realtime_cropzoom.inference.boxes import DEFAULT_CROP_RATIO, BoxRule, find_anchors
from realtime_cropzoom.offline.bbox_csv import COLUMNS, read_boxes, read_video_boxes
from realtime_cropzoom.offline.inputs import Input, LabelFile, Video
from realtime_cropzoom.offline.model_directory import ModelDirectory
from realtime_cropzoom.offline.provenance import already_made, check_input, input_entry, write_origin
from realtime_cropzoom.sessions.dlc_csv import iter_frame_predictions, iter_predictions, read_header
from realtime_cropzoom.types import Box, Float64, Keypoints

COMMAND = "create_bbox"
METHODS = ("median",)


@dataclass(frozen=True, slots=True)
class BoxFlags:
    """Flags that say how boxes are made. Raises ConfigError if they contradict each other."""

    crop_size: int | None = None
    crop_ratio: float | None = None
    anchor_keypoints: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        BoxRule(self.crop_size, self.crop_ratio)
        if self.crop_ratio is not None and self.crop_ratio <= 1:
            raise ConfigError(
                f"crop_ratio is {self.crop_ratio:g}; expected more than 1, because a smaller box cuts the animal off"
            )

    @property
    def given(self) -> bool:
        """Whether the user gave any flag."""
        return self != BoxFlags()

    def described(self) -> dict[str, object]:
        """Return the flags with their defaults, for the note next to the boxes."""
        ratio = DEFAULT_CROP_RATIO if self.crop_size is None and self.crop_ratio is None else self.crop_ratio
        return {
            "crop_size": self.crop_size,
            "crop_ratio": ratio,
            "anchor_keypoints": sorted(self.anchor_keypoints) or None,
        }

    def rule(self, predictions: Path) -> BoxRule:
        """Return the rule for the keypoints of a prediction file.

        Raises:
            ConfigError: if an anchor is not among the keypoints.
            DataError: if the file cannot be read.
        """
        names = read_header(predictions).keypoint_names
        places, unknown = find_anchors(self.anchor_keypoints, names)
        if unknown:
            raise ConfigError(f"anchor_keypoints: {predictions} has no {listed(unknown)}; it has {listed(names)}")
        return BoxRule(self.crop_size, self.crop_ratio, anchors=tuple(places) or None)


@dataclass(frozen=True, slots=True)
class BoxFiles:
    """Paths of the predictions and boxes of an input."""

    predictions: Path
    boxes: Path
    of_video: bool


def box_files(directory: ModelDirectory, given: Input) -> BoxFiles:
    """Return the paths of an input's predictions and boxes."""
    if isinstance(given, Video):
        stem = given.path.stem
        return BoxFiles(
            directory.video_preds / f"{stem}.csv", directory.video_preds / f"{stem}_bbox.csv", of_video=True
        )
    assert isinstance(given, LabelFile)
    folder = directory.image_preds(given.path.name)
    return BoxFiles(folder / "predictions.csv", folder / "bbox.csv", of_video=False)


def create_bbox(files: BoxFiles, flags: BoxFlags, source: Path, *, overwrite: bool, say: Say) -> None:
    """Write the boxes of an input: one row per row of its predictions, or per frame of a video.

    A row without any finite keypoint gets the box of the row before, and the first rows get the first box.
    Existing boxes that were made of the same inputs stay.

    Args:
        files: Paths of the predictions and the boxes.
        flags: How boxes are made.
        source: The input, to check that the predictions are of this very video.
        overwrite: Whether to replace existing boxes that were made of something else.
        say: Shows the user a line.

    Raises:
        DataError: if there are no predictions, none of them has a keypoint, or the existing boxes were made of
            something else.
        ConfigError: if an anchor is not among the keypoints.
        SinkError: if the boxes cannot be written.
    """
    predictions, boxes = files.predictions, files.boxes
    if not predictions.exists():
        raise DataError(f"no predictions at {predictions}; run cropzoom predict first")
    if files.of_video:
        check_input(predictions, "video", source, "Run cropzoom predict again, with --overwrite")
    flags.rule(predictions)  # refuses unknown anchors before anything is written
    made_of = {"predictions": input_entry(predictions), **flags.described()}

    def fits() -> bool:
        return boxes.read_text(encoding="utf-8") == "".join(_lines(files, flags))

    if already_made(boxes, COMMAND, made_of, overwrite=overwrite, say=say, fits=fits):
        return
    with replacing(boxes) as file:
        file.writelines(_lines(files, flags))
    write_origin(boxes, COMMAND, made_of)
    if warning := tiny_warning(read_boxes(boxes).sides, flags.crop_size):
        say(f"{boxes}: {warning}")


def _lines(files: BoxFiles, flags: BoxFlags) -> Iterator[str]:
    """Yield the lines of the box file. Raises DataError if there is no box at all."""
    rule = flags.rule(files.predictions)
    index: list[str] = []
    found: list[Box | None] = []
    read = iter_frame_predictions if files.of_video else iter_predictions
    for chunk in read(files.predictions):
        index += chunk.index
        found += [_box(row, rule) for row in chunk.xy]
    last = next((box for box in found if box is not None), None)
    if last is None:
        raise DataError(f"{files.predictions} has no keypoint in any row; a box needs at least one")
    yield f",{','.join(COLUMNS)}\n"
    for name, box in zip(index, found, strict=True):
        last = box or last
        yield f"{text_cell(name)},{last.x},{last.y},{last.h},{last.w}\n"


def _box(xy: Float64, rule: BoxRule) -> Box | None:
    return rule.box(Keypoints(xy, np.ones(len(xy))))  # type: ignore[arg-type]  # float64, as in the file


@dataclass(frozen=True, slots=True)
class Smoothing:
    """Smoothing of boxes. Raises ConfigError if a flag is not valid.

    Source: Lightning Pose, ``utils/cropzoom.py``, ``smooth_bbox``: a centred rolling median, shorter at the
    ends, rounded to whole pixels.
    """

    output: Path
    """Folder of the smoothed boxes."""
    method: str
    window: int
    """Number of frames of the rolling median."""
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"method is {self.method}; expected one of {', '.join(METHODS)}")
        if self.window < 1:
            raise ConfigError(f"window is {self.window}; expected a number of frames, at least 1")

    def files(self, folder: Path) -> list[Path]:
        """Return the box files of ``folder``. Raises ConfigError if it is the output, DataError if it has none."""
        if self.output.resolve() == folder.resolve():
            raise ConfigError(f"output_dir is {self.output}, which has the boxes to smooth; give another folder")
        files = sorted(folder.glob("*_bbox.csv"))
        if not files:
            raise DataError(f"{folder} has no *_bbox.csv; expected a folder with the boxes of create_bbox")
        return files

    def smooth(self, path: Path, say: Say) -> Path:
        """Smooth one box file and return the new one. Raises DataError or SinkError."""
        boxes = read_video_boxes(path)
        final = self.output / path.name
        made_of = {"boxes": boxes.entry(), "method": self.method, "window": self.window}
        table = pd.DataFrame(boxes.xyhw, index=list(boxes.index), columns=list(COLUMNS))
        table = table.rolling(window=self.window, center=True, min_periods=1).median().round(0).astype(int)
        text = table.to_csv(lineterminator="\n")

        def fits() -> bool:
            return final.read_text(encoding="utf-8") == text

        if not already_made(final, "smooth_bbox", made_of, overwrite=self.overwrite, say=say, fits=fits):
            with replacing(final) as file:
                file.write(text)
            write_origin(final, "smooth_bbox", made_of)
            self._describe(path.parent)
        return final

    def _describe(self, folder: Path) -> None:
        """Write ``metadata.json``, as Lightning Pose does."""
        described = {"method": self.method, "window": self.window, "source": str(folder.resolve())}
        with replacing(self.output / "metadata.json") as file:
            file.write(json.dumps(described, indent=2))
