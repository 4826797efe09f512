"""``cropzoom evaluate``, as users run it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from support.judged_projects import KEYPOINTS, make_project, write_frames, write_labels

from realtime_cropzoom.cli.main import main
from realtime_cropzoom.project.folder import Project, load_project
from realtime_cropzoom.train.dataset import arena_frames


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_project(tmp_path_factory.mktemp("evaluate") / "mouse arena")


@pytest.fixture
def project(_made: Project, tmp_path: Path) -> Project:
    shutil.copytree(_made.folder, tmp_path / "mouse arena")
    return load_project(tmp_path / "mouse arena")


def test_it_prints_the_verdict_the_report_and_the_next_command(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(project.folder)]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0].startswith("good: the animal was found in 6 of 6 frames")
    assert len(lines) <= 6
    report = project.evaluation_folder / "report.html"
    assert lines[-1] == f"report: {report}"
    assert report.is_file()
    first, second = (line for line in printed.err.splitlines() if line.startswith("Next: "))
    assert "cropzoom run RECORDING --project" in first, "there is no session yet"
    assert "cropzoom frames" in second
    assert second.endswith("--uncertain latest")


def test_another_label_file_is_judged_without_the_images_of_the_training(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = arena_frames(4, KEYPOINTS, 9)
    images = [f"new/img{i}.png" for i in range(4)]
    write_frames(tmp_path / "other", images, frames)
    trained = next(iter(project.frames_folder.glob("*/img00000000.png")))
    shutil.copy(trained, tmp_path / "other" / "new" / "img0.png")
    csv = tmp_path / "other" / "fresh.csv"
    write_labels(csv, images, frames)
    assert main(["evaluate", str(project.folder), str(csv)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("1 image of fresh.csv left out: the models were trained on them\n")
    assert "in 3 of 3 frames" in out
    assert (project.evaluation_folder / "report_fresh.html").is_file()


def test_a_smaller_distance_holds_fewer_keypoints(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(project.folder), "--within", "0.1"]) == 0
    assert "are within 0.1 px of their label" in capsys.readouterr().out


def test_models_without_a_project_are_judged_on_the_keypoints_that_they_know(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["paw", *KEYPOINTS[1:]]
    csv = project.folder / "paws.csv"
    csv.write_text(project.labels_file.read_text().replace("snout", "paw"))
    given = ["--detector", "shipped", "--pose", "shipped", "--crop-size", "240", "--out", str(tmp_path / "out")]
    assert main(["evaluate", str(csv), *given]) == 0
    out = capsys.readouterr().out
    assert "the model does not know paw" in out
    assert "good: the animal was found in 8 of 8 frames" in out
    rows = pd.read_csv(tmp_path / "out" / "errors_paws.csv")
    assert sorted(set(rows["keypoint"])) == sorted(names[1:])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["."], "cropzoom init"),
        (["{project}", "labels.slp"], "cropzoom labels import"),
        (["{project}", "nowhere"], "expected a session folder"),
        (["{project}", "{project}/labels/CollectedData.csv"], "images of the training"),
        (["{project}", "--within", "0"], "--within"),
        (["{project}", "--crop-size", "200"], "without a project"),
        (["{project}", "--pose", "shipped"], "one label file"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    project: Project, given: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.frames_folder)
    project.split_file.write_text(project.split_file.read_text().replace("held_out", "train"))
    assert main(["evaluate", *(word.format(project=project.folder) for word in given)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("cropzoom: ")
    assert error.count("\n") == 1
    assert not project.evaluation_folder.exists()


def test_a_label_file_that_is_not_there_is_said_so(capsys: pytest.CaptureFixture[str]) -> None:
    for flags in (["--detector", "shipped"], ["--detector", "shipped", "--pose", "shipped"]):
        assert main(["evaluate", "nope.csv", *flags]) == 2
        assert "there is no nope.csv; expected a label file" in capsys.readouterr().err
