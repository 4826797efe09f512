"""Recordings that orders start and stop while a run goes: each says which captured frames it holds, and is right."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from support.films import Footage
from support.ordered_runs import OrderedRun, Orders
from support.pipelines import (
    LONG_S,
    Files,
    check_complete,
    cropzoom_threads,
    finish,
    make_settings,
    model_flags,
    run_to_end,
    start_process,
    the_session,
    tiny_models,
    wait_for,
)
from support.recordings import read_table, read_video, recorded_rows, same_poses

from realtime_cropzoom.control.client import give_order
from realtime_cropzoom.files.append import RowFile
from realtime_cropzoom.pipeline.pipeline import Pipeline
from realtime_cropzoom.pipeline.recordings import free_stem
from realtime_cropzoom.plots.session_pictures import contact_sheet
from realtime_cropzoom.sessions.compare import compare
from realtime_cropzoom.sessions.files import find_video
from realtime_cropzoom.sessions.table import load_session, read_session
from realtime_cropzoom.sinks.video_encoder import VideoEncoder
from realtime_cropzoom.sources.recording_table import read_captured_frames, recorded_videos
from realtime_cropzoom.sources.video_file import VideoFile

pytestmark = pytest.mark.skipif(os.name != "posix", reason="without Unix sockets there is no name to give orders to")
START: tuple[Any, ...]
STOP: tuple[Any, ...]
START, STOP = ("record", None, {"name": "trial"}), ("stop_recording",)
THREE: Orders = {10: [START], 30: [STOP], 50: [START], 80: [STOP], 80 + 1: [START], 110: [STOP]}
SPANS = {"trial": (10, 30), "trial-2": (50, 80), "trial-3": (81, 110)}


def check_part(run: OrderedRun, video: Path, first: int, end: int) -> None:
    """Each row of the table is a captured frame of the recording's time, and each picture is that frame."""
    table, (images, seconds) = read_table(video), read_video(video)
    assert list(table.index) == list(range(first, end))
    assert table["recorded"].tolist() == list(range(end - first))
    assert [run.film.footage.index_of(image) for image in images] == list(range(first, end))
    pts_ns = run.files.timing["pts_ns"].loc[first : end - 1].to_numpy()
    np.testing.assert_allclose(seconds, (pts_ns - pts_ns[0]) / 1e9, rtol=0, atol=6e-4)
    (entry,) = [entry for entry in run.files.summary["recordings"] if entry["file"] == video.name]
    assert (entry["first_frame"], entry["frames"], set(entry["dropped"].values())) == (first, end - first, {0})


@pytest.mark.parametrize(("codec", "suffix"), [("none", ".mp4"), ("h264", ".mp4"), ("ffv1", ".mkv")])
def test_three_recordings_of_one_run_hold_the_frames_of_their_tables(
    tmp_path: Path, runtime: Path, codec: str, suffix: str
) -> None:
    """A run that began with a recording ends that one first; it has the codec of the others."""
    orders: Orders = THREE if codec == "none" else {5: [STOP], **THREE}
    run = OrderedRun(tmp_path, orders, record=codec)
    spans = SPANS if codec == "none" else {"film": (0, 5), **SPANS}
    for name, (first, end) in spans.items():
        check_part(run, run.folder / f"{name}{suffix}", first, end)
    assert [answer["ok"] for answer in run.answers] == [True] * len(run.answers)
    started, stopped = run.events("recording_started"), run.events("recording_stopped")
    assert [event["text"] for event in started] == [f"{n}{suffix} from frame {a}" for n, (a, _) in SPANS.items()]
    assert [event["text"] for event in stopped] == [f"{n}{suffix}: {b - a} frames" for n, (a, b) in spans.items()]
    assert all(event["by"].startswith("test (") for event in started + stopped)
    assert run.files.summary["problems"] == []
    assert not cropzoom_threads()


