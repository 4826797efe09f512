"""States of a run: a call that does not fit the state is refused, and does not disturb the run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.pipelines import ANY_PORT, Film, check_complete, make_settings, wait_for

from realtime_cropzoom.errors import CropzoomError, StateError
from realtime_cropzoom.pipeline.pipeline import Pipeline, RunState

ENDLESS = 10**6


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    """A run without an end that is not started yet."""
    pipeline = Pipeline(make_settings(tmp_path), lambda: Film(ENDLESS))
    yield pipeline
    pipeline.stop()
    if pipeline.state in (RunState.STARTED, RunState.STOPPING):
        pipeline.join()


def captured(pipeline: Pipeline) -> int:
    return pipeline.progress().counts.captured


def test_a_run_goes_through_its_states(pipeline: Pipeline) -> None:
    states = [pipeline.state]
    pipeline.start()
    states.append(pipeline.state)
    pipeline.stop()
    states.append(pipeline.state)
    pipeline.join()
    assert [*states, pipeline.state] == list(RunState)


def test_a_second_start_costs_the_run_nothing(pipeline: Pipeline) -> None:
    pipeline.start()
    with pytest.raises(StateError, match=r"^start: this run is started; expected one that is not started yet\. Make"):
        pipeline.start()
    seen = captured(pipeline)
    wait_for(lambda: captured(pipeline) > seen, "more frames")
    pipeline.stop()
    pipeline.join()
    check_complete(pipeline.folder)


def test_a_start_in_a_with_costs_the_run_nothing(pipeline: Pipeline) -> None:
    with pytest.raises(StateError, match="'with' starts its own"), pipeline:
        pipeline.start()
    check_complete(pipeline.folder)


def test_a_start_after_the_end_leaves_the_session(pipeline: Pipeline) -> None:
    pipeline.start()
    pipeline.stop()
    summary = pipeline.join()
    with pytest.raises(StateError, match="start: this run is over"):
        pipeline.start()
    assert pipeline.join() is summary
    check_complete(pipeline.folder)


@pytest.mark.parametrize(
    "what",
    [Pipeline.join, lambda p: p.wait(0), lambda p: p.info, lambda p: p.endpoints, Pipeline.progress,
     lambda p: next(p.messages())],
    ids=["join", "wait", "info", "endpoints", "progress", "messages"],
)  # fmt: skip
def test_a_call_before_the_start_is_refused(pipeline: Pipeline, what: Callable[[Pipeline], object]) -> None:
    with pytest.raises(StateError, match=r"this run is not started yet; expected one that is\. Call start"):
        what(pipeline)


def test_messages_are_refused_if_the_run_was_not_started_for_them(pipeline: Pipeline) -> None:
    pipeline.start()
    with pytest.raises(StateError, match="tracked=True"):
        next(pipeline.messages())


def test_a_run_whose_start_failed_cannot_be_joined_or_started(tmp_path: Path) -> None:
    pipeline = Pipeline(make_settings(tmp_path, pose=tmp_path / "none"), lambda: Film(ENDLESS))
    with pytest.raises(CropzoomError, match="none"):
        pipeline.start()
    assert pipeline.state is RunState.JOINED
    for again in (pipeline.start, pipeline.join):
        with pytest.raises(StateError, match="start"):
            again()


def test_a_start_that_fails_at_its_last_step_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("realtime_cropzoom.pipeline.detect.DetectStage.start", refuse)
    settings = make_settings(tmp_path, publish=ANY_PORT, record="h264")
    pipeline = Pipeline(settings, lambda: Film(ENDLESS))
    with pytest.raises(RuntimeError, match="new thread"):
        pipeline.start()
    assert pipeline.folder is not None
    assert not pipeline.folder.exists()
    with pytest.raises(StateError, match="could not be started"):
        pipeline.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_fork_cannot_end_the_run_of_its_parent(pipeline: Pipeline) -> None:
    pipeline.start()
    pid = os.fork()
    if pid == 0:  # nothing may be raised here: it would be a second run of the tests
        try:
            pipeline.stop()
            pipeline.join()
            os._exit(0)
        except StateError:
            os._exit(42)
        except BaseException:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 42
    seen = captured(pipeline)
    wait_for(lambda: captured(pipeline) > seen, "more frames")
