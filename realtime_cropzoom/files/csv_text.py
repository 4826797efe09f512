"""CSV text: reads files of this package, of spreadsheets and of other programs, and writes rows.

Reading reports the first bad cell in one line. Files of a killed run are read up to their last complete line.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from realtime_cropzoom.errors import DataError, pluralize
from realtime_cropzoom.types import Float64

if TYPE_CHECKING:
    import pandas as pd

MISSING = ("", "nan", "NaN", "NAN", "-nan", "-NaN", "NA", "N/A", "n/a", "#N/A", "<NA>", "null", "NULL", "None")
"""Texts that are read as an empty cell."""
_DECIMAL_COMMA = re.compile(r"\s*[-+]?\d+,\d+\s*")
_LONG_ROW = re.compile(r"Expected (\d+) fields in line (\d+), saw (\d+)")
"""What pandas says of a row that is longer than the first."""
_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs"}


def cannot_read(path: Path, error: Exception, what: str = "") -> DataError:
    """Return the one-line error for a file that cannot be read.

    Args:
        path: The file.
        error: The error that reading it raised.
        what: Kind of file, ending in a space: "the table ". Empty for no kind.
    """
    if isinstance(error, UnicodeDecodeError):
        return DataError(f"cannot read {what}{path}: it is not UTF-8 text; save it as CSV in UTF-8")
    long = _LONG_ROW.search(str(error))
    if long:
        expected, line, got = map(int, long.groups())
        return too_many_cells(path, line, got, expected)
    text = getattr(error, "strerror", None) or " ".join(str(error).split())
    return DataError(f"cannot read {what}{path}: {text}")


def too_many_cells(path: Path, line: int, got: int, expected: int) -> DataError:
    """Return the error for a row that is longer than the header: nobody knows which cells are which.

    Args:
        path: The file.
        line: Number of the line, counted from 1.
        got: Number of its cells.
        expected: Number of cells of the header.
    """
    return DataError(
        f"{path}, line {line}: got {got} cells, expected {expected} as in the header. Are the decimal marks commas "
        "(21,5)? Save the file with points (21.5)"
    )


def complete_lines(path: Path) -> BytesIO:
    """Return the complete lines of a file, without a last line that was cut off. Raises OSError."""
    content = path.read_bytes()
    return BytesIO(content[: content.rfind(b"\n") + 1])


class Records:
    """The rows of a CSV file with one header row, as texts. Iterate once."""

    def __init__(self, path: Path, *, complete_only: bool = False, what: str = "") -> None:
        """Open the file and read its header.

        Args:
            path: The file.
            complete_only: Whether to leave out a last line that was cut off.
            what: Kind of file, ending in a space, for the error text.

        Raises:
            DataError: if the file cannot be read, is not UTF-8 or has other separators than commas.
        """
        self._path, self._what = path, what
        try:
            content = complete_lines(path).getvalue() if complete_only else path.read_bytes()
            self._reader = csv.DictReader(StringIO(content.decode("utf-8-sig"), newline=""))
            self.columns: tuple[str, ...] = tuple(self._reader.fieldnames or ())
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise cannot_read(path, error, what) from error
        check_separator(path, ",".join(self.columns) if len(self.columns) > 1 else "".join(self.columns))

    def __iter__(self) -> Iterator[dict[str, str]]:
        """Yield each row by column name. Raises DataError if the text is not valid CSV."""
        try:
            yield from self._reader
        except csv.Error as error:
            raise cannot_read(self._path, error, self._what) from error


def check_separator(path: Path, first_line: str) -> None:
    """Check that the first line of a CSV file separates its columns with commas.

    Raises:
        DataError: if the line has semicolons or tabs and no comma.
    """
    for mark, words in _OTHER_SEPARATORS.items():
        if mark in first_line and "," not in first_line:
            raise DataError(
                f"{path} separates its columns with {words}; expected commas, and points as decimal marks. "
                "Save it as CSV with commas, for example from a program set to English"
            )


def first_records(path: Path, count: int, what: str = "") -> tuple[list[list[str]], str]:
    """Return the cells of the first ``count`` records, and their unchanged text with ``\\n`` as line break.

    A record has several lines if a quoted cell contains a line break. A short file gives fewer records.

    Raises:
        DataError: if the file cannot be read, is not UTF-8 or has other separators than commas.
    """
    read: list[str] = []

    def lines(file: Iterator[str]) -> Iterator[str]:
        for line in file:
            read.append(line)
            yield line

    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for _, row in zip(range(count), csv.reader(lines(file)), strict=False)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise cannot_read(path, error, what) from None
    text = "".join(read)
    if read:
        check_separator(path, read[0])
    return rows, text.replace("\r\n", "\n").replace("\r", "\n")


def pandas_options(index_columns: int, columns: int) -> dict[str, Any]:
    """Return the arguments of ``pandas.read_csv`` for rows without a header.

    Args:
        index_columns: Number of leading columns that are read as unchanged text.
        columns: Number of columns after them, which hold numbers. Each text of ``MISSING`` becomes NaN.
    """
    import pandas as pd

    # pandas 2 reads the last digits inexactly, unless it is asked; later ones do not know the question.
    exact = {"float_precision": "round_trip"} if pd.__version__.startswith("2.") else {}
    return {
        "header": None,
        "dtype": dict.fromkeys(range(index_columns), str),
        "keep_default_na": False,
        "na_values": {position: list(MISSING) for position in range(index_columns, index_columns + columns)},
        "encoding": "utf-8-sig",
        **exact,
    }


def read_number_rows(
    path: Path,
    *,
    header_rows: int,
    index_columns: int,
    columns: int,
    complete_only: bool = False,
    what: str = "",
) -> pd.DataFrame:
    """Read the rows below the header of a file of numbers.

    The header is not read together with the rows: pandas would drop a first row of empty cells.

    Args:
        path: The file.
        header_rows: Number of header rows.
        index_columns: Number of leading columns that are read as unchanged text.
        columns: Number of columns after them, which hold numbers.
        complete_only: Whether to leave out a last line that was cut off.
        what: Kind of file, ending in a space, for the error text.

    Returns:
        The rows, with columns counted from 0; an empty table if there are none.

    Raises:
        DataError: if the file cannot be read.
    """
    import pandas as pd

    try:
        source = complete_lines(path) if complete_only else path
        table: pd.DataFrame = pd.read_csv(source, skiprows=header_rows, **pandas_options(index_columns, columns))
    except pd.errors.EmptyDataError:
        return pd.DataFrame(columns=range(index_columns + columns))
    except (OSError, ValueError) as error:
        raise cannot_read(path, error, what) from None
    refuse_long_rows(path, table, header_rows, index_columns + columns)
    return table


def refuse_long_rows(path: Path, table: pd.DataFrame, header_rows: int, columns: int) -> None:
    """Refuse rows with more cells than the header. Empty ones at the end, which spreadsheets leave, do not count.

    Args:
        path: The file.
        table: Its rows, or some of them, as pandas read them.
        header_rows: Number of header rows.
        columns: Number of cells of the header.

    Raises:
        DataError: if a row is too long.
    """
    more = table.iloc[:, columns:]
    if not (more.notna() & (more != "")).to_numpy().any():
        return
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        for number, row in enumerate(rows):
            if number >= header_rows and any(cell.strip() for cell in row[columns:]):
                raise too_many_cells(path, rows.line_num, len(row), columns)


def name_rows(path: Path, table: pd.DataFrame, index_columns: int) -> tuple[tuple[str, ...], pd.DataFrame]:
    """Return the name of each row, and the rows without empty ones, which spreadsheets leave at the end.

    Args:
        path: The file, for the error text.
        table: The rows as pandas read them.
        index_columns: Number of leading columns that form the name. Their cells are joined with "/".

    Raises:
        DataError: if a row has numbers but no name.
    """
    cells = table.iloc[:, :index_columns].fillna("")
    nameless = (cells == "").all(axis=1)
    if nameless.any():
        rest = table.iloc[:, index_columns:].replace("", np.nan)
        with_numbers = nameless & rest.notna().any(axis=1)
        if with_numbers.any():
            row = int(with_numbers.to_numpy().argmax())
            raise DataError(
                f"{path} has nothing in the first cell of data row {row + int(table.index[0])}, counted from 0; "
                "expected the number of a frame, or the name of an image"
            )
        table, cells = table[~nameless], cells[~nameless]
    return tuple("/".join(row) for row in cells.itertuples(index=False)), table


def to_numbers(
    path: Path, index: Sequence[str], table: pd.DataFrame, positions: Sequence[int], names: Sequence[str]
) -> Float64:
    """Return columns of a table as numbers.

    Args:
        path: The file, for the error text.
        index: The name of each row, for the error text.
        table: The rows as pandas read them.
        positions: The columns to return, counted from 0.
        names: The name of each returned column, for the error text.

    Returns:
        (rows, columns) float64; NaN for an empty cell.

    Raises:
        DataError: if a row is too short, or a cell that is not empty holds no finite number; the error names the
                first.
    """
    if positions and table.shape[1] <= max(positions):
        raise DataError(f"{path} has rows of {table.shape[1]} cells; its header has more: {max(positions) + 1}")
    chosen = table.iloc[:, list(positions)]
    try:
        values: Float64 = chosen.to_numpy(dtype=np.float64, na_value=np.nan)
        is_bad, wrong = np.isinf(values), "not finite"
    except (ValueError, TypeError):
        from pandas import to_numeric  # a live run imports this module without pandas

        as_numbers = chosen.apply(to_numeric, errors="coerce")
        is_bad, wrong = (as_numbers.isna() & chosen.notna()).to_numpy(), "not a number"
    if is_bad.any():
        row, column = (int(i) for i in np.argwhere(is_bad)[0])
        cell = str(chosen.iloc[row, column])
        hint = ", with a point as decimal mark" if _DECIMAL_COMMA.fullmatch(cell) else ", or an empty cell"
        raise DataError(
            f"{path} has a coordinate that is {wrong}: {cell!r} for {names[column]} of {index[row]}; "
            f"expected a number{hint}"
        )
    return values


def csv_line(cells: Iterable[object]) -> str:
    """Return a row with its line break; a cell of None is empty."""
    return ",".join("" if cell is None else text_cell(str(cell)) for cell in cells) + "\n"


def text_cell(text: str) -> str:
    """Return a cell of text, such as the name of an image, in quotes if it needs them."""
    return '"' + text.replace('"', '""') + '"' if set(text) & set(',"\r\n') else text


def parse_frame_number(cell: str) -> int | None:
    """Return the frame number in a cell, or None if it holds none. ``3.0``, as pandas writes it, is read as 3."""
    text = cell.strip()
    whole, point, rest = text.partition(".")
    if not (whole.isascii() and whole.isdigit()) or len(whole) > 15 or (point and rest.strip("0")):
        return None
    return int(whole)


def parse_frame_numbers(path: Path, index: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the frame number of each row, (rows,) int64, counted from 0.

    Args:
        path: The file, for the error text.
        index: The first cell of each row.

    Raises:
        DataError: if a cell holds no frame number, or a frame occurs twice.
    """
    found = [parse_frame_number(cell) for cell in index]
    if None in found:
        row = found.index(None)
        raise DataError(
            f"{path} has {index[row]!r} in the first cell of data row {row}, counted from 0; "
            "expected the number of a frame, counted from 0"
        )
    frames = np.array(found, np.int64)
    unique, counts = np.unique(frames, return_counts=True)
    if (counts > 1).any():
        raise DataError(
            f"{path} repeats frame {unique[counts > 1][0]} ({pluralize(int((counts > 1).sum()), 'repeated frame')}); "
            "expected each frame once"
        )
    return frames
