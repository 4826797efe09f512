"""Event log: numbers what happens in a run, writes it to ``<name>_events.csv``, and keeps it for the publisher.

Orders, the pose stage and the writer of the CSV files add events. Only the thread of the log touches the disk. If that
hangs or is full, events wait in memory; those beyond are lost, counted, and reported at the end.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.files.append import NO_ANSWER, RowFile
from realtime_cropzoom.files.csv_text import csv_line
from realtime_cropzoom.files.paths import as_text
from realtime_cropzoom.messaging.message import SCHEMA_VERSION, EventMessage
from realtime_cropzoom.runtime.records import RunIdentity
from realtime_cropzoom.runtime.ring import Ring
from realtime_cropzoom.runtime.worker import POLL_S, RunControl, Stage
from realtime_cropzoom.sinks.event_watch import StreamWatch
from realtime_cropzoom.types import FrameMeta, StreamState

EVENT_COLUMNS = "number,kind,text,by,frame,captured_ns,time_ns,time_utc"
"""Columns of ``<name>_events.csv``."""
_MAX_WAITING = 4096
"""Maximum number of events that wait for the disk."""
_MAX_UNSENT = 256
"""Maximum number of events that wait for the publisher, which sends 20 times a second. The oldest are not sent."""


class EventLog(Stage):
    """The events of one run. ``add`` and ``take_unsent`` may be called by any thread, and never wait for the disk."""

    def __init__(
        self, path: Path, identity: RunIdentity, ring: Ring, stream: Callable[[int], StreamState], control: RunControl
    ) -> None:
        """Create the file with its header. The thread is not started.

        Args:
            path: The file. It must not exist yet.
            identity: The fields that are equal in every message of the run.
            ring: Tells the newest captured frame.
            stream: Returns whether frames arrive at a time (monotonic, ns).
            control: Control of the run.

        Raises:
            SinkError: if the file cannot be made.
        """
        super().__init__("events", control)
        self._identity, self._ring, self._stream = identity, ring, stream
        self._file = RowFile(path, EVENT_COLUMNS + "\n")
        self._adding = threading.Lock()
        """Guards the number of the next event, and the order in both queues."""
        self._count = 0
        self._waiting: deque[str] = deque()
        self._unsent: deque[EventMessage] = deque(maxlen=_MAX_UNSENT)
        self._changed, self._ended = threading.Event(), threading.Event()
        self._lost = 0

    def add(self, kind: str, text: str = "", by: str = "", meta: FrameMeta | None = None) -> EventMessage:
        """Add an event, and return it.

        Args:
            kind: One of the kinds in ``EventMessage``.
            text: What a person should read.
            by: Who gave the order, or the part of the run that tells.
            meta: The frame of the event; None for the newest captured one.
        """
        time_ns, newest = now_ns(), self._ring.newest
        if meta is None and newest >= 0:
            (meta,) = self._ring.metas(newest, newest + 1)
        identity, frame = self._identity, None if meta is None else meta.index
        with self._adding:
            event = EventMessage(
                *(SCHEMA_VERSION, identity.run, identity.camera, self._count, kind, as_text(text), by),
                *(frame, time_ns, identity.unix_offset_ns),
            )
            self._count += 1
            self._unsent.append(event)
            if len(self._waiting) < _MAX_WAITING:
                self._waiting.append(_row(event, meta))
            else:
                self._lost += 1
        self._changed.set()
        return event

    def take_unsent(self) -> list[EventMessage]:
        """Return the events since the last call, oldest first."""
        with self._adding:
            events = list(self._unsent)
            self._unsent.clear()
            return events

    def end(self) -> None:
        """Announce that no further event follows."""
        self._ended.set()
        self._changed.set()

    def close(self) -> None:
        """Close the file of a log that was not started. A started one does that itself."""
        self._file.close()

    def work(self) -> None:
        """Write events, and watch the stream, until the end."""
        watch = StreamWatch()
        try:
            while not self._ended.is_set():
                self._changed.wait(POLL_S)
                self._changed.clear()
                at_ns = now_ns()
                if (change := watch.see(self._stream(at_ns), at_ns)) is not None:
                    self.add(*change, by="stream")
                self._write()
        finally:
            self._write()
            self._file.close()

    def _write(self) -> None:
        while self._waiting:
            self._file.add(self._waiting.popleft())
        self._file.flush()

    def left_behind(self) -> list[str]:
        """Return a message with the missing rows, for a log that is abandoned because its disk does not answer."""
        missing = len(self._waiting) + self._file.waiting_rows() + self._lost
        return [f"{self._file.path}: {NO_ANSWER}; its last {missing} events are not in it"] if missing else []

    def problems(self) -> list[str]:
        """Return messages about events that are not in the file; empty if it is complete."""
        problems = [problem] if (problem := self._file.problem()) else []
        if self._lost:
            problems.append(f"{self._file.path}: {self._lost} events are not in it: the disk was too slow")
        return problems


def _row(event: EventMessage, meta: FrameMeta | None) -> str:
    at = datetime.fromtimestamp((event.time_ns + event.unix_offset_ns) / 1e9, UTC)
    captured_ns = None if meta is None else meta.captured_ns
    when = at.isoformat(timespec="milliseconds")
    return csv_line((event.number, event.kind, event.text, event.by, event.frame, captured_ns, event.time_ns, when))
