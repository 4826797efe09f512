"""Sinks: workers with a bounded queue of records, filled by the pose stage."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

from realtime_cropzoom.runtime.records import Fate, Record
from realtime_cropzoom.runtime.worker import POLL_S, Control, Stage

_ENDS_WITHIN_S = 1.0
"""A pose stage that has not said its last word so long after the stop is stuck, and nobody waits for it."""


class Sink(Stage):
    """A thread that takes records off a bounded queue.

    When the queue is full, a sink with ``wait_when_full`` makes the pose stage wait
    (lockstep), as long as the run goes on; any other drops the oldest record and counts it in ``dropped``.
    """

    def __init__(self, name: str, control: Control, *, limit: int, wait_when_full: bool) -> None:
        super().__init__(name, control)
        self._limit = limit
        self._wait_when_full = wait_when_full
        self._queue: deque[Record] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._end_told = threading.Event()
        """Set with ``_ended``: waiting for it, nobody is woken by every record."""
        self.dropped = 0
        """Records lost because the queue was full."""

    def put(self, record: Record) -> None:
        """Take in the next record."""
        with self._changed:
            while self._wait_when_full and len(self._queue) >= self._limit and self._is_worth_waiting_for():
                self._changed.wait(POLL_S)
            if len(self._queue) >= self._limit and not self._wait_when_full:
                self._queue.popleft()
                self.dropped += 1
            self._queue.append(record)
            self._changed.notify_all()

    def _is_worth_waiting_for(self) -> bool:
        return self.is_alive() and not self.control.stop.is_set()

    def end(self) -> None:
        """Learn that no record will come; what is queued is still worked off."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._end_told.set()

    def _take_all(self, timeout_s: float) -> tuple[list[Record], bool]:
        """Return all queued records (waiting for the first one), and whether that was the end."""
        with self._changed:
            if not self._queue and not self._ended:
                self._changed.wait(timeout_s)
            records = list(self._queue)
            self._queue.clear()
            self._changed.notify_all()
            return records, self._ended


class QueueSink(Sink):
    """A sink that is read by iterating instead of by a thread of its own.

    Live, a script that is slower than the stream loses the oldest records; in lockstep the
    pipeline waits for it.
    """

    def __init__(self, control: Control, *, lockstep: bool, limit: int = 64) -> None:
        super().__init__("track", control, limit=limit, wait_when_full=lockstep)

    def is_alive(self) -> bool:
        """Whether anybody still takes records: the run goes on."""
        return not self.control.stop.is_set()

    def put(self, record: Record) -> None:
        """Take in a record; only processed frames are messages."""
        if record.fate is Fate.PROCESSED:
            super().put(record)

    def __iter__(self) -> Iterator[Record]:
        ended, silent_s = False, 0.0
        while not ended and silent_s < _ENDS_WITHIN_S:
            records, ended = self._take_all(POLL_S)
            yield from records
            silent_s = silent_s + POLL_S if self.control.stop.is_set() and not records else 0.0
