"""Imports labels into a project: reads them, finds their pictures, checks them, merges them.

Nothing is written before everything was read and checked. The label file is written last: whatever happens before,
the labels of the project stay as they were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from realtime_cropzoom.errors import DataError, listed, pluralize, quoted
from realtime_cropzoom.files.atomic import MAKE_ROOM, make_folder, write_whole
from realtime_cropzoom.labelling import prefill
from realtime_cropzoom.labelling.checks import Finding, check_labels, listing, outside
from realtime_cropzoom.labelling.formats.label_file import Entry, LabelFile
from realtime_cropzoom.labelling.frame_table import FrameRow, read_frame_table, write_frame_table
from realtime_cropzoom.labelling.keypoint_names import NameMap, match_names
from realtime_cropzoom.labelling.label_table import Labels, labels_of_others, read_label_table, write_label_table
from realtime_cropzoom.labelling.merging import Merged, merge
from realtime_cropzoom.labelling.pictures import Pictures
from realtime_cropzoom.labelling.placing import Placed, Placer
from realtime_cropzoom.labelling.read_label_file import read_label_files
from realtime_cropzoom.labelling.unlabelled import newer_export, without_labels
from realtime_cropzoom.project.folder import Project
from realtime_cropzoom.project.in_use import project_in_use
from realtime_cropzoom.types import Float64


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What a user decides about an import."""

    rename: Mapping[str, str] = field(default_factory=dict)
    """The project's name for a keypoint of the file; "" leaves it out."""
    images: Path | None = None
    """Folder of the pictures or videos that the file is about."""
    animal: str | None = None
    """Name of the animal to take, where a frame has several."""
    predictions: bool = False
    """Whether to take what a model made and nobody has corrected."""
    remove: bool = False
    """Whether a keypoint loses its label if the file has none in a frame that it labels."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import has done."""

    program: str
    """The program that made the file."""
    merged: Merged
    """The labels of the project, and what has changed."""
    added: tuple[FrameRow, ...]
    """Pictures that the project did not have."""
    backup: Path | None
    """The label file as it was before; None if there was none, or nothing has changed."""
    notes: tuple[str, ...]
    """What was read, and how, a line each."""
    findings: tuple[Finding, ...]
    """What the checks have found."""


def import_labels(project: Project, path: Path, options: ImportOptions | None = None) -> Imported:
    """Import labels into a project.

    Args:
        project: The project.
        path: A label file of another program, or a folder of DeepLabCut.
        options: What the user decides.

    Raises:
        DataError: if the file cannot be read, no label of it can be used, or labels of a keypoint would be lost.
        ConfigError: if an option names what is not there, a library is missing, or another command works on the
            frames or labels.
        SinkError: if a file of the project cannot be written.
    """
    with project_in_use(project.folder, "labels import") as fresh:
        return _import(fresh, path, options or ImportOptions())


def _import(project: Project, path: Path, options: ImportOptions) -> Imported:
    lost = _lost_keypoints(project, options)
    files = read_label_files(path)
    old, rows = read_label_table(project), read_frame_table(project)
    names = match_names(path, _names(files), project.keypoints, options.rename)
    notes = [note for file in files for note in file.notes] + _name_notes(names)
    entries = _labels_only(path, [entry for file in files for entry in file.entries], options)
    with Pictures(path, options.images) as pictures:
        placer = Placer(project, rows, pictures)
        placed = [placer.place(entry) for entry in entries]
        findings = placer.findings()
        one_each = _one_animal(path, [one for one in placed if one is not None], options.animal)
        taken_over = options.predictions or files[0].tells_predictions
        predictions = {} if taken_over else prefill.remembered(project)
        doubtful = {image: xy for image, xy in predictions.items() if image not in old}  # others were accepted
        labels, more = _tables(project, one_each, names, doubtful)
        findings += more
        if not labels:
            raise DataError(_nothing(path, entries, findings))
        merged = merge(old, labels, remove=options.remove)
        added = tuple(one.row for one in one_each if one.is_new and one.row.image in labels)
        _write_pictures(project, rows, added, {one.row.image: one.png for one in one_each if one.is_new})
    findings += [*lost, *_absent(project, merged, options), *check_labels(project, merged.labels)]
    notes += without_labels(project, path, rows, [one.row.image for one in one_each], merged.labels)
    if not merged.new and not merged.moved_px:
        notes += newer_export(project, path)
    backup = write_label_table(project, merged.labels)
    return Imported(files[0].program, merged, added, backup, tuple(notes), tuple(findings))


def _lost_keypoints(project: Project, options: ImportOptions) -> list[Finding]:
    """Return what is to be said of labels of keypoints that ``project.yaml`` does not name.

    Raises:
        DataError: if there are such labels, and they may not be removed.
    """
    others = labels_of_others(project)
    if not others:
        return []
    what = ", ".join(f"{quoted(name)} ({pluralize(count, 'label')})" for name, count in others.items())
    if options.remove:
        return [Finding(f"removed: {what}, which project.yaml does not name", {})]
    raise DataError(
        f"{project.labels_file} has {what}, project.yaml does not. Put it back there; or, if it got another name, "
        "change its name in the header of the labels, too; or add --remove to take its labels off"
    )


