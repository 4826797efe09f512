"""Messages between the supervisor and a camera process: their text, and that an unknown one ends nothing."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import msgspec
import pytest

from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.messaging.message import Counts, Percentiles, StatusMessage
from realtime_cropzoom.multicamera import supervisor
from realtime_cropzoom.multicamera.messages import (
    End,
    FrameCount,
    Heartbeat,
    Job,
    Note,
    Order,
    Problem,
    Report,
    Stop,
    decode_order,
    decode_report,
    encode,
)
from realtime_cropzoom.multicamera.worker import CameraProcess

STATUS = StatusMessage(
    schema=1, run="r", camera="top", state="tracking", stream="live", counts=Counts(1, 1, 0, 0, 0), backlog=0, fps=30.0,
    detector_fps=30.0, latency_ms={"total": Percentiles(1.0, 2.0, 3.0, None)}, time_ns=7, unix_offset_ns=0,
)  # fmt: skip
LIMIT_S = 30.0
MANY = 3000
"""Lines of a report that together do not fit into a pipe."""


@pytest.mark.parametrize("order", [Job({"source": "a\udc80.mp4"}, "out/top\udc80", 5), Stop("stopped by SIGINT", 130)])
def test_an_order_is_read_as_it_was_written(order: Order) -> None:
    assert decode_order(encode(order)) == order
    assert decode_order(encode(order).encode()) == order


@pytest.mark.parametrize(
    "report",
    [
        Note("publishing at \udc80"),
        Problem("a\nline"),
        FrameCount(None),
        FrameCount(90),
        Heartbeat(STATUS),
        End(0, "finished", {"counts": {"captured": 3}, "seconds": 1.5}),
        End(2, "no video", None),
    ],
)
def test_a_report_is_read_as_it_was_written_and_is_one_line(report: Report) -> None:
    line = encode(report)
    assert line.index("\n") == len(line) - 1
    assert decode_report(line) == report


def test_a_summary_is_written_whatever_it_holds() -> None:
    report = decode_report(encode(End(0, "finished", {"folder": Path("out"), "rate": float("nan")})))
    assert isinstance(report, End)
    assert report.summary is not None
    assert report.summary["folder"] == "out"
    assert report.summary["rate"] != report.summary["rate"]


@pytest.mark.parametrize("line", ['{"type": "mood", "text": "fine"}', '{"type": "note"}', '{"note": "old"}', "[]", "7"])
def test_an_unknown_message_is_refused(line: str) -> None:
    for decode in (decode_order, decode_report):
        with pytest.raises(msgspec.ValidationError):
            decode(line)


def test_half_a_line_is_refused_as_no_json() -> None:
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        decode_report(encode(Note("a text"))[:20])


def test_the_supervisor_reads_on_after_an_unknown_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process writes more than a pipe holds, so it ends only if the supervisor still reads."""
    lines = ['{"type": "mood", "text": "fine"}\n', '{"type": "note"}\n', '{"type": "no', "\n", encode(FrameCount(90))]
    lines += [encode(Note("x" * 100))] * MANY + [encode(Heartbeat(STATUS)), encode(End(0, "finished", None))]
    (tmp_path / "lines").write_text("".join(lines))
    script = "import sys; sys.stdin.readline(); sys.stdout.write(open(sys.argv[1]).read())"
    monkeypatch.setattr(supervisor, "_WORKER", [sys.executable, "-c", script, str(tmp_path / "lines")])
    run = supervisor.CameraRun("top", Settings.model_construct(source="a.mp4"), tmp_path / "top", 0)
    try:
        deadline = time.monotonic() + LIMIT_S
        while run.running and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not run.running, "the process still waits for a reader"
    finally:
        run.process.kill()
        run.close()
    first, second = run.problems
    assert first.startswith("cropzoom: top: ignored an unknown message from the camera's process: ")
    assert "mood" in first
    assert "text" in second
    assert run.notes[-1] == "top: " + "x" * 100
    assert (run.frame_count, run.status, run.outcome) == (90, STATUS, (0, "finished"))


def test_the_worker_obeys_a_stop_after_an_unknown_order(caplog: pytest.LogCaptureFixture) -> None:
    worker = CameraProcess(None, None)  # type: ignore[arg-type]
    for line in (b'{"type": "dance"}\n', b'{"type": "st', encode(Job({}, "out", 0)).encode()):
        worker.obey(line)
    assert worker.stopped is None
    assert len(caplog.records) == 3
    assert "dance" in caplog.text
    worker.obey(encode(Stop("stopped by SIGINT", 130)).encode())
    assert worker.stopped == ("stopped by SIGINT", 130)
