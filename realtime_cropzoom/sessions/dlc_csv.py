"""CSV files of labels and predictions in the format of DeepLabCut and Lightning Pose.

Three header rows (scorer, bodyparts, coords) precede one row per image or frame. The index is the frame
number, or the path of the image in one column or in three (folder, session, file).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from realtime_cropzoom.errors import DataError, listed, pluralize, quoted
from realtime_cropzoom.files.csv_text import (
    cannot_read,
    first_records,
    name_rows,
    pandas_options,
    parse_frame_numbers,
    read_number_rows,
    refuse_long_rows,
    to_numbers,
)
from realtime_cropzoom.sessions.pose_rows import ANIMALS, animal_names
from realtime_cropzoom.types import Float64

if TYPE_CHECKING:
    import pandas as pd

HEADER_ROWS = ("scorer", "bodyparts", "coords")
_COORDS = ("x", "y", "likelihood", "visible")
_FARTHEST_PX = 1e6
"""A label farther out is no position in any picture."""
_INDEX_ROWS = 200_000
_MAX_MISSING_PER_ROW = 1_000
"""Maximum number of missing frames per row. In a file with more, the index does not hold frame numbers."""


@dataclass(frozen=True, slots=True)
class Header:
    """The three header rows."""

    index_columns: int
    """Number of columns before the first coordinate."""
    scorer: str
    columns: tuple[tuple[str, str], ...]
    """(bodypart, coord) of each further column; ("", "") for another kind of column, such as ``set``."""

    @property
    def keypoint_names(self) -> tuple[str, ...]:
        """Names of the K keypoints, in order."""
        return tuple(dict.fromkeys(bodypart for bodypart, coord in self.columns if coord == "x"))

    def position(self, bodypart: str, coord: str) -> int:
        """Return the column of a coordinate, counted from 0. Raises KeyError if the file does not have it."""
        try:
            return self.index_columns + self.columns.index((bodypart, coord))
        except ValueError:
            raise KeyError(f"{bodypart} {coord}") from None


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of a file."""

    path: Path
    images: tuple[str, ...]
    """Path of each image, as the file has it."""
    keypoint_names: tuple[str, ...]
    xy: Float64
    """(N, K, 2), image pixels; NaN for a keypoint without a label."""
    half: tuple[str, ...] = ()
    """Keypoints with one coordinate, in words; they have no label."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """The predictions of a file, or of a part of it."""

    path: Path
    scorer: str
    index: tuple[str, ...]
    """Frame number or image path of each row, as the file has it."""
    keypoint_names: tuple[str, ...]
    xy: Float64
    """(N, K, 2), in the space of the file; NaN for an empty cell."""
    likelihood: Float64
    """(N, K); NaN for an empty cell, or if the file has none."""


def read_header(path: Path) -> Header:
    """Read the three header rows. Raises DataError if the file or a header row is missing, or they do not match."""
    rows, _ = first_records(path, len(HEADER_ROWS))
    names = [row[0].strip() if row else "" for row in rows]
    if names != list(HEADER_ROWS):
        found = ", ".join(name or "(nothing)" for name in names) or "an empty file"
        if "individuals" in names:
            one = path.with_name(f"{path.stem.removesuffix(ANIMALS)}_{animal_names(2)[0]}.csv")
            where = f"such as {one}" if one.is_file() else "with three header rows"
            raise DataError(f"{path} has the poses of several animals. Give the file of one, {where}")
        raise DataError(
            f"{path} begins with {found}; expected three header rows that begin with {', '.join(HEADER_ROWS)}"
        )
    coords = [coord.strip() for coord in rows[2]]
    first = next((i for i, coord in enumerate(coords) if coord in _COORDS), None)
    if first is None or len(rows[0]) != len(coords) or len(rows[1]) != len(coords):
        raise DataError(f"{path}: the header rows do not match; expected columns x and y for each bodypart")
    columns = tuple((b, c) if c in _COORDS else ("", "") for b, c in zip(rows[1][first:], coords[first:], strict=True))
    _check_columns(path, columns)
    return Header(first, rows[0][first], columns)


def _check_columns(path: Path, columns: Sequence[tuple[str, str]]) -> None:
    coordinates = [column for column in columns if column[1]]
    twice = next((column for column in coordinates if coordinates.count(column) > 1), None)
    if twice is not None:
        raise DataError(f"{path} has two keypoints with the name {quoted(twice[0])}; rename one of them")
    for bodypart, coord in coordinates:
        if not bodypart.strip():
            raise DataError(f"{path} has a column {coord} of a keypoint without a name; name it")
        if coord in "xy" and (bodypart, "yx"["xy".index(coord)]) not in columns:
            raise DataError(
                f"{path} has a column {quoted(bodypart)} {coord} but no {quoted(bodypart)} {'yx'['xy'.index(coord)]}"
            )


def read_labels(path: Path, keypoint_names: Sequence[str] | None = None, *, partly: bool = False) -> Labels:
    """Read a label file.

    Args:
        path: The file.
        keypoint_names: The keypoints to read, in this order; None reads all.
        partly: Whether the file may lack keypoints, such as one that a project got after its first labels.

    Returns:
        The labels. If one coordinate of a keypoint is missing, both are NaN; a keypoint that the file lacks is NaN.

    Raises:
        DataError: if the file cannot be read, has no rows, or lacks a keypoint that it may not lack.
    """
    header = read_header(path)
    names = header.keypoint_names if keypoint_names is None else tuple(keypoint_names)
    missing = [name for name in names if name not in header.keypoint_names]
    if missing and not partly:
        raise DataError(
            f"{path} has no bodypart {listed(missing)}; it has {listed(header.keypoint_names)}: "
            "keypoint_names must be among them"
        )
    images, table = name_rows(path, _read_rows(path, header), header.index_columns)
    if not images:
        raise DataError(f"{path} has no labelled frames, only its header")
    there = [k for k, name in enumerate(names) if name not in missing]
    found = _numbers(path, header, images, table, [(names[k], axis) for k in there for axis in "xy"])
    xy = np.full((len(images), len(names), 2), np.nan)
    xy[:, there] = found.reshape(len(images), len(there), 2)
    half = np.isnan(xy).any(axis=2) & ~np.isnan(xy).all(axis=2)
    xy[half] = np.nan
    _check_near(path, images, names, xy)
    return Labels(path, images, names, xy, tuple(f"{quoted(names[k])} of {images[i]}" for i, k in np.argwhere(half)))


def half_notes(half: Sequence[str]) -> tuple[str, ...]:
    """Return what is to be said of keypoints with one coordinate.

    Args:
        half: The keypoints, in words.
    """
    if not half:
        return ()
    count = pluralize(len(half), "keypoint")
    return (f"half: {count} with x but no y, or y but no x, first {half[0]}. Taken as hidden",)


def _check_near(path: Path, images: Sequence[str], names: Sequence[str], xy: Float64) -> None:
    far = np.argwhere(np.abs(xy) > _FARTHEST_PX)
    if len(far):
        row, k, axis = (int(i) for i in far[0])
        raise DataError(
            f"{path}: got {xy[row, k, axis]:g} for {quoted(names[k])} {'xy'[axis]} of {images[row]}, expected pixels "
            "of its picture. Correct it, or empty the cell"
        )


def labels_outside(
    path: Path,
    images: Sequence[str],
    keypoint_names: Sequence[str],
    xy: npt.NDArray[np.floating[Any]],
    sizes: Sequence[tuple[int, int]],
    what: str = "picture",
) -> str | None:
    """Return a warning if labels lie outside their pictures.

    Args:
        path: The label file.
        images: Names of the N images.
        keypoint_names: Names of the K keypoints.
        xy: (N, K, 2) labels, in pixels of the pictures; NaN without a label.
        sizes: (W, H) of each picture.
        what: The word for a picture in the warning.

    Returns:
        One line; None if all labels lie inside.
    """
    limits = np.array(sizes, np.float64).reshape(len(images), 1, 2)
    outside = ((xy < -1) | (xy > limits)).any(axis=2)
    if not outside.any():
        return None
    row, k = (int(i) for i in np.argwhere(outside)[0])
    (width, height), (x, y) = sizes[row], xy[row, k]
    return (
        f"{path}: {int(outside.sum())} of {int(np.isfinite(xy).all(axis=2).sum())} labels lie outside their {what}; "
        f"the first is {quoted(keypoint_names[k])} of {images[row]}, at {x:.1f}, {y:.1f} in {width}x{height} pixels. "
        "They are used as they are"
    )


def read_predictions(path: Path, *, live: bool = False) -> Predictions:
    """Read a prediction file.

    Args:
        path: The file.
        live: Whether a live run wrote it, which may have been killed. Then a last line that was cut off is left out,
            and the file may have no rows.

    Raises:
        DataError: if the file cannot be read, or has no rows.
    """
    header = read_header(path)
    predictions = _predictions(path, header, _read_rows(path, header, live=live))
    if not predictions.index and not live:
        raise DataError(f"{path} has no predictions, only its header")
    return predictions


def iter_predictions(path: Path, rows: int = 2_000) -> Iterator[Predictions]:
    """Yield a prediction file in portions of ``rows``. Memory use does not grow with the file. Raises DataError."""
    header = read_header(path)
    count = 0
    for table in iter_rows(path, header, rows):
        predictions = _predictions(path, header, table)
        count += len(predictions.index)
        yield predictions
    if not count:
        raise DataError(f"{path} has no predictions, only its header")


def iter_frame_predictions(path: Path, rows: int = 2_000) -> Iterator[Predictions]:
    """Yield the predictions of a video in portions, with row i for frame i; NaN for a frame that the file lacks.

    If the rows are not in frame order, the file is read at once.

    Raises:
        DataError: if the file cannot be read, a row names no frame, or two rows name the same.
    """
    frames = read_frame_numbers(path, read_header(path))
    if np.array_equal(frames, np.arange(len(frames))):
        yield from iter_predictions(path, rows)
        return
    found = read_predictions(path)
    count = int(frames.max()) + 1
    if count > _MAX_MISSING_PER_ROW * (len(frames) + 1_000):
        raise DataError(f"{path} has {len(frames)} rows and a frame {count - 1}; expected one row per frame")
    xy, likelihood = np.full((count, *found.xy.shape[1:]), np.nan), np.full((count, found.xy.shape[1]), np.nan)
    xy[frames], likelihood[frames] = found.xy, found.likelihood
    index = tuple(map(str, range(count)))
    yield Predictions(path, found.scorer, index, found.keypoint_names, xy, likelihood)


def read_frame_numbers(path: Path, header: Header) -> npt.NDArray[np.int64]:
    """Return the frame number of each row, (rows,). Raises DataError if a row names no frame, or two name the same."""
    index: list[str] = []
    for table in iter_rows(path, header, _INDEX_ROWS, index_only=True):
        index += name_rows(path, table, header.index_columns)[0]
    return parse_frame_numbers(path, index)


def iter_rows(path: Path, header: Header, rows: int, *, index_only: bool = False) -> Iterator[pd.DataFrame]:
    """Yield the rows below the header in portions.

    Args:
        path: The file.
        header: Its header.
        rows: Number of rows of a portion.
        index_only: Whether to read only the index columns.

    Raises:
        DataError: if the file cannot be read, or has no rows.
    """
    import pandas as pd  # 0.3 s, which the end of a run need not wait for

    how = pandas_options(header.index_columns, len(header.columns))
    columns = range(header.index_columns) if index_only else None
    if index_only:
        how = {**how, "na_values": {}}
    try:
        with pd.read_csv(path, skiprows=len(HEADER_ROWS), chunksize=rows, usecols=columns, **how) as tables:
            for table in tables:
                refuse_long_rows(path, table, len(HEADER_ROWS), header.index_columns + len(header.columns))
                yield table
    except pd.errors.EmptyDataError:
        raise DataError(f"{path} has no predictions, only its header") from None
    except (OSError, ValueError) as error:
        raise cannot_read(path, error) from None


def header_text(path: Path) -> str:
    """Return the unchanged text of the three header rows. Raises DataError if the file cannot be read."""
    return first_records(path, len(HEADER_ROWS))[1]


def _predictions(path: Path, header: Header, table: pd.DataFrame) -> Predictions:
    names = header.keypoint_names
    index, table = name_rows(path, table, header.index_columns)
    xy = _numbers(path, header, index, table, [(name, axis) for name in names for axis in "xy"])
    likelihood = np.full((len(index), len(names)), np.nan)
    given = [k for k, name in enumerate(names) if (name, "likelihood") in header.columns]
    if given:
        likelihood[:, given] = _numbers(path, header, index, table, [(names[k], "likelihood") for k in given])
    return Predictions(path, header.scorer, index, names, xy.reshape(len(index), len(names), 2), likelihood)


def _read_rows(path: Path, header: Header, *, live: bool = False) -> pd.DataFrame:
    return read_number_rows(
        path,
        header_rows=len(HEADER_ROWS),
        index_columns=header.index_columns,
        columns=len(header.columns),
        complete_only=live,
    )


def _numbers(
    path: Path, header: Header, index: Sequence[str], table: pd.DataFrame, columns: Sequence[tuple[str, str]]
) -> Float64:
    return to_numbers(
        path,
        index,
        table,
        [header.position(*c) for c in columns],
        [f"{quoted(name)} {coord}" for name, coord in columns],
    )
