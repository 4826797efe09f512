"""``cropzoom create_bbox`` and ``smooth_bbox``: predictions → boxes, as Lightning Pose makes them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from realtime_cropzoom.boxes import BoxRule
from realtime_cropzoom.errors import ConfigError, DataError
from realtime_cropzoom.offline.boxfile import COLUMNS, read_video_boxes
from realtime_cropzoom.offline.directory import ModelDirectory
from realtime_cropzoom.offline.inputs import Input, LabelFile, Video
from realtime_cropzoom.offline.outputs import replacing
from realtime_cropzoom.pose_rows import text_cell
from realtime_cropzoom.tables import chunks_of_frames, chunks_of_predictions, read_header
from realtime_cropzoom.types import Box, Float64, Keypoints

METHODS = ("median",)


@dataclass(frozen=True, slots=True)
class BoxFlags:
    """How boxes are to be made, as the command line says it. Raises ConfigError where that makes no sense."""

    crop_size: int | None = None
    crop_ratio: float | None = None
    anchor_keypoints: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        BoxRule(self.crop_size, self.crop_ratio)
        if self.crop_ratio is not None and self.crop_ratio <= 1:
            raise ConfigError(
                f"crop_ratio is {self.crop_ratio:g}; expected more than 1, or the box cuts the animal off"
            )

    @property
    def given(self) -> bool:
        """Whether anything was said."""
        return self != BoxFlags()

    def rule(self, predictions: Path) -> BoxRule:
        """Return the rule for the keypoints of these predictions. Raises ConfigError or DataError."""
        names = read_header(predictions).keypoint_names
        unknown = [name for name in self.anchor_keypoints if name not in names]
        if unknown:
            raise ConfigError(f"anchor_keypoints: {predictions} has no {', '.join(unknown)}; it has {', '.join(names)}")
        anchors = tuple(names.index(name) for name in self.anchor_keypoints) or None
        return BoxRule(self.crop_size, self.crop_ratio, anchors=anchors)


@dataclass(frozen=True, slots=True)
class BoxFiles:
    """Where predictions and boxes of an input lie."""

    predictions: Path
    boxes: Path
    of_video: bool


def box_files(directory: ModelDirectory, given: Input) -> BoxFiles:
    """Return where an input's predictions and boxes are."""
    if isinstance(given, Video):
        stem = given.path.stem
        return BoxFiles(
            directory.video_preds / f"{stem}.csv", directory.video_preds / f"{stem}_bbox.csv", of_video=True
        )
    assert isinstance(given, LabelFile)
    folder = directory.image_preds(given.path.name)
    return BoxFiles(folder / "predictions.csv", folder / "bbox.csv", of_video=False)


def create_bbox(files: BoxFiles, flags: BoxFlags) -> None:
    """Write the box of every row of the predictions; of a video, in the order of its frames.

    Where no keypoint is a number, the box of the row before counts (the first such rows get the
    first box there is). Raises DataError where there is none at all.
    """
    predictions, boxes = files.predictions, files.boxes
    if not predictions.exists():
        raise DataError(f"no predictions at {predictions}; run cropzoom predict first")
    rule = flags.rule(predictions)
    index: list[str] = []
    found: list[Box | None] = []
    read = chunks_of_frames if files.of_video else chunks_of_predictions
    for chunk in read(predictions):
        index += chunk.index
        found += [_box(row, rule) for row in chunk.xy]
    last = next((box for box in found if box is not None), None)
    if last is None:
        raise DataError(f"{predictions} has no keypoint in any row; there is nothing to make a box of")
    with replacing(boxes) as file:
        file.write(f",{','.join(COLUMNS)}\n")
        for name, box in zip(index, found, strict=True):
            last = box or last
            file.write(f"{text_cell(name)},{last.x},{last.y},{last.h},{last.w}\n")


def _box(xy: Float64, rule: BoxRule) -> Box | None:
    return rule.box(Keypoints(xy, np.ones(len(xy))))  # type: ignore[arg-type]  # float64, as in the file


def smooth_bbox(folder: Path, output: Path, *, method: str, window: int) -> list[Path]:
    """Smooth every ``*_bbox.csv`` of ``folder`` into ``output`` and return the files.

    Source: Lightning Pose, ``utils/cropzoom.py``, ``smooth_bbox``: a centred rolling median,
    shorter at the ends, rounded to whole pixels. Raises ConfigError or DataError.
    """
    if method not in METHODS:
        raise ConfigError(f"method is {method}; expected one of {', '.join(METHODS)}")
    if window < 1:
        raise ConfigError(f"window is {window}; expected a number of frames, 1 or more")
    if output.resolve() == folder.resolve():
        raise ConfigError(f"output_dir is {output}, where the boxes come from; give another folder")
    files = sorted(folder.glob("*_bbox.csv"))
    if not files:
        raise DataError(f"{folder} has no *_bbox.csv; expected a folder that create_bbox has written to")
    smoothed = []
    for path in files:
        boxes = read_video_boxes(path)
        table = pd.DataFrame(boxes.xyhw, index=list(boxes.index), columns=list(COLUMNS))
        table = table.rolling(window=window, center=True, min_periods=1).median().round(0).astype(int)
        with replacing(output / path.name) as file:
            table.to_csv(file, lineterminator="\n")
        smoothed.append(output / path.name)
    with replacing(output / "metadata.json") as file:
        file.write(json.dumps({"method": method, "window": window, "source": str(folder.resolve())}, indent=2))
    return smoothed
