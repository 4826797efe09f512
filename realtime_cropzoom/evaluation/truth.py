"""Truth: the labelled frames on which models are judged, and those on which they may not be judged."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from realtime_cropzoom.errors import DataError, listed, pluralize
from realtime_cropzoom.evaluation.measures import Bool
from realtime_cropzoom.files.csv_text import Records
from realtime_cropzoom.labelling.label_table import check_names
from realtime_cropzoom.project.folder import Project
from realtime_cropzoom.sessions.dlc_csv import Labels, half_notes, read_header, read_labels
from realtime_cropzoom.types import Float64

TRAIN, HELD_OUT = "train", "held_out"
"""Words of the column ``set`` of ``models/split.csv``."""


@dataclass(frozen=True, slots=True)
class Truth:
    """N labelled frames to judge models on."""

    keypoint_names: tuple[str, ...]
    images: tuple[str, ...]
    """Path of each image, as the label file has it."""
    paths: tuple[Path, ...]
    """Where the images are."""
    labels: Float64
    """(N, K, 2), frame pixels; NaN without a label."""
    notes: tuple[str, ...] = ()
    """Sentences about frames that were left out."""
    new_recordings: bool = False
    """Whether no frame comes from a recording of the training."""
    unseen: bool = True
    """Whether the models are known to be not trained on them."""

    def only(self, rows: Sequence[int], labels: Float64, note: str) -> Truth:
        """Return some of the frames, with other labels.

        Args:
            rows: Indices of the frames.
            labels: (N, K, 2) labels of all frames.
            note: A sentence about what was left out; empty if nothing was.
        """
        images, paths = tuple(self.images[row] for row in rows), tuple(self.paths[row] for row in rows)
        notes = (*self.notes, note) if note else self.notes
        return replace(self, images=images, paths=paths, labels=labels[list(rows)], notes=notes)

    def of(self, known: Collection[str]) -> Truth:
        """Return the same frames with those of their keypoints that are known, and a sentence about the others.

        Args:
            known: Names of the keypoints that a model knows.
        """
        kept = [k for k, name in enumerate(self.keypoint_names) if name in known]
        if not kept or len(kept) == len(self.keypoint_names):
            return self
        left = [name for name in self.keypoint_names if name not in known]
        note = f"the models do not know {listed(left)}: not judged. They learn it in the next training"
        names = tuple(self.keypoint_names[k] for k in kept)
        return replace(self, keypoint_names=names, labels=self.labels[:, kept], notes=(*self.notes, note))

    @property
    def recordings(self) -> tuple[str, ...]:
        """Name of the recording of each frame: the folder of its image."""
        return tuple(recording_of(image) for image in self.images)


def recording_of(image: str) -> str:
    """Return the name of the folder of an image: its recording."""
    return PurePosixPath(image.replace("\\", "/")).parent.name


def read_split(project: Project) -> dict[str, str]:
    """Return {image: set} of a project. Raises DataError if the models are not trained yet."""
    if not project.split_file.is_file():
        raise DataError(
            f"{project.folder} has no {project.split_file.relative_to(project.folder)}, which says what was held out. "
            f"Run: cropzoom train {project.folder}"
        )
    rows = list(Records(project.split_file))
    if rows and not {"image", "set"} <= rows[0].keys():
        raise DataError(f"{project.split_file}: got the columns {listed(rows[0])}, expected image, set")
    return {row["image"]: row["set"] for row in rows}


def held_out_frames(project: Project) -> Truth:
    """Return the held-out frames of a project.

    Raises:
        DataError: if there is none, or the labels or an image cannot be read.
    """
    sets, labels = read_split(project), _project_labels(project)
    words = np.array([sets.get(image, "") for image in labels.images])
    kept = (words == HELD_OUT) & _labelled(labels)
    if not kept.any():
        raise DataError(
            f"{project.labels_file} has no held-out frame to judge: {project.split_file.name} names none of its "
            f"labelled frames as {HELD_OUT}. Label a few more frames, then run: cropzoom train {project.folder}"
        )
    newer = int(((words == "") & _labelled(labels)).sum())
    notes = (f"{pluralize(newer, 'frame')} labelled since the training: not judged",) if newer else ()
    return _truth(labels, kept, project.folder, notes, _recordings(sets, TRAIN))


def unseen_frames(project: Project, images: Collection[str]) -> Truth | None:
    """Return those of ``images`` that are labelled, and are not training frames; None if there is none.

    Raises:
        DataError: if the labels or an image cannot be read.
    """
    if not project.labels_file.is_file():
        return None
    sets, labels = read_split(project) if project.split_file.is_file() else {}, _project_labels(project)
    given = np.array([image in images for image in labels.images]) & _labelled(labels)
    trained = np.array([sets.get(image) == TRAIN for image in labels.images])
    kept = given & ~trained
    left_out = int((given & trained).sum())
    notes = (f"{pluralize(left_out, 'labelled frame')} of this session: not judged, the models were trained on them",)
    if not kept.any():
        return None
    return _truth(labels, kept, project.folder, notes if left_out else (), _recordings(sets, TRAIN))


def frames_of(project: Project, csv: Path) -> Truth:
    """Return the frames of a label file of other frames. Images of the training are left out.

    Args:
        project: The project whose models are judged.
        csv: The label file.

    Raises:
        DataError: if it lacks keypoints of the project or images, or holds nothing but images of the training.
    """
    _check_keypoints(csv, project.keypoints)
    labels = read_labels(csv, project.keypoints)
    folder = _folder_of(csv, labels.images, project.folder)
    sets = read_split(project)
    trained = {_digest(project.folder / image) for image, word in sets.items() if word == TRAIN} - {b""}
    seen = np.array([_digest(folder / image) in trained for image in labels.images])
    kept = ~seen & _labelled(labels)
    if not kept.any():
        raise DataError(
            f"{csv}: all of its labelled images are images of the training, which say nothing about new ones. Give "
            "labels of other frames"
        )
    note = f"{pluralize(int(seen.sum()), 'image')} of {csv.name} left out: the models were trained on them"
    return _truth(labels, kept, folder, (note,) if seen.any() else (), _recordings(sets, TRAIN))


def all_frames(csv: Path, known: Sequence[str]) -> Truth:
    """Return all frames of a label file, with those of its keypoints that a model knows.

    Args:
        csv: The label file.
        known: Names of the keypoints that the model knows.

    Raises:
        DataError: if they have no keypoint in common, or the labels or an image cannot be read.
    """
    given = read_header(csv).keypoint_names
    names = [name for name in given if name in known]
    if not names:
        raise DataError(f"{csv} has the keypoints {listed(given)}, and the model knows {listed(known)}: none in common")
    labels = read_labels(csv, names)
    notes = ["whether the models were trained on these frames is not known here: if so, the errors are too small"]
    if left := [name for name in given if name not in known]:
        notes.append(f"the model does not know {listed(left)}")
    kept = _labelled(labels)
    if not kept.any():
        raise DataError(f"{csv} has no label of {listed(names)}")
    truth = _truth(labels, kept, _folder_of(csv, labels.images, csv.parent), tuple(notes), frozenset())
    return replace(truth, unseen=False)


def _project_labels(project: Project) -> Labels:
    if not project.labels_file.is_file():
        raise DataError(
            f"{project.folder} has no {project.labels_file.relative_to(project.folder)}. Import labels with: "
            f"cropzoom labels import {project.folder} FILE"
        )
    check_names(project)
    return read_labels(project.labels_file, project.keypoints, partly=True)


def _check_keypoints(csv: Path, keypoints: Sequence[str]) -> None:
    names = read_header(csv).keypoint_names
    missing = [name for name in keypoints if name not in names]
    if missing:
        raise DataError(
            f"{csv} has the keypoints {listed(names)}; expected those of the project, and {listed(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not among them. Rename the keypoints in the file"
        )


def _truth(labels: Labels, kept: Bool, folder: Path, notes: tuple[str, ...], trained_on: frozenset[str]) -> Truth:
    rows, twice = _once(labels, np.flatnonzero(kept).tolist(), folder)
    notes = (*notes, *half_notes(labels.half))
    if twice:
        notes = (
            *notes,
            f"{pluralize(twice, 'frame')} labelled twice in {labels.path.name} in the same way: judged once",
        )
    images = tuple(labels.images[row] for row in rows)
    paths = tuple(folder / image for image in images)
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise DataError(
            f"{labels.path} labels {missing[0]}, which is not there ({len(missing)} of {len(paths)} are missing). "
            "Put the images back, or remove their rows"
        )
    new = not trained_on & {recording_of(image) for image in images}
    return Truth(labels.keypoint_names, images, paths, labels.xy[rows], notes, new)


def _once(labels: Labels, rows: Sequence[int], folder: Path) -> tuple[list[int], int]:
    """Return the rows without repeated ones, and the number of those. Raises DataError if two rows differ."""
    first: dict[Path, int] = {}
    for row in rows:
        other = first.setdefault((folder / labels.images[row]).resolve(), row)
        if not np.array_equal(labels.xy[row], labels.xy[other], equal_nan=True):
            raise DataError(
                f"{labels.path}: got {labels.images[row]} twice with other labels, expected each frame once. Take one "
                "of its rows off"
            )
    return list(first.values()), len(rows) - len(first)


def _labelled(labels: Labels) -> Bool:
    return np.array([np.isfinite(xy).any() for xy in labels.xy], bool)


def _recordings(sets: dict[str, str], word: str) -> frozenset[str]:
    return frozenset(recording_of(image) for image, of in sets.items() if of == word)


def _folder_of(csv: Path, images: Sequence[str], project: Path) -> Path:
    """Return the folder that the paths of a label file start from: its own, one above it, or that of the project."""
    roots = [*csv.absolute().parents[:3], project.absolute()]
    return next((root for root in roots if (root / images[0]).is_file()), csv.parent)


def _digest(path: Path) -> bytes:
    """Return the digest of an image's content: a copy under another name is the same image. Empty if it is gone."""
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return b""
