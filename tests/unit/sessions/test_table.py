"""One table of a session: a row a frame and keypoint, whatever kind of files it comes from and however they end."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.pipelines import (
    Film,
    at_least,
    hold_models,
    make_settings,
    model_flags,
    run_to_end,
    start_process,
    tiny_models,
    wait_for,
)
from support.sessions import write_poses

import realtime_cropzoom
from realtime_cropzoom.errors import DataError, SourceError
from realtime_cropzoom.sessions.table import load_session, read_session

COLUMNS = [
    *(
        "frame",
        "time_s",
        "captured_unix_s",
        "outcome",
        "state",
        "plausible",
        "doubt",
        "event",
        "keypoint",
        "x",
        "y",
        "likelihood",
    ),
    *("box_x", "box_y", "box_w", "box_h", "box_frame", "box_age_ms", "seq", "recorded", "recording"),
    *("latency_detect_ms", "latency_crop_ms", "latency_pose_ms", "latency_publish_ms"),
]

NAMES = ["middle", "right", "low"]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in lockstep whose animal is away for the first ten frames, and from frame 40 on: it gets lost."""
    hidden = {*range(10), *range(40, 90)}
    settings = make_settings(
        tmp_path_factory.mktemp("recorded"), pace="fast", min_likelihood=0.5, coast_after_ms=200, lost_after_ms=500
    )
    folder = run_to_end(settings, Film(90, hidden=hidden)).folder
    assert folder is not None
    return folder


@pytest.fixture
def session(recorded: Path, tmp_path: Path) -> Path:
    """A copy of that session which a test may spoil."""
    return Path(shutil.copytree(recorded, tmp_path / recorded.name))


def test_it_is_one_tidy_table(session: Path) -> None:
    table = realtime_cropzoom.load_session(session)
    assert list(table.columns) == COLUMNS
    assert table["frame"].tolist() == [i for i in range(90) for _ in NAMES]
    assert table["keypoint"].tolist() == NAMES * 90
    np.testing.assert_allclose(table["time_s"], np.repeat(np.arange(90) / 60, 3), atol=1e-8)
    poses = pd.read_csv(session / "film.csv", header=[0, 1, 2], index_col=0).to_numpy()
    np.testing.assert_array_equal(table[["x", "y", "likelihood"]].to_numpy().reshape(90, 9), poses)
    boxes = pd.read_csv(session / "film_bbox.csv", index_col=0)
    of_frames = table[table["keypoint"] == "low"].set_index("frame")
    for side in "xywh":
        np.testing.assert_array_equal(of_frames[f"box_{side}"], boxes[side])
    assert of_frames["seq"].tolist() == list(range(90))


def test_an_implausible_pose_has_a_reason(session: Path) -> None:
    timing = session / "film_timing.csv"
    rows = timing.read_text().splitlines()
    rows[1 + 30] = rows[1 + 30].rpartition(",")[0] + ",jump"
    timing.write_text("\n".join(rows) + "\n")
    said = pd.read_csv(timing, index_col=0)["plausible"]
    table = load_session(session).drop_duplicates("frame").set_index("frame")
    assert table["plausible"].fillna(False).tolist() == (said == "yes").tolist()
    assert table["plausible"].isna().tolist() == said.isna().tolist()
    assert (table["plausible"][30], table["doubt"][30]) == (False, "jump")
    assert table["doubt"].dropna().tolist() == said[said.notna() & (said != "yes")].tolist()


def test_events_are_where_the_state_changes(session: Path) -> None:
    table = load_session(session).drop_duplicates("frame").set_index("frame")
    events = table["event"].dropna()
    assert events.tolist() == ["searching", "tracking", "coasting", "lost"]
    for frame, state in zip(events.index.tolist(), events.tolist(), strict=True):
        assert table["state"][frame] == state
        assert frame == 0 or table["state"][frame - 1] != state
    spans = read_session(session).state_spans()
    assert [state for state, _, _ in spans] == events.tolist()
    assert [first for _, first, _ in spans] == events.index.tolist()
    assert [after for _, _, after in spans] == [*events.index[1:], 90]


