"""A project's models run live and on recordings with no other flag than the folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from support.offline_fixtures import film, model_directory, nothing_changes_in
from support.pipelines import the_session

from realtime_cropzoom.cli.main import main
from realtime_cropzoom.sessions.dlc_csv import read_predictions

NAMES = ("middle", "right", "low")
"""What the small models find."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "rat arena"
    assert main(["init", str(folder), "--keypoints", ",".join(NAMES)]) == 0
    for role in ("detector", "pose"):
        model_directory(folder / "models" / role, keypoints=NAMES)
    return folder


def test_a_run_has_the_models_of_the_project(project: Path, tmp_path: Path) -> None:
    video = film(tmp_path / "rat.mp4", 20)
    flags = ["--pace", "fast", "--publish", "none", "--control", "none", "--out", str(tmp_path / "out"), "--quiet"]
    assert main(["run", str(video), "--project", str(project), "--crop-size", "64", *flags]) == 0
    session = the_session(tmp_path / "out")
    settings = yaml.safe_load((session / "config.yaml").read_text())
    assert settings["pose"] == str(project / "models" / "pose")
    assert settings["project"] == str(project)
    assert read_predictions(next(session.glob("rat.csv")), live=True).keypoint_names == NAMES


def test_a_pipeline_has_them_too(project: Path, tmp_path: Path) -> None:
    video = film(tmp_path / "rat.mp4", 12)
    out = tmp_path / "preds"
    assert main(["pipeline", str(video), "--project", str(project), "--crop-size", "64", "--out", str(out)]) == 0
    assert len(read_predictions(out / "rat.csv").xy) == 12


def test_results_of_a_pipeline_stay_when_the_project_trains_again(project: Path, tmp_path: Path) -> None:
    video = film(tmp_path / "rat.mp4", 3)
    assert main(["pipeline", str(video), "--project", str(project), "--crop-size", "64", "--skip-viz"]) == 0
    assert len(read_predictions(project / "predictions" / "rat.csv").xy) == 3
    assert not list(project.rglob("video_preds"))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["run", "{video}", "--pose", "{project}"], "Its models are in models/. Give it with --project '{project}'"),
        (["models", "{project}"], "Its models are in models/. Give one of them"),
        (["predict", "{project}", "{video}"], "models run with: cropzoom pipeline VIDEO --project '{project}'"),
        (["create_bbox", "{project}", "{video}"], "models run with: cropzoom pipeline VIDEO --project '{project}'"),
        (["predict", "--project", "{project}", "{video}"], "'cropzoom run' and 'cropzoom pipeline' run the models of"),
        (["evaluate", "--project", "{project}"], "evaluate has no --project. Give the project alone"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_a_project_in_place_of_a_model_is_one_line_that_says_how(
    project: Path, tmp_path: Path, command: list[str], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    given = {"project": project, "video": film(tmp_path / "rat.mp4", 3)}
    capfd.readouterr()
    with nothing_changes_in(tmp_path):
        assert main([word.format(**given) for word in command]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert words.format(**given) in line


@pytest.mark.parametrize("command", ["run", "pipeline"])
def test_a_project_without_models_is_one_line(tmp_path: Path, command: str, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "rat"
    assert main(["init", str(folder), "--keypoints", "nose"]) == 0
    video = film(tmp_path / "rat.mp4", 3)
    capfd.readouterr()
    with nothing_changes_in(tmp_path):
        assert main([command, str(video), "--project", str(folder)]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line == (
        f"cropzoom: project {folder}: got no trained detector, expected one in models/detector. "
        f"Train it with: cropzoom train {folder}"
    )
