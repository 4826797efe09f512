"""``labels/CollectedData.csv``: the labels of a project, in DeepLabCut's form, each number to its last bit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from realtime_cropzoom.errors import DataError, listed
from realtime_cropzoom.files.atomic import MAKE_ROOM, make_folder, write_all
from realtime_cropzoom.files.csv_text import csv_line
from realtime_cropzoom.project.folder import Project
from realtime_cropzoom.sessions.dlc_csv import HEADER_ROWS, read_header, read_labels
from realtime_cropzoom.types import Float64

SCORER = "cropzoom"
"""In the first header row. It is the same whoever labelled, so that the same labels give the same file."""

Labels = dict[str, Float64]
"""(K, 2) for each image, in pixels of it; NaN for a keypoint without a label. Each image has at least one label."""


def read_label_table(project: Project) -> Labels:
    """Return the labels of a project; none if it has no file yet.

    Args:
        project: The project.

    Raises:
        DataError: if the file cannot be read.
    """
    path = project.labels_file
    return read_table(path, project.keypoints) if path.exists() else {}


def read_table(path: Path, keypoint_names: tuple[str, ...]) -> Labels:
    """Return the labels of a file in this form.

    Args:
        path: The file.
        keypoint_names: Names of the K keypoints, in order. One that the file lacks has no labels.

    Raises:
        DataError: if it cannot be read.
    """
    found = read_labels(path, keypoint_names, partly=True)
    rows = zip(found.images, found.xy, strict=True)
    return {image: xy for image, xy in rows if np.isfinite(xy).any()}


def check_names(project: Project) -> None:
    """Check that no keypoint has one name in the labels and another in ``project.yaml``. One of them may lack it.

    Args:
        project: A project with a label file.

    Raises:
        DataError: if each has a keypoint that the other lacks, or the header of the file cannot be read.
    """
    names = read_header(project.labels_file).keypoint_names
    others = [name for name in names if name not in project.keypoints]
    missing = [name for name in project.keypoints if name not in names]
    if others and missing:
        raise DataError(
            f"{project.labels_file} has {listed(others)} and not {listed(missing)}, project.yaml the other way round. "
            "Write the same name in both, in the labels in the line bodyparts"
        )


def labels_of_others(project: Project) -> dict[str, int]:
    """Return the number of labels of each keypoint that the label file has and ``project.yaml`` does not.

    Args:
        project: The project.

    Raises:
        DataError: if the file cannot be read.
    """
    path = project.labels_file
    if not path.exists():
        return {}
    found = read_labels(path)
    counts = zip(found.keypoint_names, np.isfinite(found.xy[..., 0]).sum(axis=0).tolist(), strict=True)
    return {name: count for name, count in counts if count and name not in project.keypoints}


def write_label_table(project: Project, labels: Labels) -> Path | None:
    """Write the labels of a project: the file is complete or as it was. The one before is kept beside it.

    Args:
        project: The project.
        labels: All labels that it has afterwards.

    Returns:
        The copy of the file as it was before; None if there was none, or if nothing changes.

    Raises:
        SinkError: if a file cannot be written.
    """
    path, new = project.labels_file, table_text(project.keypoints, labels).encode()
    make_folder(path.parent)
    before = path.read_bytes() if path.exists() else None
    if before == new:
        return None
    if before is None:
        write_all({path: new}, MAKE_ROOM)
        return None
    copy = _free_name(path)
    write_all({copy: before, path: new}, MAKE_ROOM)
    return copy


def table_text(keypoint_names: tuple[str, ...], labels: Mapping[str, Float64], scorer: str = SCORER) -> str:
    """Return labels as text: three header rows, then a row for each image, sorted.

    Args:
        keypoint_names: Names of the K keypoints, in order.
        labels: (K, 2) for each image.
        scorer: Content of the first header row.
    """
    columns = [(scorer, name, axis) for name in keypoint_names for axis in "xy"]
    lines = [csv_line((title, *cells)) for title, cells in zip(HEADER_ROWS, zip(*columns, strict=True), strict=True)]
    lines += [csv_line((image, *map(number_text, labels[image].ravel().tolist()))) for image in sorted(labels)]
    return "".join(lines)


def number_text(value: float) -> str:
    """Return the shortest text that gives this number again; "" for NaN."""
    return "" if math.isnan(value) else repr(value)


def _free_name(path: Path) -> Path:
    """Return the path for a copy: ``CollectedData.bak1.csv``, or the next number."""
    numbers = range(1, len(list(path.parent.iterdir())) + 2)
    names = (path.with_name(f"{path.stem}.bak{number}{path.suffix}") for number in numbers)
    return next(name for name in names if not name.exists())
