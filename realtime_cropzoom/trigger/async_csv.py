"""A CSV file that many threads add rows to; nobody waits for the disk."""

from __future__ import annotations

import logging
import queue
import threading
from pathlib import Path

from realtime_cropzoom.files.append import RowFile

_MAX_QUEUED = 1 << 16
_RETRY_S = 0.5

logger = logging.getLogger(__name__)


class AsyncCsv:
    """Rows → a file, each handed to the operating system as soon as it is there.

    The queue drops the newest when it is full. A full disk is said once; what could not be written is
    kept and tried again, see ``RowFile``.
    """

    def __init__(self, path: Path, columns: str) -> None:
        """Create the file. Raises SinkError where that cannot be done, or it is there already."""
        self.path = path
        self.dropped = 0
        """Rows lost because the queue was full."""
        self._file = RowFile(path, columns + "\n")
        self._queue: queue.Queue[str | None] = queue.Queue(_MAX_QUEUED)
        self._reported = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"cropzoom-log-{path.stem}", daemon=True)
        self._thread.start()

    def add(self, row: str) -> None:
        """Take in a line, with its newline."""
        try:
            self._queue.put_nowait(row)
        except queue.Full:
            self.dropped += 1

    def problems(self) -> list[str]:
        """Say what is not in the file; right after ``close``."""
        dropped = f"{self.path}: the disk was too slow; {self.dropped} rows are lost" if self.dropped else ""
        return [problem for problem in (self._file.problem(), dropped) if problem]

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what is queued and close the file; may be called twice."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            try:
                row = self._queue.get(timeout=_RETRY_S)
            except queue.Empty:
                row = ""  # what a full disk did not take may fit now
            if row is None:
                break
            self._file.add(row)
            self._file.flush()
            if self._file.error and not self._reported:
                self._reported = True
                logger.error("%s cannot be written: %s; going on without it", self.path, self._file.error)
        self._file.close()
