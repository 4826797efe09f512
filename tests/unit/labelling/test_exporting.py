"""Exports: nothing is lost, what comes back is the same to the last bit, and predictions do not become labels."""

from __future__ import annotations

import json
import math
import shlex
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import judged_projects
from support.labelled import NAMES, SIZE, label, make_project, picture, pose, write_picture
from support.offline_fixtures import full_disk
from support.pipelines import cropzoom

from realtime_cropzoom.errors import ConfigError, DataError, SinkError
from realtime_cropzoom.labelling import prefill
from realtime_cropzoom.labelling.exporting import PROGRAMS, export_labels
from realtime_cropzoom.labelling.frame_table import FrameRow, read_frame_table, write_frame_table
from realtime_cropzoom.labelling.importing import ImportOptions, import_labels
from realtime_cropzoom.labelling.label_table import Labels, read_label_table
from realtime_cropzoom.project.folder import Project

OF_HDF5 = """Can't synchronously write data (file write failed: time = Sun Nov 29 21:03:42 2026
, filename = '/disk/partial.slp', file descriptor = 4, errno = 28, error message = 'No space left on device',\
 total write size = 134394, bytes this sub-write = 134394, offset = 307200)"""
"""What h5py says of a full disk."""
FRAMES = {"mouse, 1": (3, 40, 500), "rat": (7, 8)}


def image(recording: str, frame: int) -> str:
    return f"frames/{recording}/img{frame:08d}.png"


def some_labels() -> Labels:
    labels = {image("mouse, 1", 3): pose(3), image("rat", 8): pose(8)}
    labels[image("rat", 8)][1] = np.nan
    return labels


def export(project: Project, program: str, folder: Path, **options: Any) -> Path:
    """Export, and return what is imported again."""
    if program == "sleap":
        pytest.importorskip("sleap_io", reason="sleap-io is not installed (extra labels)")
    done = export_labels(project, program, folder, **options)
    return done.open.parent if program == "deeplabcut" else done.open


@pytest.mark.parametrize("program", ["deeplabcut", "coco"])
def test_a_full_disk_is_one_line(tmp_path: Path, program: str) -> None:
    project = make_project(tmp_path / "my project", FRAMES)
    out = tmp_path / "out"
    done = cropzoom("labels", "export", project.folder, "--to", program, "--out", out, code=full_disk(1000))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"cropzoom: cannot write {out}/")
    assert line.endswith(": File too large; free some space, or give another folder")


def test_a_full_disk_is_one_line_of_sleap_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sio: Any = pytest.importorskip("sleap_io", reason="sleap-io is not installed (extra labels)")

    def save(labels: object, path: str, **options: object) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, OF_HDF5)

    monkeypatch.setattr(sio.Labels, "save", save)
    out = tmp_path / "out"
    with pytest.raises(SinkError) as refused:
        export(make_project(tmp_path / "project", FRAMES), "sleap", out)
    words = "No space left on device; free some space, or give another folder"
    assert str(refused.value) == f"cannot write {out / 'project.pkg.slp'}: {words}"
    assert not list(out.iterdir())