def test_the_state_and_the_heartbeat_tell_what_is_recorded(tmp_path: Path, runtime: Path) -> None:
    asked: Orders = {5: [("state",)], 10: [START], 40: [("state",), START, STOP], 50: [STOP, ("state",)]}
    run = OrderedRun(tmp_path, asked)
    before, started, during, again, stopped, twice, after = run.answers
    assert [a["recording"] for a in (before, stopped, after)] == [None, None, None]
    assert started["recording"] == {"file": "trial.mp4", "frames": 0, "first_frame": 10}
    assert during["recording"]["frames"] > 0
    assert again["error"] == "record: trial.mp4 is being recorded; stop that recording first"
    assert twice["error"] == "stop_recording: no frames are recorded; start a recording first"


def test_a_recording_without_a_name_has_that_of_the_source_and_goes_on_to_the_end(
    tmp_path: Path, runtime: Path
) -> None:
    run = OrderedRun(tmp_path, {30: [("record",)]}, record_crops=True)
    check_part(run, run.folder / "film.mp4", 30, 120)
    (stopped,) = run.events("recording_stopped")
    assert (stopped["text"], stopped["by"]) == ("film.mp4: 90 frames", "end of the run")
    assert find_video(None, run.folder / "film.csv") == str(run.folder / "film.mp4")
    assert recorded_videos(run.folder / "film.csv") == [run.folder / "film.mp4"], "crops are no frames"


def test_every_reader_maps_the_frames_of_several_recordings(tmp_path: Path, runtime: Path) -> None:
    run = OrderedRun(tmp_path, THREE, record="none")
    videos = [run.folder / f"{name}.mp4" for name in SPANS]
    assert recorded_videos(run.folder / "film.csv") == videos
    table = load_session(run.folder).drop_duplicates("frame").set_index("frame")
    for video, (first, end) in zip(videos, SPANS.values(), strict=True):
        assert read_captured_frames(video) == list(range(first, end))
        rows = table.loc[first : end - 1]
        assert (rows["recorded"].tolist(), set(rows["recording"])) == (list(range(end - first)), {video.name})
        source = VideoFile(video)
        times = [captured.pts_ns for captured in source.frames()]
        source.close()
        pts_ns = run.files.timing["pts_ns"].loc[first : end - 1]
        assert times == (pts_ns - pts_ns.iloc[0]).tolist(), "to the nanosecond, from the times of the run"
    others = table.drop(index=[frame for span in SPANS.values() for frame in range(*span)])
    assert others[["recorded", "recording"]].isna().all(axis=None)
    tables = read_session(run.folder)
    assert contact_sheet(tables, count=6).shape == contact_sheet(tables, count=6, source=str(videos[1])).shape


@pytest.mark.parametrize("pace", ["realtime", "fast"])
def test_a_lossless_part_replays_with_the_boxes_of_the_run(tmp_path: Path, runtime: Path, pace: str) -> None:
    run = OrderedRun(tmp_path / "live", {5: [STOP], 40: [START], 90: [STOP]}, record="ffv1", pace=pace)
    video = run.folder / "trial.mkv"
    check_part(run, video, 40, 90)
    for schedule in (run.files.bbox_path, run.folder):
        out = tmp_path / schedule.name
        again = run_to_end(make_settings(out, source=video, schedule=schedule, pace="fast"))
        same_poses(check_complete(again.folder), run.files, list(range(40, 90)))
        assert again.summary["problems"] == []
        assert again.folder is not None
        assert compare(run.folder, again.folder).identical_in_both


def test_pipeline_of_a_part_is_that_of_the_live_run(tmp_path: Path, runtime: Path) -> None:
    from support.offline_fixtures import poses_in, run_here

    run = OrderedRun(tmp_path, {5: [STOP], 40: [START], 90: [STOP]}, record="ffv1")
    models, out = tiny_models(tmp_path / "again"), tmp_path / "out"
    flags = ["--pose", models["pose"], "--schedule", run.folder, "--out", out, "--skip-viz"]
    assert run_here("pipeline", run.folder / "trial.mkv", *flags) == 0
    np.testing.assert_array_equal(poses_in(out / "trial.csv"), poses_in(run.folder / "film.csv")[40:90])


