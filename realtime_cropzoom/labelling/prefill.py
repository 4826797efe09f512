"""Predictions as a beginning for labels, and the record of them: what nobody has moved is no label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from realtime_cropzoom.files.atomic import MAKE_ROOM, make_folder, write_whole
from realtime_cropzoom.labelling.label_table import Labels, read_table, table_text
from realtime_cropzoom.project.folder import Project
from realtime_cropzoom.sources.image_file import read_image
from realtime_cropzoom.types import Float64

UNTOUCHED_PX = 0.02
"""A label closer to its prediction than this was not moved by a person. Programs round to hundredths."""
_SCORER = "predictions"


def has_models(project: Project) -> bool:
    """Return whether a project has both models."""
    return project.detector.is_dir() and project.pose.is_dir()


def predict(
    project: Project,
    images: Sequence[str],
    least_likelihood: float,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[Labels, Labels]:
    """Return what the models of a project find in pictures of it.

    Args:
        project: A project with both models.
        images: Paths of the pictures, relative to the folder of the project.
        least_likelihood: Keypoints with a lower likelihood are left out.
        progress: Is called with the number of pictures that are done.

    Returns:
        Keypoints (K, 2), and likelihoods (K, 1), for each picture in which at least one keypoint is left.

    Raises:
        ModelError: if a model cannot be used.
        DataError: if a picture cannot be read.
    """
    from realtime_cropzoom.config.settings import Settings
    from realtime_cropzoom.inference.model import Model
    from realtime_cropzoom.offline.model_frame import look

    detector, pose = Model(project.detector, "detector"), Model(project.pose, "pose")
    rule = Settings().box_rule(detector.keypoint_names, pose.manifest)
    places = [project.keypoints.index(name) if name in project.keypoints else None for name in pose.keypoint_names]
    found, likelihoods = Labels(), Labels()
    for done, image in enumerate(images, 1):
        seen = look(pose, read_image(project.folder / image), detector, rule).found
        xy, likelihood = np.full((len(project.keypoints), 2), np.nan), np.full((len(project.keypoints), 1), np.nan)
        for k, place in enumerate(places):
            if place is not None and seen.likelihood[k] >= least_likelihood:
                xy[place], likelihood[place] = np.round(seen.xy[k].astype(np.float64), 2), seen.likelihood[k]
        if np.isfinite(xy).any():
            found[image], likelihoods[image] = xy, likelihood
        progress(done)
    return found, likelihoods


def remember(project: Project, predictions: Labels) -> None:
    """Keep predictions that go to another program, so that an import can tell them from labels.

    Args:
        project: The project.
        predictions: (K, 2) for each image.

    Raises:
        SinkError: if the record cannot be written.
    """
    if predictions:
        make_folder(project.exports_folder)
        known = {**remembered(project), **predictions}
        write_whole(_record(project), table_text(project.keypoints, known, _SCORER), MAKE_ROOM)


def remembered(project: Project) -> Labels:
    """Return the predictions that went to other programs. Raises DataError if the record cannot be read."""
    path = _record(project)
    return read_table(path, project.keypoints) if path.exists() else {}


def is_untouched(xy: Float64, prediction: Float64 | None) -> bool:
    """Return whether labels are nothing but the prediction that they began with.

    Args:
        xy: (K, 2) labels of an image.
        prediction: (K, 2) prediction; None if there was none.
    """
    if prediction is None:
        return False
    labelled, predicted = np.isfinite(xy).all(axis=1), np.isfinite(prediction).all(axis=1)
    return bool((labelled == predicted).all() and np.nanmax(np.abs(xy - prediction), initial=0.0) <= UNTOUCHED_PX)


def _record(project: Project) -> Path:
    return project.exports_folder / "predictions.csv"