def test_a_full_disk_is_one_line_of_deeplabcuts_h5_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables: Any = pytest.importorskip("tables")
    project = make_project(tmp_path / "project", FRAMES)
    label(project, some_labels())

    def to_hdf(table: pd.DataFrame, path: Path, **options: object) -> None:
        path.write_bytes(b"half")
        raise tables.exceptions.HDF5ExtError(OF_HDF5)

    monkeypatch.setattr(pd.DataFrame, "to_hdf", to_hdf)
    with pytest.raises(SinkError, match=r"^cannot write .*\.h5: No space left on device; free some space, or [^\n]*$"):
        export(project, "deeplabcut", tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.partial"))


@pytest.mark.parametrize("program", PROGRAMS)
def test_all_frames_go_out_with_their_labels_and_come_back_the_same(tmp_path: Path, program: str) -> None:
    project = make_project(tmp_path / "my project", FRAMES)
    label(project, some_labels())
    back = export(project, program, tmp_path / "out")
    before = project.labels_file.read_bytes()
    assert import_labels(project, back).merged.same == tuple(sorted(some_labels()))
    assert project.labels_file.read_bytes() == before
    empty = make_project(tmp_path / "another", FRAMES)
    done = import_labels(empty, back)
    assert (done.added, done.backup) == ((), None)
    assert empty.labels_file.read_bytes() == before


coordinates = st.tuples(st.floats(0, SIZE[0] - 1), st.floats(0, SIZE[1] - 1))
tables = st.lists(st.one_of(st.none(), coordinates), min_size=len(NAMES), max_size=len(NAMES)).filter(any)


@pytest.mark.parametrize("program", PROGRAMS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(table=tables)
def test_every_coordinate_survives_to_the_last_bit(tmp_path: Path, program: str, table: list[Any]) -> None:
    for name in ("p", "q", "out"):
        shutil.rmtree(tmp_path / name, ignore_errors=True)
    project = make_project(tmp_path / "p", {"rat": (7,)})
    label(project, {image("rat", 7): np.array([point or (math.nan, math.nan) for point in table], np.float64)})
    other = make_project(tmp_path / "q", {"rat": (7,)})
    import_labels(other, export(project, program, tmp_path / "out"))
    assert other.labels_file.read_bytes() == project.labels_file.read_bytes()


@pytest.mark.parametrize("kept", [0, 1])
def test_labelled_pictures_without_a_row_are_counted_and_their_own_labels_bring_them_back(
    tmp_path: Path, kept: int
) -> None:
    project = make_project(tmp_path / "my project", FRAMES)
    label(project, {image("rat", frame): pose(frame) for frame in (7, 8)})
    rows = read_frame_table(project)
    lost = [row for row in rows if row.folder == "rat"][kept:]
    write_frame_table(project, [row for row in rows if row not in lost])
    pictures = {path: path.read_bytes() for path in project.frames_folder.rglob("*.png")}
    (note, *_) = export_labels(project, "coco", tmp_path / "one").notes
    assert note.startswith(f"{2 - kept} labelled picture")
    assert "left out, because frames.csv does not name them, first frames/rat/img0000000" in note
    file = Path(shlex.split(note.partition("with: ")[2])[-1])
    assert not import_labels(project, file).merged.new
    assert {row.image for row in read_frame_table(project)} == {row.image for row in rows}
    assert {path: path.read_bytes() for path in project.frames_folder.rglob("*.png")} == pictures
    assert not any("left out" in note for note in export_labels(project, "coco", tmp_path / "two").notes)


def test_deeplabcut_finds_its_project(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", FRAMES)
    label(project, some_labels())
    folder = tmp_path / "out"
    export_labels(project, "deeplabcut", folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["bodyparts"] == list(NAMES)
    assert config["skeleton"] == [["nose", "ear_l"], ["nose", "ear_r"]]
    assert config["scorer"] == "cropzoom"
    assert config["video_sets"]["/videos/rat.mp4"] == {"crop": "0, 96, 0, 64"}
    pictures = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    assert pictures == [f"labeled-data/{r}/img{f:08d}.png" for r, frames in FRAMES.items() for f in frames]
    assert (folder / "labeled-data/rat/CollectedData_cropzoom.csv").exists()
    pytest.importorskip("tables")
    import pandas as pd

    table = pd.read_hdf(folder / "labeled-data/rat/CollectedData_cropzoom.h5")
    assert list(table.index) == [("labeled-data", "rat", "img00000008.png")]
    assert table.columns.names == ["scorer", "bodyparts", "coords"]
    assert np.array_equal(table.to_numpy().ravel(), some_labels()[image("rat", 8)].ravel(), equal_nan=True)


def test_without_tables_the_csv_goes_out_and_a_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_project(tmp_path / "p", FRAMES)
    label(project, some_labels())
    monkeypatch.setattr("realtime_cropzoom.labelling.exports.deeplabcut.find_spec", lambda name: None)
    done = export_labels(project, "deeplabcut", tmp_path / "out")
    assert [note.partition(":")[0] for note in done.notes] == [
        "without .h5, napari-deeplabcut does not show the labels and predictions that are there"
    ]
    assert not list((tmp_path / "out").rglob("*.h5"))
    assert import_labels(project, tmp_path / "out").merged.same == tuple(sorted(some_labels()))


def test_sleap_finds_frames_skeleton_and_symmetries(tmp_path: Path) -> None:
    sio: Any = pytest.importorskip("sleap_io", reason="sleap-io is not installed (extra labels)")
    project = make_project(tmp_path / "p", FRAMES)
    label(project, some_labels())
    path = export(project, "sleap", tmp_path / "out")
    shutil.rmtree(project.frames_folder)  # it is carried to another computer
    found = sio.load_slp(str(path))
    (skeleton,) = found.skeletons
    assert skeleton.node_names == list(NAMES)
    assert skeleton.edge_names == [("nose", "ear_l"), ("nose", "ear_r")]
    assert skeleton.symmetry_names == [("ear_l", "ear_r")]
    assert len(found.suggestions) == 5
    assert len(found.user_labeled_frames) == 2
    for video, (recording, frames) in zip(found.videos, FRAMES.items(), strict=True):
        for i, frame in enumerate(frames):
            assert np.array_equal(video[i], picture(recording, frame))
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["p.pkg.slp"]


def test_cvat_finds_images_annotations_and_its_skeleton(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", FRAMES)
    label(project, some_labels())
    path = export(project, "coco", tmp_path / "out")
    with zipfile.ZipFile(path) as archive:
        tree = json.loads(archive.read("annotations/person_keypoints_default.json"))
        pictures = sorted(name for name in archive.namelist() if name.endswith(".png"))
    names = [entry["file_name"] for entry in tree["images"]]
    assert pictures == [f"images/default/{name}" for name in names]
    assert names[0] == "mouse, 1__img00000003.png"
    assert tree["categories"][0]["keypoints"] == list(NAMES)
    assert tree["categories"][0]["skeleton"] == [[1, 2], [1, 3]]
    assert [a["num_keypoints"] for a in tree["annotations"]] == [4, 3]
    assert tree["annotations"][1]["keypoints"][3:6] == [0, 0, 0]
    assert {"id", "image_id", "category_id", "iscrowd", "bbox", "area", "segmentation"} <= tree["annotations"][0].keys()
    (skeleton,) = json.loads((tmp_path / "out" / "cvat_labels.json").read_text())
    assert [part["name"] for part in skeleton["sublabels"]] == list(NAMES)
    assert skeleton["svg"].count('data-type="element node"') == 4
    assert 'data-node-from="1" data-node-to="3"' in skeleton["svg"]
    assert '<Label value="ear_l"' in (tmp_path / "out" / "label_studio.xml").read_text()
    assert sorted(p.name for p in (tmp_path / "out" / "images").iterdir()) == sorted(names)
    again = export(project, "coco", tmp_path / "again")
    assert again.read_bytes() == path.read_bytes()


def test_labels_of_label_studio_find_their_frames(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", FRAMES)
    export(project, "coco", tmp_path / "out")
    names = sorted(p.name for p in (tmp_path / "out" / "images").iterdir())
    tasks = [
        {
            "data": {"image": f"/data/upload/2/0a1b2c3d-{name.replace(', ', '_')}"},
            "annotations": [{"result": [
                {"type": "keypointlabels", "original_width": SIZE[0], "original_height": SIZE[1],
                 "value": {"x": 25.0, "y": 50.0, "keypointlabels": [keypoint]}} for keypoint in NAMES[:1]
            ]}],
        }
        for name in names
    ]  # fmt: skip
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    done = import_labels(project, tmp_path / "export.json")
    assert len(done.merged.new) == 5
    assert not done.added
    assert read_label_table(project)[image("rat", 8)][0].tolist() == [24.0, 32.0]


@pytest.fixture
def predicted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose models find an animal in each frame that has no label, but its last keypoint nowhere."""
    project = make_project(tmp_path / "p", FRAMES)
    label(project, some_labels())

    def predict(_: Project, images: Any, least: float, progress: Any) -> tuple[Labels, Labels]:
        found = {name: np.round(pose(len(name)), 2) for name in images}
        for xy in found.values():
            xy[3] = np.nan
        return found, {name: np.where(np.isnan(xy[:, :1]), np.nan, 0.9) for name, xy in found.items()}

    monkeypatch.setattr(prefill, "has_models", lambda project: True)
    monkeypatch.setattr(prefill, "predict", predict)
    return project


@pytest.mark.parametrize("program", PROGRAMS)
def test_predictions_that_nobody_corrects_do_not_become_labels(
    predicted: Project, tmp_path: Path, program: str
) -> None:
    back = export(predicted, program, tmp_path / "out")
    if program == "deeplabcut":
        _save_machine_labels(tmp_path / "out")
    before = predicted.labels_file.read_bytes()
    done = import_labels(predicted, back)
    assert not done.merged.new
    assert predicted.labels_file.read_bytes() == before
    if program != "sleap":
        (finding,) = [f for f in done.findings if f.text.startswith("not corrected")]
        assert "3 frames with nothing but the prediction they began with" in finding.text
    taken = import_labels(predicted, back, ImportOptions(predictions=True))
    assert len(taken.merged.new) == 3
    assert len(import_labels(predicted, back).merged.same) == (2 if program == "sleap" else 5)  # they stay accepted


def _save_machine_labels(folder: Path) -> None:
    """Do as napari-deeplabcut does when a layer of machine labels is saved."""
    pytest.importorskip("tables")
    import pandas as pd

    for path in folder.rglob("machinelabels-iter0.h5"):
        made = pd.DataFrame(pd.read_hdf(path)).drop("likelihood", axis=1, level="coords")
        target = path.with_name("CollectedData_cropzoom.h5")
        merged = made.combine_first(pd.DataFrame(pd.read_hdf(target))) if target.exists() else made
        merged.to_hdf(target, key="df_with_missing", mode="w")
        merged.to_csv(target.with_suffix(".csv"))


def test_one_corrected_keypoint_makes_a_frame_a_label(predicted: Project, tmp_path: Path) -> None:
    back = export(predicted, "coco", tmp_path / "out")
    with zipfile.ZipFile(back) as archive:
        tree = json.loads(archive.read("annotations/person_keypoints_default.json"))
    number = next(entry["id"] for entry in tree["images"] if entry["file_name"] == "rat__img00000007.png")
    annotation = next(a for a in tree["annotations"] if a["image_id"] == number)
    annotation["keypoints"][0] += 1.0
    (tmp_path / "corrected.json").write_text(json.dumps(tree))
    assert import_labels(predicted, tmp_path / "corrected.json").merged.new == (image("rat", 7),)


def test_sleap_has_predictions_as_predictions(predicted: Project, tmp_path: Path) -> None:
    sio: Any = pytest.importorskip("sleap_io", reason="sleap-io is not installed (extra labels)")
    found = sio.load_slp(str(export(predicted, "sleap", tmp_path / "out")))
    kinds = [type(frame.instances[0]).__name__ for frame in found.labeled_frames]
    assert sorted(kinds) == ["Instance"] * 2 + ["PredictedInstance"] * 3
    score = next(f for f in found.labeled_frames if kinds[0] and hasattr(f.instances[0], "score")).instances[0]
    assert score.numpy(scores=True)[:, 2].tolist() == [0.9, 0.9, 0.9, 0.0]


def test_the_models_of_a_project_predict_its_frames(tmp_path: Path) -> None:
    project = judged_projects.make_project(tmp_path / "p", held_out=2, train=1)
    truth = read_label_table(project)
    project.labels_file.unlink()
    write_frame_table(project, [FrameRow(name, "arena", int(name[-12:-4]), 1) for name in sorted(truth)])
    done: list[int] = []
    summary = export_labels(project, "coco", tmp_path / "out", least_likelihood=0.5, progress=done.append)
    assert (summary.frames, summary.labelled, summary.predicted, done) == (3, 0, 3, [1, 2, 3])
    for name, xy in prefill.remembered(project).items():
        assert np.isfinite(xy).all(axis=1).sum() >= 3
        assert np.nanmedian(np.hypot(*(xy - truth[name]).T)) < 5
    assert export_labels(project, "coco", tmp_path / "b", least_likelihood=1.0).predicted == 0
    assert export_labels(project, "coco", tmp_path / "c", predictions=False).predicted == 0


def test_what_cannot_be_exported_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"has no frames to label\. Pick some: cropzoom frames"):
        export_labels(make_project(tmp_path / "empty"), "coco", tmp_path / "out")
    project = make_project(tmp_path / "p", FRAMES)
    (project.folder / image("rat", 7)).unlink()
    with pytest.raises(DataError, match=r"names frames/rat/img00000007.png, which is not there \(1 of 5 are missing\)"):
        export_labels(project, "coco", tmp_path / "out")
    write_picture(project.folder / image("rat", 7), picture("rat", 7))
    monkeypatch.setitem(__import__("sys").modules, "sleap_io", None)
    with pytest.raises(ConfigError, match=r"--to sleap: sleap_io is not installed; .*\[labels\]"):
        export_labels(project, "sleap", tmp_path / "out")


def test_another_reader_reads_what_goes_out(tmp_path: Path) -> None:
    """sleap-io has readers of its own for both forms. That of COCO computes with 32 bits."""
    sio: Any = pytest.importorskip("sleap_io", reason="sleap-io is not installed (extra labels)")
    project = make_project(tmp_path / "p", FRAMES)
    label(project, some_labels())
    with zipfile.ZipFile(export(project, "coco", tmp_path / "coco")) as archive:
        archive.extractall(tmp_path / "unpacked")
    json_file = tmp_path / "unpacked/annotations/person_keypoints_default.json"
    found = sio.load_coco(str(json_file), dataset_root=str(tmp_path / "unpacked/images/default"))
    export(project, "deeplabcut", tmp_path / "dlc")
    table = sio.load_file(str(tmp_path / "dlc/labeled-data/rat/CollectedData_cropzoom.csv"))
    for labels, tolerance, names in ((found, 1e-4, ["rat__img00000008.png"]), (table, 0.0, ["img00000008.png"])):
        frames = {Path(frame.video.filename[frame.frame_idx]).name: frame.instances for frame in labels if len(frame)}
        (animal,) = frames[names[0]]
        points = dict(zip(animal.skeleton.node_names, animal.numpy(), strict=True))
        expected = some_labels()[image("rat", 8)]
        for name, xy in zip(NAMES, expected, strict=True):
            assert points[name] == pytest.approx(xy, abs=tolerance, rel=0, nan_ok=True)
