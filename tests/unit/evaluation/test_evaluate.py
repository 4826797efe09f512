"""A project's models, judged on rendered frames whose truth is known."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.judged_projects import make_project

from realtime_cropzoom.errors import CropzoomError
from realtime_cropzoom.evaluation import EvaluationSummary, evaluate_project
from realtime_cropzoom.evaluation.judgement import Judgement
from realtime_cropzoom.project.folder import Project, load_project


@pytest.fixture(scope="module")
def _judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, EvaluationSummary]:
    project = make_project(tmp_path_factory.mktemp("a folder") / "mouse")
    return project, evaluate_project(project)


@pytest.fixture
def judged(_judged: tuple[Project, EvaluationSummary]) -> EvaluationSummary:
    return _judged[1]


@pytest.fixture
def project(_judged: tuple[Project, EvaluationSummary], tmp_path: Path) -> Project:
    """A copy of the project that a test may change."""
    shutil.copytree(_judged[0].folder, tmp_path / "mouse")
    return load_project(tmp_path / "mouse")


def _numbers(summary: EvaluationSummary) -> Judgement:
    assert summary.judged is not None
    return summary.judged


def test_the_shipped_models_are_good_on_the_arena_that_they_know(judged: EvaluationSummary) -> None:
    numbers = _numbers(judged)
    assert judged.lines[0].startswith("good: ")
    assert numbers.median.value < 3
    assert numbers.boxed == numbers.frames == 6


def test_only_held_out_frames_are_judged(judged: EvaluationSummary) -> None:
    rows = pd.read_csv(judged.report.with_name("errors.csv"))
    split = pd.read_csv(judged.report.parents[1] / "models" / "split.csv")
    assert set(rows["image"]) == set(split["image"][split["set"] == "held_out"])
    assert len(rows) == 6 * 4
    apart = np.hypot(rows["x"] - rows["label_x"], rows["y"] - rows["label_y"])
    np.testing.assert_allclose(rows["error_px"], apart, atol=2e-3)


def test_labels_that_are_off_by_a_known_distance_make_that_error(project: Project) -> None:
    exact = _numbers(evaluate_project(project))
    table = pd.read_csv(project.labels_file, header=[0, 1, 2], index_col=0)
    table.loc[:, ("me", "tailbase", "x")] += 40.0
    table.to_csv(project.labels_file)
    off = _numbers(evaluate_project(project))
    assert off.by_keypoint["snout"] == exact.by_keypoint["snout"]
    assert off.by_keypoint["tailbase"].median_px == pytest.approx(40, abs=3)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda p: shutil.rmtree(p.pose), "no models yet"),
        (lambda p: p.split_file.unlink(), "cropzoom train"),
        (lambda p: p.split_file.write_text("image,set\nframes/x.png,train\n"), "no held-out frame"),
        (lambda p: p.labels_file.unlink(), "cropzoom labels import"),
        (lambda p: shutil.rmtree(p.frames_folder), "6 of 6 are missing"),
        (lambda p: p.labels_file.write_text(p.labels_file.read_text().replace("snout", "nose")), "snout"),
    ],
)
def test_bad_input_is_one_line(project: Project, spoil, said: str) -> None:  # type: ignore[no-untyped-def]
    spoil(project)
    with pytest.raises(CropzoomError, match=said) as raised:
        evaluate_project(project)
    assert "\n" not in str(raised.value)
