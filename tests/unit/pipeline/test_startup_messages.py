"""Startup messages: the lines about models that a user reads before the first frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.pipelines import (
    Film,
    make_settings,
    run_to_end,
    tiny_models,
)

from realtime_cropzoom.inference.manifest import Role
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.inference.schedule import WholeFrameSchedule
from realtime_cropzoom.pipeline.startup_messages import box_notes, model_notes
from realtime_cropzoom.types import Box

CONTEXT = "heatmap_mhcrnn"


def model_messages(folder: Path, kinds: dict[str, str], fps: float | None, **chosen: Any) -> list[str]:
    """The messages about the models beyond their names, sizes and keypoints."""
    settings = make_settings(folder, **tiny_models(folder, **kinds), **chosen)  # type: ignore[arg-type]
    models: list[tuple[Role, Model]] = [
        ("pose", Model(Path(settings.pose), "pose")),
        ("detector", Model(Path(settings.detector), "detector")),
    ]
    return [note for role, model in models for note in model_notes(role, model, settings, fps)[1:]]


@pytest.mark.parametrize(
    ("fps", "pose_ms", "detector_ms"),
    [
        pytest.param(60, ", at least 33 ms at 60 fps", ", at least 67 ms at 30 fps", id="faster than the detector"),
        pytest.param(20, ", at least 100 ms at 20 fps", ", at least 100 ms at 20 fps", id="slower than the detector"),
        pytest.param(None, "", ", at least 67 ms at 30 fps", id="unknown frame rate"),
    ],
)
def test_the_delay_of_a_context_model_is_reported_at_the_start(
    tmp_path: Path, fps: float | None, pose_ms: str, detector_ms: str
) -> None:
    kinds = {"pose": CONTEXT, "detector": CONTEXT}
    assert model_messages(tmp_path, kinds, fps) == [
        f"the pose model is a context model: its poses come 2 frames late{pose_ms}",
        f"the detector model is a context model: its boxes come 2 detections late{detector_ms}",
    ]
    assert model_messages(tmp_path, kinds, fps, pace="fast") == [], "in lockstep every stage waits, and nothing is late"


def test_regression_models_are_reported_to_have_no_likelihood(tmp_path: Path) -> None:
    pose, detector = model_messages(tmp_path, {"pose": "regression", "detector": "regression"}, 60)
    assert pose == "the pose model is a regression model and has no likelihood: it is null in messages and NaN in files"
    assert detector.endswith("has no likelihood: min_likelihood does not apply to it")


def test_the_notes_of_a_run_are_those_of_its_two_models(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, **tiny_models(tmp_path, pose=CONTEXT, detector=CONTEXT), frames=2)
    notes = run_to_end(settings, Film(3, 60)).notes
    assert [note.split(":")[0] for note in notes] == [
        "pose model", "the pose model is a context model", "detector model", "the detector model is a context model",
    ]  # fmt: skip
    assert "33 ms at 60 fps" in notes[1]


def test_heatmap_models_need_no_message(tmp_path: Path) -> None:
    assert model_messages(tmp_path, {}, 60) == []


@pytest.mark.parametrize(
    ("described", "says"),
    [
        pytest.param({}, "trained on boxes around the animal, but sees whole frames of 640 px", id="unknown side"),
        pytest.param(
            {"crop_size": 160}, "trained on boxes of 160 px, but sees whole frames of 640 px", id="known side"
        ),
        pytest.param({"crop_size": 600}, "", id="boxes as large as the frame"),
        pytest.param({"whole_frame": True}, "", id="whole frames"),
        pytest.param({"role": None}, "", id="nobody knows"),
    ],
)
def test_a_pose_model_of_boxes_that_sees_whole_frames_is_reported(
    described: dict[str, Any], says: str, make_model: Callable[..., Path]
) -> None:
    notes = box_notes(Model(make_model(described=described), "pose"), None, WholeFrameSchedule(Box(0, 0, 640, 480)))
    assert len(notes) == bool(says)
    assert all(says in note and "keypoints will be off. Give a detector" in note for note in notes)


def test_a_size_of_boxes_that_no_frame_has_is_reported(make_model: Callable[..., Path]) -> None:
    model = Model(make_model(described={"whole_frame": True}), "pose")
    assert box_notes(model, None, WholeFrameSchedule(Box(0, 0, 640, 480)), sized=True) == [
        "--crop-size and --crop-ratio do not count: there is no detector, and the pose model sees whole frames"
    ]
