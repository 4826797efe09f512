"""Reporters: the messages that describe a run before its stages exist, and while it runs."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from support.pipelines import Film, make_settings, run_to_end

from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.pipeline.startup import plan_run
from realtime_cropzoom.pipeline.status import RunDescription, StartingReporter, describe_run
from realtime_cropzoom.runtime.worker import RunControl
from realtime_cropzoom.sources.base import SourceInfo
from realtime_cropzoom.types import StreamState


@pytest.fixture
def description(tmp_path: Path) -> RunDescription:
    settings = make_settings(tmp_path, source="rtsp://user:secret@host/live", camera="top")
    return describe_run(plan_run(settings, SourceInfo("live", 160, 96, 60.0, None)), anchor_ns=12)


def test_hello_names_the_source_without_its_password(description: RunDescription) -> None:
    hello = description.hello()
    assert hello.source == "rtsp://host/live"
    assert (hello.camera, hello.width, hello.height, hello.fps) == ("top", 160, 96, 60.0)
    assert hello.keypoint_names == ["middle", "right", "low"]
    assert hello.unix_offset_ns == 12
    assert hello.filter is None


def test_hello_names_the_lines_of_the_skeleton(description: RunDescription) -> None:
    assert description.hello().skeleton == []
    models = description.plan.models
    drawn = msgspec.structs.replace(models.pose.manifest, skeleton=((0, 1), (2, 1)))
    pose = copy.copy(models.pose)
    pose.manifest = drawn
    plan = replace(description.plan, models=replace(models, pose=pose))
    assert describe_run(plan).hello().skeleton == [("middle", "right"), ("low", "right")]


def test_two_runs_have_two_names(description: RunDescription) -> None:
    assert describe_run(description.plan).identity.run != description.identity.run


def test_before_the_first_frame_there_is_nothing_to_count(description: RunDescription) -> None:
    reporter = StartingReporter(description, RunControl())
    status = reporter.status()
    assert (status.state, status.stream, status.counts.captured, status.latency_ms) == ("searching", "live", 0, {})
    assert status.run == reporter.identity.run == reporter.hello().run
    assert reporter.stream() is StreamState.LIVE


def test_the_end_message_names_the_error_or_else_the_reason(description: RunDescription) -> None:
    control = RunControl()
    reporter = StartingReporter(description, control)
    control.reason = "stopped by SIGINT"
    assert reporter.end_message().reason == "stopped by SIGINT"
    control.fail("capture", SourceError("the cable is out"))
    assert reporter.end_message().reason == "the cable is out"


def test_status_and_summary_of_a_run_agree(tmp_path: Path) -> None:
    pipeline = run_to_end(make_settings(tmp_path, pace="fast"), Film(12))
    status, summary = pipeline.progress(), pipeline.summary
    assert status.counts.captured == summary["counts"]["captured"] == 12
    assert (status.stream, status.backlog, summary["reason"]) == ("ended", 0, "finished")
    assert set(status.latency_ms) == {"wait", "crop", "infer", "decode", "total"}
    assert set(summary["latency_ms"]) == {*status.latency_ms, "detect"}
    assert summary["restarts"] == {"detect": 0, "pose": 0}
    assert summary["models"]["pose"]["path"].endswith("pose.onnx")
