"""Messages between the supervisor and a camera process: their text, and that an unknown one ends nothing."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from realtime_cropzoom.messaging.message import Counts, Percentiles, StatusMessage
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
