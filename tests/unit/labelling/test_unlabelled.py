"""An import says which frames still have no labels, and that a newer export is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from support.labelled import deeplabcut_csv, make_project, pose

from realtime_cropzoom.labelling.exporting import export_labels
from realtime_cropzoom.labelling.importing import import_labels
from realtime_cropzoom.project.folder import Project


def exported(tmp_path: Path, name: str = "deeplabcut") -> tuple[Project, Path]:
    project = make_project(tmp_path / "my rats", {"rat1": range(4), "rat2": range(3), "rat3": range(2)})
    folder = project.exports_folder / name
    export_labels(project, "deeplabcut", folder)
    return project, folder


def label_recording(folder: Path, recording: str, frames: range) -> None:
    labels = {f"labeled-data/{recording}/img{i:08d}.png": pose(i) for i in frames}
    deeplabcut_csv(folder / "labeled-data" / recording / "CollectedData_Ada.csv", labels)


def test_recordings_of_an_exported_folder_that_were_not_labelled_or_not_saved_are_counted(tmp_path: Path) -> None:
    project, folder = exported(tmp_path)
    label_recording(folder, "rat1", range(3))
    assert import_labels(project, folder).notes == (
        "6 of the 9 exported frames have no labels in it: rat1 (1), rat2 (3), rat3 (2)",
    )
    label_recording(folder, "rat1", range(4))
    label_recording(folder, "rat2", range(3))
    label_recording(folder, "rat3", range(1))
    assert import_labels(project, folder).notes == ("1 of the 9 exported frames has no labels in it: rat3 (1)",)
    label_recording(folder, "rat3", range(2))
    assert import_labels(project, folder).notes == ()


def test_another_file_is_about_its_own_recordings(tmp_path: Path) -> None:
    project, _ = exported(tmp_path)
    file = deeplabcut_csv(tmp_path / "a.csv", {"labeled-data/rat2/img00000001.png": pose(1)})
    assert import_labels(project, file).notes == ("2 of the 3 frames of these recordings have no labels yet: rat2 (2)",)


def test_a_package_beside_the_export_is_about_all_frames_of_the_project(tmp_path: Path) -> None:
    project, folder = exported(tmp_path, "coco")
    file = deeplabcut_csv(folder / "back.csv", {f"labeled-data/rat1/img{i:08d}.png": pose(i) for i in range(4)})
    assert import_labels(project, file).notes == (
        "5 of the 9 frames of the project have no labels in it: rat2 (3), rat3 (2)",
    )


def test_an_import_that_changes_nothing_asks_for_the_newer_export(tmp_path: Path) -> None:
    project, folder = exported(tmp_path)
    for recording, count in (("rat1", 4), ("rat2", 3), ("rat3", 2)):
        label_recording(folder, recording, range(count))
    import_labels(project, folder)
    assert import_labels(project, folder).notes == ()
    for number in (2, 10):
        export_labels(project, "deeplabcut", project.exports_folder / f"deeplabcut-{number}")
    (project.exports_folder / "sleap-11").mkdir()
    asked = "nothing has changed, and labels/exports/deeplabcut-10 is newer: import that one?"
    assert import_labels(project, folder).notes == (asked,)
    file = folder / "labeled-data" / "rat1" / "CollectedData_Ada.csv"
    assert import_labels(project, file).notes[-1] == asked
    assert asked not in import_labels(project, project.exports_folder / "deeplabcut-10").notes
    moved = {"labeled-data/rat1/img00000000.png": np.add(pose(0), 1.0)}
    deeplabcut_csv(file, moved)
    assert asked not in import_labels(project, file).notes, "it brings something new"