def test_a_recording_that_cannot_be_is_refused_and_the_next_one_works(tmp_path: Path, runtime: Path) -> None:
    """The folder is gone for a while. Nothing of the refused recording is left, and the run goes on."""
    away, places = tmp_path / "away", list[Path]()

    def move(frame: int) -> None:
        if frame == 19:
            places.append(the_session(tmp_path / "sessions"))
            places[0].rename(away)
        elif frame == 39:
            away.rename(places[0])

    run = OrderedRun(tmp_path, {20: [START], 40: [START]}, before=move)
    refused, taken = run.answers
    assert refused["ok"] is False
    assert "No such file or directory" in refused["error"]
    assert "\n" not in refused["error"]
    assert taken["recording"]["file"] == "trial.mp4"
    check_part(run, run.folder / "trial.mp4", 40, 120)
    assert not cropzoom_threads()


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "a\nb", "x" * 61, "ends in space ", 7, "trial\n"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, runtime: Path, name: object) -> None:
    run = OrderedRun(tmp_path, {5: [("record", None, {"name": name})]}, frames=10)
    (answer,) = run.answers
    assert answer["ok"] is False
    assert answer["error"].startswith("record: got ")
    assert "\n" not in answer["error"]
    assert list(run.folder.glob("*.mp4")) == []


def test_a_name_that_is_taken_gets_a_number(tmp_path: Path) -> None:
    assert free_stem(tmp_path, "a") == "a"
    (tmp_path / "a.mkv").touch()
    assert free_stem(tmp_path, "a") == "a-2", "of whatever codec: both would have one table"
    (tmp_path / "a-2_recording.csv").touch()
    assert free_stem(tmp_path, "a") == "a-3"
    assert free_stem(tmp_path, "film_crops") == "film_crops-2", "its table would be that of the crops"


def test_the_ring_of_a_run_grows_for_its_first_recording(tmp_path: Path, runtime: Path) -> None:
    """Frames wait for the recorder in memory that a run without a recording does not have."""
    run = OrderedRun(tmp_path, {20: [START]}, record_buffer=30, max_lag=4)
    ring = run.pipeline._running("ring").stages.ring
    assert ring.slots == 4 + 6 + 30 + 2


def test_a_killed_run_has_the_frames_of_its_table(tmp_path: Path, runtime: Path) -> None:
    source = "synthetic:arena,size=160x120,fps=60,seconds=600"
    flags = ["--out", tmp_path / "out", *model_flags(tiny_models(tmp_path / "models"))]
    process = start_process("run", source, *flags, "--control", "auto")
    out = tmp_path / "out"
    wait_for(lambda: any(path.read_bytes().count(b"\n") > 5 for path in out.glob("*/*_timing.csv")), "frames")
    wait_for(lambda: give_order("record", value={"name": "trial"})["ok"], "a recording")
    wait_for(recorded_rows(tmp_path / "out", 30), "recorded frames")
    process.send_signal(signal.SIGKILL)
    finish(process)
    folder = the_session(tmp_path / "out")
    table, (images, _) = read_table(folder / "trial.mp4"), read_video(folder / "trial.mp4")
    recorded = table["recorded"].dropna()
    assert recorded.tolist() == list(range(len(recorded)))
    assert len(recorded) <= len(images) <= len(recorded) + 1
    assert len(Files(folder).timing) > table.index[0] > 0
    assert set(load_session(folder)["recording"].dropna()) == {"trial.mp4"}
    shutil.rmtree(folder)


