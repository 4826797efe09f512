"""``cropzoom remap``: maps predictions on a cropped video, or on cropped images, back to frame space.

If a box is not as large as the cropped video, its crop was resized. Its coordinates are therefore scaled
before the corner of the box is added: x = x_crop / W · w + x_box. ``litpose remap`` does not scale; if every
box is as large as the video, both give the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.files.atomic import Say, replacing
from realtime_cropzoom.files.csv_text import name_rows, parse_frame_number, parse_frame_numbers, to_numbers
from realtime_cropzoom.offline.bbox_csv import Boxes, read_boxes
from realtime_cropzoom.offline.provenance import (
    already_made,
    find_input,
    fingerprint,
    input_entry,
    read_origin,
    write_origin,
)
from realtime_cropzoom.sessions.dlc_csv import Header, header_text, iter_rows, read_frame_numbers, read_header
from realtime_cropzoom.sources.video_file import VideoFile

_ROWS = 10_000
_ALL_ROWS = 1 << 40
_ADVICE = "expected the boxes of these crops, one row each"


def remap(
    predictions: Path,
    box_file: Path,
    cropped_video: Path | None = None,
    *,
    overwrite: bool = False,
    say: Say = lambda _: None,
) -> Path:
    """Write ``remapped_<predictions>`` next to the predictions and return it.

    Args:
        predictions: File of the predictions on crops.
        box_file: File of the boxes that the crops were cut with.
        cropped_video: The cropped video, for its size; None finds it, see ``cropped_size``.
        overwrite: Whether to replace an existing result that was made of something else.
        say: Shows the user a line.

    Raises:
        DataError: if the predictions and the boxes do not belong together.
        SourceError: if the cropped video cannot be read.
        SinkError: if the result cannot be written.
    """
    header = read_header(predictions)
    boxes = read_boxes(box_file)
    of_images = ("", "") in header.columns or parse_frame_number(boxes.index[0]) is None
    if not of_images:
        boxes = boxes.in_frame_order()
    _check_boxes(predictions, boxes)
    size = None if of_images else cropped_size(boxes, predictions, cropped_video)
    output = predictions.with_name(f"remapped_{predictions.name}")
    made_of = {"predictions": input_entry(predictions), "boxes": boxes.entry(), "cropped_size": size and list(size)}

    def write(file: IO[str]) -> None:
        box_rows = _BoxRows(predictions, boxes, of_images=of_images)
        file.write(header_text(predictions))
        for table in _tables(predictions, header, of_images=of_images):
            names, table = name_rows(predictions, table, header.index_columns)
            _move(table, header, boxes.xyhw[box_rows.find(names)], size)
            table.to_csv(file, header=False, index=False, lineterminator="\n")
        box_rows.check_all()

    def fits() -> bool:
        text = StringIO()
        write(text)
        return output.read_text(encoding="utf-8") == text.getvalue()

    if not already_made(output, "remap", made_of, overwrite=overwrite, say=say, fits=fits):
        with replacing(output) as file:
            write(file)
        write_origin(output, "remap", made_of)
    return output


def _check_boxes(predictions: Path, boxes: Boxes) -> None:
    """Raise DataError if the notes say that the predictions are of crops with other boxes, or of whole frames."""
    note = read_origin(predictions)
    if find_input(note, "boxes") is not None:
        raise DataError(
            f"{predictions} was predicted with boxes, so its coordinates are already those of the whole frame; "
            "there is nothing to remap"
        )
    for kind in ("video", "labels"):
        cut_with = find_input(note, kind, "boxes")
        if cut_with is not None and cut_with["sha256"] != boxes.sha256:
            raise DataError(
                f"{predictions} is of crops that were cut with other boxes than those in {boxes.path}. Give the boxes "
                "they were cut with, or run crop and predict again, with --overwrite"
            )


class _BoxRows:
    """Finds the box of each row of predictions, by its frame or its image."""

    def __init__(self, predictions: Path, boxes: Boxes, *, of_images: bool) -> None:
        self._predictions, self._boxes, self._of_images = predictions, boxes, of_images
        self._rows = {name: row for row, name in enumerate(boxes.index)}
        self._found: set[int] = set()

    def find(self, names: Sequence[str]) -> list[int]:
        """Return the row of each box. Raises DataError if a frame or image has no box, or occurs twice."""
        keys = names if self._of_images else map(str, parse_frame_numbers(self._predictions, names).tolist())
        rows = []
        for name in keys:
            row = self._rows.get(name)
            if row is None:
                raise DataError(
                    f"{self._boxes.path} has no box for {name}, but {self._predictions} has a row for it; {_ADVICE}"
                )
            if row in self._found:
                raise DataError(f"{self._predictions} has {name} more than once; expected one row each")
            self._found.add(row)
            rows.append(row)
        return rows

    def check_all(self) -> None:
        """Raise DataError if there were no predictions, or a box has none."""
        if not self._found:
            raise DataError(f"{self._predictions} has no predictions, only its header")
        if len(self._found) != len(self._boxes):
            raise DataError(
                f"{self._predictions} has {len(self._found)} rows, but {self._boxes.path} has {len(self._boxes)}; "
                f"{_ADVICE}"
            )


def _tables(predictions: Path, header: Header, *, of_images: bool) -> Iterator[pd.DataFrame]:
    """Yield the rows in portions, with numbers as coordinates; of a video in frame order. Raises DataError."""
    frames = None if of_images else read_frame_numbers(predictions, header)
    in_order = frames is None or bool((np.diff(frames) > 0).all())
    coords = {i: f"{b} {c}" for i, (b, c) in enumerate(header.columns, header.index_columns) if c in ("x", "y")}
    columns = header.index_columns + len(header.columns)
    for table in iter_rows(predictions, header, _ROWS if in_order else _ALL_ROWS):
        if table.shape[1] != columns:
            raise DataError(f"{predictions} has rows of {table.shape[1]} cells; its header has {columns}")
        index = table[0].fillna("").tolist()
        table[list(coords)] = to_numbers(predictions, index, table, list(coords), list(coords.values()))
        yield table if in_order else _sorted(predictions, table, header)


def _sorted(predictions: Path, table: pd.DataFrame, header: Header) -> pd.DataFrame:
    names, table = name_rows(predictions, table, header.index_columns)
    return table.iloc[parse_frame_numbers(predictions, names).argsort()]


def cropped_size(boxes: Boxes, predictions: Path, cropped_video: Path | None) -> tuple[int, int]:
    """Return the size of the cropped video of the predictions.

    Args:
        boxes: The boxes that it was cut with.
        predictions: The predictions.
        cropped_video: The video; None uses the size in the notes, or the size of the video that ``crop``
            wrote next to the boxes, or that of the video that ``crop`` would write.

    Returns:
        (W, H) in pixels.

    Raises:
        DataError: if the video has changed since it was predicted on.
        SourceError: if the video cannot be read.
    """
    given = cropped_video is not None
    if cropped_video is None:
        name = f"{predictions.stem}.mp4"
        candidates = (parent / "cropped_videos" / name for parent in boxes.path.resolve().parents)
        cropped_video = next((path for path in candidates if path.exists()), None)
    predicted_on = find_input(read_origin(predictions), "video")
    if find_input(predicted_on, "boxes") is not None and not given:
        return boxes.cropped_size()  # the notes say that crop cut it with these boxes
    if cropped_video is None:
        return boxes.cropped_size()
    video = VideoFile(cropped_video)
    video.close()
    if predicted_on is not None and predicted_on["sha256"] != fingerprint(cropped_video):
        raise DataError(
            f"{predictions} was made of another {cropped_video.name}: {cropped_video} has changed since. "
            "Run cropzoom predict again, with --overwrite"
        )
    return video.info.width, video.info.height


def _move(table: pd.DataFrame, header: Header, xyhw: np.ndarray, size: tuple[int, int] | None) -> None:
    for position, (_, coord) in enumerate(header.columns, header.index_columns):
        if coord in ("x", "y"):
            corner, side, extent = (0, 3, 0) if coord == "x" else (1, 2, 1)
            scale = 1.0 if size is None else xyhw[:, side] / size[extent]
            table[position] = table[position] * scale + xyhw[:, corner]
