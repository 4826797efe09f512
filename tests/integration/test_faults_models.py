"""What happens when a model raises, hangs or is slow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.live_film import Camera, Hold, Segment, listen
from support.pipelines import (
    ANY_PORT,
    LONG_S,
    Film,
    check_complete,
    cropzoom_threads,
    finish,
    hold_models,
    make_settings,
    model_flags,
    run_to_end,
    start_process,
    the_session,
    tiny_models,
    wait_for,
)

from realtime_cropzoom import track
from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.errors import ScheduleError, StageError
from realtime_cropzoom.pipeline.pipeline import Pipeline
from realtime_cropzoom.types import UInt8

STAGE = {"pose": "pose", "detector": "detect"}
ENDLESS = "synthetic:arena,size=160x120,fps=60,seconds=endless"


def settings_of(tmp_path: Path, **chosen: Any) -> Settings:
    return make_settings(tmp_path, publish=ANY_PORT, publish_latest=ANY_PORT, max_lag=100, **chosen)


def failing(*calls: int) -> Callable[[int], None]:
    """A model that breaks off at these calls, once each; one that breaks off has not been called."""
    left = set(calls)

    def hold(call: int) -> None:
        if call in left:
            left.remove(call)
            raise RuntimeError("out of order")

    return hold


def broken_from(first: int) -> Callable[[int], None]:
    """A model that breaks off at every call from this one on."""

    def hold(call: int) -> None:
        if call >= first:
            raise RuntimeError("out of order")

    return hold


def test_a_pose_stage_that_raises_restarts_if_the_settings_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hold_models(monkeypatch, pose=failing(5, 12))
    run = listen(settings_of(tmp_path, on_failure="restart"), Film(60))
    assert run.error is None
    assert run.end.reason == "finished"
    files = check_complete(run.folder)
    failed = [i for i, outcome in enumerate(files.timing["outcome"]) if outcome == "failed"]
    assert len(failed) == 2, "the frames in hand"
    assert [pose.frame for pose in run.poses] == [i for i in range(60) if i not in failed]
    assert files.pose.loc[failed].isna().all(axis=None)
    assert files.pose.loc[max(failed) + 1 :].notna().all(axis=None), "the very next frame has a pose again"
    assert files.summary["restarts"] == {"detect": 0, "pose": 2}
    assert (
        "the pose stage failed and started again 2 times; the last time: RuntimeError: out of order"
        in (files.summary["problems"])
    )
    assert caplog.text.count("the pose stage failed and starts again: RuntimeError: out of order") == 2


def test_a_detector_that_raises_restarts_and_gives_boxes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hold_models(monkeypatch, detector=failing(3))
    files = check_complete(run_to_end(settings_of(tmp_path, on_failure="restart"), Film(60)).folder)
    assert files.summary["restarts"] == {"detect": 1, "pose": 0}
    assert files.summary["detector"]["failed"] == 1
    assert files.timing["outcome"].eq("processed").all()
    assert files.bbox["box_frame"].iloc[-1] > 40


def test_a_context_models_frames_in_hand_fail_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hold_models(monkeypatch, pose=failing(6))
    models = tiny_models(tmp_path / "context", pose="heatmap_mhcrnn")
    files = check_complete(run_to_end(settings_of(tmp_path, on_failure="restart", **models), Film(60)).folder)
    failed = [i for i, outcome in enumerate(files.timing["outcome"]) if outcome == "failed"]
    assert failed == list(range(failed[0], failed[0] + 3)), "the one asked for, and the two that waited behind it"
    assert files.pose.loc[failed[-1] + 1 :].notna().all(axis=None)


@pytest.mark.parametrize(("on_failure", "restarts"), [("end", 0), ("restart", 3)])
@pytest.mark.parametrize("role", ["pose", "detector"])
def test_a_stage_that_fails_every_time_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: str, on_failure: str, restarts: int
) -> None:
    hold_models(monkeypatch, **{role: broken_from(5)})
    run = listen(settings_of(tmp_path, on_failure=on_failure), Film(10**6))
    assert run.end.reason == str(run.error) == f"the {STAGE[role]} stage failed: RuntimeError: out of order"
    assert check_complete(run.folder).summary["restarts"][STAGE[role]] == restarts


def test_an_error_raised_on_purpose_does_not_restart_a_stage(tmp_path: Path) -> None:
    boxes = tmp_path / "short_bbox.csv"
    boxes.write_text(",x,y,h,w\n" + "".join(f"{i},10,10,64,64\n" for i in range(10)))
    run = listen(settings_of(tmp_path, on_failure="restart", schedule=boxes), Film(40))
    assert isinstance(run.error, ScheduleError)
    assert check_complete(run.folder).summary["restarts"] == {"pose": 0}


def test_in_lockstep_a_failure_always_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run could not repeat it, and whoever waits for the detection of that frame would wait for ever."""
    hold_models(monkeypatch, detector=failing(5))
    pipeline = Pipeline(make_settings(tmp_path, on_failure="restart", pace="fast"), lambda: Film(40))
    pipeline.start()
    with pytest.raises(StageError, match="the detect stage failed"):
        pipeline.join()


