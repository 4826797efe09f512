"""The CSV files of the field: labels and predictions, as DeepLabCut and Lightning Pose write them.

Three header rows (scorer, bodyparts, coords), then a row an image or frame. The index is the
frame number, or the image's path in one column or in three (folder, session, file).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.types import Float64

HEADER_ROWS = ("scorer", "bodyparts", "coords")
_COORDS = ("x", "y", "likelihood", "visible")


@dataclass(frozen=True, slots=True)
class Header:
    """What the three header rows say."""

    index_columns: int
    """Columns before the first coordinate."""
    scorer: str
    columns: tuple[tuple[str, str], ...]
    """(bodypart, coord) of each column after those; ("", "") for one that is neither, such as ``set``."""

    @property
    def keypoint_names(self) -> tuple[str, ...]:
        """The keypoints, in order."""
        return tuple(dict.fromkeys(bodypart for bodypart, coord in self.columns if coord == "x"))

    def position(self, bodypart: str, coord: str) -> int:
        """Return which column of the file holds it. Raises KeyError."""
        try:
            return self.index_columns + self.columns.index((bodypart, coord))
        except ValueError:
            raise KeyError(f"{bodypart} {coord}") from None


@dataclass(frozen=True, slots=True)
class Labels:
    """A label file."""

    path: Path
    images: tuple[str, ...]
    """Path of each image, as the file has it."""
    keypoint_names: tuple[str, ...]
    xy: Float64
    """(N, K, 2), frame pixels; NaN where unlabelled."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """A prediction file."""

    path: Path
    index: tuple[str, ...]
    """Frame number or image path of each row, as the file has it."""
    keypoint_names: tuple[str, ...]
    xy: Float64
    """(N, K, 2), in the space the file was written in; NaN where there is none."""
    likelihood: Float64
    """(N, K); NaN where the file has none."""


def read_header(path: Path) -> Header:
    """Read the three header rows. Raises DataError where one is missing, or the file is."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row, _ in zip(csv.reader(file), range(3), strict=False)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    names = [row[0] if row else "" for row in rows]
    if names != list(HEADER_ROWS):
        found = ", ".join(name or "(nothing)" for name in names) or "an empty file"
        raise DataError(
            f"{path} begins with {found}; expected three header rows that begin with {', '.join(HEADER_ROWS)}"
        )
    coords = rows[2]
    first = next((i for i, coord in enumerate(coords) if coord in _COORDS), None)
    if first is None or len(rows[0]) != len(coords) or len(rows[1]) != len(coords):
        raise DataError(f"{path}: the header rows do not match; expected columns x and y for each bodypart")
    columns = tuple((b, c) if c in _COORDS else ("", "") for b, c in zip(rows[1][first:], coords[first:], strict=True))
    header = Header(first, rows[0][first], columns)
    for bodypart in header.keypoint_names:
        if (bodypart, "y") not in columns:
            raise DataError(f"{path} has a column {bodypart} x but no {bodypart} y")
    return header


def read_labels(path: Path, keypoint_names: Sequence[str] | None = None) -> Labels:
    """Read a label file; with ``keypoint_names``, those alone and in their order.

    Empty cells are NaN, and so are both coordinates where one is missing. Raises DataError
    where the file is none, has no rows, or lacks a keypoint.
    """
    header = read_header(path)
    names = header.keypoint_names if keypoint_names is None else tuple(keypoint_names)
    missing = [name for name in names if name not in header.keypoint_names]
    if missing:
        raise DataError(
            f"{path} has no bodypart {', '.join(missing)}; it has {', '.join(header.keypoint_names)}: "
            "keypoint_names must be among them"
        )
    table = _read_rows(path, header)
    if table.empty:
        raise DataError(f"{path} has no labelled frames, only its header")
    images = tuple("/".join(cells) for cells in table.iloc[:, : header.index_columns].itertuples(index=False))
    xy = _numbers(path, table, [header.position(name, axis) for name in names for axis in "xy"])
    xy = xy.reshape(len(images), len(names), 2)
    xy[np.isnan(xy).any(axis=2)] = np.nan
    return Labels(path, images, names, xy)


def read_predictions(path: Path, *, live: bool = False) -> Predictions:
    """Read a prediction file. Raises DataError where it is none or has no rows.

    With ``live``, what a killed run may leave is no error: a last line that was cut off is left out,
    and there may be no rows.
    """
    header = read_header(path)
    table = _read_rows(path, header, live=live)
    if table.empty and not live:
        raise DataError(f"{path} has no predictions, only its header")
    return _predictions(path, header, table)


def chunks_of_predictions(path: Path, rows: int = 2_000) -> Iterator[Predictions]:
    """Yield a prediction file in portions, so that one of hours takes no more memory than one of minutes."""
    header = read_header(path)
    index = dict.fromkeys(range(header.index_columns), str)
    try:
        with pd.read_csv(path, header=None, skiprows=len(HEADER_ROWS), dtype=index, chunksize=rows) as tables:
            for table in tables:
                yield _predictions(path, header, table)
    except pd.errors.EmptyDataError:
        raise DataError(f"{path} has no predictions, only its header") from None
    except (OSError, pd.errors.ParserError) as error:
        raise DataError(f"cannot read {path}: {' '.join(str(error).split())}") from None


def header_text(path: Path) -> str:
    """Return the three header rows as they are."""
    with path.open(encoding="utf-8-sig") as file:
        return "".join(file.readline() for _ in HEADER_ROWS)


def _predictions(path: Path, header: Header, table: pd.DataFrame) -> Predictions:
    names = header.keypoint_names
    index = tuple("/".join(cells) for cells in table.iloc[:, : header.index_columns].itertuples(index=False))
    xy = _numbers(path, table, [header.position(name, axis) for name in names for axis in "xy"])
    likelihood = np.full((len(index), len(names)), np.nan)
    given = [k for k, name in enumerate(names) if (name, "likelihood") in header.columns]
    if given:
        likelihood[:, given] = _numbers(path, table, [header.position(names[k], "likelihood") for k in given])
    return Predictions(path, index, names, xy.reshape(len(index), len(names), 2), likelihood)


def complete_lines(path: Path) -> BytesIO:
    """Return the lines of a file that are there to their end. Raises OSError."""
    content = path.read_bytes()
    return BytesIO(content[: content.rfind(b"\n") + 1])


def _read_rows(path: Path, header: Header, *, live: bool = False) -> pd.DataFrame:
    """The rows under the header. Read together with its header, pandas drops a first row of empty cells."""
    index = dict.fromkeys(range(header.index_columns), str)
    try:
        rows = complete_lines(path) if live else path
        return pd.read_csv(rows, header=None, skiprows=len(HEADER_ROWS), dtype=index)
    except pd.errors.EmptyDataError:
        return pd.DataFrame(columns=range(header.index_columns + len(header.columns)))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {' '.join(str(error).split())}") from None


def _numbers(path: Path, table: pd.DataFrame, columns: Sequence[int]) -> Float64:
    try:
        return table.iloc[:, list(columns)].to_numpy(dtype=np.float64, na_value=np.nan)
    except (ValueError, IndexError) as error:
        raise DataError(f"{path} has a coordinate that is no number: {error}") from None
