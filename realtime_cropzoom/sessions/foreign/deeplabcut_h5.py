"""Predictions of DeepLabCut as ``.h5``: a table of pandas, read without pandas.

pandas keeps the names of the columns as a pickle, which can run any code when it is loaded. Here its few instructions
for texts, numbers, lists and tuples are read one by one; any other is refused.
"""

from __future__ import annotations

from pathlib import Path
from pickletools import genops
from typing import Any

import numpy as np

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.sessions.foreign.poses import MAX_VALUES, Poses

_KEY = "df_with_missing"
"""Name under which DeepLabCut saves its table."""
_COORDS = ("x", "y", "likelihood")


def read(path: Path, file: Any) -> Poses:
    """Read a table that DeepLabCut has saved.

    Args:
        path: The file, for error texts.
        file: The open HDF5 file.

    Raises:
        DataError: if it is no such table, or has several animals.
    """
    if f"{_KEY}/table" not in file:
        raise DataError(
            f"{path} is no prediction file of DeepLabCut or SLEAP as far as known; expected one by analyze_videos, or "
            "an analysis file. Save the predictions as CSV"
        )
    group = file[_KEY]
    columns = _columns(path, group.attrs.get("non_index_axes", b""))
    table = group["table"]
    blocks = [name for name in table.dtype.names or () if name.startswith("values_block_")]
    if len(blocks) != 1 or table.dtype[blocks[0]].shape != (len(columns),) or table.size * len(columns) > MAX_VALUES:
        raise DataError(f"{path}: its table does not have the {len(columns)} columns that it names; save it as CSV")
    index = np.asarray(table["index"])
    if index.dtype.kind not in "iu":
        raise DataError(f"{path} is about images, not about the frames of a video")
    if len(np.unique(index)) != len(index) or (len(index) and index.min() < 0):
        raise DataError(f"{path} repeats a frame, or has one below 0; expected each frame once, from 0")
    numbers = np.asarray(table[blocks[0]], np.float64)
    names = tuple(dict.fromkeys(name for name, _ in columns))
    values = np.full((len(index), len(names), 3), np.nan)
    for place, (name, coord) in enumerate(columns):
        if coord in _COORDS:
            values[:, names.index(name), _COORDS.index(coord)] = numbers[:, place]
    return Poses(names, index.astype(np.int64), values)


def _columns(path: Path, pickled: Any) -> list[tuple[str, str]]:
    """Return (bodypart, coord) of each column."""
    try:
        axes = _plain(bytes(pickled))
        labels = [label for axis, found in axes if axis == 1 for label in found]
        if any(len(label) != 3 or not all(isinstance(part, str) for part in label) for label in labels):
            raise ValueError(f"columns of {len(labels[0])} levels")
    except (ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
        raise DataError(
            f"{path}: expected columns of scorer, bodyparts and coords, as of one animal; got others ({error})"
        ) from error
    columns = [(str(bodypart), str(coord)) for _, bodypart, coord in labels]
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise DataError(f"{path} has two keypoints with the name {twice[0]!r}; rename one of them")
    return columns


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
