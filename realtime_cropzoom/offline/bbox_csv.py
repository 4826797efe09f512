"""Box files (``,x,y,h,w``): one row per frame or image, as a run, Lightning Pose or another tracker writes them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.files.csv_text import first_records, name_rows, parse_frame_numbers, read_number_rows, to_numbers
from realtime_cropzoom.inference.boxes import MAX_OFFSET, MAX_SIDE, whole
from realtime_cropzoom.offline.frame_reader import count_frames
from realtime_cropzoom.offline.provenance import find_input, fingerprint, input_entry
from realtime_cropzoom.types import Box, BoxOrigin, Float64, State

COLUMNS = ("x", "y", "h", "w")
_WHAT = "the box file "


@dataclass(frozen=True, slots=True)
class Boxes:
    """The boxes of a file, checked."""

    path: Path
    index: tuple[str, ...]
    """Frame number or image path of each row; of the boxes of a video, 0 to N - 1 in this order."""
    xyhw: npt.NDArray[np.int64]
    """(N, 4): x, y, height, width of each row (frame pixels)."""

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, row: int) -> Box:
        x, y, h, w = self.xyhw[row].tolist()
        return Box(x, y, w, h)

    @property
    def sides(self) -> list[int]:
        """The larger side of each box (frame pixels)."""
        return [int(side) for side in self.xyhw[:, 2:].max(axis=1)]

    @property
    def sha256(self) -> str:
        """SHA-256 of the names and numbers: equal for equal boxes, however the file spells them."""
        return hashlib.sha256("\n".join(self.index).encode() + self.xyhw.tobytes()).hexdigest()

    def entry(self) -> dict[str, object]:
        """Return the boxes as an input, for the note next to a file that is made of them."""
        return input_entry(self.path, self.sha256)

    def check_video(self, video: Path) -> None:
        """Check that the boxes were made from this very video. Boxes of images are found by name and need no check.

        Raises:
            DataError: if the note next to the boxes names a video with other content.
        """
        made_from = find_input(self.entry(), "predictions", "video")
        if made_from is not None and made_from["sha256"] != fingerprint(video):
            raise DataError(
                f"{self.path} has the boxes of another {video.name}: {video} has changed since. "
                "Run predict and create_bbox again, with --overwrite"
            )

    def of_images(self, images: Sequence[str]) -> list[Box]:
        """Return the box of each image. Raises DataError if an image has no box, or two."""
        rows = {name: row for row, name in enumerate(self.index)}
        if len(rows) < len(self):
            twice = next(name for row, name in enumerate(self.index) if rows[name] != row)
            raise DataError(f"{self.path} has two boxes for {twice}; expected one row per image")
        missing = [name for name in images if name not in rows]
        if missing:
            raise DataError(f"{self.path} has no box for {missing[0]} ({len(missing)} of {len(images)} are missing)")
        return [self[rows[name]] for name in images]

    def in_frame_order(self) -> Boxes:
        """Return the boxes of a video, sorted so that row i is the box of frame i.

        Raises:
            DataError: if a row names no frame, two rows name the same, or a frame has no row.
        """
        frames = parse_frame_numbers(self.path, self.index)
        order = frames.argsort()
        holes = np.flatnonzero(frames[order] != np.arange(len(frames)))
        if len(holes):
            missing = int(frames.max()) + 1 - len(frames)
            raise DataError(
                f"{self.path} has no box for frame {holes[0]} ({missing} frames up to {frames.max()} have none); "
                "expected a box for every frame; give a frame without an animal the box of the frame before"
            )
        return Boxes(self.path, tuple(map(str, range(len(frames)))), self.xyhw[order])

    def check_promised(self, promised: int | None, source: Path) -> None:
        """Check the number of rows against the number of frames in the header of a video.

        A header also counts frames that do not decode, or that an edit list leaves out. If its number differs
        from the number of rows, this decodes and counts the frames.

        Args:
            promised: Number of frames in the header; None if it has none.
            source: The video.

        Raises:
            DataError: if the numbers differ.
        """
        if promised is not None and promised != len(self):
            self.check_length(count_frames(str(source)), source)

    def check_length(self, frames: int, source: Path) -> None:
        """Raise DataError if the number of rows is not the number of frames."""
        if len(self) != frames:
            raise DataError(
                f"{self.path} has {len(self)} rows, but {source} has {frames} frames; expected one row per frame; "
                "give a frame without an animal the box of the frame before"
            )

    def cropped_size(self) -> tuple[int, int]:
        """(W, H) of the video that ``crop`` makes with these boxes: their median, made even.

        Source: Lightning Pose, ``utils/cropzoom.py``, ``_crop_video_moviepy``.
        """
        height, width = (round(float(np.median(self.xyhw[:, column])) / 2) * 2 for column in (2, 3))
        return max(2, width), max(2, height)


@dataclass(frozen=True, slots=True)
class BboxRow:
    """A row of the box file of a run or of ``cropzoom pipeline`` (columns ``BBOX_COLUMNS``)."""

    frame: int
    box: Box | None
    """The active box; None if the frame had none."""
    box_frame: int | None
    """Frame on which the box was detected; None without a detection."""
    state: State | None
    """State of the frame; None if the run skipped it."""
    origin: BoxOrigin
    """Where the box comes from."""

    @classmethod
    def parse(cls, line: str) -> BboxRow:
        """Read a row. Raises ValueError if it is not complete."""
        frame, x, y, h, w, box_frame, _, state, origin = line.rstrip("\n").split(",")
        return cls(
            frame=int(frame),
            box=Box(whole(float(x)), whole(float(y)), int(w), int(h)) if x else None,
            box_frame=int(box_frame) if box_frame else None,
            state=State(state) if state else None,
            origin=BoxOrigin(origin) if origin else BoxOrigin.DETECTION,
        )


def read_boxes(path: Path) -> Boxes:
    """Read a box file. Raises DataError if it is not a box file, or has a row without a box."""
    rows, _ = first_records(path, 1, _WHAT)
    columns = [name.strip() for name in rows[0]] if rows else []
    table = read_number_rows(path, header_rows=1, index_columns=1, columns=max(0, len(columns) - 1), what=_WHAT)
    missing = [name for name in COLUMNS if name not in columns[1:]]
    if missing:
        raise DataError(f"{path} has no column {', '.join(missing)}; expected a box file with x, y, h, w")
    index, table = name_rows(path, table, 1)
    if not index:
        raise DataError(f"{path} has no boxes, only its header")
    values = _values(path, index, table, [columns.index(name) for name in COLUMNS])
    _check_rows(path, index, values)
    return Boxes(path, index, values.astype(np.int64))  # cut off, as Lightning Pose does


def read_video_boxes(path: Path) -> Boxes:
    """Read the box file of a video, whose rows may be in any order. Raises DataError."""
    return read_boxes(path).in_frame_order()


def _values(path: Path, index: Sequence[str], table: pd.DataFrame, positions: Sequence[int]) -> Float64:
    try:
        return to_numbers(path, index, table, positions, COLUMNS)
    except DataError as error:
        raise DataError(str(error).replace("a coordinate that is", "a cell that is")) from None


def _check_rows(path: Path, index: Sequence[str], values: npt.NDArray[np.float64]) -> None:
    not_numbers = ~np.isfinite(values).all(axis=1)
    if not_numbers.any():
        row = int(not_numbers.argmax())
        raise DataError(
            f"{path} has no box in row {row} ({index[row]}): {_cells(values[row])}; "
            "give a frame without an animal the box of the frame before"
        )
    far = (np.abs(values[:, :2]) > MAX_OFFSET).any(axis=1)
    if far.any():
        row = int(far.argmax())
        raise DataError(
            f"{path} has a box at {values[row, 0]:g},{values[row, 1]:g} in row {row} ({index[row]}), "
            "which is outside any picture; expected x and y in pixels"
        )
    sides = np.minimum(values[:, 2:], MAX_SIDE + 1).astype(np.int64)
    bad = ((sides < 1) | (sides > MAX_SIDE)).any(axis=1)
    if bad.any():
        row = int(bad.argmax())
        raise DataError(f"{path} has a box of {values[row, 3]:g}x{values[row, 2]:g} pixels in row {row} ({index[row]})")


def _cells(row: npt.NDArray[np.float64]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in zip(COLUMNS, row, strict=True))
