"""What happens when the camera fails: it goes and comes back, changes, loses frames, stands still, hangs."""

from __future__ import annotations

import threading
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.films import Footage
from support.live_film import Camera, Hold, Run, Segment, listen
from support.pipelines import (
    ANY_PORT,
    LONG_S,
    Film,
    at_least,
    check_complete,
    hold_models,
    make_settings,
    run_to_end,
    wait_for,
)

from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.messaging.message import Message, StatusMessage
from realtime_cropzoom.pipeline.pipeline import Pipeline
from realtime_cropzoom.sources.live.reconnect import ReconnectBackoff, ReconnectingSource, ReconnectPolicy


def settings_of(tmp_path: Path, **chosen: Any) -> Settings:
    return make_settings(tmp_path, publish=ANY_PORT, publish_latest=ANY_PORT, max_lag=100, **chosen)


@pytest.fixture(scope="module")
def unplugged(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Twenty frames, a camera that is not there at the first try to reach it again, and twenty more."""
    folder = tmp_path_factory.mktemp("unplugged")
    settings = settings_of(folder, frames=40, record="ffv1")
    return listen(settings, Camera(Segment(20), Segment(20, refused=1)))


def test_a_camera_that_comes_back_begins_a_new_segment_in_messages_and_files(unplugged: Run) -> None:
    files = check_complete(unplugged.folder)
    assert [pose.frame for pose in unplugged.poses] == list(range(40))
    assert [pose.segment for pose in unplugged.poses] == [0] * 20 + [1] * 20
    assert files.timing["segment"].tolist() == [0] * 20 + [1] * 20
    assert unplugged.end.reason == "finished"
    assert unplugged.statuses[-1].segment == 1
    recording = pd.read_csv(files.folder / f"{files.name}_recording.csv")
    assert recording["segment"].tolist() == files.timing["segment"].tolist()
    assert recording["recorded"].tolist() == list(range(40))


def test_a_status_message_reports_the_loss_before_the_camera_is_back(unplugged: Run) -> None:
    heard = unplugged.messages
    gone = next(m for m in heard if isinstance(m, StatusMessage) and m.stream == "reconnecting")
    assert heard.index(gone) < heard.index(unplugged.poses[20])
    assert unplugged.poses[19].time.captured_ns < gone.time_ns < unplugged.poses[20].time.captured_ns


def test_frame_time_includes_the_gap_and_an_old_box_shows_its_age(unplugged: Run) -> None:
    times = check_complete(unplugged.folder).timing
    gaps = np.diff(times["pts_ns"])
    assert gaps.argmax() == 19
    np.testing.assert_allclose(gaps[19], times["captured_ns"][20] - times["captured_ns"][19], atol=0.6e9)
    for pose in unplugged.poses[20:]:
        assert pose.box is not None
        assert (pose.state == "tracking") == (pose.box.frame >= 20)


def simulated(monkeypatch: pytest.MonkeyPatch, camera: Camera, policy: ReconnectPolicy, seconds: float) -> list[float]:
    """Read a camera for so long by a clock that only waiting moves on; return when it was tried to reach it."""
    clock, tries = 0.0, []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            nonlocal clock
            clock += timeout or 0.0
            return clock >= seconds

    def reopen() -> Any:
        tries.append(clock)
        return camera.open()

    monkeypatch.setattr("realtime_cropzoom.sources.live.reconnect.now_ns", lambda: round(clock * 1e9))
    for _ in ReconnectingSource(camera.open(), reopen, policy, Stop()).frames():
        pass
    return tries


@pytest.mark.parametrize("after", [0, 100], ids=["stays gone", "comes back for a moment each time"])
def test_a_lost_camera_is_tried_again_with_growing_pauses(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    camera = Camera(Segment(3), *[Segment(0)] * after)
    tries = simulated(monkeypatch, camera, ReconnectPolicy(), 900)
    assert tries[:5] == [0, 1, 3, 7, 15]
    assert all(later - first >= 60 for first, later in zip(tries, tries[5:], strict=False)), "at most 5 a minute"
    assert max(later - first for first, later in pairwise(tries[5:])) <= 12, "and no less often"


def test_after_a_minute_without_loss_the_first_try_is_immediate_again() -> None:
    pacing, at_ns = ReconnectBackoff(), 0
    for _ in range(3):
        at_ns += round(pacing.delay_s(at_ns) * 1e9)
        pacing.tried(at_ns)
    assert pacing.delay_s(at_ns) == 4
    assert pacing.delay_s(at_ns + 60 * 10**9) == 0


def test_without_a_limit_a_lost_camera_is_tried_for_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(simulated(monkeypatch, Camera(Segment(3)), ReconnectPolicy(), 24 * 3600.0)) > 7000


@pytest.mark.parametrize("after", [0, 100], ids=["stays gone", "comes back without a frame"])
def test_a_lost_camera_is_given_up_at_the_configured_limit(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    camera = Camera(Segment(3), *[Segment(0)] * after)
    with pytest.raises(SourceError, match=r"film has been gone for 50 s \((no such device|the cable is out)\)"):
        simulated(monkeypatch, camera, ReconnectPolicy(give_up_after_s=50), 900)


def test_giving_up_ends_the_run_with_the_reason_and_all_files(tmp_path: Path) -> None:
    run = listen(settings_of(tmp_path, reconnect_for_s=0.3), Camera(Segment(20)))
    assert isinstance(run.error, SourceError), "which the command line ends with exit code 2 for"
    assert "film has been gone for 0 s (no such device); giving up" in str(run.error)
    assert run.end.reason == str(run.error)
    assert len(check_complete(run.folder).timing) == 20


def test_frames_of_another_size_are_refused_with_both_sizes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = listen(settings_of(tmp_path), Camera(Segment(20), Segment(20, size=(192, 128))))
    assert "192x128 instead of 160x96; its frames are refused; --changed adapt scales them" in caplog.text
    assert "frame 20 of film is 192x128, but the stream began as 160x96" in run.end.reason
    assert len(check_complete(run.folder).timing) == 20


def test_frames_of_another_size_are_scaled_if_the_settings_say_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    size = (200, 120)
    run = listen(settings_of(tmp_path, changed="adapt", frames=40), Camera(Segment(20), Segment(20, size=size)))
    assert "200x120 instead of 160x96; its frames are scaled to the size of the first ones" in caplog.text
    truth = np.array([Footage(size).blob_at(i) for i in range(20, 40)]) * 0.8
    with_new_box = [pose for pose in run.poses[20:] if pose.box is not None and pose.box.frame >= 20]
    assert len(with_new_box) > 5
    for pose in with_new_box:
        assert np.abs(np.array(pose.keypoints["middle"][:2], float) - truth[pose.frame - 20]).max() < 8


def test_another_frame_rate_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = listen(settings_of(tmp_path, frames=30), Camera(Segment(20), Segment(20, fps=30.0)))
    assert "film came back with 30.0 fps instead of 60.0" in caplog.text
    assert run.end.counts.processed == 30


def test_frames_lost_on_the_way_are_counted_and_not_replaced(tmp_path: Path) -> None:
    run = listen(settings_of(tmp_path, frames=20), Camera(Segment(20, lost={5: 3, 9: 1})))
    assert run.statuses[-1].lost == 4
    files = check_complete(run.folder)
    assert files.summary["lost"] == 4
    assert run.end.counts.captured == len(files.timing) == 20


def test_a_stream_without_frames_is_stalled_until_frames_arrive_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hold = Hold(20)

    def go_on_once_it_is_said(message: Message) -> None:
        if isinstance(message, StatusMessage) and message.stream == "stalled":
            wait_for(lambda: "no frames arrive" in caplog.text, "the words")
            hold.let_go()

    run = listen(settings_of(tmp_path, frames=40), Camera(Segment(40), before=hold), each=go_on_once_it_is_said)
    streams = [message.stream for message in run.statuses]
    assert [stream for stream, _ in groupby(streams)][-3:] == ["stalled", "live", "ended"]
    stalled = run.statuses[streams.index("stalled")]
    assert run.poses[19].time.captured_ns < stalled.time_ns < run.poses[20].time.captured_ns
    assert [r.message for r in caplog.records if r.name.endswith("watchdog")] == [
        "no frames arrive, but the connection is not lost", "frames arrive again",
    ]  # fmt: skip
    assert {pose.segment for pose in run.poses} == {0}


def test_a_pose_of_an_old_frame_is_never_sent_but_it_is_in_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every pose takes 30 ms at 60 frames a second: they fall behind until the ring skips."""
    hold_models(monkeypatch, pose=at_least(0.03))
    run = listen(settings_of(tmp_path, max_age_ms=100, frames=60), Camera(Segment(60)))
    for pose in run.poses:
        assert pose.time.published_ns - pose.time.captured_ns <= 100e6
    counts, too_old = run.end.counts, run.statuses[-1].too_old
    assert counts.unsent == too_old > 10
    assert counts.processed == len(run.poses) + too_old
    timing = check_complete(run.folder).timing
    assert timing["published_ns"].isna().sum() == too_old + counts.skipped


def test_a_camera_that_hangs_in_a_read_does_not_hold_up_the_end(tmp_path: Path) -> None:
    start, hold = Hold(0), Hold(20)

    def hold_up(index: int) -> None:
        start(index)
        hold(index)

    camera = Camera(Segment(40), before=hold_up)
    pipeline = Pipeline(settings_of(tmp_path), camera.open)
    pipeline.start()
    start.let_go()
    try:
        assert hold.reached.wait(LONG_S)
        wait_for(lambda: pipeline.progress().counts.processed == 20, "the frames before")
        pipeline.stop("enough")
        assert pipeline.join()["reason"] == "enough", "while the camera still hangs"
    finally:
        hold.let_go()
    assert len(check_complete(pipeline.folder).timing) == 20
    wait_for(lambda: not [t for t in threading.enumerate() if t.name.startswith("cropzoom-")], "the thread to end")


def test_the_drift_of_the_cameras_clock_is_in_the_summary(tmp_path: Path) -> None:
    run = listen(settings_of(tmp_path, frames=230), Camera(Segment(230), clock_ppm=5000))
    drift = check_complete(run.folder).summary["clock_drift"]
    assert drift["ppm"] == pytest.approx(5000, abs=1500)
    assert drift["frames"] == 230
    for pose in run.poses:
        assert pose.time.device_ns is not None


def test_a_recording_has_no_clock_to_compare(tmp_path: Path) -> None:
    assert run_to_end(make_settings(tmp_path, pace="fast"), Film(5)).summary["clock_drift"] is None