def test_a_copy_begins_at_a_key_frame_and_its_table_says_where(
    tmp_path: Path, runtime: Path, make_video: Callable[..., Path]
) -> None:
    """The first recording is stopped between key frames; so the second one waits for the next."""
    options = {"bf": "0", "g": "30", "preset": "ultrafast"}
    played = make_video("clip.mp4", frames=200, fps=50, codec="libx264", options=options)

    def captured() -> int:
        counts: dict[str, int] = give_order("state").get("counts", {"captured": 0})
        return counts["captured"]

    with Pipeline(make_settings(tmp_path, source=played, record="copy", control="auto")) as pipeline:
        wait_for(lambda: captured() > 35, "frames")
        assert give_order("stop_recording")["ok"]
        wait_for(lambda: captured() > 70, "frames")
        assert give_order("record", value="trial")["ok"]
        wait_for(lambda: captured() > 130, "frames")
        assert give_order("stop_recording")["ok"]
        assert pipeline.wait(LONG_S)
    files = check_complete(pipeline.folder)
    for name in ("clip", "trial"):
        video = files.folder / f"{name}.mkv"
        table, (images, _) = read_table(video), read_video(video)
        assert list(table.index) == list(range(table.index[0], table.index[-1] + 1))
        recorded = table["recorded"].dropna().astype(int)
        assert all(Footage().index_of(images[number]) == frame for frame, number in recorded.items())
        early = table.index[table["dropped"] == "before_key_frame"]
        assert list(early) == list(range(table.index[0], recorded.index[0]))
        assert set(table["dropped"].dropna()) <= {"before_key_frame"}
        assert (recorded.index[0] % 30 == 0) or recorded.iloc[0] > 0, "what it is made from is in the file, too"
        again = run_to_end(make_settings(tmp_path / name, source=video, schedule=files.bbox_path, pace="fast"))
        same_poses(check_complete(again.folder), files, recorded.index.tolist())
    assert files.summary["problems"] == []


def test_a_full_disk_refuses_a_recording_and_leaves_nothing_of_it(
    tmp_path: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: RowFile) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write, left = RowFile._write_pending, list[list[str]]()

    def fill(frame: int) -> None:
        if frame == 20:
            monkeypatch.setattr(RowFile, "_write_pending", full)
        elif frame == 21:
            monkeypatch.setattr(RowFile, "_write_pending", write)
            left.append([path.name for path in the_session(tmp_path / "sessions").glob("trial*")])

    run = OrderedRun(tmp_path, {20: [START]}, before=fill)
    (refused,) = run.answers
    assert refused["ok"] is False
    assert "No space left on device" in refused["error"]
    assert "\n" not in refused["error"]
    assert left == [[]]
    assert run.files.summary["problems"] == run.files.summary["recordings"] == []


class Breaking(VideoEncoder):
    """An encoder that fails in the middle, as on a disk that becomes full."""

    def write(self, frame: av.VideoFrame, pts_ns: int) -> None:
        if self.muxed == 20:
            self._stream = None
        super().write(frame, pts_ns)


def test_a_recording_that_failed_is_not_called_one_and_another_may_follow(
    tmp_path: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = "realtime_cropzoom.sinks.recording.VideoEncoder"
    monkeypatch.setattr(encoder, Breaking)

    def wait_until_failed(frame: int) -> None:
        if frame == 100:
            wait_for(lambda: give_order("state")["recording"] is None, "the recording is over")
            monkeypatch.setattr(encoder, VideoEncoder)

    run = OrderedRun(tmp_path, {10: [START], 100: [START, ("state",)]}, before=wait_until_failed)
    assert [answer["recording"]["first_frame"] for answer in run.answers] == [10, 100, 100]
    check_part(run, run.folder / "trial-2.mp4", 100, 120)
    failed, ended = run.events("recording_stopped")
    assert ended["by"] == "end of the run"
    assert failed["text"].startswith("trial.mp4 failed: 'NoneType'")
    assert failed["by"] == "recorder"
    assert "could not be written" in run.files.summary["problems"][0]
