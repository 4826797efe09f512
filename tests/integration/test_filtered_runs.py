"""Filtered keypoints in messages and tables: beside the raw ones, and the same live and from the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.pipelines import ANY_PORT, Files, Film, at_least, hold_models, make_settings, run_to_end

from realtime_cropzoom import load_session, track
from realtime_cropzoom.errors import ConfigError, DataError
from realtime_cropzoom.messaging.message import PoseMessage
from realtime_cropzoom.pipeline.pipeline import Pipeline
from realtime_cropzoom.sessions.table import FILTERED

NAMES = ["middle", "right", "low"]


def run_and_listen(settings: object, source: Film) -> tuple[Path, list[PoseMessage]]:
    """Run to the end; return the session and all messages."""
    pipeline = Pipeline(settings, lambda: source)  # type: ignore[arg-type]
    pipeline.start(tracked=True)
    messages = list(pipeline.messages())
    pipeline.join()
    assert pipeline.folder is not None
    return pipeline.folder, messages


def published(messages: list[PoseMessage]) -> pd.DataFrame:
    """What the messages say, a row a keypoint."""
    rows = [
        [message.frame, name, f.x, f.y, f.vx, f.vy, f.sigma]
        for message in messages
        for name, f in (message.filtered or {}).items()
    ]
    table = pd.DataFrame(rows, columns=["frame", "keypoint", *FILTERED])
    return table.astype(dict.fromkeys(FILTERED, np.float64)).set_index(["frame", "keypoint"])


def from_files(folder: Path) -> pd.DataFrame:
    """What the table of a session says of the frames that were processed."""
    table = load_session(folder)
    return table[table["outcome"] == "processed"].set_index(["frame", "keypoint"])[list(FILTERED)]


@pytest.mark.parametrize("name", ["kalman", "one_euro"])
def test_the_files_give_the_published_numbers_to_the_last_bit(name: str, tmp_path: Path) -> None:
    settings = make_settings(tmp_path, pace="fast", filter=name, min_likelihood=0.5, filter_hold_ms=80, kalman_gate=3)
    folder, messages = run_and_listen(settings, Film(90, hidden={*range(5), *range(40, 60)}))
    assert len(messages) == 90
    sent = published(messages)
    np.testing.assert_array_equal(sent, from_files(folder))
    assert sent["x_filtered"].notna().sum() > 100
    assert sent["x_filtered"].isna().sum() >= 15


def test_skipped_and_failed_frames_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A live run whose model is slow: frames are jumped over, so that times between poses are irregular."""
    hold_models(monkeypatch, pose=at_least(0.04))
    folder, messages = run_and_listen(make_settings(tmp_path, max_lag=1, filter="kalman"), Film(40))
    outcomes = Files(folder).timing["outcome"]
    assert (outcomes == "skipped").sum() > 3
    np.testing.assert_array_equal(published(messages), from_files(folder))


def test_raw_keypoints_stay_as_they_are(tmp_path: Path) -> None:
    (raw, without), (_, filtered) = (
        run_and_listen(make_settings(tmp_path / name, pace="fast", filter=name), Film(20))
        for name in ("none", "kalman")
    )
    assert [message.keypoints for message in without] == [message.keypoints for message in filtered]
    assert all(message.filtered is None for message in without)
    assert "x_filtered" not in load_session(raw)
    assert list(filtered[-1].filtered or {}) == NAMES


def test_the_velocity_is_that_of_the_animal(tmp_path: Path) -> None:
    """A blob that crosses 2 pixels a frame, 60 frames a second; the tiny model sees it in steps of some pixels."""
    film = Film(40, blob_at=lambda i: (30.0 + 2 * i, 48.0))
    _, messages = run_and_listen(make_settings(tmp_path, pace="fast", filter="kalman"), film)
    middle = published(messages).xs("middle", level="keypoint")[["vx", "vy"]]
    assert middle.to_numpy()[-20:].mean(axis=0) == pytest.approx([120, 0], abs=8)


def test_the_hello_names_the_filter(tmp_path: Path) -> None:
    for name, said in (("one_euro", "one_euro"), ("none", None)):
        settings = make_settings(tmp_path, publish=ANY_PORT, publish_latest="none", filter=name)
        pipeline = run_to_end(settings, Film(2))
        assert pipeline.hello().filter == said


def test_a_session_without_a_filter_can_be_given_one(tmp_path: Path) -> None:
    folder, _ = run_and_listen(make_settings(tmp_path / "a", pace="fast"), Film(30))
    other, messages = run_and_listen(make_settings(tmp_path / "b", pace="fast", filter="kalman"), Film(30))
    table = load_session(folder, filter="kalman")
    np.testing.assert_array_equal(table[list(FILTERED)], published(messages))
    assert "x_filtered" not in load_session(other, filter="none")
    with pytest.raises(ConfigError, match="filter: got 'median', expected one_euro or kalman"):
        load_session(folder, filter="median")


def test_filtering_files_without_times_needs_the_frame_rate(tmp_path: Path) -> None:
    path = tmp_path / "clip.csv"
    columns = pd.MultiIndex.from_product([["me"], ["nose"], ["x", "y", "likelihood"]])
    columns.names = ["scorer", "bodyparts", "coords"]
    pd.DataFrame([[1.0 + i, 2.0, 1.0] for i in range(20)], columns=columns).to_csv(path)
    with pytest.raises(DataError, match=r"no frame times, which a filter needs; give the video, or fps"):
        load_session(path, filter="kalman")
    table = load_session(path, filter="kalman", fps=50)
    assert table["vx"].iloc[-1] == pytest.approx(50, rel=0.05)


def test_track_yields_filtered_poses_too(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    given: dict[str, Any] = {
        "detector": settings.detector,
        "pose": settings.pose,
        "crop_size": 64,
        "out": tmp_path,
        "pace": "fast",
    }
    messages = track("synthetic:arena,size=160x120,seconds=0.2", filter="one_euro", **given)
    assert [list(message.filtered or {}) for message in messages] == [NAMES] * 6


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"filter": "median"}, "filter: got 'median'"),
        ({"kalman_noise_px": 0}, "kalman_noise_px: got 0"),
        ({"filter_hold_ms": float("nan")}, "filter_hold_ms: got nan"),
        ({"filter_min_likelihood": 2}, "filter_min_likelihood: got 2"),
    ],
)
def test_invalid_filter_settings_are_refused(flags: dict[str, object], says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says):
        make_settings(tmp_path, **flags)


def test_a_hold_shorter_than_a_frame_is_refused(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, filter="kalman")
    with pytest.raises(ConfigError, match=r"filter_hold_ms is 150, but frames come every 200 ms: .*; give 600 or more"):
        Pipeline(settings, lambda: Film(3, fps=5)).start()
    run_to_end(make_settings(tmp_path, filter="kalman", filter_hold_ms=600, pace="fast"), Film(3, fps=5))


def test_the_columns_follow_the_raw_pose(tmp_path: Path) -> None:
    folder, _ = run_and_listen(make_settings(tmp_path, pace="fast", filter="kalman"), Film(2))
    columns = load_session(folder).columns.tolist()
    where = columns.index("likelihood") + 1
    assert columns[where : where + 5] == list(FILTERED)
