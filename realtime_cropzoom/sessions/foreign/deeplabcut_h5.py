"""Tables of DeepLabCut as ``.h5``, as pandas saves them, read without pandas: predictions, and labels of images.

pandas keeps the names of the columns as a pickle, which can run any code when it is loaded. Here its few instructions
for texts, numbers, lists and tuples are read one by one; any other is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from pickletools import genops
from typing import Any

import numpy as np
import numpy.typing as npt

from realtime_cropzoom.errors import DataError, quoted, shorten
from realtime_cropzoom.sessions.foreign.poses import MAX_VALUES, Poses
from realtime_cropzoom.types import Float64

_KEYS = ("df_with_missing", "keypoints")
"""Names under which DeepLabCut saves its table; the second one is that of older versions of its labelling tool."""
_COORDS = ("x", "y", "likelihood")
_DEPTHS = (3, 4)
"""Number of levels of the columns: scorer, individuals if there are several animals, bodyparts, coords."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A table of DeepLabCut."""

    columns: list[tuple[str, ...]]
    """scorer, bodypart, coord of each column; with several animals the individual comes second."""
    index: list[Any]
    """Of each row: the number of its frame, the path of its image, or the parts of that path as a tuple."""
    numbers: Float64
    """(rows, columns)."""


def read(path: Path, file: Any) -> Poses:
    """Read predictions that DeepLabCut has saved, or ``cropzoom convert --to h5``.

    Args:
        path: The file, for error texts.
        file: The open HDF5 file.

    Raises:
        DataError: if it is no such table, or has several animals.
    """
    table = read_table(path, file)
    if len(table.columns[0]) != 3:
        raise DataError(f"{path} has several animals; expected predictions as of one animal. Save them as CSV")
    return _poses(path, [column[1:] for column in table.columns], np.asarray(table.index), table.numbers)


def read_table(path: Path, file: Any) -> Table:
    """Read any table that DeepLabCut has saved. Nothing in it is unpickled.

    Args:
        path: The file, for error texts.
        file: The open HDF5 file.

    Raises:
        DataError: if it is no such table.
    """
    group = next((file[key] for key in _KEYS if key in file), None)
    try:
        if group is not None and "table" in group:
            table = _of_table(group)
        elif group is not None and "block0_values" in group:
            table = _of_fixed(group)
        else:
            raise ValueError(f"no table {_KEYS[0]}")
        if table.numbers.shape != (len(table.index), len(table.columns)) or not table.columns:
            raise ValueError(f"numbers of shape {table.numbers.shape}")
        if {len(column) for column in table.columns} not in ({depth} for depth in _DEPTHS):
            raise ValueError(f"names of {len(table.columns[0])} levels")
        if not all(isinstance(part, str) for column in table.columns for part in column):
            raise ValueError("names that are no text")
    except (ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
        raise DataError(
            f"{path}: expected a table of DeepLabCut with scorer, bodyparts and coords, or an "
            f"analysis file of SLEAP; got another file ({shorten(str(error))}). Save it as CSV"
        ) from error
    return table


def _of_table(group: Any) -> Table:
    """Read pandas' format ``table``, which analyze_videos writes."""
    table = group["table"]
    axes = _plain(bytes(group.attrs["non_index_axes"]))
    columns = [tuple(label) for axis, found in axes if axis == 1 for label in found]
    _check_size(len(table) * len(columns))
    return Table(columns, _texts(table["index"]), np.asarray(table["values_block_0"], np.float64))


def _of_fixed(group: Any) -> Table:
    """Read pandas' format ``fixed``, which cropzoom and DeepLabCut's labelling tools write."""
    columns = _levels(group, "block0_items")
    _check_size(group["block0_values"].size)
    index = _levels(group, "axis1") if "axis1_level0" in group else _texts(group["axis1"][()])
    return Table(columns, index, np.asarray(group["block0_values"], np.float64))


def _levels(group: Any, name: str) -> list[tuple[str, ...]]:
    """Return the entries of an axis of several levels."""
    levels = []
    for level in range(int(group.attrs[f"{name}_nlevels"])):
        texts = _texts(group[f"{name}_level{level}"][()])
        levels.append([texts[code] for code in group[f"{name}_label{level}"][()]])
    return list(zip(*levels, strict=True))


def _texts(values: npt.NDArray[Any]) -> list[Any]:
    """Return numbers as they are, and bytes as text."""
    return [value.decode("utf-8") if isinstance(value, bytes) else value for value in np.asarray(values).tolist()]


def _check_size(count: int) -> None:
    if count > MAX_VALUES:
        raise ValueError(f"{count} numbers")


def _poses(path: Path, columns: list[tuple[str, ...]], index: Any, numbers: Float64) -> Poses:
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise DataError(f"{path} has two keypoints with the name {quoted(twice[0])}; rename one of them")
    if index.dtype.kind not in "iu":
        raise DataError(f"{path} is about images, not about the frames of a video")
    if len(np.unique(index)) != len(index) or (len(index) and index.min() < 0):
        raise DataError(f"{path} repeats a frame, or has one below 0; expected each frame once, from 0")
    names = tuple(dict.fromkeys(name for name, _ in columns))
    values = np.full((len(index), len(names), 3), np.nan)
    for place, (name, coord) in enumerate(columns):
        if coord in _COORDS:
            values[:, names.index(name), _COORDS.index(coord)] = numbers[:, place]
    return Poses(names, index.astype(np.int64), values)


def _plain(pickled: bytes) -> Any:
    """Return the lists, tuples, texts and whole numbers of a pickle of protocol 0. Nothing in it is run.

    Raises:
        ValueError: if it has any other instruction.
        IndexError: if it is damaged. KeyError, AttributeError: likewise.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[Any, Any] = {}
    for instruction, argument, _ in genops(pickled):
        match instruction.name:
            case "MARK":
                marks.append(len(stack))
            case "LIST" | "TUPLE":
                begin = marks.pop()
                items = stack[begin:]
                stack[begin:] = [items if instruction.name == "LIST" else tuple(items)]
            case "APPEND":
                item = stack.pop()
                stack[-1].append(item)
            case "INT" | "UNICODE":
                stack.append(argument)
            case "PUT":
                memo[argument] = stack[-1]
            case "GET":
                stack.append(memo[argument])
            case "STOP":
                return stack.pop()
            case other:
                raise ValueError(f"the instruction {other}")
    raise ValueError("no end")
