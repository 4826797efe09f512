"""A project of DeepLabCut, which napari-deeplabcut opens: ``config.yaml`` and ``labeled-data/``.

Labels go into ``CollectedData_cropzoom`` (``.csv`` and ``.h5``; the plugin reads the ``.h5``). Predictions go into
``machinelabels-iter0.h5``, which the plugin opens as a layer of its own and saves into ``CollectedData`` once they are
corrected. So a prediction that nobody has looked at does not become a label.
"""

from __future__ import annotations

from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml

from realtime_cropzoom.errors import SinkError, error_text, install_advice
from realtime_cropzoom.files.atomic import MAKE_ROOM, make_folder, write_whole
from realtime_cropzoom.labelling.exports.job import Exported, ExportJob
from realtime_cropzoom.labelling.frame_table import FrameRow
from realtime_cropzoom.labelling.label_table import SCORER, Labels, table_text
from realtime_cropzoom.sessions.h5_table import save_h5_table
from realtime_cropzoom.sources.image_file import read_image

if TYPE_CHECKING:
    import pandas as pd


def export_deeplabcut(job: ExportJob) -> Exported:
    """Write a project of DeepLabCut.

    Args:
        job: What to export.

    Raises:
        SinkError: if a file cannot be written.
    """
    write_whole(job.folder / "config.yaml", _config(job), MAKE_ROOM)
    has_h5 = find_spec("tables") is not None
    for recording, group in groupby(sorted(job.rows, key=lambda row: row.image), key=lambda row: row.folder):
        rows, folder = list(group), job.folder / "labeled-data" / recording
        make_folder(folder)
        for row in rows:
            write_whole(folder / Path(row.image).name, job.picture(row).read_bytes(), MAKE_ROOM)
        _write_labels(job, folder, rows, has_h5=has_h5)
    notes = []
    if not has_h5 and (job.labels or job.predictions):
        notes.append(
            f"without .h5, napari-deeplabcut does not show the labels and predictions that are there: "
            f"{install_advice('tables', 'labels')}"
        )
    return Exported(job.folder / "labeled-data", tuple(notes))


def _config(job: ExportJob) -> str:
    """Return config.yaml with the keys that napari-deeplabcut and DeepLabCut read."""
    names = list(job.project.keypoints)
    first = {row.recording: row for row in reversed(job.rows)}
    sizes = {recording: read_image(job.picture(row)).shape for recording, row in first.items()}
    config = {
        "Task": job.project.name,
        "scorer": SCORER,
        "date": "",
        "multianimalproject": False,
        "identity": None,
        "project_path": str(job.folder.absolute()),
        "engine": "pytorch",
        "video_sets": {name: {"crop": f"0, {width}, 0, {height}"} for name, (height, width, _) in sizes.items()},
        "bodyparts": names,
        "start": 0,
        "stop": 1,
        "numframes2pick": 20,
        "skeleton": [[names[a], names[b]] for a, b in job.project.skeleton],
        "skeleton_color": "black",
        "pcutoff": 0.6,
        "dotsize": 8,
        "alphavalue": 0.7,
        "colormap": "rainbow",
        "TrainingFraction": [0.95],
        "iteration": 0,
    }
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True)


def _write_labels(job: ExportJob, folder: Path, rows: list[FrameRow], *, has_h5: bool) -> None:
    """Write the labels of one recording, and its predictions."""
    names = {row.image: f"labeled-data/{row.folder}/{Path(row.image).name}" for row in rows}
    labels = {new: job.labels[image] for image, new in names.items() if image in job.labels}
    if labels:
        path = folder / f"CollectedData_{SCORER}.csv"
        write_whole(path, table_text(job.project.keypoints, labels), MAKE_ROOM)
        if has_h5:
            _write_h5(path.with_suffix(".h5"), _frame(job, SCORER, labels, ("x", "y")))
    predictions = {
        new: np.hstack([job.predictions[image], job.likelihoods[image]])
        for image, new in names.items()
        if image in job.predictions
    }
    if predictions and has_h5:
        _write_h5(folder / "machinelabels-iter0.h5", _frame(job, SCORER, predictions, ("x", "y", "likelihood")))


def _frame(job: ExportJob, scorer: str, values: Labels, coords: tuple[str, ...]) -> pd.DataFrame:
    """Return values as DeepLabCut's table: the parts of the path are levels of the index."""
    import pandas as pd

    images = sorted(values)
    columns = pd.MultiIndex.from_product(
        [[scorer], job.project.keypoints, coords], names=["scorer", "bodyparts", "coords"]
    )
    index = pd.MultiIndex.from_tuples([tuple(image.split("/")) for image in images])
    return pd.DataFrame(np.array([values[image].ravel() for image in images]), columns=columns, index=index)


def _write_h5(path: Path, table: pd.DataFrame) -> None:
    partial = path.with_name(path.name + ".partial")
    try:
        save_h5_table(partial, table)
        write_whole(path, partial.read_bytes(), MAKE_ROOM)
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error_text(error)}{MAKE_ROOM}") from error
    finally:
        partial.unlink(missing_ok=True)
