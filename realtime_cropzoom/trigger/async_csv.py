"""CSV file with a writing thread of its own: the threads that add rows never wait for the disk."""

from __future__ import annotations

import logging
import queue
import threading
from contextlib import suppress
from pathlib import Path

from realtime_cropzoom.files.append import RowFile

_MAX_QUEUED = 1 << 16
_RETRY_S = 0.5
"""Interval (s) of attempts to write rows that the disk did not accept."""

logger = logging.getLogger(__name__)


class AsyncCsv:
    """A CSV file; each row goes to the operating system at once.

    When the queue is full, the newest row is dropped. A full disk is logged once; what could not be written is kept
    and written again, see ``RowFile``.
    """

    def __init__(self, path: Path, columns: str) -> None:
        """Create the file.

        Args:
            path: The new file.
            columns: The header line, without its end.

        Raises:
            SinkError: if the file cannot be created, or exists already.
        """
        self.path = path
        self.dropped = 0
        """Rows lost because the queue was full."""
        self._file = RowFile(path, columns + "\n")
        self._queue: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reported = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"cropzoom-log-{path.stem}", daemon=True)
        self._thread.start()

    def add(self, row: str) -> None:
        """Add a row, given as a line with its newline; from any thread."""
        if self._queue.qsize() < _MAX_QUEUED:
            self._queue.put(row)
        else:
            self.dropped += 1

    def problems(self) -> list[str]:
        """Return a line for each thing that is missing in the file; call it after ``close``."""
        dropped = f"{self.path}: the disk was too slow; {self.dropped} rows are lost" if self.dropped else ""
        return [problem for problem in (self._file.problem(), dropped) if problem]

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what is queued and close the file. It may be called twice."""
        self._closing.set()
        self._queue.put("")  # wakes the thread
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not (self._closing.is_set() and self._queue.empty()):
            with suppress(queue.Empty):
                self._file.add(self._queue.get(timeout=_RETRY_S))
                for _ in range(self._queue.qsize()):
                    self._file.add(self._queue.get_nowait())
            self._file.flush()  # also without a row: what a full disk did not accept may fit now
            if self._file.error and not self._reported:
                self._reported = True
                logger.error("%s cannot be written: %s; the session continues without it", self.path, self._file.error)
        self._file.close()
