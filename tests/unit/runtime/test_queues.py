"""Sinks: their queue is bounded, and a full one drops the oldest record or makes the sender wait."""

from __future__ import annotations

import threading

from realtime_cropzoom.inference.schedule import NO_BOX
from realtime_cropzoom.runtime.queues import QueueSink, Sink
from realtime_cropzoom.runtime.records import FrameOutcome, Record
from realtime_cropzoom.runtime.worker import RunControl
from realtime_cropzoom.types import FrameMeta


def record(index: int, outcome: FrameOutcome = FrameOutcome.PROCESSED) -> Record:
    seq = index if outcome is FrameOutcome.PROCESSED else -1
    return Record(FrameMeta(index, 0, None, 0), outcome, NO_BOX, seq=seq)


class Collector(Sink):
    """Collects the indices of its records once ``go`` is set."""

    def __init__(self, control: RunControl, *, limit: int, wait_when_full: bool) -> None:
        super().__init__("collect", control, limit=limit, wait_when_full=wait_when_full)
        self.go = threading.Event()
        self.indices: list[int] = []

    def work(self) -> None:
        self.go.wait()
        ended = False
        while not ended:
            records, ended = self._take_all(0.1)
            self.indices += [each.meta.index for each in records]


def test_a_full_queue_drops_the_oldest_records_and_counts_them() -> None:
    sink = Collector(RunControl(), limit=3, wait_when_full=False)
    sink.start()
    for index in range(10):
        sink.put(record(index))
    sink.end()
    sink.go.set()
    sink.join()
    assert (sink.indices, sink.dropped) == ([7, 8, 9], 7)


def test_in_lockstep_the_sender_waits_and_nothing_is_dropped() -> None:
    sink = Collector(RunControl(), limit=3, wait_when_full=True)
    sink.start()
    sent = 0

    def send() -> None:
        nonlocal sent
        for index in range(10):
            sink.put(record(index))
            sent += 1
        sink.end()

    sender = threading.Thread(target=send)
    sender.start()
    while sent < 3:
        pass
    sink.go.set()
    sender.join()
    sink.join()
    assert (sink.indices, sink.dropped) == (list(range(10)), 0)


def test_in_lockstep_the_sender_does_not_wait_for_a_run_that_stops() -> None:
    control = RunControl()
    control.stop.set()
    sink = Collector(control, limit=1, wait_when_full=True)
    sink.go.set()
    for index in range(5):
        sink.put(record(index))
    sink.end()
    sink.start()
    sink.join()
    assert sink.indices == list(range(5))


def test_a_script_receives_only_the_records_of_processed_frames() -> None:
    sink = QueueSink(RunControl(), lockstep=False)
    for index, outcome in enumerate((FrameOutcome.PROCESSED, FrameOutcome.SKIPPED, FrameOutcome.FAILED)):
        sink.put(record(index, outcome))
    sink.put(record(3))
    sink.end()
    assert [each.meta.index for each in sink] == [0, 3]


def test_a_script_that_is_slower_than_the_stream_loses_the_oldest_records() -> None:
    sink = QueueSink(RunControl(), lockstep=False, limit=2)
    for index in range(5):
        sink.put(record(index))
    sink.end()
    assert [each.meta.index for each in sink] == [3, 4]
    assert sink.dropped == 3
