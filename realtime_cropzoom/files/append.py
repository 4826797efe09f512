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
    """Return a warning if an open output file was moved, deleted, replaced or cut short.

    The operating system does not report this to the writer: the rows go to the moved file, or nowhere.

    Args:
        path: The path under which the file was opened.
        written: Number of bytes written to it so far.

    Returns:
        One line for the user, or "" if the file is in place or its state cannot be read.
    """
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        gone = path if path.parent.exists() else path.parent
        return moved_or_deleted(gone)
    except OSError:  # unknown: no warning without proof
        return ""
    return f"{path} was replaced or cut short while it was written: rows are lost" if size < written else ""


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


class RowFile:
    """A CSV file that keeps its rows in memory while the disk refuses them, and counts the rows it drops.

    The file is complete up to its last ``flush``. Not thread-safe.
    """

    def __init__(self, path: Path, header: str, said: set[str] | None = None) -> None:
        """Create the file and write its header.

        Args:
            path: The file. It must not exist yet.
            header: The header lines, each with its line break.
            said: Errors of which the user knows: many files on one disk share them. None: only this file has warned.

        Raises:
            SinkError: if the file exists or cannot be written.
        """
        self.path = path
        self.error = ""
        self._said = set[str]() if said is None else said
        self.lost_rows = 0
        self._written = 0
        """Bytes."""
        self._missing = ""
        self._pending = bytearray(header.encode())
        with contextlib.ExitStack() as if_refused:
            try:
                self._file = if_refused.enter_context(open(path, "xb", buffering=0, opener=_to_append))
                if_refused.callback(_remove, path)
                if_refused.callback(self._file.close)  # first: Windows removes no open file
                self._write_pending()
            except OSError as error:
                raise SinkError(f"cannot write {path}: {error.strerror}; give another folder with --out") from error
            if_refused.pop_all()

    def add(self, line: str) -> None:
        """Queue a line, which ends with its line break. Drop and count it if more than 16 MiB are queued."""
        if len(self._pending) > _PENDING_BYTES:
            self.lost_rows += 1
        else:
            self._pending += line.encode()

    def flush(self) -> None:
        """Write the queued lines. If the disk refuses them, log the first error, keep the rest and never raise."""
        try:
            self._write_pending()
        except OSError as error:
            text = error.strerror or str(error)
            if not self.error and text not in self._said:
                logger.warning("%s: %s; its rows are kept and tried again", self.path, text)
            self._said.add(text)
            self.error = text

    def missing(self) -> str:
        """Return a warning if the file is no longer in place or too short, else "". The first warning stays."""
        self._missing = self._missing or taken_away(self.path, self._written)
        return self._missing

    @property
    def is_refused(self) -> bool:
        """Whether rows are lost because the disk refused them, and not because the file is gone."""
        return bool(self.lost_rows and not self._missing)

    def problem(self) -> str:
        """Return one line that names what the file lacks, or "" if it is complete."""
        lost = f"{self.path}: {self.error}; {self.lost_rows} rows are lost" if self.lost_rows else ""
        return self._missing or lost

    def waiting_rows(self) -> int:
        """Return the number of queued rows that are not yet written completely."""
        return self._pending.count(b"\n")

    def _write_pending(self) -> None:
        while self._pending:  # a disk that fills up writes the first part, and raises only at the next write
            written = self._file.write(self._pending)
            del self._pending[: written or 0]
            self._written += written or 0

    def close(self) -> None:
        """Try to write the queued rows once more, count the rest as lost, and close the file."""
        self.flush()
        self.lost_rows += self.waiting_rows()
        self.missing()
        self._file.close()


def _to_append(path: str, flags: int) -> int:
    """Open for appending. If another program empties the file, later rows then do not follow a block of zeros."""
    return os.open(path, flags | os.O_APPEND, 0o666)
