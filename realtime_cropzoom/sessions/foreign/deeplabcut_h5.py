"""Predictions of DeepLabCut as ``.h5``: a table of pandas, read without pandas.

pandas keeps the names of the columns as a pickle, which can run any code when it is loaded. Here its few instructions
for texts, numbers, lists and tuples are read one by one; any other is refused.
"""

from __future__ import annotations

from pathlib import Path
from pickletools import genops
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from realtime_cropzoom.errors import DataError, quoted, shorten
from realtime_cropzoom.sessions.foreign.poses import MAX_VALUES, Poses
from realtime_cropzoom.types import Float64

_KEY = "df_with_missing"
"""Name under which DeepLabCut saves its table."""
_COORDS = ("x", "y", "likelihood")
_Table: TypeAlias = tuple[list[Any], npt.NDArray[Any], Float64]
"""(scorer, bodypart, coord) of each column, number of each frame, and (n, columns) numbers."""


def read(path: Path, file: Any) -> Poses:
    """Read a table that DeepLabCut has saved, or ``cropzoom convert --to h5``.

    Args:
        path: The file, for error texts.
        file: The open HDF5 file.

    Raises:
        DataError: if it is no such table, or has several animals.
    """
    group = file.get(_KEY)
    try:
        if group is not None and "table" in group:
            labels, index, numbers = _of_table(group)
        elif group is not None and "block0_values" in group:
            labels, index, numbers = _of_fixed(group)
        else:
            raise ValueError(f"no table {_KEY}")
        if numbers.shape != (len(index), len(labels)):
            raise ValueError(f"numbers of shape {numbers.shape}")
        columns = [(bodypart, coord) for _, bodypart, coord in labels]
        if not all(isinstance(part, str) for label in labels for part in label):
            raise ValueError("names that are no text")
    except (ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
        raise DataError(
            f"{path}: expected a table of DeepLabCut with scorer, bodyparts and coords, as of one animal, or an "
            f"analysis file of SLEAP; got another file ({shorten(str(error))}). Save the predictions as CSV"
        ) from error
    return _poses(path, columns, index, numbers)


def _of_table(group: Any) -> _Table:
    """Read pandas' format ``table``, which analyze_videos writes."""
    table = group["table"]
    axes = _plain(bytes(group.attrs["non_index_axes"]))
    labels = [label for axis, found in axes if axis == 1 for label in found]
    _check_size(len(table) * len(labels))
    return labels, np.asarray(table["index"]), np.asarray(table["values_block_0"], np.float64)


def _of_fixed(group: Any) -> _Table:
    """Read pandas' format ``fixed``, which cropzoom writes."""
    levels = []
    for level in range(int(group.attrs["block0_items_nlevels"])):
        names = [text.decode("utf-8") for text in group[f"block0_items_level{level}"][()]]
        levels.append([names[code] for code in group[f"block0_items_label{level}"][()]])
    _check_size(group["block0_values"].size)
    return list(zip(*levels, strict=True)), np.asarray(group["axis1"]), np.asarray(group["block0_values"], np.float64)


def _check_size(count: int) -> None:
    if count > MAX_VALUES:
        raise ValueError(f"{count} numbers")


def _poses(path: Path, columns: list[tuple[str, str]], index: Any, numbers: Float64) -> Poses:
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
