"""Prediction files of other programs, as frames and keypoints. One module a form.

* ``poses`` – what a reader returns
* ``sleap_files`` – ``.slp`` and analysis ``.h5`` of SLEAP
* ``deeplabcut_h5`` – ``.h5`` of DeepLabCut; its CSV has the form of ``dlc_csv``
* ``point_tables`` – plain tables: a row for each keypoint, or for each animal

``read_poses`` knows all forms: a new one is a module, and an entry here. No file is unpickled, or evaluated.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.files.csv_text import first_records
from realtime_cropzoom.sessions import dlc_csv
from realtime_cropzoom.sessions.files import frame_index
from realtime_cropzoom.sessions.foreign import deeplabcut_h5, point_tables, sleap_files
from realtime_cropzoom.sessions.foreign.poses import Poses, check_names


def read_poses(path: Path) -> Poses:
    """Read the predictions of any program that is known.

    Args:
        path: The file.

    Raises:
        DataError: if it cannot be read, or has no known form.
        ModuleNotFoundError: if the library for its form is not installed.
    """
    if not path.is_file():
        raise DataError(f"there is no {path}; expected a file of predictions")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: got a file {path.suffix or 'without a suffix'}, expected {', '.join(_READERS)}")
    poses = reader(path)
    check_names(path, poses.keypoint_names)
    if not np.isfinite(poses.values[:, :, :2]).any():
        raise DataError(f"{path} has no predictions; expected at least one keypoint")
    return poses


def _read_csv(path: Path) -> Poses:
    rows, _ = first_records(path, 1)
    if not rows or rows[0][:1] != ["scorer"]:
        return point_tables.read(path)
    found = dlc_csv.read_predictions(path)
    values = np.concatenate([found.xy, found.likelihood[:, :, None]], axis=2)
    return Poses(found.keypoint_names, frame_index(found).to_numpy(), values)


def _read_h5(path: Path) -> Poses:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if sleap_files.is_analysis(file):
                return sleap_files.read_analysis(path, file)
            return deeplabcut_h5.read(path, file)
    except OSError as error:
        raise DataError(f"cannot read {path}: it is damaged, or no HDF5 file") from error


_READERS: dict[str, Callable[[Path], Poses]] = {
    ".csv": _read_csv,
    ".h5": _read_h5,
    ".hdf5": _read_h5,
    ".slp": sleap_files.read_slp,
}