@pytest.mark.parametrize("on_failure", ["end", "restart"])
@pytest.mark.parametrize("role", ["pose", "detector"])
def test_a_model_that_hangs_ends_the_run_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: str, on_failure: str
) -> None:
    hold = Hold(5)
    hold_models(monkeypatch, **{role: hold})
    camera = Camera(Segment(), endless=True)
    run = listen(settings_of(tmp_path, hang_after_s=0.5, on_failure=on_failure), camera)
    try:
        reason = f"the {STAGE[role]} stage has been busy with one frame for more than 0.5 s"
        assert run.end.reason == str(run.error) == reason
        files = check_complete(run.folder)
        assert len(files.timing) == camera.given, "also the frames that came meanwhile have a row"
        assert len(files.timing) > 10
        if role == "pose":
            assert files.timing["outcome"].tolist().count("failed") == 1
        before = files.rows("_timing")
    finally:
        hold.let_go()
    wait_for(lambda: not cropzoom_threads(), "the stuck thread to end")
    assert check_complete(run.folder).rows("_timing") == before, "it is not heard any more"


def test_a_model_that_hangs_ends_a_script_that_only_iterates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hold, given = Hold(5), dict[str, Any](tiny_models(tmp_path / "models"))
    hold_models(monkeypatch, pose=hold)
    try:
        with pytest.raises(StageError, match="the pose stage has been busy"):
            for _ in track(ENDLESS, out=tmp_path, crop_size=64, hang_after_s=0.5, **given):
                pass
    finally:
        hold.let_go()
    wait_for(lambda: not cropzoom_threads(), "the stuck thread to end")


STUCK = """
import sys, threading, time
import numpy as np, onnxruntime
from onnx import TensorProto, helper
from realtime_cropzoom.pipeline import startup
from realtime_cropzoom.cli.main import main

def endless():
    '''A loop in native code, which holds no lock of Python's and cannot be interrupted.'''
    body = helper.make_graph(
        [helper.make_node("Identity", ["go_on"], ["still"]), helper.make_node("Identity", ["x"], ["y"])],
        "body",
        [helper.make_tensor_value_info(n, t, s) for n, t, s in
         (("i", TensorProto.INT64, []), ("go_on", TensorProto.BOOL, []), ("x", TensorProto.FLOAT, [1]))],
        [helper.make_tensor_value_info(n, t, s) for n, t, s in
         (("still", TensorProto.BOOL, []), ("y", TensorProto.FLOAT, [1]))],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["", "yes", "x0"], ["x1"], body=body)], "endless",
        [helper.make_tensor_value_info("yes", TensorProto.BOOL, []),
         helper.make_tensor_value_info("x0", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("x1", TensorProto.FLOAT, [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    session.run(None, {"yes": np.array(True), "x0": np.zeros(1, np.float32)})

class Stuck(startup.Model):
    calls = 0
    def infer(self, *window):
        Stuck.calls += 1
        if Stuck.calls > 60:
            endless()
        return super().infer(*window)

startup.Model = Stuck
sys.exit(main())
"""


def test_a_process_whose_model_is_stuck_in_native_code_ends_with_an_exit_code(tmp_path: Path) -> None:
    models = tiny_models(tmp_path / "models")
    flags = ["run", ENDLESS, "--out", tmp_path / "out", *model_flags(models), "--hang-after-s", 0.5]
    done = finish(start_process(*flags, code=STUCK))
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith("cropzoom: the ")
    assert done.stderr.splitlines()[-1].endswith("stage has been busy with one frame for more than 0.5 s")
    assert "Traceback" not in done.stderr
    check_complete(the_session(tmp_path / "out"))


class Still(Film):
    """Large frames that cost nothing to draw."""

    _image: UInt8 | None = None

    def draw(self, index: int) -> UInt8:
        if self._image is None:
            self._image = super().draw(0)
        return self._image


def test_however_slow_the_detector_a_box_is_at_most_two_inferences_and_a_frame_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each detection is held up until three more frames were captured; what it really took is measured in frames."""
    pipelines: list[Pipeline] = []
    took: list[int] = []
    memory: list[int] = []

    def newest() -> int:
        status = pipelines[0].progress()
        return status.counts.captured + status.backlog - 1

    def detect(_: int) -> None:
        begun = newest()
        wait_for(lambda: newest() >= begun + 3 or pipelines[0].control.stop.is_set() or newest() >= 119, "frames")
        took.append(newest() - begun)
        memory.append(psutil.Process().memory_info().rss)

    hold_models(monkeypatch, detector=detect)
    start = Hold(0)
    film = Still(120, 60, size=(640, 480), before=start)
    pipeline = Pipeline(settings_of(tmp_path, detector_max_fps=1000), lambda: film)
    pipelines.append(pipeline)
    pipeline.start()
    start.let_go()
    assert pipeline.wait(LONG_S)
    pipeline.join()
    files = check_complete(pipeline.folder)
    assert len(took) > 10
    ages = files.bbox["box_age_ms"].dropna() * 60 / 1e3
    assert ages.max() <= 2 * (max(took) + 1) + 1
    assert files.timing["outcome"].eq("processed").all(), "the pose loses no frame for it"
    assert max(memory) - memory[5] < 20 * film.draw(0).nbytes, "where eighty and more were captured meanwhile"
