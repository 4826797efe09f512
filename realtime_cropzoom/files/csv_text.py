"""CSV files as spreadsheets and other programs leave them: what is read of them, and what is refused in which words."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.types import Float64

if TYPE_CHECKING:
    import pandas as pd

MISSING = ("", "nan", "NaN", "NAN", "-nan", "-NaN", "NA", "N/A", "n/a", "#N/A", "<NA>", "null", "NULL", "None")
"""What a cell without a number may hold."""
_DECIMAL_COMMA = re.compile(r"\s*[-+]?\d+,\d+\s*")
_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs"}


def cannot_read(path: Path, error: Exception, what: str = "") -> DataError:
    """Return the error that says in one line why ``path`` cannot be read. ``what`` names its kind, as "the table "."""
    if isinstance(error, UnicodeDecodeError):
        return DataError(f"cannot read {what}{path}: it is not UTF-8 text; save it as CSV in UTF-8")
    text = getattr(error, "strerror", None) or " ".join(str(error).split())
    return DataError(f"cannot read {what}{path}: {text}")


def check_separator(path: Path, first_line: str) -> None:
    """Raise DataError where the columns are separated by something else than commas."""
    for mark, words in _OTHER_SEPARATORS.items():
        if mark in first_line and "," not in first_line:
            raise DataError(
                f"{path} separates its columns with {words}; expected commas, and points as decimal marks. "
                "Save it as CSV with commas, for example from a program set to English"
            )


def first_records(path: Path, count: int, what: str = "") -> tuple[list[list[str]], str]:
    """Return the cells of the first records, and their text as it is, with ``\\n`` at the end of lines.

    A record may have several lines, where a cell in quotes has a line break. Raises DataError.
    """
    taken: list[str] = []

    def lines(file: Iterator[str]) -> Iterator[str]:
        for line in file:
            taken.append(line)
            yield line

    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for _, row in zip(range(count), csv.reader(lines(file)), strict=False)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise cannot_read(path, error, what) from None
    text = "".join(taken)
    if taken:
        check_separator(path, taken[0])
    return rows, text.replace("\r\n", "\n").replace("\r", "\n")


def reading(index_columns: int, columns: int) -> dict[str, Any]:
    """Return how pandas is to read rows without a header: the index as text that stays as it is, numbers after it."""
    return {
        "header": None,
        "dtype": dict.fromkeys(range(index_columns), str),
        "keep_default_na": False,
        "na_values": {position: list(MISSING) for position in range(index_columns, index_columns + columns)},
        "encoding": "utf-8-sig",
    }


def named_rows(path: Path, table: pd.DataFrame, index_columns: int) -> tuple[tuple[str, ...], pd.DataFrame]:
    """Return the name of each row, and the rows; empty ones, as spreadsheets leave them at the end, are left out.

    Raises DataError where a row has numbers but no name.
    """
    cells = table.iloc[:, :index_columns].fillna("")
    nameless = (cells == "").all(axis=1)
    if nameless.any():
        rest = table.iloc[:, index_columns:].replace("", np.nan)
        with_numbers = nameless & rest.notna().any(axis=1)
        if with_numbers.any():
            row = int(with_numbers.to_numpy().argmax())
            raise DataError(
                f"{path} has nothing in the first cell of row {row + int(table.index[0])}; "
                "expected the number of a frame, or the name of an image"
            )
        table, cells = table[~nameless], cells[~nameless]
    return tuple("/".join(row) for row in cells.itertuples(index=False)), table


def numbers(
    path: Path, index: Sequence[str], table: pd.DataFrame, positions: Sequence[int], names: Sequence[str]
) -> Float64:
    """Return columns as numbers, NaN for empty cells. Raises DataError that names the first cell that is none."""
    if positions and table.shape[1] <= max(positions):
        raise DataError(f"{path} has rows of {table.shape[1]} cells; its header has more: {max(positions) + 1}")
    chosen = table.iloc[:, list(positions)]
    try:
        values: Float64 = chosen.to_numpy(dtype=np.float64, na_value=np.nan)
        is_bad = np.isinf(values)
    except (ValueError, TypeError):
        from pandas import to_numeric  # a live run reads boxes here, and does not need pandas

        as_numbers = chosen.apply(to_numeric, errors="coerce")
        is_bad = (as_numbers.isna() & chosen.notna()).to_numpy()
    if is_bad.any():
        row, column = (int(i) for i in np.argwhere(is_bad)[0])
        cell = str(chosen.iloc[row, column])
        hint = ", with a point as decimal mark" if _DECIMAL_COMMA.fullmatch(cell) else ", or an empty cell"
        raise DataError(
            f"{path} has a coordinate that is no number: {cell!r} for {names[column]} of {index[row]}; "
            f"expected a number{hint}"
        )
    return values


def frame_number(cell: str) -> int | None:
    """Return the number of a frame, or None where the cell is none; ``3.0`` is one, as pandas writes it."""
    text = cell.strip()
    whole, point, rest = text.partition(".")
    if not (whole.isascii() and whole.isdigit()) or len(whole) > 15 or (point and rest.strip("0")):
        return None
    return int(whole)


def frame_numbers(path: Path, index: Sequence[str], what: str = "row") -> npt.NDArray[np.int64]:
    """Return the frame that each row is about. Raises DataError where one is none, or is there twice."""
    found = [frame_number(cell) for cell in index]
    if None in found:
        row = found.index(None)
        raise DataError(
            f"{path} has {index[row]!r} in the first cell of {what} {row}; "
            "expected the number of a frame, counted from 0"
        )
    frames = np.array(found, np.int64)
    unique, counts = np.unique(frames, return_counts=True)
    if (counts > 1).any():
        raise DataError(
            f"{path} has frame {unique[counts > 1][0]} more than once "
            f"({int((counts > 1).sum())} frames are); expected each frame once"
        )
    return frames
