"""A training that was too short is said to be so, and one that was long enough is not."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from realtime_cropzoom.project.folder import Project, load_project
from realtime_cropzoom.train.too_short import is_short, too_short


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "my rat").mkdir()
    (tmp_path / "my rat" / "project.yaml").write_text("keypoints: [nose]\n")
    return load_project(tmp_path / "my rat")


def put_curve(folder: Path, errors: list[float]) -> None:
    folder.mkdir(parents=True)
    rows = "".join(f"{i + 1},0.5,{'' if math.isnan(e) else e},3.0\n" for i, e in enumerate(errors))
    (folder / "loss.csv").write_text(f"epoch,loss,held_out_px,seconds\n{rows}")


def falling(count: int, last: float) -> list[float]:
    return [20.0 * (last / 20.0) ** (i / (count - 1)) for i in range(count)]


def test_few_epochs_or_an_error_that_still_falls_are_short() -> None:
    assert is_short([30.0, 5.0, 4.9])
    assert is_short(falling(40, 1.0))
    assert not is_short([*falling(30, 2.0), *[1.95] * 10])
    assert not is_short([math.nan] * 40), "without held-out frames nobody knows"


def test_the_sentence_names_the_model_its_epochs_and_what_to_do(project: Project) -> None:
    assert too_short(project) == ""
    put_curve(project.detector, [*falling(30, 2.0), *[1.95] * 10])
    assert too_short(project) == ""
    put_curve(project.pose, [28.0, 4.8, 3.0])
    assert too_short(project) == (
        "the training was short: pose model 3 epochs; the error still fell: give more training.minutes in "
        "project.yaml, and train again"
    )


def test_few_epochs_without_held_out_frames_are_short_too(project: Project) -> None:
    put_curve(project.pose, [math.nan] * 3)
    assert too_short(project).startswith("the training was short: pose model 3 epochs: give more")
