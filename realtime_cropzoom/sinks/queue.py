"""Records → the script that iterates over ``track``."""

from __future__ import annotations

from collections.abc import Iterator

from realtime_cropzoom.runtime.records import Fate, Record
from realtime_cropzoom.runtime.worker import POLL_S, Control
from realtime_cropzoom.sinks.base import Sink

_ENDS_WITHIN_S = 1.0
"""A pose stage that has not said its last word so long after the stop is stuck, and nobody waits for it."""


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
