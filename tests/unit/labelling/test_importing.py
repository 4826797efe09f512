"""Imports of labels: every form gives the same table, pictures come along, and bad input changes nothing."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.films import Footage
from support.labelled import NAMES, coco, deeplabcut_csv, make_project, picture, pose, write_picture

from realtime_cropzoom.errors import ConfigError, CropzoomError, DataError
from realtime_cropzoom.labelling.frame_table import read_frame_table
from realtime_cropzoom.labelling.importing import Imported, ImportOptions, import_labels
from realtime_cropzoom.labelling.label_sheet import write_label_sheet
from realtime_cropzoom.labelling.label_table import read_label_table
from realtime_cropzoom.plots.contact_sheet import contact_sheet
from realtime_cropzoom.project.folder import Project, load_project
from realtime_cropzoom.sources.image_file import read_image
from realtime_cropzoom.types import Float64

FRAMES = (3, 40, 500)


def own_labels(recording: str = "m") -> dict[str, Float64]:
    """Return labels of a lab, by the path of the image: one keypoint is hidden."""
    labels = {f"labeled-data/{recording}/img{frame:04d}.png": pose(frame) for frame in FRAMES}
    labels[f"labeled-data/{recording}/img0040.png"][1] = np.nan
    return labels


def with_pictures(folder: Path, recording: str = "m") -> Path:
    for frame in FRAMES:
        write_picture(folder / f"labeled-data/{recording}/img{frame:04d}.png", picture(recording, frame))
    return folder


def texts(done: Imported) -> list[str]:
    return [
        finding.text for finding in done.findings if not finding.text.startswith(("few labels", "left and right: not"))
    ]


@pytest.mark.parametrize(("frame", "folder"), [(3, "m-2"), (40, "m")])
def test_a_picture_that_the_table_does_not_know_is_never_overwritten(tmp_path: Path, frame: int, folder: str) -> None:
    project = make_project(tmp_path / "p")
    stranger = project.frames_folder / "m" / f"img{frame:08d}.png"
    write_picture(stranger, picture("another", frame))
    before = stranger.read_bytes()
    done = import_labels(project, as_csv(with_pictures(tmp_path)))
    assert stranger.read_bytes() == before
    assert {row.folder for row in read_frame_table(project)} == {folder}
    assert len(done.merged.new) == (3 if folder == "m-2" else 2)
    assert any("another picture is at" in text for text in texts(done)) == (folder == "m")


def as_csv(folder: Path) -> Path:
    return deeplabcut_csv(folder / "CollectedData_Ada.csv", own_labels())


def as_csv_in_three_columns(folder: Path) -> Path:
    return deeplabcut_csv(folder / "labeled-data" / "m" / "CollectedData_Ada.csv", own_labels(), columns=3)


def as_h5(folder: Path) -> Path:
    pytest.importorskip("tables")
    import pandas as pd

    columns = pd.MultiIndex.from_product([["Ada"], NAMES, ["x", "y"]], names=["scorer", "bodyparts", "coords"])
    index = pd.MultiIndex.from_tuples([tuple(name.split("/")) for name in own_labels()])
    table = pd.DataFrame(np.array([xy.ravel() for xy in own_labels().values()]), columns=columns, index=index)
    table.to_hdf(folder / "CollectedData_Ada.h5", key="df_with_missing", mode="w")
    return folder / "CollectedData_Ada.h5"


def as_coco(folder: Path) -> Path:
    return coco(folder / "labels.json", own_labels())


def as_coco_zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "task.zip", "w") as archive:
        archive.write(as_coco(folder), "annotations/person_keypoints_default.json")
        for image in own_labels():
            archive.write(folder / image, f"images/default/{image}")
    return folder / "task.zip"


def as_slp(folder: Path, embed: Any = False) -> Path:
    sio: Any = pytest.importorskip("sleap_io", reason="sleap-io is not installed (extra labels)")
    skeleton = sio.Skeleton(list(reversed(NAMES)))  # another order
    video = sio.Video.from_filename([str(folder / image) for image in own_labels()])
    frames = [
        sio.LabeledFrame(video, i, [sio.Instance.from_numpy(xy[::-1], skeleton)])
        for i, xy in enumerate(own_labels().values())
    ]
    path = folder / f"labels{'.pkg' if embed else ''}.slp"
    sio.Labels(frames).save(str(path), embed=embed, verbose=False)
    return path


def as_package(folder: Path) -> Path:
    return as_slp(folder, "all")


FORMS = [as_csv, as_csv_in_three_columns, as_h5, as_coco, as_coco_zip, as_slp, as_package]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_table_and_brings_its_pictures(tmp_path: Path, form: Callable[[Path], Path]) -> None:
    expected = make_project(tmp_path / "expected")
    import_labels(expected, as_csv(with_pictures(tmp_path / "of csv")))
    project = make_project(tmp_path / "p")
    done = import_labels(project, form(with_pictures(tmp_path / "lab")))
    assert project.labels_file.read_bytes() == expected.labels_file.read_bytes()
    assert len(done.added) == len(done.merged.new) == len(FRAMES)
    assert [row.image for row in read_frame_table(project)] == [f"frames/m/img{f:08d}.png" for f in FRAMES]
    for row in done.added:
        assert np.array_equal(read_image(project.folder / row.image), picture("m", row.frame))
    for i, xy in enumerate(read_label_table(project).values()):
        assert np.array_equal(xy, list(own_labels().values())[i], equal_nan=True)


@pytest.mark.parametrize("form", FORMS)
def test_frames_that_the_project_has_are_matched_and_a_second_import_changes_nothing(
    tmp_path: Path, form: Callable[[Path], Path]
) -> None:
    project = make_project(tmp_path / "p", {"m": [*FRAMES, 7], "n": FRAMES})
    path, rows = form(with_pictures(tmp_path / "lab")), read_frame_table(project)
    first = import_labels(project, path)
    assert not first.added
    assert first.merged.new == tuple(f"frames/m/img{f:08d}.png" for f in FRAMES)
    before = project.labels_file.read_bytes()
    second = import_labels(project, path)
    assert (second.merged.same, second.merged.new, second.backup) == (first.merged.new, (), None)
    assert project.labels_file.read_bytes() == before
    assert read_frame_table(project) == rows


def test_on_real_labels_deeplabcut_sleap_and_coco_give_the_same_bytes(tmp_path: Path, shared_data: Path) -> None:
    sio: Any = pytest.importorskip("sleap_io", reason="sleap-io is not installed (extra labels)")
    from realtime_cropzoom.sessions.dlc_csv import read_labels

    file = shared_data / "openfield" / "CollectedData.csv"
    found = read_labels(file)
    paths = [shared_data / "openfield" / image for image in found.images]
    video, skeleton = sio.Video.from_filename([str(p) for p in paths]), sio.Skeleton(list(found.keypoint_names))
    frames = [sio.LabeledFrame(video, i, [sio.Instance.from_numpy(xy, skeleton)]) for i, xy in enumerate(found.xy)]
    sio.Labels(frames).save(str(tmp_path / "labels.slp"), verbose=False)
    by_path = dict(zip(map(str, paths), found.xy, strict=True))
    as_json = coco(tmp_path / "labels.json", by_path, found.keypoint_names, size=(640, 480))
    tables = []
    for number, path in enumerate([file, tmp_path / "labels.slp", as_json]):
        project = make_project(tmp_path / str(number), names=found.keypoint_names)
        assert len(import_labels(project, path).merged.new) == 92
        tables.append((project.labels_file.read_bytes(), project.frames_table.read_bytes()))
    assert tables[0] == tables[1] == tables[2]


def test_frames_of_a_video_are_taken_out_of_it(tmp_path: Path) -> None:
    sio: Any = pytest.importorskip("sleap_io", reason="sleap-io is not installed (extra labels)")
    (tmp_path / "videos").mkdir()
    footage = Footage()
    video = footage.write(tmp_path / "videos" / "mouse.mp4", 20)
    film, skeleton = sio.Video(filename=str(video), open_backend=False), sio.Skeleton(list(NAMES))
    frames = [sio.LabeledFrame(film, i, [sio.Instance.from_numpy(pose(i), skeleton)]) for i in (4, 17)]
    sio.Labels(frames).save(str(tmp_path / "a.slp"), verbose=False)
    project = make_project(tmp_path / "p")
    done = import_labels(project, tmp_path / "a.slp")
    images = [f"frames/mouse/img{i:08d}.png" for i in (4, 17)]
    assert [(row.image, row.recording) for row in done.added] == [(image, str(video)) for image in images]
    assert [footage.index_of(read_image(project.folder / image)) for image in images] == [4, 17]
    video.rename(tmp_path / "mouse.mp4")  # it has moved, and is found beside the file
    assert import_labels(project, tmp_path / "a.slp").merged.same == done.merged.new
    (tmp_path / "mouse.mp4").unlink()  # it is gone, but the project has the frames
    assert import_labels(project, tmp_path / "a.slp").merged.same == done.merged.new
    with pytest.raises(DataError, match=r"none of its 2 labelled frames can be used\. not found: .* --images"):
        import_labels(make_project(tmp_path / "q"), tmp_path / "a.slp")


def test_a_recording_of_the_same_name_with_other_pictures_stays_apart(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", {"m": FRAMES})
    lab = tmp_path / "lab"
    for frame in FRAMES:
        write_picture(lab / f"labeled-data/m/img{frame:04d}.png", picture("another", frame))
    done = import_labels(project, as_csv(lab))
    assert [row.folder for row in done.added] == ["m-2"] * 3
    assert import_labels(project, as_csv(lab)).merged.same == done.merged.new
    assert len(read_frame_table(project)) == 6


def test_pictures_elsewhere_are_found_with_a_flag(tmp_path: Path) -> None:
    project, lab = make_project(tmp_path / "p"), with_pictures(tmp_path / "lab")
    file = as_csv(tmp_path / "only labels")
    with pytest.raises(DataError, match=r"not found: 3 frames .*, first labeled-data/m/img0003.png\. .* --images"):
        import_labels(project, file)
    assert not project.labels_file.exists()
    assert len(import_labels(project, file, ImportOptions(images=lab / "labeled-data/m")).added) == 3


def test_a_folder_of_deeplabcut_is_read_whole(tmp_path: Path) -> None:
    lab = with_pictures(with_pictures(tmp_path / "lab"), "n")
    for recording in ("m", "n"):
        deeplabcut_csv(lab / f"labeled-data/{recording}/CollectedData_Ada.csv", own_labels(recording), columns=3)
    assert len(import_labels(make_project(tmp_path / "p"), lab).added) == 6
    with pytest.raises(DataError, match=r"holds no CollectedData.* no labels are saved in it"):
        import_labels(make_project(tmp_path / "q"), tmp_path / "p" / "frames")


def test_other_names_of_keypoints_are_mapped(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p")
    path = deeplabcut_csv(
        with_pictures(tmp_path / "lab") / "CollectedData.csv", own_labels(), ["snout", "leftear", "rightear", "tip"]
    )
    with pytest.raises(DataError, match="--rename snout=nose,leftear=ear_l,rightear=ear_r"):
        import_labels(project, path)
    done = import_labels(project, path, ImportOptions({"snout": "nose", "leftear": "ear_l", "rightear": "ear_r"}))
    assert done.notes == (
        "keypoints left out, because the project does not have them: tip",
        "keypoints that the file does not have: tail_base. Their labels stay as they are",
    )
    assert np.isnan(read_label_table(project)["frames/m/img00000003.png"][3]).all()


def test_points_outside_are_left_out_and_said(tmp_path: Path) -> None:
    project, labels = make_project(tmp_path / "p", {"m": FRAMES}), own_labels()
    labels["labeled-data/m/img0003.png"][0] = (1e30, 5)
    labels["labeled-data/m/img0500.png"][:] = -50
    done = import_labels(project, deeplabcut_csv(tmp_path / "a.csv", labels))
    assert texts(done) == [
        "outside: 2 frames with keypoints outside of the picture, first frames/m/img00000003.png. They are left out. "
        "Label these frames again"
    ]
    found = read_label_table(project)
    assert list(found) == ["frames/m/img00000003.png", "frames/m/img00000040.png"]
    assert np.isnan(found["frames/m/img00000003.png"][0]).all()


def test_labels_at_another_size_are_left_out(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", {"m": FRAMES})
    with pytest.raises(DataError, match=r"size: 3 frames .*img00000003.png \(192x128 there, 96x64 here\)"):
        import_labels(project, coco(tmp_path / "a.json", own_labels(), size=(192, 128)))


def two_animals(folder: Path, *, named: bool) -> Path:
    tree = json.loads(coco(folder / "a.json", own_labels()).read_text())
    more = {**tree["annotations"][0], "id": 99, "keypoints": [30, 30, 2] * 4}
    if named:
        tree["annotations"][0]["attributes"] = {"track_id": "white"}
        more["attributes"] = {"track_id": "black"}
    tree["annotations"].append(more)
    (folder / "a.json").write_text(json.dumps(tree))
    return folder / "a.json"


def test_two_animals_in_a_frame_are_refused_until_one_is_chosen(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", {"m": FRAMES})
    with pytest.raises(DataError, match=r"1 frame with two animals, .*img00000003.png; .* Take one of them off"):
        import_labels(project, two_animals(tmp_path, named=False))
    path = two_animals(tmp_path, named=True)
    with pytest.raises(DataError, match="Add --animal with one of white, black"):
        import_labels(project, path)
    with pytest.raises(DataError, match=r"--animal: .* has no red"):
        import_labels(project, path, ImportOptions(animal="red"))
    import_labels(project, path, ImportOptions(animal="black"))
    found = read_label_table(project)
    assert found["frames/m/img00000003.png"].tolist() == [[30, 30]] * 4
    assert len(found) == 3


def test_the_same_frame_twice_counts_once(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", {"m": FRAMES})
    path = as_csv(tmp_path)
    path.write_text(path.read_text() + path.read_text().splitlines()[-1] + "\n")
    assert len(import_labels(project, path).merged.new) == 3
    path.write_text(path.read_text() + "labeled-data/m/img0500.png,1,2,3,4,5,6,7,8\n")
    with pytest.raises(DataError, match=r"labelled twice, first frames/m/img00000500.png"):
        import_labels(project, path)


def test_predictions_are_no_labels_unless_they_are_asked_for(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", {"m": FRAMES}, names=["nose"])
    (tmp_path / "a.csv").write_text(
        "scorer,D,D,D\nbodyparts,nose,nose,nose\ncoords,x,y,likelihood\nlabeled-data/m/img3.png,5,6,0.9\n"
    )
    with pytest.raises(DataError, match=r"got predictions of a model in 1 frame, .* add --predictions"):
        import_labels(project, tmp_path / "a.csv")
    import_labels(project, tmp_path / "a.csv", ImportOptions(predictions=True))
    assert read_label_table(project)["frames/m/img00000003.png"].tolist() == [[5, 6]]


def test_a_second_import_says_what_moved_and_keeps_the_file_before(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", {"m": [*FRAMES, 7]})
    import_labels(project, as_csv(tmp_path))
    before, labels = project.labels_file.read_bytes(), own_labels()
    labels["labeled-data/m/img0003.png"][0] += (3, 4)
    labels["labeled-data/m/img0500.png"][2] = np.nan
    labels["labeled-data/m/img0007.png"] = pose(7)
    del labels["labeled-data/m/img0040.png"]
    done = import_labels(project, deeplabcut_csv(tmp_path / "b.csv", labels))
    assert done.merged.new == ("frames/m/img00000007.png",)
    assert done.merged.moved_px == {"frames/m/img00000003.png": pytest.approx(5)}
    assert done.merged.kept == ("frames/m/img00000040.png",)
    assert texts(done) == [
        "kept: 1 label that the file does not have, first ear_r of frames/m/img00000500.png. Add --remove to take such "
        "labels off"
    ]
    assert done.backup is not None
    assert done.backup.read_bytes() == before
    assert len(read_label_table(project)) == 4
    gone = import_labels(project, tmp_path / "b.csv", ImportOptions(remove=True))
    assert texts(gone)[0].startswith("removed: 1 label that the file does not have")


BAD: dict[str, bytes] = {
    "empty.csv": b"",
    "no_labels.csv": b"time,x\n1,2\n",
    "empty.slp": b"",
    "damaged.slp": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "damaged.h5": b"no HDF5",
    "other.json": b'{"a": 1}',
    "list.json": b"[1, 2]",
    "damaged.zip": b"PK\x03\x04 no zip",
    "nan.csv": b"scorer,A,A\nbodyparts,nose,nose\ncoords,x,y\nimg3.png,nan,nan\n",
    "huge.csv": b"scorer,A,A\nbodyparts,nose,nose\ncoords,x,y\nlabeled-data/m/img3.png,1e308,-1e308\n",
    "labels.txt": b"x",
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_changes_nothing(tmp_path: Path, name: str) -> None:
    if name.endswith(".slp"):
        pytest.importorskip("sleap_io", reason="sleap-io is not installed (extra labels)")
    project = make_project(tmp_path / "p", {"m": FRAMES})
    import_labels(project, as_csv(tmp_path))
    before = {path: path.read_bytes() for path in project.folder.rglob("*") if path.is_file()}
    (tmp_path / name).write_bytes(BAD[name])
    with pytest.raises(CropzoomError) as caught:
        import_labels(project, tmp_path / name)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)
    assert {path: path.read_bytes() for path in project.folder.rglob("*") if path.is_file()} == before


def test_a_missing_library_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sleap_io", None)
    (tmp_path / "a.slp").write_bytes(b"x")
    with pytest.raises(ConfigError, match=r"sleap_io is not installed; run: pip install -e \"\.\[labels\]\""):
        import_labels(make_project(tmp_path / "p"), tmp_path / "a.slp")


def test_a_picture_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    lab = with_pictures(tmp_path / "lab")
    (lab / "labeled-data/m/img0040.png").write_bytes(b"no picture")
    done = import_labels(make_project(tmp_path / "p"), as_csv(lab))
    what = "unreadable: 1 frame whose picture cannot be read, first labeled-data/m/img0040.png"
    assert texts(done)[0].startswith(what)
    assert len(done.added) == 2


def test_the_sheet_begins_with_suspicions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project: Project = make_project(tmp_path / "p", {"m": range(20)})
    labels = {f"labeled-data/m/img{i:04d}.png": pose(i) for i in range(20)}
    labels["labeled-data/m/img0011.png"][[1, 2]] = labels["labeled-data/m/img0011.png"][[2, 1]]
    done = import_labels(project, deeplabcut_csv(tmp_path / "a.csv", labels))
    captions: list[str] = []

    def sheet(tiles: Any, **options: Any) -> Any:
        captions.extend(tile.caption for tile in tiles)
        return contact_sheet(tiles, **options)

    monkeypatch.setattr("realtime_cropzoom.labelling.label_sheet.contact_sheet", sheet)
    path = write_label_sheet(project, done.merged.labels, done.findings, ["frames/m/img00000019.png"])
    assert captions[:3] == ["m 11\near_l / ear_r swapped?", "m 19", "m 0"]
    assert read_image(path).shape[1] > 500


def _with_keypoints(project: Project, names: Sequence[str]) -> Project:
    (project.folder / "project.yaml").write_text(f"keypoints: [{', '.join(names)}]\n")
    return load_project(project.folder)


def test_a_keypoint_taken_out_of_the_project_file_loses_no_label_unasked(tmp_path: Path) -> None:
    project, file = make_project(tmp_path / "p"), as_csv(with_pictures(tmp_path / "lab"))
    import_labels(project, file)
    before = {path: path.read_bytes() for path in sorted(project.folder.rglob("*")) if path.is_file()}
    fewer = _with_keypoints(project, NAMES[:3])
    with pytest.raises(DataError, match=r"CollectedData.csv has tail_base \(3 labels\), project.yaml does not. Put it"):
        import_labels(fewer, file)
    del before[project.folder / "project.yaml"]
    assert all(path.read_bytes() == content for path, content in before.items())
    assert len([path for path in project.folder.rglob("*") if path.is_file()]) == len(before) + 1
    done = import_labels(fewer, file, ImportOptions(remove=True))
    assert any(text.startswith("removed: tail_base (3 labels)") for text in texts(done))
    assert all(xy.shape == (3, 2) for xy in read_label_table(fewer).values())


def test_a_keypoint_put_into_the_project_file_has_no_labels_yet(tmp_path: Path) -> None:
    project, file = make_project(tmp_path / "p"), as_csv(with_pictures(tmp_path / "lab"))
    import_labels(project, file)
    before = read_label_table(project)
    more = _with_keypoints(project, ["tail_tip", *NAMES])
    done = import_labels(more, file)
    assert any("never labelled: tail_tip" in text for text in texts(done))
    for image, xy in read_label_table(more).items():
        assert np.isnan(xy[0]).all()
        assert np.array_equal(xy[1:], before[image], equal_nan=True)