def test_latencies_are_those_of_the_timing_file(session: Path) -> None:
    table = load_session(session).drop_duplicates("frame").set_index("frame")
    timing = pd.read_csv(session / "film_timing.csv", index_col=0)
    since_capture = timing[["cropped_ns", "inferred_ns"]].sub(timing["captured_ns"], axis=0) / 1e6
    np.testing.assert_allclose(table[["latency_crop_ms", "latency_pose_ms"]], since_capture)
    box_frame = table["box_frame"].dropna()
    detected = timing["detected_ns"][box_frame.index] - timing["captured_ns"][box_frame].to_numpy()
    np.testing.assert_allclose(table["latency_detect_ms"].dropna(), detected / 1e6)
    assert table["latency_publish_ms"].isna().all()


def test_unix_times_come_with_the_anchor_of_the_run(session: Path) -> None:
    path = session / "summary.json"
    summary = json.loads(path.read_text())
    captured_ns = pd.read_csv(session / "film_timing.csv", index_col=0)["captured_ns"]
    summary["unix_offset_ns"] = 1_700_000_000_000_000_000 - int(captured_ns[0])
    path.write_text(json.dumps(summary))
    unix_s = load_session(session).drop_duplicates("frame")["captured_unix_s"]
    np.testing.assert_allclose(unix_s, 1.7e9 + (captured_ns - captured_ns[0]) / 1e9, rtol=0, atol=1e-6)
    path.unlink()
    assert load_session(session)["captured_unix_s"].isna().all()


def test_a_skipped_frame_has_its_rows_without_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hold_models(monkeypatch, pose=at_least(0.1))
    folder = run_to_end(make_settings(tmp_path, max_lag=1), Film(30)).folder
    assert folder is not None
    table = load_session(folder)
    skipped = table[table["outcome"] == "skipped"]
    assert len(skipped) >= 3
    assert skipped[["x", "y", "likelihood", "state", "seq", "latency_pose_ms"]].isna().all(axis=None)
    assert table["frame"].tolist() == [i for i in range(30) for _ in NAMES]


def test_skipped_frames_end_no_state(session: Path) -> None:
    path = session / "film_bbox.csv"
    boxes = pd.read_csv(path, index_col=0)
    boxes.loc[boxes.index[20:25], "state"] = np.nan
    boxes.to_csv(path)
    assert [state for state, _, _ in read_session(session).state_spans()].count("tracking") == 1


def test_a_time_that_the_run_has_forgotten_is_missing(session: Path) -> None:
    path = session / "film_timing.csv"
    timing = pd.read_csv(path, index_col=0)
    timing.loc[7, ["pts_ns", "captured_ns"]] = 0
    timing.to_csv(path)
    seconds = read_session(session).seconds
    assert np.flatnonzero(np.isnan(seconds)).tolist() == [7]


@pytest.mark.parametrize("cut", [{"": 1}, {"_timing": 30}, {"_bbox": 500}, {"": 2000, "_bbox": 3, "_timing": 700}])
def test_of_a_killed_run_there_is_what_is_in_all_three_files(session: Path, cut: dict[str, int]) -> None:
    """The files are written one after the other, so kill -9 cuts each at a byte of its own."""
    whole = load_session(session)
    complete = []
    for suffix in ("", "_bbox", "_timing"):
        path = session / f"film{suffix}.csv"
        content = path.read_bytes()[: -cut.get(suffix, 0) or None]
        path.write_bytes(content)
        complete.append(content.count(b"\n") - (1 if suffix else 3))
    table = load_session(session)
    assert len(table) == 3 * min(complete)
    assert 0 < len(table) < len(whole)
    pd.testing.assert_frame_equal(table, whole[: len(table)])


