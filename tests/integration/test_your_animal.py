"""A project from recordings to a live run, as the page "your animal in an afternoon" has it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.pipelines import finish, start_process
from support.places import ROOT
from support.rats import NAMES, RatFilm, label_in_deeplabcut, record_rats
from support.recordings import read_video

from realtime_cropzoom.project.folder import load_project
from realtime_cropzoom.sessions.dlc_csv import Labels, read_labels, read_predictions
from realtime_cropzoom.sessions.table import read_session
from realtime_cropzoom.sources.image_file import read_image

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PATIENCE_S = 200


def ok(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command of the page, which must succeed."""
    done = finish(start_process(*arguments, cwd=cwd), PATIENCE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def train(project: Path, minutes: float) -> None:
    """Train for a short time, on small pictures, as a person can say it with an editor."""
    path = project / "project.yaml"
    text = re.sub(r"minutes: [0-9.]+ ", f"minutes: {minutes} ", path.read_text())
    path.write_text(text.replace("pose_input: auto ", "pose_input: 96 "))
    assert load_project(project).file.training.minutes == minutes
    ok("train", project.name, cwd=project.parent)


def found(project: Path) -> float:
    """Return the share of held-out frames in which the models find the animal."""
    errors = pd.read_csv(load_project(project).evaluation_folder / "errors.csv")
    return float((errors["tracking"] == "yes").mean())


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[RatFilm]:
    """Return recordings of four white rats on dark floors, in a folder with a space in its name."""
    return record_rats(tmp_path_factory.mktemp("rats") / "my recordings", 4, 8, size=(320, 240), fps=15)


@pytest.fixture(scope="module")
def labelled(films: list[RatFilm]) -> Path:
    """Return a project with labelled frames of three of the rats. The folder with the recordings holds it."""
    folder = films[0].video.parent.parent
    ok("init", "rat_arena", "--keypoints", ",".join(NAMES), "--skeleton", "nose-ear_l,nose-ear_r", cwd=folder)
    videos = [film.video.relative_to(folder) for film in films[:3]]
    said = ok("frames", "rat_arena", *videos, "--count", 12, cwd=folder).stdout
    project = folder / "rat_arena"
    assert (project / "frames" / "contact_sheet_round1.png").is_file()
    assert "contact_sheet_round1.png" in said
    ok("labels", "export", "rat_arena", "--to", "deeplabcut", cwd=folder)
    exported = project / "labels" / "exports" / "deeplabcut"
    assert label_in_deeplabcut(exported / "labeled-data", films, click_px=0.5) == 36
    ok("labels", "import", "rat_arena", exported.relative_to(folder), cwd=folder)
    return project


@pytest.fixture(scope="module")
def trained(labelled: Path) -> Path:
    """Return the project after a training of half a minute; on a machine with other things to do, of more."""
    pytest.importorskip("torch", reason="training needs torch (extra train)")
    for minutes in (0.5, 1.0, 2.0):
        train(labelled, minutes)
        if found(labelled) > 0.3:
            break
    return labelled


def test_the_recordings_show_a_light_animal_at_the_truth(films: list[RatFilm]) -> None:
    for film in films:
        images, _ = read_video(film.video)
        assert len(images) == len(film.truth) == 120
        predictions = read_predictions(film.truth_csv)
        assert predictions.keypoint_names == NAMES
        np.testing.assert_allclose(predictions.xy, film.truth, atol=1e-3)
        for index in range(0, 120, 30):
            middle = 0.4 * film.truth[index, 0] + 0.6 * film.truth[index, 3]
            x, y = np.round(middle).astype(int)
            assert images[index][y, x].mean() > np.median(images[index]) + 80


def test_the_imported_labels_are_the_truth_of_the_picked_frames(labelled: Path, films: list[RatFilm]) -> None:
    project = load_project(labelled)
    labels = read_labels(project.labels_file)
    assert labels.keypoint_names == NAMES
    assert len(labels.images) == 36
    truths = {film.video.stem: film.truth for film in films}
    frames = {film.video.stem: read_video(film.video)[0] for film in films[:3]}
    for image, xy in zip(labels.images, labels.xy, strict=True):
        _, recording, name = image.split("/")
        number = int(Path(name).stem.removeprefix("img"))
        assert np.abs(xy - truths[recording][number]).max() < 4
        off = read_image(labelled / image).astype(int) - frames[recording][number]
        assert np.abs(off).mean() < 1, "the picture is that frame"
    assert (labelled / "labels" / "contact_sheet.png").is_file()


def test_the_script_labels_in_the_place_of_a_person_what_has_no_labels_yet(
    films: list[RatFilm], tmp_path: Path
) -> None:
    def label(export: str) -> subprocess.CompletedProcess[str]:
        script = ROOT / "scripts" / "rat_afternoon.py"
        command = [
            sys.executable,
            str(script),
            "--out",
            str(films[0].video.parent),
            "--label",
            f"p/labels/exports/{export}",
        ]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    ok("init", "p", "--keypoints", ",".join(NAMES), cwd=tmp_path)
    assert label("deeplabcut").returncode == 2
    for number, (export, count) in enumerate((("deeplabcut", 4), ("deeplabcut-2", 3))):
        ok("frames", "p", films[number].video, "--count", count, cwd=tmp_path)
        ok("labels", "export", "p", "--to", "deeplabcut", cwd=tmp_path)
        assert f"labelled {count} pictures" in label(export).stdout
        assert (
            f"{count} new, 0 changed" in ok("labels", "import", "p", f"p/labels/exports/{export}", cwd=tmp_path).stdout
        )


def test_training_leaves_models_a_split_and_a_report(trained: Path, films: list[RatFilm]) -> None:
    project = load_project(trained)
    split = pd.read_csv(project.split_file)
    assert len(split) == 36
    assert set(split["set"]) == {"train", "held_out"}
    assert (project.evaluation_folder / "report.html").stat().st_size > 10_000
    errors = pd.read_csv(project.evaluation_folder / "errors.csv")
    assert len(errors) > 0
    said = ok("evaluate", trained.name, cwd=trained.parent)
    assert "report.html" in said.stdout


def test_the_trained_models_find_a_rat_that_they_have_never_seen(trained: Path, films: list[RatFilm]) -> None:
    unseen = films[3]
    out = trained.parent / "sessions"
    run = ["run", unseen.video, "--project", trained.name, "--pace", "fast", "--out", out, "--quiet"]
    ok(*run, "--publish", "tcp://127.0.0.1:*", "--publish-latest", "none", cwd=trained.parent)
    (session,) = out.iterdir()
    poses = read_session(session).poses[..., :2]
    errors = np.linalg.norm(poses - unseen.truth[: len(poses)], axis=2)
    # After half a minute the models are weak, but they know the rat.
    assert (pd.read_csv(next(session.glob("*_bbox.csv")))["state"] == "tracking").mean() > 0.1
    assert np.nanmedian(errors) < 0.3 * unseen.body_px
    doctor = start_process("doctor", session, "--project", trained.name, cwd=trained.parent)
    assert "of 120 frames, 320×240" in finish(doctor, PATIENCE_S).stdout  # the exit code says what it finds


def sleap_file(path: Path, labels: Labels, data: Path) -> Path:
    """Write the labels as SLEAP does."""
    sio = pytest.importorskip("sleap_io", reason="a SLEAP file needs sleap-io (extra labels)")
    video = sio.Video.from_filename([str(data / image) for image in labels.images])
    skeleton = sio.Skeleton(list(labels.keypoint_names))
    frames = [
        sio.LabeledFrame(video=video, frame_idx=i, instances=[sio.Instance.from_numpy(xy, skeleton=skeleton)])
        for i, xy in enumerate(labels.xy)
    ]
    sio.save_slp(sio.Labels(frames), str(path))
    return path


def coco_file(path: Path, labels: Labels, data: Path) -> Path:
    """Write the labels as CVAT exports COCO keypoints."""
    images, annotations = [], []
    for i, (image, xy) in enumerate(zip(labels.images, labels.xy, strict=True), 1):
        height, width = read_image(data / image).shape[:2]
        images.append({"id": i, "file_name": image, "width": width, "height": height})
        flat = [v for x, y in xy.tolist() for v in ([0, 0, 0] if np.isnan(x) else [x, y, 2])]
        animal = {"id": i, "image_id": i, "category_id": 1, "iscrowd": 0, "area": 1.0, "bbox": [0, 0, 1, 1]}
        annotations.append({**animal, "keypoints": flat, "num_keypoints": len(xy)})
    categories = [{"id": 1, "name": "mouse", "keypoints": list(labels.keypoint_names), "skeleton": []}]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


@pytest.mark.parametrize("program", ["deeplabcut", "sleap", "coco"])
def test_the_same_labels_in_files_of_three_programs_give_the_same_table(
    program: str, tmp_path: Path, shared_data: Path
) -> None:
    data = shared_data / "openfield"
    labels = read_labels(data / "CollectedData.csv")
    given = {
        "deeplabcut": lambda: data / "CollectedData.csv",
        "sleap": lambda: sleap_file(tmp_path / "mice.slp", labels, data),
        "coco": lambda: coco_file(tmp_path / "mice.json", labels, data),
    }[program]()
    ok("init", tmp_path / "mouse", "--keypoints", ",".join(labels.keypoint_names))
    ok("labels", "import", tmp_path / "mouse", given, "--images", data)
    table = read_labels(load_project(tmp_path / "mouse").labels_file)
    numbers = [int(Path(image).stem.removeprefix("img")) for image in labels.images]
    assert table.images == tuple(f"frames/m4s1/img{number:08d}.png" for number in numbers)
    np.testing.assert_allclose(table.xy, labels.xy, atol=1e-3)
    assert table.keypoint_names == labels.keypoint_names
    first = read_image(tmp_path / "mouse" / table.images[0])
    np.testing.assert_array_equal(first, read_image(data / labels.images[0]))


def test_models_are_trained_on_real_labels(tmp_path: Path, shared_data: Path) -> None:
    pytest.importorskip("torch", reason="training needs torch (extra train)")
    data = shared_data / "openfield"
    ok("init", tmp_path / "mouse", "--keypoints", "snout,leftear,rightear,tailbase")
    ok("labels", "import", tmp_path / "mouse", data / "CollectedData.csv")
    train(tmp_path / "mouse", 0.2)
    project = load_project(tmp_path / "mouse")
    split = pd.read_csv(project.split_file)
    held_out = set(split["image"][split["set"] == "held_out"])
    assert held_out == set(pd.read_csv(project.evaluation_folder / "errors.csv")["image"])
    assert len(held_out) >= 10
    for directory in (project.detector, project.pose):
        assert list((directory / "exports_onnx").glob("*.onnx"))
