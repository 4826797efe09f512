"""Sinks: workers with a bounded queue of records, filled by the pose stage."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

from realtime_cropzoom.runtime.records import Record
from realtime_cropzoom.runtime.worker import POLL_S, RunControl, Stage

SCRIPT_LIMIT = 64
"""Number of records of each tracked animal that wait for the user's script."""
_ENDS_WITHIN_S = 1.0
"""Maximum wait (s) for further records after the stop. A pose stage that is silent for longer hangs."""


class Sink(Stage):
    """A thread that consumes records from a bounded queue.

    If the queue is full, a sink with ``wait_when_full`` makes the pose stage wait until the run stops
    (lockstep, ``pace: fast``). Any other sink drops the oldest record and counts it in ``dropped``.
    """

    def __init__(self, name: str, control: RunControl, *, limit: int, wait_when_full: bool) -> None:
        super().__init__(name, control)
        self._limit = limit
        self._wait_when_full = wait_when_full
        self._queue: deque[Record] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._end_announced = threading.Event()
        """Set with ``_ended``, for waiters that should not wake for every record."""
        self.dropped = 0
        """Number of records dropped because the queue was full."""

    def put(self, record: Record) -> None:
        """Add a record. If the queue is full, wait or drop the oldest record, as the class describes."""
        with self._changed:
            while self._wait_when_full and len(self._queue) >= self._limit and self._is_consuming():
                self._changed.wait(POLL_S)
            if len(self._queue) >= self._limit and not self._wait_when_full:
                self._drop(self._queue.popleft())
            self._queue.append(record)
            self._changed.notify_all()

    def _drop(self, record: Record) -> None:
        """Count a record that is not processed. The caller holds the lock of ``_changed``."""
        self.dropped += 1

    def _is_consuming(self) -> bool:
        return self.is_alive() and not self.control.stop.is_set()

    def end(self) -> None:
        """Announce that no further record follows. Queued records are still processed."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._end_announced.set()

    def _take_all(self, timeout_s: float) -> tuple[list[Record], bool]:
        """Return all queued records, and whether the end was announced.

        If the queue is empty, wait up to ``timeout_s`` (s) for a record or the end.
        """
        with self._changed:
            if not self._queue and not self._ended:
                self._changed.wait(timeout_s)
            records = list(self._queue)
            self._queue.clear()
            self._changed.notify_all()
            return records, self._ended


class QueueSink(Sink):
    """A sink that the user's script iterates, without a thread of its own.

    In a live run, a script that is slower than the stream loses the oldest records. In lockstep the
    pipeline waits for the script.
    """

    def __init__(self, control: RunControl, *, lockstep: bool, limit: int = SCRIPT_LIMIT) -> None:
        super().__init__("track", control, limit=limit, wait_when_full=lockstep)

    def is_alive(self) -> bool:
        """Return whether records are still consumed: True until the run stops."""
        return not self.control.stop.is_set()

    def put(self, record: Record) -> None:
        """Add the record of a frame with a message. Only processed frames have one, unless publishing is paused."""
        if record.seq >= 0:
            super().put(record)

    def __iter__(self) -> Iterator[Record]:
        ended, silent_s = False, 0.0
        while not ended and silent_s < _ENDS_WITHIN_S:
            records, ended = self._take_all(POLL_S)
            yield from records
            silent_s = silent_s + POLL_S if self.control.stop.is_set() and not records else 0.0
