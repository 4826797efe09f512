"""A project's models, judged on rendered frames whose truth is known."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pandas as pd
import pytest
from support.judged_projects import make_project

from realtime_cropzoom.errors import CropzoomError
from realtime_cropzoom.evaluation import EvaluationSummary, evaluate_project
from realtime_cropzoom.evaluation.judgement import Judgement
from realtime_cropzoom.inference.manifest import read_manifest
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


def test_a_keypoint_that_came_after_the_training_is_not_judged(project: Project) -> None:
    file = project.folder / "project.yaml"
    file.write_text(file.read_text().replace("keypoints: [", "keypoints: [tail_tip, "))
    more = load_project(project.folder)
    assert more.keypoints[0] == "tail_tip"
    numbers = _numbers(evaluate_project(more))
    assert list(numbers.by_keypoint) == list(project.keypoints)
    assert any("do not know tail_tip" in note for note in numbers.results.truth.notes)


def test_a_frame_is_judged_once_and_labels_outside_of_it_are_left_out(project: Project) -> None:
    exact = _numbers(evaluate_project(project))
    lines = project.labels_file.read_text().splitlines()
    held_out = exact.results.truth.images
    judged = [line for line in lines if line.split(",")[0] in held_out]
    away = judged[0].split(",")
    away[1] = "-50"
    lines = [",".join(away) if line == judged[0] else line for line in lines]
    project.labels_file.write_text("\n".join([*lines, judged[1]]) + "\n")
    numbers = _numbers(evaluate_project(project))
    assert numbers.frames == exact.frames
    assert int(np.isnan(numbers.results.truth.labels).any(axis=2).sum()) == 1
    notes = " / ".join(numbers.results.truth.notes)
    assert "1 frame labelled twice in CollectedData.csv in the same way: judged once" in notes
    assert f"outside: 1 frame with keypoints outside of the picture, first {held_out[0]}" in notes
    project.labels_file.write_text("\n".join([*lines, ",".join(away), judged[0]]) + "\n")
    with pytest.raises(CropzoomError, match="twice with other labels"):
        evaluate_project(project)


def test_new_models_are_compared_with_those_before(project: Project) -> None:
    assert _numbers(evaluate_project(project)).comparison is None
    assert _numbers(evaluate_project(project)).comparison is None, "these are the same models"
    models = project.evaluation_folder / "models.json"
    models.write_text(models.read_text().replace('"pose": "', '"pose": "other'))
    errors = project.evaluation_folder / "errors.csv"
    rows = pd.read_csv(errors)
    rows["error_px"] += 10
    rows.to_csv(errors, index=False)
    for _ in range(2):  # the second time, the models before are still those before
        summary = evaluate_project(project)
        comparison = _numbers(summary).comparison
        assert comparison is not None
        assert comparison.word == "better"
        assert comparison.change.value == pytest.approx(-10, abs=0.01)
        assert any(line.startswith("better than the models before, on the same 6 frames") for line in summary.lines)


def test_a_project_of_one_keypoint_and_one_frame_has_errors_but_no_body_length(tmp_path: Path) -> None:
    project = make_project(tmp_path / "mouse", held_out=1, train=1)
    file = project.project_file
    file.write_text("keypoints: [tailbase]\n")
    summary = evaluate_project(load_project(project.folder))
    assert summary.lines[0].startswith("unknown: ")
    assert _numbers(summary).all.median_px < 3


def test_a_pose_model_that_sees_whole_frames_needs_no_detector(project: Project) -> None:
    shutil.rmtree(project.pose)
    shutil.move(project.detector, project.pose)
    export = project.pose / "exports_onnx" / "cropzoom_small_fp32.onnx"
    network = onnx.load(export)
    (entry,) = (each for each in network.metadata_props if each.key == "cropzoom")
    entry.value = msgspec.structs.replace(read_manifest(entry.value, export), role="pose").to_json()
    onnx.save(network, export)
    numbers = _numbers(evaluate_project(project))
    assert numbers.all.median_px < 8
    assert numbers.detector.count == 0


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda p: shutil.rmtree(p.pose), "has no models/pose, expected both models"),
        (lambda p: shutil.rmtree(p.detector), "has no models/detector, expected both models"),
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
