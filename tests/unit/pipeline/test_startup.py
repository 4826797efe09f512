"""Startup: the plan of a run is made from settings and source alone, and refuses what does not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.pipelines import make_settings

from realtime_cropzoom.errors import ConfigError, ModelError
from realtime_cropzoom.pipeline.startup import RunPlan, capture_options, plan_run
from realtime_cropzoom.sources.base import SourceInfo

FILM = SourceInfo("film", 160, 96, 60.0, 40)
CAMERA = replace(FILM, name="cam", frame_count=None, live=True)


def plan(folder: Path, info: SourceInfo = FILM, **chosen: Any) -> RunPlan:
    return plan_run(make_settings(folder, source="film.mp4", **chosen), info)


@pytest.mark.parametrize(
    ("info", "chosen", "error"),
    [
        pytest.param(CAMERA, {"pace": "fast"}, "pace is fast, but cam is a live source", id="camera in lockstep"),
        pytest.param(CAMERA, {"speed": 2.0}, "speed is 2, but cam is a live source", id="camera at double speed"),
        pytest.param(FILM, {"crop_size": 321}, "crop_size is 321, but frames are 160x96", id="boxes too large"),
        pytest.param(
            replace(FILM, fps=1.0),
            {"filter": "kalman", "filter_hold_ms": 500},
            "filter_hold_ms is 500, but frames come every 1000 ms",
            id="frames too slow for the filter",
        ),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, info: SourceInfo, chosen: dict[str, Any], error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        plan(tmp_path, info, **chosen)
    assert not (tmp_path / "sessions").exists()


def test_a_missing_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.onnx"):
        plan(tmp_path, pose=tmp_path / "none.onnx")


def test_a_plan_writes_no_file_and_lists_what_the_user_must_read(tmp_path: Path) -> None:
    made = plan(tmp_path, replace(FILM, name="my film", notes=("a note",)))
    assert made.notes[0] == "a note"
    assert [note.split(":")[0] for note in made.notes[1:3]] == ["pose model", "detector model"]
    assert made.problems == ()
    assert not (tmp_path / "sessions").exists()


def test_a_live_run_may_skip_frames_and_a_lockstep_run_may_not(tmp_path: Path) -> None:
    live = plan(tmp_path / "live", max_lag=4, detector_max_fps=20, on_failure="restart")
    lockstep = plan(tmp_path / "fast", pace="fast", max_lag=4, detector_every=3, on_failure="restart")
    assert (live.max_lag, lockstep.max_lag) == (4, None)
    assert (live.restart, lockstep.restart) == (True, False)
    assert live.box_rule is not None
    options = live.detect_options(live.box_rule)
    assert (options.every, options.max_fps) == (1, 20)
    assert lockstep.box_rule is not None
    options = lockstep.detect_options(lockstep.box_rule)
    assert (options.every, options.max_fps) == (3, None)
    assert not live.csv_options().lockstep
    assert lockstep.csv_options().lockstep


def test_a_recording_needs_a_ring_that_reaches_further_back(tmp_path: Path) -> None:
    plain = plan(tmp_path / "plain", max_lag=4)
    recorded = plan(tmp_path / "recorded", max_lag=4, record="ffv1", record_buffer=30)
    assert recorded.slots(recording=True) == plain.slots(recording=False) + 32


def test_nothing_is_published_without_an_endpoint(tmp_path: Path) -> None:
    assert plan(tmp_path / "quiet").publish_options() is None
    options = plan(tmp_path / "loud", publish="tcp://127.0.0.1:5660", max_age_ms=80).publish_options()
    assert options is not None
    assert (options.endpoint, options.latest_endpoint, options.max_age_ms) == ("tcp://127.0.0.1:5660", None, 80)


def test_the_capture_plays_a_recording_at_its_pace_unless_it_is_fast(tmp_path: Path) -> None:
    assert capture_options(make_settings(tmp_path, frames=7)).frames == 7
    assert capture_options(make_settings(tmp_path)).realtime
    assert not capture_options(make_settings(tmp_path, pace="fast")).realtime
