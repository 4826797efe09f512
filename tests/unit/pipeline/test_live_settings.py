"""Settings that change while a run goes: between frames, within limits, and known to whoever reads the session."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from support.offline_fixtures import poses_in, run_here
from support.ordered_runs import OrderedRun, Orders
from support.pipelines import tiny_models

from realtime_cropzoom.inference.presence import Doubt, JudgeLimits, PoseJudge, Presence
from realtime_cropzoom.types import ActiveBox, Box, FrameMeta, Keypoints, State

pytestmark = pytest.mark.skipif(os.name != "posix", reason="without Unix sockets there is no name to give orders to")


def test_a_change_of_the_crop_is_seen_by_whole_frames_and_told_everywhere(tmp_path: Path, runtime: Path) -> None:
    run = OrderedRun(tmp_path, {60: [("set", "crop_size", 81), ("state",)]})
    assert run.answers[0]["settable"]["crop_size"]["value"] == 82, "even, as boxes are"
    (event,) = run.events("setting_changed")
    (change,) = run.files.summary["setting_changes"]
    assert (change["setting"], change["before"], change["after"]) == ("crop_size", 64, 82)
    assert (event["text"], event["by"]) == ("crop_size: 64 → 82", change["by"])
    assert int(event["frame"]) == change["frame"]
    assert int(event["captured_ns"]) == change["captured_ns"] == run.files.timing["captured_ns"].loc[change["frame"]]
    sides = run.files.bbox[["w", "h"]].dropna()
    assert set(map(tuple, sides.to_numpy(int).tolist())) == {(64, 64), (82, 82)}
    first = sides.index[sides["w"] == 82].min()
    assert change["frame"] <= first
    assert set(sides["w"].loc[first:]) == {82}, "from then on, all"
    settings = yaml.safe_load((run.folder / "config.yaml").read_text())
    assert settings["crop_size"] == 64, "what the run began with"


def test_the_boxes_around_poses_have_the_new_size_too(tmp_path: Path, runtime: Path) -> None:
    run = OrderedRun(tmp_path, {60: [("set", "crop_size", 80)]}, box_from="pose")
    boxes = run.files.bbox.loc[80:]
    assert set(boxes["w"].dropna()) == {80}
    assert set(boxes["box_origin"].dropna()) == {"pose"}


def test_pipeline_repeats_a_session_whose_settings_changed(tmp_path: Path, runtime: Path) -> None:
    """Its boxes come from the session, so the changes need not be known."""
    orders: Orders = {40: [("set", "crop_size", 90), ("set", "min_likelihood", 0.3)], 80: [("set", "crop_size", 50)]}
    run = OrderedRun(tmp_path, orders, record="ffv1")
    assert len(run.files.summary["setting_changes"]) == 3
    assert len(set(run.files.bbox["w"].dropna())) == 3
    models, out = tiny_models(tmp_path / "again"), tmp_path / "out"
    flags = ["--pose", models["pose"], "--schedule", run.folder, "--out", out, "--skip-viz"]
    assert run_here("pipeline", run.folder / "film.mkv", *flags) == 0
    np.testing.assert_array_equal(poses_in(out / "film.csv"), poses_in(run.folder / "film.csv"))


def test_a_stricter_likelihood_ends_the_tracking_at_its_frame(tmp_path: Path, runtime: Path) -> None:
    orders = {70: [("set", "pose_min_likelihood", 0.5)]}
    limits: dict[str, Any] = {"min_likelihood": 0.5, "pose_min_likelihood": 0, "lost_after_ms": 60_000}
    run = OrderedRun(tmp_path, orders, hidden=range(30, 120), **limits)
    (change,) = run.files.summary["setting_changes"]
    plausible = run.files.timing["plausible"].dropna()
    assert "likelihood" not in set(plausible.loc[: change["frame"] - 1])
    assert set(plausible.loc[change["frame"] :]) == {"likelihood"}


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("crop_size", 5000, "crop_size: got 5000, expected a number from 32 to 320 px"),
        ("coast_after_ms", 1000, "coast_after_ms: got 1000, expected a number from 1 to 999 ms"),
        ("lost_after_ms", 250, "lost_after_ms: got 250, expected a number from 251 to 600000 ms"),
        ("min_likelihood", 1.5, "min_likelihood: got 1.5, expected a number from 0 to 1"),
        ("crop_ratio", 2, "set: got 'crop_ratio', expected one of "),
        ("publish", 2, "set: got 'publish', expected one of "),
    ],
)
def test_a_value_that_is_not_safe_is_refused(
    tmp_path: Path, runtime: Path, setting: str, value: float, says: str
) -> None:
    run = OrderedRun(tmp_path, {5: [("set", setting, value)]}, frames=10)
    assert run.answers[0]["error"].startswith(says)
    assert run.events("setting_changed") == []
    assert run.files.summary["setting_changes"] == []


def test_boxes_may_not_become_larger_than_the_start_would_allow_for_a_region(tmp_path: Path, runtime: Path) -> None:
    regions = {"right": {"rectangle_px": [80, 0, 80, 60]}}
    orders = {5: [("set", "crop_size", 122), ("set", "crop_size", 120)]}
    run = OrderedRun(tmp_path, orders, frames=10, regions=regions)
    assert run.answers[0]["error"].startswith("crop_size: got 122, expected a number from 32 to 120 px")
    assert run.answers[1]["settable"]["crop_size"]["value"] == 120


@pytest.mark.parametrize(
    ("chosen", "settable", "not_settable"),
    [
        ({"crop_size": None, "crop_ratio": 2.5}, {"crop_ratio", "min_likelihood"}, {"crop_size"}),
        ({"pace": "fast"}, set(), {"crop_size", "jump_limit"}),
        ({"detector": "none"}, {"pose_min_likelihood", "lost_after_ms"}, {"crop_size", "detector_max_fps"}),
    ],
)
def test_what_may_be_set_depends_on_the_run(
    tmp_path: Path, runtime: Path, chosen: dict[str, Any], settable: set[str], not_settable: set[str]
) -> None:
    run = OrderedRun(tmp_path, {5: [("state",)]}, frames=10, **chosen)
    found = run.answers[0]["settable"]
    assert settable <= found.keys()
    assert not not_settable & found.keys()


def test_all_that_may_be_set_can_be_set(tmp_path: Path, runtime: Path) -> None:
    values = {
        **{"pose_min_likelihood": 0.2, "jump_limit": 9, "lost_after_ms": 800, "min_likelihood": 0.05},
        **{"coast_after_ms": 300, "detector_max_fps": 20, "crop_size": 70},
    }
    run = OrderedRun(tmp_path, {20: [("set", name, value) for name, value in values.items()], 60: [("state",)]})
    assert {name: one["value"] for name, one in run.answers[-1]["settable"].items()} == values
    assert [change["setting"] for change in run.files.summary["setting_changes"]] == list(values)
    frames = {change["frame"] for change in run.files.summary["setting_changes"]}
    assert max(frames) - min(frames) <= 7, "each at the next frame"
    assert run.files.summary["problems"] == []


def test_a_judge_changes_at_the_frame_named_however_late_it_judges() -> None:
    """A context model has its poses two frames late: what was cropped before the change is judged as before."""
    presence = Presence(min_likelihood=0.1)
    judge = PoseJudge(JudgeLimits(presence, 1000))
    xy = np.array([[10, 10], [30, 10], [20, 40]], np.float32)
    found = Keypoints(xy, np.full(3, 0.5, np.float32))
    judge.change_from(3, JudgeLimits(presence.with_limits(None, 0.9), 1000))
    judge.change_from(5, JudgeLimits(presence, 1000))
    box = Box(0, 0, 64, 64)
    doubts = [judge.doubt(FrameMeta(i, i * 10**7, None, 0), box, found) for i in range(7)]
    assert doubts == [None] * 3 + [Doubt.LIKELIHOOD] * 2 + [None] * 2
    active = ActiveBox(box, 6, 0.0, State.TRACKING, 0)
    assert judge.state(FrameMeta(6, 60_000_000, None, 0), active, None, posed=True) is State.TRACKING
