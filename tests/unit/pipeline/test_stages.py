"""Stages of a run: their order in the set, and that all of them end together."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from support.pipelines import ANY_PORT, LONG_S, Film, cropzoom_threads, make_settings

from realtime_cropzoom.messaging.message import EndMessage
from realtime_cropzoom.pipeline.build import StageBuilder
from realtime_cropzoom.pipeline.capture import CaptureStage
from realtime_cropzoom.pipeline.run_folder import RunFolder
from realtime_cropzoom.pipeline.stages import StageSet
from realtime_cropzoom.pipeline.startup import capture_options, plan_run
from realtime_cropzoom.pipeline.status import RunReporter, describe_run
from realtime_cropzoom.pipeline.summary import build_summary
from realtime_cropzoom.runtime.worker import RunControl
from realtime_cropzoom.types import StreamState


def build(folder: Path, **chosen: object) -> tuple[StageSet, RunReporter]:
    """Build the stages of a run of twelve frames, as ``Pipeline`` does."""
    settings, control = make_settings(folder, **chosen), RunControl()
    capture = CaptureStage(lambda: Film(12), control, capture_options(settings))
    capture.start()
    description = describe_run(plan_run(settings, capture.wait_open()))
    run_folder = RunFolder(settings.out, None, control.stop.is_set)
    stages = StageBuilder(description, control, run_folder).build(capture, tracked=False)
    return stages, RunReporter(description, control, stages)


def test_the_set_has_a_thread_for_each_part_of_the_run(tmp_path: Path) -> None:
    stages, reporter = build(tmp_path, publish=ANY_PORT, record="ffv1")
    try:
        assert [thread.stage for thread in stages.threads] == [
            "capture",
            "detect",
            "pose",
            "publish",
            "write",
            "record",
        ]
        assert [sink.stage for sink in stages.sinks] == ["publish", "write", "record"]
        assert [stage.stage for stage in stages.with_models] == ["detect", "pose"]
        assert stages.watchdog is not None
        assert stages.script is None
    finally:
        reporter.stages.capture.control.stop.set()
        stages.start()
        assert stages.end() == []
    assert not cropzoom_threads()


def test_frames_flow_after_the_start_and_all_threads_end(tmp_path: Path) -> None:
    stages, reporter = build(tmp_path, pace="fast")
    assert stages.watchdog is None
    before = build_summary(reporter, "folder", ended=False)
    assert (before["reason"], before["counts"]["captured"], before["animal"]) == ("running", 0, None)
    stages.start()
    assert stages.wait(60)
    assert stages.end() == []
    assert reporter.counts().processed == 12
    assert reporter.stream() is StreamState.ENDED
    after = build_summary(reporter, "folder")
    assert (after["reason"], after["counts"]["captured"], after["problems"]) == ("finished", 12, [])
    assert not cropzoom_threads()


def test_a_sink_has_the_time_that_the_stages_have_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine takes long to send the last messages. Nothing hangs, so the run does not end with an error."""
    monkeypatch.setattr("realtime_cropzoom.pipeline.stages.STAGE_JOIN_TIMEOUT_S", LONG_S)
    monkeypatch.setattr("realtime_cropzoom.pipeline.stages.SINK_JOIN_TIMEOUT_S", 0.1)
    stages, reporter = build(tmp_path, pace="fast", publish=ANY_PORT)
    said = reporter.end_message

    def say_slowly() -> EndMessage:
        time.sleep(0.5)
        return said()

    monkeypatch.setattr(reporter, "end_message", say_slowly)
    stages.start()
    stages.capture.join(LONG_S)
    assert stages.end() == []
    assert not cropzoom_threads()


def test_stages_that_were_not_started_can_be_taken_back(tmp_path: Path) -> None:
    stages, reporter = build(tmp_path, publish=ANY_PORT, record="ffv1")
    reporter.stages.capture.control.stop.set()
    stages.take_back()
    assert not cropzoom_threads()
