"""Supervisor: reads each report of a camera process, and reports how the process ended."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.pipelines import wait_for

from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.messaging.message import Counts, Percentiles, StatusMessage
from realtime_cropzoom.multicamera import supervisor
from realtime_cropzoom.multicamera.messages import End, FrameCount, Heartbeat, Note, Problem, encode
from realtime_cropzoom.multicamera.supervisor import CameraRun

STATUS = StatusMessage(
    schema=1,
    run="r",
    camera="top",
    state="tracking",
    stream="live",
    counts=Counts(1, 1, 0, 0, 0),
    backlog=0,
    fps=30.0,
    detector_fps=30.0,
    latency_ms={"total": Percentiles(1.0, 2.0, 3.0, None)},
    time_ns=7,
    unix_offset_ns=0,
)
MANY = 3000
"""Number of notes that together do not fit into a pipe."""
WRITE = "import sys; sys.stdin.readline(); sys.stdout.write(open(sys.argv[1]).read())"


def ended_run(folder: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str], code: str = WRITE) -> CameraRun:
    """Return the run of a process that reads its job, writes the lines and ends."""
    (folder / "lines").write_text("".join(lines))
    monkeypatch.setattr(supervisor, "_WORKER", [sys.executable, "-c", code, str(folder / "lines")])
    run = CameraRun("top", Settings.model_construct(source="a.mp4"), folder / "top", 0)
    try:
        wait_for(lambda: not run.running, "the process, which may wait for a reader")
    finally:
        run.process.kill()
        run.close()
    return run


def test_the_supervisor_reads_on_after_an_unknown_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process writes more than a pipe holds, so it ends only if the supervisor still reads."""
    lines = ['{"type": "mood", "text": "fine"}\n', '{"type": "note"}\n', '{"type": "no', "\n", encode(FrameCount(90))]
    lines += [encode(Note("x" * 100))] * MANY + [encode(Heartbeat(STATUS)), encode(End(0, "finished", None))]
    run = ended_run(tmp_path, monkeypatch, lines)
    first, second = run.problems
    assert first.startswith("cropzoom: top: ignored an unknown message from the camera's process: ")
    assert "mood" in first
    assert "text" in second
    assert run.notes[-1] == "top: " + "x" * 100
    assert (run.frame_count, run.status, run.outcome) == (90, STATUS, (0, "finished"))


def test_the_end_of_a_process_is_its_last_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = {"counts": {"captured": 3}}
    run = ended_run(tmp_path, monkeypatch, [encode(Problem("a problem")), encode(End(3, "finished", summary))])
    assert list(run.problems) == ["cropzoom: top: a problem"]
    assert not run.failed
    assert run.to_summary() == {
        "exit": 3,
        "reason": "finished",
        "folder": None,
        "counts": {"captured": 3},
        "summary": summary,
    }


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("import sys; sys.exit(7)", (7, "ended with exit code 7 without a reason")),
        ("pass", (2, "ended with exit code 0 without a reason")),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", (137, "killed by SIGKILL")),
    ],
    ids=["exit code", "exit code 0", "killed"],
)
def test_a_process_that_ends_without_a_report_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, outcome: tuple[int, str]
) -> None:
    run = ended_run(tmp_path, monkeypatch, [], code)
    assert run.outcome == outcome
    assert run.to_summary()["summary"] is None


def test_the_counts_of_a_killed_camera_are_those_of_its_last_heartbeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ended_run(tmp_path, monkeypatch, [encode(Heartbeat(STATUS))])
    assert run.to_summary()["counts"] == {"captured": 1, "processed": 1, "skipped": 0, "failed": 0, "unsent": 0}


def test_what_a_process_writes_to_stderr_is_shown_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ended_run(tmp_path, monkeypatch, [], "import sys; print('out of memory', file=sys.stderr)")
    assert list(run.problems) == ["top: out of memory"]
