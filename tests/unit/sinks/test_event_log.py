"""Event log: every event is one row and one message, in one order, whoever adds it and whatever the disk does."""

from __future__ import annotations

import csv
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from support.pipelines import wait_for

from realtime_cropzoom.clock import now_ns, unix_offset_ns
from realtime_cropzoom.errors import SinkError
from realtime_cropzoom.messaging.message import decode, encode
from realtime_cropzoom.runtime.records import RunIdentity
from realtime_cropzoom.runtime.ring import Ring
from realtime_cropzoom.runtime.worker import RunControl
from realtime_cropzoom.sinks import event_log
from realtime_cropzoom.sinks.event_log import EVENT_COLUMNS, EventLog
from realtime_cropzoom.types import FrameMeta, StreamState

OFFSET_NS = unix_offset_ns()


class Log(EventLog):
    """A log with a ring and a stream under the control of a test."""

    def __init__(self, folder: Path) -> None:
        self.ring, self.state = Ring(4, 2, 2), StreamState.LIVE
        identity = RunIdentity("run1", "cam0", ("nose",), OFFSET_NS)
        self.path = folder / "film_events.csv"
        super().__init__(self.path, identity, self.ring, lambda at_ns: self.state, RunControl())

    def capture(self, captured_ns: int) -> None:
        slot = self.ring.claim(1)
        assert slot is not None
        self.ring.publish(slot, FrameMeta(self.ring.newest + 1, 0, None, captured_ns))

    def rows(self) -> list[dict[str, str]]:
        with self.path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def finish_up(self) -> None:
        self.end()
        self.join(10)
        assert not self.is_alive()


def test_an_event_is_a_row_and_a_message(tmp_path: Path) -> None:
    log = Log(tmp_path)
    assert log.path.read_text() == EVENT_COLUMNS + "\n"
    log.start()
    log.add("marker", 'Licht an, "rot"; naïve', "page (anna, process 4711)")
    log.capture(111)
    log.capture(222)
    log.add("marker", "two")
    log.add("lost", by="pose", meta=FrameMeta(0, 0, None, 111))
    events = log.take_unsent()
    assert log.take_unsent() == []
    log.finish_up()
    rows = log.rows()
    assert [row["number"] for row in rows] == ["0", "1", "2"]
    assert [row["text"] for row in rows] == ['Licht an, "rot"; naïve', "two", ""]
    assert [(row["frame"], row["captured_ns"]) for row in rows] == [("", ""), ("1", "222"), ("0", "111")]
    assert [decode(encode(event)) for event in events] == events
    for row, event in zip(rows, events, strict=True):
        assert (row["kind"], row["by"], int(row["time_ns"])) == (event.kind, event.by, event.time_ns)
        at_ns = datetime.fromisoformat(row["time_utc"]).timestamp() * 1e9
        assert abs(at_ns - event.time_ns - event.unix_offset_ns) < 2e6
    assert log.problems() == []


def test_events_of_many_threads_have_one_order(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.start()
    threads = [threading.Thread(target=lambda: [log.add("marker", str(i)) for i in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.finish_up()
    assert [int(row["number"]) for row in log.rows()] == list(range(200))
    assert [event.number for event in log.take_unsent()] == list(range(200))


def test_the_log_tells_itself_that_frames_stop(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.start()
    log.state = StreamState.STALLED
    wait_for(lambda: len(log.rows()) == 1, "an event")
    log.state = StreamState.LIVE
    wait_for(lambda: len(log.rows()) == 2, "another event")
    log.state = StreamState.ENDED
    log.finish_up()
    assert [(row["kind"], row["by"]) for row in log.rows()] == [("stalled", "stream"), ("reconnected", "stream")]


def test_a_disk_that_hangs_makes_nobody_wait_and_costs_counted_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "_MAX_WAITING", 10)
    log, hangs, begun = Log(tmp_path), threading.Event(), threading.Event()
    write = log._file._write_pending

    def hang(*_: Any) -> None:
        begun.set()
        hangs.wait()
        write()

    monkeypatch.setattr(log._file, "_write_pending", hang)
    log.start()
    log.add("marker", "0")
    assert begun.wait(10)
    before_ns = now_ns()
    for i in range(1, 31):
        log.add("marker", str(i))
    assert now_ns() - before_ns < 5e9
    assert len(log.take_unsent()) == 31, "they are published all the same"
    (problem,) = log.left_behind()
    assert problem.startswith(str(log.path))
    assert "events are not in it" in problem
    hangs.set()
    log.finish_up()
    assert [int(row["number"]) for row in log.rows()] == list(range(11))
    assert log.problems() == [f"{log.path}: 20 events are not in it: the disk was too slow"]


def test_a_log_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "film_events.csv").touch()
    with pytest.raises(SinkError, match=r"cannot write .*film_events.csv: File exists"):
        Log(tmp_path)
