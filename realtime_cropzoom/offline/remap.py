"""``cropzoom remap``: predictions on a cropped video or on cropped images, back in frame space.

A crop whose box is not as large as the cropped video was resized, so its coordinates are scaled
back before the box's corner is added: x = x_crop / W · w + x_box. ``litpose remap`` leaves the
scale out; where every box is as large as the video, both give the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.offline.boxfile import Boxes, read_boxes
from realtime_cropzoom.offline.outputs import replacing
from realtime_cropzoom.sources.video import VideoFile
from realtime_cropzoom.tables import HEADER_ROWS, Header, header_text, read_header

_ROWS = 10_000


def remap(predictions: Path, box_file: Path, cropped_video: Path | None = None) -> Path:
    """Write ``remapped_<predictions>`` beside the predictions and return it.

    The size of the cropped video is that of ``cropped_video``, of the one that ``crop`` has left
    beside the boxes, or, where there is none, the one that ``crop`` would make. Raises DataError.
    """
    header = read_header(predictions)
    boxes = read_boxes(box_file)
    of_images = ("", "") in header.columns or not boxes.index[0].isdigit()
    size = None if of_images else cropped_size(boxes, predictions, cropped_video)
    output = predictions.with_name(f"remapped_{predictions.name}")
    done = 0
    with replacing(output) as file:
        file.write(header_text(predictions))
        for table in _tables(predictions, header):
            rows = slice(done, done + len(table))
            done = rows.stop
            _check_rows(predictions, table[0].tolist(), boxes, rows)
            _move(table, header, boxes.xyhw[rows], size)
            table.to_csv(file, header=False, index=False, lineterminator="\n")
        if done != len(boxes):
            raise DataError(f"{predictions} has {done} rows, but {box_file} has {len(boxes)}; expected one box a row")
    return output


def _tables(predictions: Path, header: Header) -> Iterator[pd.DataFrame]:
    """Yield the rows in portions, coordinates as numbers. Raises DataError."""
    coords = [i for i, (_, coord) in enumerate(header.columns, header.index_columns) if coord in ("x", "y")]
    columns = header.index_columns + len(header.columns)
    try:
        with pd.read_csv(
            predictions, header=None, skiprows=len(HEADER_ROWS), dtype={0: str}, chunksize=_ROWS
        ) as tables:
            for table in tables:
                if table.shape[1] != columns:
                    raise DataError(f"{predictions} has rows of {table.shape[1]} cells; its header has {columns}")
                table[coords] = table[coords].astype(np.float64)
                yield table
    except pd.errors.EmptyDataError:
        raise DataError(f"{predictions} has no predictions, only its header") from None
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {predictions}: {' '.join(str(error).split())}") from None


def cropped_size(boxes: Boxes, predictions: Path, cropped_video: Path | None) -> tuple[int, int]:
    """Return (W, H) of the video that was predicted on."""
    if cropped_video is None:
        name = f"{predictions.stem}.mp4"
        candidates = (parent / "cropped_videos" / name for parent in boxes.path.resolve().parents)
        cropped_video = next((path for path in candidates if path.exists()), None)
    if cropped_video is None:
        return boxes.cropped_size()
    video = VideoFile(cropped_video)
    video.close()
    return video.info.width, video.info.height


def _move(table: pd.DataFrame, header: Header, xyhw: np.ndarray, size: tuple[int, int] | None) -> None:
    for position, (_, coord) in enumerate(header.columns, header.index_columns):
        if coord in ("x", "y"):
            corner, side, extent = (0, 3, 0) if coord == "x" else (1, 2, 1)
            scale = 1.0 if size is None else xyhw[:, side] / size[extent]
            table[position] = table[position] * scale + xyhw[:, corner]


def _check_rows(predictions: Path, names: list[str], boxes: Boxes, rows: slice) -> None:
    expected = list(boxes.index[rows])
    if names != expected:
        row = next((i for i, (a, b) in enumerate(zip(names, expected, strict=False)) if a != b), len(expected))
        found = names[row] if row < len(names) else "no row"
        wanted = expected[row] if row < len(expected) else "none"
        raise DataError(
            f"row {rows.start + row} of {predictions} is of {found}, that of {boxes.path} of {wanted}; "
            "expected the boxes that these crops were made with"
        )
