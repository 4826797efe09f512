"""Pipeline: whole runs: order, staleness, outcomes, boxes and their ages, lockstep, replay, and the end of a run."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from support.pipelines import (
    ANY_PORT,
    LONG_S,
    Files,
    Film,
    at_least,
    check_complete,
    cropzoom,
    cropzoom_threads,
    fail_at,
    hold_models,
    make_settings,
    model_flags,
    run_to_end,
    tiny_models,
    write_video,
)

from realtime_cropzoom.client.subscriber import Subscriber
from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.errors import ConfigError, ScheduleError, SourceError, StageError
from realtime_cropzoom.messaging.message import EndMessage, PoseMessage, StatusMessage
from realtime_cropzoom.pipeline.detect import DetectStage
from realtime_cropzoom.pipeline.pipeline import Pipeline

NEAR_PX = 6.0
"""How close the tiny models come to the middle of the blob."""


def assert_on_the_blob(files: Files, film: Film, frames: list[int], near_px: float = NEAR_PX) -> None:
    truth = np.array([film.footage.blob_at(i) for i in frames])
    assert np.abs(files.keypoint("middle")[frames] - truth).max() < near_px


def outcomes(files: Files) -> list[str]:
    return files.timing["outcome"].tolist()


@dataclass
class LiveRun:
    """A live run that had to skip frames, and all messages that a subscriber received."""

    film: Film
    settings: Settings
    files: Files
    poses: list[PoseMessage]
    statuses: list[StatusMessage]
    end: EndMessage


def zigzag(index: int) -> tuple[float, float]:
    """Move 12 px per frame, there and back, so that a frame mistaken for its neighbour shows."""
    step = index % 16
    return 32.0 + 12 * (step if step < 8 else 16 - step), 60.0


@pytest.fixture(scope="module")
def dropping(tmp_path_factory: pytest.TempPathFactory) -> LiveRun:
    """A live run with a pose model of 50 ms at 120 frames per second."""
    folder = tmp_path_factory.mktemp("dropping")
    film = Film(240, 120, blob_at=zigzag)
    settings = make_settings(folder, publish=ANY_PORT, publish_latest=ANY_PORT, max_lag=2, crop_size=160)
    poses: list[PoseMessage] = []
    statuses: list[StatusMessage] = []
    with pytest.MonkeyPatch.context() as monkeypatch:
        hold_models(monkeypatch, pose=at_least(0.05))
        with (
            Pipeline(settings, lambda: film) as pipeline,
            Subscriber(pipeline.endpoints[0]) as subscriber,
        ):
            while not isinstance(message := subscriber.receive(LONG_S), EndMessage):
                assert message is not None
                if isinstance(message, PoseMessage):
                    poses.append(message)
                elif isinstance(message, StatusMessage):
                    statuses.append(message)
            assert pipeline.wait(LONG_S)
    return LiveRun(film, settings, check_complete(pipeline.folder), poses, statuses, message)


def test_frames_that_the_pose_stage_cannot_process_in_time_are_skipped_and_counted(dropping: LiveRun) -> None:
    counts = dropping.files.summary["counts"]
    assert counts["captured"] == 240
    assert counts["skipped"] > 100
    assert counts["failed"] == 0
    assert outcomes(dropping.files).count("skipped") == counts["skipped"]
    assert dropping.files.pose[np.array(outcomes(dropping.files)) == "skipped"].isna().all(axis=None)


def test_every_message_accounts_for_every_frame(dropping: LiveRun) -> None:
    assert dropping.poses
    assert dropping.statuses
    messages: list[PoseMessage | StatusMessage | EndMessage] = [*dropping.poses, *dropping.statuses, dropping.end]
    for message in messages:
        counts = message.counts
        assert counts.captured == counts.processed + counts.skipped + counts.failed
    for pose in dropping.poses:
        assert pose.counts.captured == pose.frame + 1
        assert pose.counts.processed == pose.seq + 1


def test_messages_leave_in_order_of_capture_and_none_twice(dropping: LiveRun) -> None:
    frames = [message.frame for message in dropping.poses]
    assert frames == sorted(set(frames))
    seqs = [message.seq for message in dropping.poses]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))


def test_a_pose_is_of_the_very_frame_it_names(dropping: LiveRun) -> None:
    """Pixels, box and index belong together, however many frames were skipped."""
    frames = [m.frame for m in dropping.poses if m.keypoints["middle"][0] is not None]
    assert len(frames) > 10
    assert_on_the_blob(dropping.files, dropping.film, frames, near_px=8)


def test_messages_and_files_have_the_same_numbers(dropping: LiveRun) -> None:
    for message in dropping.poses:
        written = dropping.files.keypoint("middle")[message.frame]
        assert [None if np.isnan(v) else v for v in written] == list(message.keypoints["middle"][:2])
        row = dropping.files.timing.loc[message.frame]
        assert row["captured_ns"] == message.time.captured_ns
        assert row["seq"] == message.seq
        if message.box is not None:
            box = dropping.files.bbox.loc[message.frame]
            assert list(box[["x", "y", "w", "h", "box_frame"]]) == [
                message.box.x, message.box.y, message.box.w, message.box.h, message.box.frame,
            ]  # fmt: skip


def test_the_heartbeat_gives_the_state_of_the_animal_not_of_the_frames_skipped(dropping: LiveRun) -> None:
    tracked_from = next(m.counts.captured for m in dropping.poses if m.state == "tracking")
    later = [s.state for s in dropping.statuses if s.counts.captured > tracked_from]
    assert later
    assert set(later) == {"tracking"}


def test_the_times_of_a_frame_follow_each_other(dropping: LiveRun) -> None:
    for message in dropping.poses:
        t = message.time
        assert t.captured_ns <= (t.cropped_ns or t.inferred_ns) <= t.inferred_ns <= t.published_ns


def test_a_live_run_replayed_gives_the_same_numbers(dropping: LiveRun, tmp_path: Path) -> None:
    """The boxes were recorded per frame, so lockstep with them repeats the decisions of the run."""
    settings = make_settings(tmp_path, pace="fast", schedule=dropping.files.bbox_path)
    replayed = check_complete(run_to_end(settings, dropping.film).folder)
    assert outcomes(replayed) == outcomes(dropping.files)
    assert replayed.rows("")[1:] == dropping.files.rows("")[1:]
    box_columns = [*"xyhw", "box_frame", "box_age_ms", "state"]
    assert replayed.bbox[box_columns].equals(dropping.files.bbox[box_columns])


class Burst:
    """Frames that arrive while the pose model is busy with its first one; no more arrive until it has the next."""

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self.end = -1
        """First frame after the burst."""
        self._pose_began, self._all_there, self._pose_went_on = (threading.Event() for _ in range(3))

    def before(self, index: int) -> None:
        if self.end < 0 and self._pose_began.is_set():
            self.end = index + self._frames
        if index == self.end:
            self._all_there.set()
            assert self._pose_went_on.wait(LONG_S)

    def hold(self, call: int) -> None:
        self._pose_began.set()
        if call == 0:
            assert self._all_there.wait(LONG_S)
        else:
            self._pose_went_on.set()


def test_the_newest_frame_survives_a_drop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    burst = Burst(40)
    hold_models(monkeypatch, pose=burst.hold)
    film = Film(150, 200, before=burst.before)
    files = check_complete(run_to_end(make_settings(tmp_path, max_lag=8), film).folder)
    outcome = outcomes(files)
    newest = burst.end - 1
    held = max(i for i in range(newest) if outcome[i] == "processed")
    assert outcome[held + 1 : newest] == ["skipped"] * (newest - held - 1)
    assert newest - held > 30
    assert outcome[newest] == "processed"


def test_a_short_delay_within_max_lag_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    burst = Burst(40)
    hold_models(monkeypatch, pose=burst.hold)
    film = Film(150, 100, before=burst.before)
    files = check_complete(run_to_end(make_settings(tmp_path, max_lag=100), film).folder)
    assert burst.end > 0
    assert outcomes(files) == ["processed"] * 150


def test_the_pose_stage_never_waits_for_the_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second detection waits until 40 poses are done. If the pose stage waited for it, there would be none."""
    poses = threading.Semaphore(0)

    def detect(call: int) -> None:
        if call == 1:
            for _ in range(40):
                assert poses.acquire(timeout=LONG_S)

    hold_models(monkeypatch, pose=lambda _: poses.release(), detector=detect)
    film = Film(120, 100)
    files = check_complete(run_to_end(make_settings(tmp_path, max_lag=200), film).folder)
    assert outcomes(files) == ["processed"] * 120
    first = int(files.bbox["box_frame"].dropna().iloc[0])
    same_box = files.bbox[files.bbox["box_frame"] == first]
    assert len(same_box) >= 40
    ages = (files.timing["pts_ns"][same_box.index] - files.timing["pts_ns"][first]) / 1e6
    np.testing.assert_allclose(same_box["box_age_ms"], ages.clip(lower=0), atol=1e-6)


