"""However a run ends: its threads are gone, its files are closed, and the process ends in time, saying why."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import zmq
from support.pipelines import (
    ANNOUNCED,
    ANY_PORT,
    LONG_S,
    Film,
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
from support.places import TESTS

from realtime_cropzoom.errors import ModelError, SinkError, SourceError, StageError
from realtime_cropzoom.pipeline.pipeline import Pipeline

SOON_S = 30.0
"""What must end within 2 s on an idle machine has ended by then on a busy one, and long before ``LONG_S``."""

ENDLESS = "synthetic:arena,size=160x120,fps=60,seconds=endless"


@pytest.fixture(autouse=True)
def _threads_before_and_after() -> object:
    """Whatever a test does: in the end there are no more threads than at its beginning."""
    before = threading.active_count()
    yield
    wait_for(lambda: threading.active_count() <= before, f"{threading.enumerate()} to end", SOON_S)
    assert not cropzoom_threads()


@pytest.mark.parametrize("publish", ["none", ANY_PORT])
@pytest.mark.parametrize("pace", ["realtime", "fast"])
def test_a_run_that_ends_by_itself_leaves_no_thread(tmp_path: Path, pace: str, publish: str) -> None:
    film = Film(30, 100)
    settings = make_settings(tmp_path, pace=pace, publish=publish, publish_latest=publish)
    pipeline = run_to_end(settings, film)
    assert not cropzoom_threads()
    assert film.closed_in == "cropzoom-source"
    check_complete(pipeline.folder)


@pytest.mark.parametrize("pace", ["realtime", "fast"])
@pytest.mark.parametrize("after_s", [0.0, 0.001, "random", 0.5])
def test_a_run_can_be_stopped_at_any_moment(tmp_path: Path, pace: str, after_s: float | str) -> None:
    pipeline = Pipeline(
        make_settings(tmp_path, pace=pace, publish=ANY_PORT, publish_latest=ANY_PORT), lambda: Film(10**6)
    )
    pipeline.start()
    time.sleep(random.uniform(0, 0.3) if isinstance(after_s, str) else after_s)
    pipeline.stop()
    began = time.monotonic()
    pipeline.join()
    assert time.monotonic() - began < SOON_S
    assert not cropzoom_threads()
    files = check_complete(pipeline.folder)
    assert files.summary["reason"] == "stopped"


def test_stop_and_join_may_be_called_again(tmp_path: Path) -> None:
    pipeline = Pipeline(make_settings(tmp_path), lambda: Film(10**6))
    pipeline.start()
    pipeline.stop("first")
    pipeline.stop("second")
    assert pipeline.join() == pipeline.join()
    assert pipeline.summary["reason"] == "first"


def test_a_run_stopped_before_its_start_captures_nothing(tmp_path: Path) -> None:
    pipeline = Pipeline(make_settings(tmp_path), lambda: Film(10**6))
    pipeline.stop("too late")
    with contextlib.suppress(SourceError):  # whether the source was open by then is a race
        pipeline.start()
        assert pipeline.join()["counts"]["captured"] == 0
    assert not cropzoom_threads()


def test_a_source_that_breaks_leaves_no_thread(tmp_path: Path) -> None:
    def fall_over(index: int) -> None:
        if index == 10:
            raise OSError("unplugged")

    film = Film(10**6, before=fall_over)
    pipeline = Pipeline(make_settings(tmp_path), lambda: film)
    pipeline.start()
    with pytest.raises(StageError, match="the capture stage failed: OSError: unplugged"):
        pipeline.join()
    assert not cropzoom_threads()
    assert film.closed_in
    assert len(check_complete(pipeline.folder).timing) == 10


def test_a_bad_model_leaves_no_thread_and_no_folder(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    film = Film()
    settings = make_settings(tmp_path, pose=str(tmp_path / "text.onnx"), publish=ANY_PORT, publish_latest=ANY_PORT)
    with pytest.raises(ModelError):
        Pipeline(settings, lambda: film).start()
    assert not cropzoom_threads()
    assert film.closed_in == "cropzoom-source"
    assert not (tmp_path / "sessions").exists()


@pytest.mark.parametrize("taken", ["publish", "publish_latest"])
def test_an_endpoint_in_use_leaves_no_thread_and_no_folder(tmp_path: Path, taken: str) -> None:
    with zmq.Context() as context, context.socket(zmq.PUB) as other:
        port = other.bind_to_random_port("tcp://127.0.0.1")
        endpoints = {"publish": ANY_PORT, "publish_latest": ANY_PORT, taken: f"tcp://127.0.0.1:{port}"}
        with pytest.raises(SinkError, match=f"{port} is in use"):
            Pipeline(make_settings(tmp_path, **endpoints), Film).start()
        assert not cropzoom_threads()
    assert not (tmp_path / "sessions").exists()


def test_a_source_that_does_not_open_leaves_no_thread(tmp_path: Path) -> None:
    def refuse() -> Film:
        raise SourceError("no camera")

    with pytest.raises(SourceError, match="no camera"):
        Pipeline(make_settings(tmp_path), refuse).start()
    assert not cropzoom_threads()


def test_a_start_that_is_stuck_can_be_stopped(tmp_path: Path) -> None:
    """A camera may hang while it is opened; Ctrl-C then comes in while ``start`` still waits for it."""
    opening, let_go = threading.Event(), threading.Event()

    def open_slowly() -> Film:
        opening.set()
        let_go.wait(LONG_S)
        return Film()

    pipeline = Pipeline(make_settings(tmp_path), open_slowly)

    def stop_while_it_opens() -> None:
        opening.wait(LONG_S)
        pipeline.stop()

    stopper = threading.Thread(target=stop_while_it_opens)
    stopper.start()
    began = time.monotonic()
    try:
        with pytest.raises(SourceError, match="stopped before the source was ready"):
            pipeline.start()
        assert time.monotonic() - began < SOON_S
    finally:
        let_go.set()
        stopper.join()


def test_a_stuck_thread_is_named_and_left_behind(tmp_path: Path) -> None:
    stuck, let_go = threading.Event(), threading.Event()

    def get_stuck(index: int) -> None:
        if index == 10:
            stuck.set()
            let_go.wait(LONG_S)

    pipeline = Pipeline(make_settings(tmp_path), lambda: Film(before=get_stuck))
    pipeline.start()
    assert stuck.wait(LONG_S)
    try:
        pipeline.stop()
        began = time.monotonic()
        with pytest.raises(StageError, match="left behind, stuck in native code: capture"):
            pipeline.join()
        assert time.monotonic() - began < SOON_S
        assert cropzoom_threads() == {"cropzoom-capture", "cropzoom-source"}
        files = check_complete(pipeline.folder)
        assert len(files.timing) == 10
        assert "capture" in files.summary["reason"]
    finally:
        let_go.set()


def start_run(tmp_path: Path, *more: object, code: str | None = None) -> subprocess.Popen[str]:
    models = tiny_models(tmp_path / "models")
    return start_process("run", ENDLESS, "--out", tmp_path / "out", *model_flags(models), *more, code=code)


def timing_of(out: Path) -> Path | None:
    return next(iter(out.glob("*/*_timing.csv")), None)


def rows_are_there(out: Path, at_least: int) -> Callable[[], bool]:
    def check() -> bool:
        timing = timing_of(out)
        return timing is not None and timing.read_bytes().count(b"\n") > at_least

    return check


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("rows", [0, 40])
def test_a_signal_ends_the_process_with_everything_closed(tmp_path: Path, number: signal.Signals, rows: int) -> None:
    process = start_run(tmp_path)
    wait_for(rows_are_there(tmp_path / "out", rows), "rows")
    began = time.monotonic()
    process.send_signal(number)
    done = finish(process)
    assert time.monotonic() - began < SOON_S
    assert done.returncode == 128 + number, done.stderr
    assert "Traceback" not in done.stderr
    files = check_complete(the_session(tmp_path / "out"))
    assert files.summary["reason"] == f"stopped by {number.name}"
    assert files.summary["counts"]["captured"] >= rows


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.3, 0.6, 1.0])
def test_a_signal_during_start_up(tmp_path: Path, number: signal.Signals, after_s: float) -> None:
    """While it imports, loads or opens: no traceback, and no half a session (-15: Python had no say in it yet)."""
    process = start_run(tmp_path, "--quiet", code=ANNOUNCED)
    assert process.stdout is not None
    assert process.stdout.readline() == "go\n"
    time.sleep(after_s)
    process.send_signal(number)
    done = finish(process)
    assert "Traceback" not in done.stderr
    assert done.returncode in (128 + number, *([-number] if number == signal.SIGTERM else [])), done.stderr
    assert done.stderr in ("", "cropzoom: stopped\n")
    for folder in (tmp_path / "out").glob("*"):
        check_complete(folder)


STUCK = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from support.pipelines import Film, make_settings
from realtime_cropzoom.cli.run import watch_pipeline
from realtime_cropzoom.errors import CropzoomError
from realtime_cropzoom.pipeline.pipeline import Pipeline
from realtime_cropzoom.runtime.signals import stop_on_signals

def get_stuck(index):
    if index == 10:
        print("stuck", flush=True)
        time.sleep(60)

pipeline = Pipeline(make_settings(Path(sys.argv[2])), lambda: Film(before=get_stuck))
stop_on_signals(pipeline.stop)
pipeline.start()
watch_pipeline(pipeline, quiet=True)
try:
    pipeline.join()
except CropzoomError as error:
    sys.exit(str(error))
"""


