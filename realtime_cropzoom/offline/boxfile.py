"""Box files: ``,x,y,h,w`` and a row a frame or image, as Lightning Pose writes them, or whoever finds animals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from realtime_cropzoom.boxes import MAX_SIDE
from realtime_cropzoom.errors import DataError
from realtime_cropzoom.offline.frames import count_frames
from realtime_cropzoom.types import Box

COLUMNS = ("x", "y", "h", "w")


@dataclass(frozen=True, slots=True)
class Boxes:
    """A box file, checked."""

    path: Path
    index: tuple[str, ...]
    """Frame number or image path of each row."""
    xyhw: npt.NDArray[np.int64]
    """(N, 4) in the file's order: x, y, height, width."""

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, row: int) -> Box:
        x, y, h, w = self.xyhw[row].tolist()
        return Box(x, y, w, h)

    def of_images(self, images: Sequence[str]) -> list[Box]:
        """Return the box of each image. Raises DataError where the file has none for one."""
        rows = {name: row for row, name in enumerate(self.index)}
        missing = [name for name in images if name not in rows]
        if missing:
            raise DataError(f"{self.path} has no box for {missing[0]} ({len(missing)} of {len(images)} are missing)")
        return [self[rows[name]] for name in images]

    def check_promised(self, promised: int | None, source: Path) -> None:
        """Raise DataError where a video whose header counts ``promised`` frames has not one a row.

        A header counts frames that do not decode, or that an edit list leaves out, so that a count that
        does not fit is made sure of.
        """
        if promised is not None and promised != len(self):
            self.check_length(count_frames(str(source)), source)

    def check_length(self, frames: int, source: Path) -> None:
        """Raise DataError unless there is one row a frame."""
        if len(self) != frames:
            raise DataError(
                f"{self.path} has {len(self)} rows, but {source} has {frames} frames; expected one row a frame, "
                "where an animal was not found the box of the frame before"
            )

    def cropped_size(self) -> tuple[int, int]:
        """(W, H) of the video that ``crop`` makes with these boxes: their median, made even.

        Source: Lightning Pose, ``utils/cropzoom.py``, ``_crop_video_moviepy``.
        """
        height, width = (round(float(np.median(self.xyhw[:, column])) / 2) * 2 for column in (2, 3))
        return max(2, width), max(2, height)


def read_boxes(path: Path) -> Boxes:
    """Read a box file. Raises DataError where it is none, or has a row without a box."""
    try:
        table = pd.read_csv(path, index_col=0, dtype={0: str})
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise DataError(f"cannot read the box file {path}: {' '.join(str(error).split())}") from None
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise DataError(f"{path} has no column {', '.join(missing)}; expected a box file with x, y, h, w")
    if table.empty:
        raise DataError(f"{path} has no boxes, only its header")
    try:
        values = table[list(COLUMNS)].to_numpy(np.float64)
    except ValueError as error:
        raise DataError(f"{path} has a cell that is no number: {error}") from None
    index = tuple(str(name) for name in table.index)
    _check_rows(path, index, values)
    return Boxes(path, index, values.astype(np.int64))  # cut off, as Lightning Pose does


def _check_rows(path: Path, index: Sequence[str], values: npt.NDArray[np.float64]) -> None:
    not_numbers = ~np.isfinite(values).all(axis=1)
    if not_numbers.any():
        row = int(not_numbers.argmax())
        raise DataError(
            f"{path} has no box in row {row} ({index[row]}): {_cells(values[row])}; "
            "where an animal was not found, give the box of the frame before"
        )
    sides = values[:, 2:].astype(np.int64)
    bad = ((sides < 1) | (sides > MAX_SIDE)).any(axis=1)
    if bad.any():
        row = int(bad.argmax())
        raise DataError(f"{path} has a box of {values[row, 3]:g}x{values[row, 2]:g} pixels in row {row} ({index[row]})")


def _cells(row: npt.NDArray[np.float64]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in zip(COLUMNS, row, strict=True))