def test_live_boxes_never_have_a_negative_age(dropping: LiveRun) -> None:
    ages = dropping.files.bbox["box_age_ms"].dropna()
    assert (ages >= 0).all()
    assert np.isfinite(ages).all()


@pytest.fixture(scope="module")
def vanishing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Film, Files]:
    """A run at 30 fps without an animal in frames 0–4 and 30–69."""
    film = Film(90, 30, hidden=[*range(5), *range(30, 70)])
    settings = make_settings(tmp_path_factory.mktemp("vanishing"), pace="fast", min_likelihood=0.5)
    return film, check_complete(run_to_end(settings, film).folder)


def test_the_state_says_what_a_pose_may_be_trusted_for(vanishing: tuple[Film, Files]) -> None:
    """Frame 29 is the last one with an animal. It counts as lost 1000 ms of frame time later."""
    _, files = vanishing
    expected = ["searching"] * 5 + ["tracking"] * 25 + ["coasting"] * 30 + ["lost"] * 10 + ["tracking"] * 20
    assert files.bbox["state"].tolist() == expected


def test_a_box_ages_while_nothing_is_detected(vanishing: tuple[Film, Files]) -> None:
    _, files = vanishing
    assert files.bbox["box_frame"].isna().tolist() == [True] * 5 + [False] * 85
    assert files.bbox["box_frame"][30:70].tolist() == [29] * 40
    np.testing.assert_allclose(files.bbox["box_age_ms"][30:70], np.arange(1, 41) / 30 * 1e3, atol=1e-5)
    assert (files.bbox["box_age_ms"][70:] == 0).all()


