"""Exports a project: all its frames with their labels, and predictions of its models for the others."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from realtime_cropzoom.errors import ConfigError, DataError, install_advice, pluralize
from realtime_cropzoom.files.atomic import make_folder
from realtime_cropzoom.labelling import prefill
from realtime_cropzoom.labelling.exports.coco import export_coco
from realtime_cropzoom.labelling.exports.deeplabcut import export_deeplabcut
from realtime_cropzoom.labelling.exports.job import Exported, ExportJob
from realtime_cropzoom.labelling.exports.sleap import export_sleap
from realtime_cropzoom.labelling.frame_table import FrameRow, read_frame_table
from realtime_cropzoom.labelling.label_table import Labels, check_names, read_label_table
from realtime_cropzoom.project.folder import Project
from realtime_cropzoom.project.in_use import project_in_use

_EXPORTS: dict[str, Callable[[ExportJob], Exported]] = {
    "deeplabcut": export_deeplabcut,
    "sleap": export_sleap,
    "coco": export_coco,
}
PROGRAMS = tuple(_EXPORTS)
LEAST_LIKELIHOOD = 0.6
"""Likelihood from which a predicted keypoint is exported, if the user does not say."""


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What an export has written."""

    open: Path
    """What the user opens in the other program."""
    frames: int
    labelled: int
    """Number of frames with labels of a person."""
    predicted: int
    """Number of frames with predictions."""
    notes: tuple[str, ...]
    """What the user should know, a line each."""


def export_labels(
    project: Project,
    program: str,
    folder: Path,
    *,
    least_likelihood: float = LEAST_LIKELIHOOD,
    predictions: bool = True,
    progress: Callable[[int], None] = lambda done: None,
) -> ExportSummary:
    """Write frames and labels for another program.

    Args:
        project: The project.
        program: One of ``PROGRAMS``.
        folder: The folder to write into. Files of an earlier export are replaced.
        least_likelihood: Predicted keypoints with a lower likelihood are left out.
        predictions: Whether frames without labels get predictions, if the project has models.
        progress: Is called with the number of frames that the models have seen.

    Raises:
        DataError: if the project has no frames, or one cannot be read.
        ConfigError: if a library is missing, or another command works on the frames or labels.
        ModelError: if a model cannot be used.
        SinkError: if a file cannot be written.
    """
    with project_in_use(project.folder, "labels export") as fresh:
        return _export(fresh, program, folder, least_likelihood, predictions, progress)


def _export(
    project: Project,
    program: str,
    folder: Path,
    least_likelihood: float,
    predictions: bool,
    progress: Callable[[int], None],
) -> ExportSummary:
    if project.labels_file.exists():
        check_names(project)
    rows, labels = read_frame_table(project), read_label_table(project)
    if not rows:
        raise DataError(f"{project.folder} has no frames to label. Pick some: cropzoom frames {project.folder} VIDEO…")
    _check_there(project, [row.image for row in rows])
    found, likelihoods = Labels(), Labels()
    unlabelled = [row.image for row in rows if row.image not in labels]
    if predictions and unlabelled and prefill.has_models(project):
        found, likelihoods = prefill.predict(project, unlabelled, least_likelihood, progress)
    make_folder(folder)
    try:
        done = _EXPORTS[program](ExportJob(project, folder, rows, labels, found, likelihoods))
    except ModuleNotFoundError as error:
        raise ConfigError(f"--to {program}: {install_advice(error.name or program, 'labels')}") from error
    prefill.remember(project, found)
    notes = (*_left_out(project, rows, labels), *done.notes)
    return ExportSummary(done.open, len(rows), len(rows) - len(unlabelled), len(found), notes)


def _left_out(project: Project, rows: Sequence[FrameRow], labels: Labels) -> tuple[str, ...]:
    """Return a line about labelled pictures that the table does not name, and so are not exported."""
    known = {row.image for row in rows}
    unknown = [image for image in labels if image not in known]
    if not unknown:
        return ()
    mend = f"cropzoom labels import {shlex.quote(str(project.folder))} {shlex.quote(str(project.labels_file))}"
    return (
        f"{pluralize(len(unknown), 'labelled picture')} left out, because frames.csv does not name them, "
        f"first {unknown[0]}. Enter them again with: {mend}",
    )


def _check_there(project: Project, images: Sequence[str]) -> None:
    gone = [image for image in images if not (project.folder / image).is_file()]
    if gone:
        raise DataError(
            f"{project.frames_table} names {gone[0]}, which is not there ({len(gone)} of {len(images)} are missing). "
            "Put the pictures back, or take their lines out of the table"
        )
