"""A CSV file that grows by whole rows and is complete up to its last flush."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

from realtime_cropzoom.errors import SinkError
from realtime_cropzoom.files.atomic import moved_or_deleted

logger = logging.getLogger(__name__)

_PENDING_BYTES = 16 << 20
NO_ANSWER = "the disk does not answer"


def taken_away(path: Path, written: int) -> str:
    """Say so where somebody has taken away a file of which so many bytes are written; nothing where it is there.

    Whoever writes to an open file does not learn of that: the rows go to where the file was moved, or nowhere.
    """
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        gone = path if path.parent.exists() else path.parent
        return moved_or_deleted(gone)
    except OSError:  # cannot be told
        return ""
    return f"{path} was replaced or cut short while it was written: rows are lost" if size < written else ""


class RowFile:
    """A file of lines that survives a full disk."""

    def __init__(self, path: Path, header: str) -> None:
        self.path = path
        self.error = ""
        self.lost_rows = 0
        self._written = 0
        """Bytes."""
        self._missing = ""
        self._pending = bytearray(header.encode())
        with contextlib.ExitStack() as if_refused:
            try:
                self._file = if_refused.enter_context(open(path, "xb", buffering=0, opener=_to_append))
                self._write_pending()
            except OSError as error:
                raise SinkError(f"cannot write {path}: {error.strerror}; give another folder with --out") from error
            if_refused.pop_all()

    def add(self, line: str) -> None:
        """Queue a line; it is lost, and counted, if too much is waiting already."""
        if len(self._pending) > _PENDING_BYTES:
            self.lost_rows += 1
        else:
            self._pending += line.encode()

    def flush(self) -> None:
        """Hand what is queued to the operating system, as much as it takes."""
        try:
            self._write_pending()
        except OSError as error:
            if not self.error:
                logger.warning("%s: %s; its rows are kept and tried again", self.path, error.strerror or error)
            self.error = error.strerror or str(error)

    def missing(self) -> str:
        """Say so where the file is not where it was made, or shorter than what was written to it."""
        self._missing = self._missing or taken_away(self.path, self._written)
        return self._missing

    def problem(self) -> str:
        """Say what is not in the file; nothing where all is."""
        lost = f"{self.path}: {self.error}; {self.lost_rows} rows are lost" if self.lost_rows else ""
        return self._missing or lost

    def waiting_rows(self) -> int:
        """Return how many rows are not handed to the operating system yet."""
        return self._pending.count(b"\n")

    def _write_pending(self) -> None:
        while self._pending:  # a disk that fills up takes the first part of it, and raises only for the next
            written = self._file.write(self._pending)
            del self._pending[: written or 0]
            self._written += written or 0

    def close(self) -> None:
        """Try the rest once more, count what is lost, and close."""
        self.flush()
        self.lost_rows += self.waiting_rows()
        self.missing()
        self._file.close()


def _to_append(path: str, flags: int) -> int:
    """Open so that each row goes to the end, even where somebody has emptied the file: else it begins with zeros."""
    return os.open(path, flags | os.O_APPEND, 0o666)