def test_frames_before_the_first_box_are_processed_without_a_pose(vanishing: tuple[Film, Files]) -> None:
    film, files = vanishing
    assert outcomes(files) == ["processed"] * 90
    assert files.pose[:5].isna().all(axis=None)
    assert files.pose[5:].notna().all(axis=None)
    assert_on_the_blob(files, film, [*range(5, 30), *range(70, 90)])


@pytest.mark.parametrize("every", [1, 4])
def test_lockstep_gives_the_detection_of_every_nth_frame(tmp_path: Path, every: int) -> None:
    settings = make_settings(tmp_path, pace="fast", detector_every=every)
    files = check_complete(run_to_end(settings, Film(30)).folder)
    assert files.bbox["box_frame"].tolist() == [i - i % every for i in range(30)]
    assert files.summary["detector"]["detections"] == len(range(0, 30, every))


def test_lockstep_drops_nothing_and_repeats_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hold_models(monkeypatch, pose=at_least(0.005), detector=lambda k: None)
    settings = make_settings(tmp_path, pace="fast", max_lag=0, detector_every=3)
    first, second = (run_to_end(settings, Film(60, 1000)) for _ in range(2))
    assert first.folder != second.folder
    for pipeline in (first, second):
        assert outcomes(check_complete(pipeline.folder)) == ["processed"] * 60
    for suffix in ("", "_bbox"):
        texts = [(check_complete(p.folder).folder / f"film{suffix}.csv").read_bytes() for p in (first, second)]
        assert texts[0] == texts[1]