def _names(files: Sequence[LabelFile]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for file in files for name in file.keypoint_names))


def _name_notes(names: NameMap) -> list[str]:
    notes = []
    if names.left_out:
        notes.append(f"keypoints left out, because the project does not have them: {listed(names.left_out)}")
    if names.missing:
        notes.append(f"keypoints that the file does not have: {listed(names.missing)}. Their labels stay as they are")
    return notes


def _labels_only(path: Path, entries: Sequence[Entry], options: ImportOptions) -> list[Entry]:
    """Return what a person has made; with ``predictions`` also the rest, where there is nothing of a person."""
    made = [entry for entry in entries if not entry.predicted]
    by_hand = {(entry.image, entry.frame) for entry in made}
    rest = [entry for entry in entries if (entry.image, entry.frame) not in by_hand]
    if options.predictions:
        made += rest
    if not made:
        what = (
            f"predictions of a model in {pluralize(len(rest), 'frame')}, expected labels that a person has made. "
            "Correct them first, or add --predictions to take them as labels"
        )
        raise DataError(f"{path}: got {what if rest else 'no label, only names. Label a frame first'}")
    return made


def _one_animal(path: Path, placed: Sequence[Placed], animal: str | None) -> list[Placed]:
    """Return one entry for each picture. Raises DataError if a picture has several that differ."""
    if animal is not None:
        names = dict.fromkeys(one.entry.animal for one in placed)
        if animal not in names:
            raise DataError(f"--animal: {path} has no {animal}; it has {listed(name or '(no name)' for name in names)}")
        placed = [one for one in placed if one.entry.animal in (animal, "")]
    by_image: dict[str, list[Placed]] = {}
    for one in placed:
        others = by_image.setdefault(one.row.image, [])
        if not any(one.entry.points == other.entry.points for other in others):
            others.append(one)
    several = [image for image, found in by_image.items() if len(found) > 1]
    if several:
        names = dict.fromkeys(one.entry.animal or "(no name)" for image in several for one in by_image[image])
        todo = f"Add --animal with one of {listed(names)}" if len(names) > 1 else "Take one of them off"
        raise DataError(
            f"{path}: {pluralize(len(several), 'frame')} with two animals, or labelled twice, first {several[0]}; "
            f"expected one animal. {todo}"
        )
    return [found[0] for found in by_image.values()]


def _tables(
    project: Project, placed: Sequence[Placed], names: NameMap, predictions: Labels
) -> tuple[Labels, list[Finding]]:
    """Return the labels of each picture that can be used, and what was left out."""
    labels, away, untouched = Labels(), list[str](), list[str]()
    for one in placed:
        image, xy = one.row.image, _in_order(one.entry, names, len(project.keypoints))
        off = outside(xy, one.size)
        xy[off] = np.nan
        if off.any():
            away.append(image)
        if prefill.is_untouched(xy, predictions.get(image)):
            untouched.append(image)
        elif np.isfinite(xy).any():
            labels[image] = xy
    findings = []
    if away:
        todo = "They are left out. Label these frames again"
        findings.append(listing("outside", away, "with keypoints outside of the picture", todo, "outside"))
    if untouched:
        todo = "They are left out. Correct them, or add --predictions if they are right as they are"
        findings.append(listing("not corrected", untouched, "with nothing but the prediction they began with", todo))
    return labels, findings


def _in_order(entry: Entry, names: NameMap, count: int) -> Float64:
    """Return (K, 2) labels in the project's order; NaN for a keypoint without a label."""
    xy = np.full((count, 2), np.nan)
    for name, point in entry.points.items():
        if name in names.places:
            xy[names.places[name]] = point
    return xy


def _absent(project: Project, merged: Merged, options: ImportOptions) -> list[Finding]:
    """Return what is to be said of labels that the file does not have in frames that it labels."""
    if not merged.absent:
        return []
    image, points = next(iter(merged.absent.items()))
    count, first = sum(map(len, merged.absent.values())), project.keypoints[points[0]]
    what = f"{pluralize(count, 'label')} that the file does not have, first {first} of {image}"
    if options.remove:
        return [Finding(f"removed: {what}", {})]
    return [Finding(f"kept: {what}. Add --remove to take such labels off", {})]


def _nothing(path: Path, entries: Sequence[Entry], findings: Sequence[Finding]) -> str:
    why = findings[0].text if findings else "no keypoint of the project is labelled"
    return f"{path}: none of its {pluralize(len(entries), 'labelled frame')} can be used. {why}"


def _write_pictures(
    project: Project, rows: Sequence[FrameRow], added: Sequence[FrameRow], pngs: Mapping[str, bytes | Path]
) -> None:
    """Write new pictures, and then the table with them."""
    if not added:
        return
    for row in added:
        png, target = pngs[row.image], project.folder / row.image
        make_folder(target.parent)
        write_whole(target, png.read_bytes() if isinstance(png, Path) else png, MAKE_ROOM)
    write_frame_table(project, [*rows, *added])
