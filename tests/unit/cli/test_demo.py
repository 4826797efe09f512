"""The demo: one command, a real subscriber process, a report with the known truth beside it, and a picture."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.pipelines import LONG_S, check_complete, cropzoom, finish, start_process, the_session, wait_for

from realtime_cropzoom.cli import demo
from realtime_cropzoom.cli.demo_run import truth_error
from realtime_cropzoom.inference.model_paths import shipped_model

needs_models = pytest.mark.skipif(
    not all(shipped_model(role).exists() for role in ("detector", "pose")), reason="the shipped models are not there"
)


@needs_models
def test_the_demo_tracks_reports_and_draws(tmp_path: Path) -> None:
    source = "synthetic:arena,size=640x480,fps=30,seconds=6,seed=5"
    done = cropzoom("demo", "--source", source, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    folder = the_session(tmp_path / "out")
    files = check_complete(folder)
    assert len(files.timing) == 180

    assert "180 frames in" in done.stdout
    assert re.search(r"a subscriber process received \d+ poses, 0 missed; it had connected at frame \d+", done.stdout)
    assert re.search(r"p50 +p95 +p99 +max", done.stdout)
    for row in ("handed over → pose", "handed over → published", "handed over → received", "box age"):
        assert row in done.stdout
    assert f"files in {folder}" in done.stdout
    assert f"picture: {folder / 'demo.png'}" in done.stdout
    picture = cv2.imread(str(folder / "demo.png"))
    assert picture is not None
    assert np.ptp(picture) > 200

    said = re.search(r"error against the known truth over (\d+) frames: mean ([\d.]+) px", done.stdout)
    assert said is not None
    error = truth_error(folder, source)
    assert int(said[1]) == error["frames_with_pose"] > 0
    assert float(said[2]) == pytest.approx(error["mean"], abs=0.01)
    if files.summary["counts"]["processed"] > 30:
        assert error["median"] < 10, "the shipped models do not find the animal they were trained on"


@pytest.mark.parametrize(
    ("lacking", "shown", "words"),
    [
        (None, False, ("demo", "--view")),
        (None, True, ("view", Path("a"))),
        ("uvicorn", False, ("cameras",)),
    ],
)
def test_the_next_command_is_one_that_runs_here(
    lacking: str | None, shown: bool, words: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "lacks_view", lambda: lacking)
    assert demo._afterwards(Path("a"), shown=shown) == words


@needs_models
def test_the_demo_refuses_what_is_no_arena(tmp_path: Path) -> None:
    """Before it tracks: only the arena has a truth to compare with."""
    (tmp_path / "film.mp4").write_text("")
    done = cropzoom("demo", "--source", tmp_path / "film.mp4", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.startswith("cropzoom: ")
    assert "expected synthetic:arena" in done.stderr
    assert not (tmp_path / "out").exists()


@needs_models
def test_the_demo_can_be_stopped(tmp_path: Path) -> None:
    source = "synthetic:arena,size=640x480,fps=30,seconds=endless"
    process = start_process("demo", "--source", source, "--out", tmp_path / "out")
    timing = wait_for(lambda: next(iter((tmp_path / "out").glob("*/*_timing.csv")), None), "the session")
    wait_for(lambda: timing.read_bytes().count(b"\n") > 40, "40 rows")
    process.send_signal(signal.SIGINT)
    done = finish(process, LONG_S)
    assert "Traceback" not in done.stderr
    assert done.returncode == 130, done.stderr
    check_complete(the_session(tmp_path / "out"))


@needs_models
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_demo_that_is_stopped_at_once_ends_in_order(tmp_path: Path, number: signal.Signals) -> None:
    """Before its subscriber has joined, and before any frame has a pose."""
    process = start_process("demo", "--out", tmp_path / "out")
    assert process.stderr is not None
    process.stderr.readline()  # the first note: the run has begun
    process.send_signal(number)
    done = finish(process, LONG_S)
    assert "Traceback" not in done.stderr
    assert done.returncode == 128 + number