def test_a_detector_that_has_ended_ends_the_run_instead_of_a_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DetectStage, "work", lambda self: None)
    pipeline = Pipeline(make_settings(tmp_path, pace="fast"), lambda: Film(30))
    pipeline.start()
    with pytest.raises(StageError, match="frame 0 waits for a detection, but the detector has ended without it"):
        pipeline.join()
    check_complete(pipeline.folder)


@pytest.mark.parametrize("edge", ["pad", "clamp"])
@pytest.mark.parametrize("corner", [(6.0, 30.0), (154.0, 90.0)], ids=["left", "lower right"])
def test_an_animal_at_the_edge_of_the_frame(tmp_path: Path, edge: str, corner: tuple[float, float]) -> None:
    film = Film(8, blob_at=lambda _: corner)
    files = check_complete(run_to_end(make_settings(tmp_path, pace="fast", edge=edge), film).folder)
    box = files.bbox.iloc[0]
    assert box["x"] < 0 or box["x"] + box["w"] > 160
    assert_on_the_blob(files, film, list(range(8)))


def test_a_schedule_that_is_too_short_ends_the_run_with_an_error(tmp_path: Path) -> None:
    boxes = tmp_path / "short_bbox.csv"
    boxes.write_text(",x,y,h,w\n" + "".join(f"{i},10,10,64,64\n" for i in range(10)))
    pipeline = Pipeline(make_settings(tmp_path, pace="fast", schedule=boxes), lambda: Film(40))
    pipeline.start()
    with pytest.raises(ScheduleError, match="10 rows, but the source has a frame 10"):
        pipeline.join()
    files = check_complete(pipeline.folder)
    assert outcomes(files)[:10] == ["processed"] * 10


def test_keypoints_that_are_nan_fail_the_frame_and_not_the_run(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, pace="fast", min_likelihood=0.5, **tiny_models(tmp_path, nan_on_white=True))
    pipeline = run_to_end(settings, Film(40, white=[20, 21]))
    files = check_complete(pipeline.folder)
    assert [i for i, outcome in enumerate(outcomes(files)) if outcome == "failed"] == [20, 21]
    assert files.pose.isna().all(axis=1).tolist() == [i in (20, 21) for i in range(40)]
    assert files.summary["counts"]["failed"] == 2
    assert any("2 frames failed" in problem for problem in files.summary["problems"])


def test_frames_that_failed_make_the_exit_code_3(tmp_path: Path) -> None:
    video = write_video(tmp_path / "flash.mp4", Film(30, white=[20]))
    models = tiny_models(tmp_path / "models", nan_on_white=True)
    done = cropzoom("run", video, "--out", tmp_path / "out", "--pace", "fast", *model_flags(models),
                    "--min-likelihood", 0.5)  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "1 frames failed" in done.stderr
    assert "29 processed" in done.stdout


@pytest.mark.parametrize("pace", ["fast", "realtime"])
def test_frames_that_change_size_end_the_run_after_those_before(tmp_path: Path, pace: str) -> None:
    film = Film(40, grows_at=25)
    pipeline = Pipeline(make_settings(tmp_path, pace=pace, max_lag=100), lambda: film)
    pipeline.start()
    with pytest.raises(SourceError, match="frame 25 of film is 320x96, but the stream began as 160x96"):
        pipeline.join()
    files = check_complete(pipeline.folder)
    assert outcomes(files) == ["processed"] * 25
    assert "320x96" in files.summary["reason"]
    assert film.closed_in == "cropzoom-source"


