"""Runs whose boxes come from poses, or are the whole frame: when the detector runs, and what messages and files say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.pipelines import Film, check_complete, make_settings, run_to_end, tiny_models

from realtime_cropzoom.errors import ConfigError

FRAMES = 60
HIDDEN = range(20, 30)
"""Frames without the animal."""


def test_the_detector_runs_only_while_no_pose_gives_a_box(tmp_path: Path) -> None:
    """It looks in the first frame, while the animal is away, and in the frame in which it is back."""
    film = Film(FRAMES, 25, hidden=HIDDEN)
    run = run_to_end(make_settings(tmp_path, pace="fast", box_from="pose", box_check_s=0), film)
    boxes = check_complete(run.folder).bbox
    from_detector = [i for i in range(FRAMES) if boxes["box_origin"][i] == "detection"]
    assert from_detector[0] == 0
    assert HIDDEN[-1] + 1 in from_detector
    looked = run.summary["detector"]["detections"]
    assert len(HIDDEN) <= looked <= len(HIDDEN) + 4
    assert set(boxes["state"][31:]) == {"tracking"}
    assert (boxes["box_frame"][35:] == np.arange(34, FRAMES - 1)).all()


def test_checks_are_detections_every_second(tmp_path: Path) -> None:
    run = run_to_end(make_settings(tmp_path, pace="fast", box_from="pose", box_check_s=0.4), Film(FRAMES, 25))
    assert run.summary["detector"]["detections"] == 6  # 2.4 s of frame time


def test_a_live_run_that_follows_poses_replays_with_the_same_numbers(tmp_path: Path) -> None:
    film = Film(FRAMES, 100, hidden=HIDDEN)
    live = check_complete(run_to_end(make_settings(tmp_path, box_from="pose"), film).folder)
    assert "pose" in set(live.bbox["box_origin"])
    replay = make_settings(tmp_path / "again", pace="fast", box_from="pose", schedule=live.bbox_path)
    again = check_complete(run_to_end(replay, film).folder)
    assert again.rows("")[1:] == live.rows("")[1:]
    assert again.bbox.equals(live.bbox)


def test_without_a_detector_the_pose_model_sees_whole_frames(tmp_path: Path) -> None:
    film = Film(FRAMES, 25)
    run = run_to_end(make_settings(tmp_path, pace="fast", detector="none"), film)
    files = check_complete(run.folder)
    assert set(files.bbox["box_origin"]) == {"frame"}
    assert files.bbox[["x", "y", "w", "h"]].drop_duplicates().to_numpy().tolist() == [[0, 0, 160, 96]]
    assert run.summary["detector"] is None
    truth = np.array([film.footage.blob_at(i) for i in range(FRAMES)])
    found = np.array([files.keypoint("middle")[i] for i in range(FRAMES)])[:, :2]
    assert np.abs(found - truth).max() < 8


@pytest.mark.parametrize(
    ("chosen", "kinds", "says"),
    [
        ({"detector": "none", "box_from": "pose"}, {}, "detector is none; expected a detector"),
        ({"box_from": "pose"}, {"pose": "heatmap_mhcrnn"}, "context model sees later frames"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    tmp_path: Path, chosen: dict[str, str], kinds: dict[str, str], says: str
) -> None:
    models = tiny_models(tmp_path / "of this kind", **kinds)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=says):
        run_to_end(make_settings(tmp_path, pace="fast", **{**models, **chosen}), Film(5))
    assert not list((tmp_path / "sessions").glob("*"))


def test_a_detector_that_skips_frames_cannot_follow(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="detector_every is 3; expected 1"):
        make_settings(tmp_path, pace="fast", box_from="pose", detector_every=3)
