"""Labels of a project: reads them with their pictures, and refuses what cannot be trained on."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from realtime_cropzoom.errors import DataError, listed, pluralize, quoted
from realtime_cropzoom.labelling.label_table import check_names
from realtime_cropzoom.project.folder import Project
from realtime_cropzoom.sessions.dlc_csv import labels_outside
from realtime_cropzoom.train.dataset import LabelledFrame, read_frames

MIN_LABELLED = 10
"""Minimum number of labelled frames."""
FEW_LABELLED = 40
"""Number of labelled frames below which the model is not likely to be good."""
_MAX_OUTSIDE_SHARE = 0.1
"""Share of labels outside their pictures above which the labels are of pictures of another size."""


@dataclass(frozen=True, slots=True)
class ProjectLabels:
    """The frames of a project."""

    labelled: tuple[LabelledFrame, ...]
    """Frames with at least one label."""
    empty: tuple[LabelledFrame, ...]
    """Frames without any label."""
    notes: tuple[str, ...]
    """What the user should know, a sentence each."""

    @property
    def images(self) -> list[str]:
        """Paths of the labelled frames."""
        return [frame.name for frame in self.labelled]

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(W, H) of each labelled frame (pixels)."""
        return [(frame.image.shape[1], frame.image.shape[0]) for frame in self.labelled]

    @property
    def xy(self) -> np.ndarray:
        """(N, K, 2) labels (frame pixels); NaN without a label."""
        return np.stack([frame.xy for frame in self.labelled])


def read_project_labels(project: Project) -> ProjectLabels:
    """Read the labels and pictures of a project, and check them.

    Raises:
        DataError: if there are no or too few labels, a picture is missing, a keypoint is never labelled, or the labels
            are of pictures of another size.
    """
    path = project.labels_file
    if not path.exists():
        raise DataError(
            f"{path}: got no such file, expected the labels. "
            f"Import them with: cropzoom labels import {shlex.quote(str(project.folder))} FILE"
        )
    check_names(project)
    frames = read_frames(project.folder, path, project.keypoints, partly=True)
    labels = ProjectLabels(
        tuple(frame for frame in frames if frame.is_labelled),
        tuple(frame for frame in frames if not frame.is_labelled),
        (),
    )
    _check(labels, project)
    return ProjectLabels(labels.labelled, labels.empty, tuple(_notes(labels, project)))


def _check(labels: ProjectLabels, project: Project) -> None:
    path, count = project.labels_file, len(labels.labelled)
    if count < MIN_LABELLED:
        raise DataError(
            f"{path}: got {count} labelled frames, expected at least {MIN_LABELLED}, and better 100. Label more frames"
        )
    never = _never_labelled(labels.xy, project.keypoints)
    if never:
        raise DataError(
            f"{path}: got no label of {listed(never)}, expected some of each keypoint. Label it, or remove it from "
            "keypoints in project.yaml"
        )
    outside = _outside_share(labels)
    if outside > _MAX_OUTSIDE_SHARE:
        width, height = labels.sizes[0]
        raise DataError(
            f"{path}: got {outside:.0%} of the labels outside their pictures, which are {width}x{height} px, expected "
            "them inside. If frames of another size were labelled, label the pictures of the project instead"
        )


def _never_labelled(xy: np.ndarray, keypoints: Sequence[str]) -> list[str]:
    known = np.isfinite(xy).all(axis=2).any(axis=0)
    return [name for name, there in zip(keypoints, known, strict=True) if not there]


def _outside_share(labels: ProjectLabels) -> float:
    xy, limits = labels.xy, np.array(labels.sizes)[:, None]
    known = np.isfinite(xy).all(axis=2)
    return float((((xy < -1) | (xy > limits)).any(axis=2) & known).sum() / known.sum())


def _notes(labels: ProjectLabels, project: Project) -> list[str]:
    notes = []
    outside = labels_outside(project.labels_file, labels.images, project.keypoints, labels.xy, labels.sizes)
    if outside is not None:
        notes.append(outside)
    if len(labels.labelled) < FEW_LABELLED:
        notes.append(f"{len(labels.labelled)} labelled frames are few: 100 of several recordings are a good number")
    shares = np.isfinite(labels.xy).all(axis=2).mean(axis=0)
    rare = [f"{quoted(n)} ({s:.0%})" for n, s in zip(project.keypoints, shares, strict=True) if s < 0.2]
    if rare:
        notes.append(f"labelled in few frames, so not well known: {listed(rare)}")
    if labels.empty and project.file.training.empty_frames == "ignore":
        notes.append(
            f"{pluralize(len(labels.empty), 'frame')} without any label: not used. If they show no animal, let "
            "training learn that: set training.empty_frames to no_animal in project.yaml"
        )
    if not project.symmetric_pairs:
        notes.append(
            "project.yaml names no symmetric keypoints, so no mirrored pictures are trained on. If the animal has left "
            "and right ones, name them: it makes the model better"
        )
    return notes