def test_a_file_whose_frames_change_size(tmp_path: Path) -> None:
    """The file is an MPEG transport stream of two recordings with different frame sizes."""
    parts = [
        write_video(tmp_path / f"{k}.ts", Film(20, 25, size=size), "mpeg2video", "mpegts")
        for k, size in enumerate([(160, 96), (192, 128)])
    ]
    video = tmp_path / "both.ts"
    video.write_bytes(b"".join(part.read_bytes() for part in parts))
    pipeline = Pipeline(make_settings(tmp_path, source=str(video), pace="fast"))
    pipeline.start()
    with pytest.raises(SourceError, match="192x128, but the stream began as 160x96"):
        pipeline.join()
    files = check_complete(pipeline.folder)
    assert len(files.timing) >= 18
    assert set(outcomes(files)) == {"processed"}


def test_a_source_that_breaks_ends_the_run_with_its_error(tmp_path: Path) -> None:
    def break_at(index: int) -> None:
        if index == 12:
            raise SourceError("the cable is out")

    pipeline = Pipeline(make_settings(tmp_path, pace="fast"), lambda: Film(40, before=break_at))
    pipeline.start()
    with pytest.raises(SourceError, match="the cable is out"):
        pipeline.join()
    assert outcomes(check_complete(pipeline.folder)) == ["processed"] * 12


@pytest.mark.parametrize("role", ["pose", "detector"])
@pytest.mark.parametrize("pace", ["fast", "realtime"])
def test_a_stage_that_raises_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: str, pace: str
) -> None:
    hold_models(monkeypatch, **{role: fail_at(5, "out of order")})
    pipeline = Pipeline(make_settings(tmp_path, pace=pace), lambda: Film(10_000, 60))
    pipeline.start()
    stage = {"pose": "pose", "detector": "detect"}[role]
    with pytest.raises(StageError, match=f"the {stage} stage failed: RuntimeError: out of order"):
        pipeline.join()
    assert not cropzoom_threads()
    files = check_complete(pipeline.folder)
    assert "out of order" in files.summary["reason"]


def test_the_first_error_is_the_one_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first_is_out = threading.Event()

    def detect(call: int) -> None:
        if call == 1:
            first_is_out.set()
            raise RuntimeError("first")

    def pose(call: int) -> None:
        if first_is_out.is_set():
            pipeline.control.stop.wait(LONG_S)
            raise RuntimeError("second")

    hold_models(monkeypatch, detector=detect, pose=pose)
    pipeline = Pipeline(make_settings(tmp_path), lambda: Film(10_000, 60))
    pipeline.start()
    with pytest.raises(StageError, match="first"):
        pipeline.join()
    assert "first" in pipeline.summary["reason"]


def test_the_setting_frames_ends_the_run_after_that_number(tmp_path: Path) -> None:
    asked: list[int] = []
    film = Film(1000, before=asked.append)
    files = check_complete(run_to_end(make_settings(tmp_path, pace="fast", frames=7), film).folder)
    assert outcomes(files) == ["processed"] * 7
    assert max(asked) == 6, "the source was asked for a frame that nobody wants, and might never come"


def test_the_reason_of_a_run_that_ended_by_itself_is_finished(tmp_path: Path) -> None:
    with Pipeline(make_settings(tmp_path, pace="fast"), lambda: Film(10)) as pipeline:
        assert pipeline.wait(LONG_S)
    assert pipeline.summary["reason"] == "finished"
    assert pipeline.summary["problems"] == []


def test_the_reason_of_a_stopped_run_is_that_of_the_stop(tmp_path: Path) -> None:
    with Pipeline(make_settings(tmp_path), lambda: Film(100_000)) as pipeline:
        pipeline.stop("dinner")
    assert pipeline.summary["reason"] == "dinner"
    check_complete(pipeline.folder)


def test_a_pipeline_without_a_source_is_refused() -> None:
    with pytest.raises(ConfigError, match="no source"):
        Pipeline(Settings())