def test_a_stuck_thread_does_not_keep_the_process_alive(tmp_path: Path) -> None:
    process = start_process(TESTS, tmp_path, code=STUCK)
    assert process.stdout is not None
    assert process.stdout.readline() == "stuck\n"
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    done = finish(process)
    assert time.monotonic() - began < SOON_S
    assert done.returncode == 1
    assert done.stderr.strip().endswith("left behind, stuck in native code: capture")
    assert len(check_complete(the_session(tmp_path / "sessions")).timing) == 10


SCRIPT = """
import sys
from realtime_cropzoom import track
for message in track(sys.argv[1], out=sys.argv[2], detector=sys.argv[3], pose=sys.argv[4]):
    if message.frame == 10:
        print("ten", flush=True)
"""


def test_ctrl_c_in_a_script_that_tracks(tmp_path: Path) -> None:
    """The interrupt comes up inside the loop, which must close the run and not wait for an endless source."""
    models = tiny_models(tmp_path / "models")
    process = start_process(ENDLESS, tmp_path / "out", models["detector"], models["pose"], code=SCRIPT)
    assert process.stdout is not None
    assert process.stdout.readline() == "ten\n"
    process.send_signal(signal.SIGINT)
    done = finish(process, SOON_S)
    assert done.stderr.strip().endswith("KeyboardInterrupt")
    check_complete(the_session(tmp_path / "out"))


