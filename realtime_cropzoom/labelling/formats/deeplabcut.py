"""Label files of DeepLabCut and Lightning Pose: CSV with three or four header rows, and DeepLabCut's H5.

The index is the path of the image, in one column (``labeled-data/mouse/img0012.png``) or in three. A header row
``individuals`` comes with several animals. Numbers are read as they are written, to the last bit.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from realtime_cropzoom.errors import DataError, quoted, shorten
from realtime_cropzoom.files.csv_text import MISSING, cannot_read, check_separator, parse_frame_number, too_many_cells
from realtime_cropzoom.labelling.formats.label_file import Entry, LabelFile, Point
from realtime_cropzoom.sessions.dlc_csv import half_notes
from realtime_cropzoom.sessions.foreign import deeplabcut_h5

_LEVELS = ("scorer", "individuals", "bodyparts", "coords")
_COORDS = ("x", "y", "likelihood", "visible")

Column = tuple[str, str, str]
"""animal, keypoint, coordinate."""


def read_csv(path: Path) -> LabelFile:
    """Read a CSV file of labels.

    Args:
        path: The file.

    Raises:
        DataError: if it cannot be read, is no such file, or holds predictions of a video.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            lines = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise cannot_read(path, error) from error
    header = _header(path, [row for _, row in lines])
    index_columns, columns = _columns(path, header)
    images, numbers = [], []
    for line, row in lines[len(header) :]:
        if any(cell.strip() for cell in row[index_columns + len(columns) :]):
            raise too_many_cells(path, line, len(row), index_columns + len(columns))
        images.append("/".join(cell.strip() for cell in row[:index_columns] if cell.strip()))
        cells = row[index_columns : index_columns + len(columns)]
        if len(cells) < len(columns):
            raise DataError(f"{path}: the row of {images[-1]} ends too early; expected {len(columns)} coordinates")
        numbers.append([_number(path, images[-1], cell) for cell in cells])
    return _label_file(path, columns, images, numbers)


def read_h5(path: Path) -> LabelFile:
    """Read the table of labels in DeepLabCut's H5. Nothing in it is unpickled.

    Args:
        path: The file.

    Raises:
        DataError: if it cannot be read, or is no such table.
        ModuleNotFoundError: if h5py is not installed.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            table = deeplabcut_h5.read_table(path, file)
    except OSError as error:
        raise DataError(f"cannot read {path}: it is damaged, or no HDF5 file") from error
    columns = [(label[1] if len(label) == 4 else "", label[-2], label[-1]) for label in table.columns]
    images = ["/".join(map(str, name)) if isinstance(name, tuple) else str(name) for name in table.index]
    return _label_file(path, columns, images, table.numbers.tolist())


def _header(path: Path, rows: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """Return the header rows. Raises DataError if the file does not begin with them."""
    first = [row[0].strip() for row in rows[:4]]
    levels = [level for level in _LEVELS if level != "individuals" or "individuals" in first]
    if first[: len(levels)] != levels:
        if rows:
            check_separator(path, rows[0][0] if len(rows[0]) == 1 else ",")
        found = shorten(", ".join(first)) if first else "an empty file"
        raise DataError(
            f"{path}: got {found}, expected labels: header rows that begin with scorer, bodyparts, coords. Give the "
            "CollectedData file of DeepLabCut or Lightning Pose"
        )
    return list(rows[: len(levels)])


def _columns(path: Path, header: Sequence[Sequence[str]]) -> tuple[int, list[Column]]:
    """Return the number of index columns, and what the others hold."""
    coords = [cell.strip() for cell in header[-1]]
    begin = next((i for i, coord in enumerate(coords) if coord in _COORDS), None)
    if begin is None or len({len(row) for row in header}) != 1:
        raise DataError(f"{path}: the header rows do not match; expected columns x and y for each keypoint")
    animals = header[1] if len(header) == 4 else [""] * len(coords)
    columns = [(animals[i].strip(), header[-2][i].strip(), coords[i]) for i in range(begin, len(coords))]
    return begin, columns


def _number(path: Path, image: str, cell: str) -> float:
    text = cell.strip()
    if text in MISSING:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        raise DataError(f"{path}: got {shorten(cell)} for {image}, expected a number or an empty cell") from None
    if math.isinf(value):
        raise DataError(f"{path}: got {shorten(cell)} for {image}, expected a finite number or an empty cell")
    return value


def _label_file(
    path: Path, columns: Sequence[Column], images: Sequence[str], numbers: Iterable[Sequence[float]]
) -> LabelFile:
    _check_columns(path, columns)
    if images and all(parse_frame_number(image) is not None for image in images):
        raise DataError(
            f"{path}: its rows are frame numbers of a video, as predictions have them; expected paths of images. Give "
            "the CollectedData file with the labels"
        )
    predicted = any(coord == "likelihood" for _, _, coord in columns)
    places: dict[tuple[str, str], dict[str, int]] = {}
    for place, (animal, keypoint, coord) in enumerate(columns):
        places.setdefault((animal, keypoint), {})[coord] = place
    animals = tuple(dict.fromkeys(animal for animal, _ in places))
    entries, half = [], list[str]()
    for image, row in zip(images, numbers, strict=True):
        for animal in animals:
            points = {keypoint: _point(row, at) for (whose, keypoint), at in places.items() if whose == animal}
            half += [
                f"{quoted(keypoint)} of {image}"
                for (whose, keypoint), at in places.items()
                if whose == animal and math.isnan(row[at["x"]]) != math.isnan(row[at["y"]])
            ]
            found = {keypoint: point for keypoint, point in points.items() if point is not None}
            if found:
                entries.append(Entry(image, found, animal=animal, predicted=predicted))
    names = tuple(dict.fromkeys(keypoint for _, keypoint, _ in columns))
    return LabelFile(path, "DeepLabCut", names, tuple(entries), half_notes(half))


def _point(row: Sequence[float], at: dict[str, int]) -> Point | None:
    x, y = row[at["x"]], row[at["y"]]
    return None if math.isnan(x) or math.isnan(y) else (x, y)


def _check_columns(path: Path, columns: Sequence[Column]) -> None:
    there = set(columns)
    if len(there) != len(columns):
        twice = next(column for column in columns if columns.count(column) > 1)
        raise DataError(f"{path} has two keypoints with the name {quoted(twice[1])}; rename one of them")
    for _, keypoint, coord in columns:
        if not keypoint or coord not in _COORDS:
            raise DataError(f"{path}: got a column {quoted(keypoint)} {quoted(coord)}, expected x and y of a keypoint")
    for animal, keypoint, _ in columns:
        if any((animal, keypoint, axis) not in there for axis in "xy"):
            raise DataError(f"{path} does not have both x and y of {quoted(keypoint)}")