def test_a_run_that_was_really_killed_can_be_loaded(tmp_path: Path) -> None:
    flags = model_flags(tiny_models(tmp_path / "models"))
    process = start_process("run", "synthetic:arena,size=160x120,fps=60,seconds=60", "--out", tmp_path / "out", *flags)
    try:
        timing = wait_for(lambda: [p for p in tmp_path.glob("out/*/*_timing.csv") if p.stat().st_size > 2000], "rows")
    finally:
        process.kill()
        process.communicate()
    table = load_session(timing[0].parent)
    assert table["frame"].tolist() == [i for i in range(len(table) // 3) for _ in range(3)]
    assert len(table) > 30
    assert table["captured_unix_s"].dropna().between(time.time() - 300, time.time()).all()
    assert json.loads((timing[0].parent / "summary.json").read_text())["reason"] == "running"


def test_a_session_of_another_version_is_said_to_be_one_with_the_unknown_column(session: Path) -> None:
    timing = session / "film_timing.csv"
    timing.write_text(timing.read_text(encoding="utf-8").replace("outcome", "fate", 1), encoding="utf-8")
    with pytest.raises(DataError, match=r"another version of this program made .*: the column fate is unknown"):
        load_session(session)


def test_a_row_that_was_lost_to_a_full_disk_moves_no_other(session: Path) -> None:
    whole = load_session(session)
    path = session / "film_bbox.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:31] + lines[35:]))  # frames 30 to 33
    table = load_session(session)
    lost = table["frame"].between(30, 33)
    assert table.loc[lost, [name for name in COLUMNS if name not in ("frame", "keypoint")]].isna().all(axis=None)
    pd.testing.assert_frame_equal(table[~lost], whole[~lost])


def test_a_run_of_no_frames_is_an_empty_table(tmp_path: Path) -> None:
    folder = run_to_end(make_settings(tmp_path), Film(0)).folder
    assert folder is not None
    table = load_session(folder)
    assert list(table.columns) == COLUMNS
    assert table.empty


def test_the_pose_file_gives_the_same_table_as_its_folder(session: Path) -> None:
    pd.testing.assert_frame_equal(load_session(session / "film.csv"), load_session(session))


def test_offline_files_take_their_times_from_the_video(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    """Four frames at uneven times; the files have no row for frame 1, and end before the video does."""
    video = make_video("clip.mkv", times_ms=[0, 40, 90, 200])
    write_poses(tmp_path / "clip.csv", {0: 5.0, 2: 7.0})
    boxes = ",x,y,h,w,box_frame,box_age_ms,state\n0,1,2,30,40,0,0.0,tracking\n2,3,4,30,40,0,90.0,coasting\n"
    (tmp_path / "clip_bbox.csv").write_text(boxes)
    for path in (tmp_path, tmp_path / "clip.csv"):
        table = load_session(path, video=video)
        np.testing.assert_allclose(table["time_s"], [0, 0.04, 0.09, 0.2])
        np.testing.assert_array_equal(table["x"], [5, np.nan, 7, np.nan])
        np.testing.assert_array_equal(table["box_w"], [40, np.nan, 40, np.nan])
        assert table["event"].dropna().tolist() == ["tracking", "coasting"]
    assert load_session(tmp_path)["time_s"].isna().all()
    np.testing.assert_allclose(load_session(tmp_path, fps=20)["time_s"], [0, 0.05, 0.1])


def test_box_files_of_lightning_pose_have_boxes_alone(tmp_path: Path) -> None:
    path = write_poses(tmp_path / "clip.csv", {0: 1.0, 1: 2.0}, likelihood=None)
    (tmp_path / "clip_bbox.csv").write_text(",x,y,h,w\n0,75,86,28,30\n1,71,81,34,36")
    table = load_session(path)
    assert table["box_h"].tolist() == [28, 34]
    assert table[["state", "box_frame", "box_age_ms", "likelihood"]].isna().all(axis=None)


@pytest.mark.slow
def test_predictions_of_lightning_pose_are_read(litpose: Path, shared_data: Path) -> None:
    path = litpose / "pose_0" / "video_preds" / "m3v1mp4.csv"
    table = load_session(path, video=shared_data / "openfield" / "videos" / "m3v1mp4.mp4")
    assert len(table) == 4 * 2330
    assert table["time_s"].iloc[-1] == pytest.approx(77.63, abs=0.01)
    with pytest.raises(DataError, match="about images"):
        load_session(litpose / "detector_0" / "image_preds" / "CollectedData.csv" / "predictions.csv")


def test_a_video_that_is_too_short_is_another_one(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    path = write_poses(tmp_path / "clip.csv", {0: 1.0, 9: 2.0})
    with pytest.raises(DataError, match=r"10 frames, but .* has 5; give the video of these poses"):
        load_session(path, video=make_video(frames=5))


def test_times_come_from_one_place(session: Path, tmp_path: Path, make_video: Callable[..., Path]) -> None:
    path = write_poses(tmp_path / "clip.csv", {0: 1.0})
    with pytest.raises(DataError, match="frame times of the run; leave out fps"):
        load_session(session, fps=30)
    with pytest.raises(DataError, match="no video with it"):
        load_session(path, fps=30, video=make_video(frames=2))
    with pytest.raises(DataError, match="fps is 0; expected a number above 0"):
        load_session(path, fps=0)
    with pytest.raises(SourceError, match="no video at"):
        load_session(path, video="nowhere.mp4")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "is not a session folder"),
        ({"a_bbox.csv": "", "b_bbox.csv": ""}, "holds 2 sessions"),
        ({"a_bbox.csv": ",x,y,h,w\n"}, r"there is no .*a\.csv"),
        ({"a_bbox.csv": ",x,y,h,w\n0,1,1,1,1\n0,1,1,1,1\n", "a.csv": "poses"}, "each frame once"),
        ({"a_bbox.csv": ",x,y,h,w\nimg.png,1,1,1,1\n", "a.csv": "poses"}, "'img.png' in the first cell"),
        ({"a_bbox.csv": ",x,y,h,w\n0,one,1,1,1\n", "a.csv": "poses"}, "cannot read"),
        ({"a_bbox.csv": ",x,y,h,w\n", "a.csv": "x,y\n1,2\n"}, "three header rows"),
        ({"a_timing.csv": "", "a.csv": "poses"}, "cannot read"),
    ],
)
def test_a_path_that_is_not_a_session_is_refused(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    if files.get("a.csv") == "poses":
        write_poses(tmp_path / "a.csv", {0: 1.0})
    with pytest.raises(DataError, match=message) as caught:
        load_session(tmp_path)
    assert "\n" not in str(caught.value)


def test_frames_are_there_once(tmp_path: Path) -> None:
    path = write_poses(tmp_path / "clip.csv", {0: 1.0})
    path.write_text(path.read_text() + "0,1.0,2.0,1.0\n")
    with pytest.raises(DataError, match="each frame once"):
        load_session(path)


def test_a_session_with_half_a_summary_is_read(session: Path, caplog: pytest.LogCaptureFixture) -> None:
    (session / "summary.json").write_text('{"run": "ab')
    assert len(load_session(session)) == 270
    assert "read without its summary" in caplog.text


def test_the_small_files_of_a_session_are_read_once(session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    real = Path.open

    def counting(path: Path, *arguments: Any, **options: Any) -> Any:
        read.append(path.name)
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", counting)
    tables = read_session(session)
    assert tables.source == tables.session.settings["source"]
    assert read.count("config.yaml") == 1


def test_the_package_itself_stays_light() -> None:
    code = "import sys, realtime_cropzoom; print('pandas' in sys.modules, realtime_cropzoom.load_session.__name__)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "load_session"]