def test_kill_9_leaves_files_that_can_be_read(tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start_run(tmp_path)
    wait_for(rows_are_there(out, 100), "rows")
    timing_path = timing_of(out)
    assert timing_path is not None
    killed_ns = time.monotonic_ns()
    process.kill()
    finish(process)
    folder, name = timing_path.parent, timing_path.name.removesuffix("_timing.csv")
    assert json.loads((folder / "summary.json").read_text())["reason"] == "running"

    paths = [folder / f"{name}{suffix}.csv" for suffix in ("", "_bbox", "_timing")]
    lines = [path.read_bytes().count(b"\n") - headers for path, headers in zip(paths, (3, 1, 1), strict=True)]
    assert min(lines) >= 100
    assert max(lines) - min(lines) <= 60, "more than a second apart"
    pose = pd.read_csv(paths[0], header=[0, 1, 2], index_col=0)
    assert list(pose.index[: lines[0]]) == list(range(lines[0]))
    for path, complete in zip(paths[1:], lines[1:], strict=True):
        assert list(pd.read_csv(path, index_col=0).index[:complete]) == list(range(complete))
    timing = pd.read_csv(paths[2], index_col=0)[: min(lines)]
    assert set(timing["outcome"]) <= {"processed", "skipped"}
    assert killed_ns - timing["captured_ns"].iloc[-1] < 1e9, "all but the last second is there"
