"""Plain tables of points, such as a few lines of Python write from the results of Ultralytics or of rtmlib.

=====  ==================================================================================================
long   a row for each keypoint: ``frame, keypoint, x, y``, and ``score`` (or ``likelihood``)
wide   a row for each animal: ``frame``, and for each keypoint ``NAME_x, NAME_y``, and ``NAME_v`` (or ``NAME_score``)
=====  ==================================================================================================

Rows of several animals in a frame have ``instance``, and ``instance_score`` or ``conf``: the highest counts. Other
columns do not matter. An empty cell is an absent keypoint.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from realtime_cropzoom.errors import DataError, listed, quoted, shorten
from realtime_cropzoom.files.csv_text import MISSING, Records, parse_frame_number
from realtime_cropzoom.sessions.foreign.poses import Poses

_SCORES = ("score", "likelihood", "v", "confidence", "visibility")
_RANKS = ("instance_score", "conf")
_LONG = ("frame", "keypoint", "x", "y")

Point: TypeAlias = tuple[float, float, float]
Animal: TypeAlias = dict[str, Point]


def read(path: Path) -> Poses:
    """Read a table of either form.

    Args:
        path: The file.

    Raises:
        DataError: if it has neither form, a cell is no number, or a keypoint occurs twice.
    """
    records = Records(path)
    twice = next((name for name in records.columns if records.columns.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path} has two columns with the name {quoted(twice)}; rename one of them")
    if set(_LONG) <= set(records.columns):
        columns: dict[str, tuple[str, str, str]] = {}
    else:
        columns = _wide_columns(path, records.columns)
    animals: defaultdict[int, defaultdict[str, Animal]] = defaultdict(lambda: defaultdict(dict))
    ranks: dict[tuple[int, str], float] = {}
    for number, row in enumerate(records):
        frame = parse_frame_number(row["frame"] or "")
        if frame is None:
            raise DataError(f"{path}: got {shorten(row['frame'])} as frame in data row {number}, expected its number")
        instance = row.get("instance") or ""
        points = _points(path, number, row, columns) if columns else _point(path, number, row, records.columns)
        known = animals[frame][instance]
        if again := known.keys() & points.keys():
            raise DataError(f"{path} has two rows for {listed(again)} in frame {frame}; expected one, or instances")
        known |= points
        ranks[frame, instance] = _rank(path, number, row)
    return _poses(path, tuple(columns), animals, ranks)


def _wide_columns(path: Path, columns: Sequence[str]) -> dict[str, tuple[str, str, str]]:
    """Return the columns of x, y and score of each keypoint; "" for a column that is not there."""
    names = [name[:-2] for name in columns if name.endswith("_x") and f"{name[:-2]}_y" in columns]
    if "frame" not in columns or not names:
        raise DataError(
            f"{path} has the columns {listed(columns[:8])}; expected a file of DeepLabCut or Lightning Pose, or the "
            "columns frame, keypoint, x, y, score, or frame and NAME_x, NAME_y, NAME_v for each keypoint"
        )
    found = {}
    for name in names:
        score = next((f"{name}_{word}" for word in _SCORES if f"{name}_{word}" in columns), "")
        found[name] = (f"{name}_x", f"{name}_y", score)
    return found


def _points(
    path: Path, number: int, row: Mapping[str, str], columns: Mapping[str, tuple[str, str, str]]
) -> dict[str, Point]:
    return {name: _numbers(path, number, row, places) for name, places in columns.items()}


def _point(path: Path, number: int, row: Mapping[str, str], columns: Sequence[str]) -> dict[str, Point]:
    score = next((word for word in _SCORES if word in columns), "")
    return {row["keypoint"] or "": _numbers(path, number, row, ("x", "y", score))}


def _numbers(path: Path, number: int, row: Mapping[str, str], places: tuple[str, str, str]) -> Point:
    x, y, score = (_number(path, number, row, place) for place in places)
    return (x, y, score) if math.isfinite(x + y) else (math.nan,) * 3


def _rank(path: Path, number: int, row: Mapping[str, str]) -> float:
    place = next((word for word in _RANKS if word in row), "")
    return _number(path, number, row, place)


def _number(path: Path, number: int, row: Mapping[str, str], place: str) -> float:
    cell = (row.get(place) or "").strip()
    if cell in MISSING:
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        value = math.inf
    if math.isinf(value):
        raise DataError(f"{path}: got {shorten(cell)} as {place} in data row {number}, expected a number")
    return value


def _poses(
    path: Path,
    names: tuple[str, ...],
    animals: Mapping[int, Mapping[str, Animal]],
    ranks: Mapping[tuple[int, str], float],
) -> Poses:
    if not names:  # the long form names them in its rows
        names = tuple(dict.fromkeys(name for found in animals.values() for points in found.values() for name in points))
    frames = sorted(animals)
    values = np.full((len(frames), len(names), 3), np.nan)
    places = {name: k for k, name in enumerate(names)}
    several = 0
    for i, frame in enumerate(frames):
        found = animals[frame]
        several += len(found) > 1
        if len(found) > 1 and any(math.isnan(ranks[frame, instance]) for instance in found):
            raise DataError(
                f"{path} has {len(found)} animals in frame {frame}; expected one, or their score in a column "
                "instance_score or conf"
            )
        best = max(found, key=lambda instance: ranks[frame, instance])
        for name, point in found[best].items():
            values[i, places[name]] = point
    note = f"{several} frames have several animals; in each the one with the highest score counts" if several else ""
    return Poses(names, np.array(frames, np.int64), values, note)
