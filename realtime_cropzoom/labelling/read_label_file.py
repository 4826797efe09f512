"""Reads the label files of any program that is known. A new form is a module in ``formats``, and an entry here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from realtime_cropzoom.errors import ConfigError, DataError, error_text, install_advice
from realtime_cropzoom.files.paths import is_folder, is_there
from realtime_cropzoom.labelling.formats import json_text
from realtime_cropzoom.labelling.formats.coco import is_coco, read_coco, read_zip
from realtime_cropzoom.labelling.formats.deeplabcut import read_csv, read_h5
from realtime_cropzoom.labelling.formats.label_file import LabelFile
from realtime_cropzoom.labelling.formats.label_studio import is_label_studio, read_label_studio
from realtime_cropzoom.labelling.formats.sleap import read_slp

_LABELS = "CollectedData"
"""Beginning of the names of DeepLabCut's label files."""
_TOGETHER_S = 5.0
"""Two forms of a file that were written within this time (s) hold the same."""


def read_label_files(path: Path) -> list[LabelFile]:
    """Read labels of any program.

    Args:
        path: A label file, or a folder of DeepLabCut: the project, or one of its folders with labelled images.

    Returns:
        One file, or those of a folder.

    Raises:
        DataError: if a file cannot be read, or has no known form.
        ConfigError: if a library for its form is not installed.
    """
    if is_folder(path):
        return [file for found in _label_files(path) for file in read_label_files(found)]
    if not is_there(path):
        raise DataError(f"there is no {path}; expected a label file, or a folder of DeepLabCut")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: got a file {path.suffix or 'without an ending'}, expected {', '.join(_READERS)}")
    try:
        if not path.stat().st_size:
            raise DataError(f"{path}: got an empty file, expected labels. Save them again where they were made")
        return reader(path)
    except ModuleNotFoundError as error:
        raise ConfigError(f"{path}: {install_advice(error.name or 'sleap_io', 'labels')}") from error


def _label_files(folder: Path) -> list[Path]:
    """Return the label files in a folder of DeepLabCut: of two forms of a file the CSV, unless the H5 is newer."""
    inner = folder / "labeled-data"
    folders = [path for path in sorted(inner.iterdir()) if path.is_dir()] if is_folder(inner) else [folder]
    chosen: dict[Path, Path] = {}
    for path in (
        path for each in folders for form in ("csv", "h5") for path in sorted(each.glob(f"{_LABELS}*.{form}"))
    ):
        other = chosen.get(path.with_suffix(""))
        if other is None or path.stat().st_mtime > other.stat().st_mtime + _TOGETHER_S:
            chosen[path.with_suffix("")] = path
    if not chosen:
        raise DataError(
            f"{folder} holds no {_LABELS}….csv and no {_LABELS}….h5: no labels are saved in it. "
            "Label its pictures and save them, or give another folder or the label file itself"
        )
    return list(chosen.values())


def _read_json(path: Path) -> list[LabelFile]:
    try:
        tree = json_text.parse(path, path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot read {path}: {error_text(error)}") from error
    if is_coco(tree):
        return [read_coco(path, tree)]
    if is_label_studio(tree):
        return [read_label_studio(path, tree)]
    raise DataError(f"{path}: got another kind of JSON, expected COCO keypoints or an export of Label Studio")


def _one(read: Callable[[Path], LabelFile]) -> Callable[[Path], list[LabelFile]]:
    return lambda path: [read(path)]


_READERS: dict[str, Callable[[Path], list[LabelFile]]] = {
    ".csv": _one(read_csv),
    ".h5": _one(read_h5),
    ".slp": _one(read_slp),
    ".json": _read_json,
    ".zip": read_zip,
}
