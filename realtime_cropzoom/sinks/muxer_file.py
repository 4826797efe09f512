"""Output file of a muxer: stays readable up to its last complete frame if the disk fails."""

from __future__ import annotations

import contextlib
from pathlib import Path

from realtime_cropzoom.errors import SinkError, in_words


class OutputFile:
    """A new file. After an error nothing more is written, and ``close`` cuts it after the last complete frame."""

    def __init__(self, path: Path) -> None:
        """Create the file ``path``, which must not exist.

        Raises:
            SinkError: if the file cannot be created.
        """
        self.error: str | None = None
        self._kept = 0
        try:
            self._file = path.open("xb", buffering=0)
        except OSError as error:
            raise SinkError(f"cannot record to {path}: {error.strerror}; give another folder with --out") from error

    def write(self, data: bytes) -> int:
        """Write ``data`` unless there was an error before. Errors are stored, because the muxer must not see them."""
        view = memoryview(data)
        try:
            while self.error is None and view:
                view = view[self._file.write(view) or 0 :]
        except OSError as error:
            self.fail(error)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move the file position. The muxer does so once, at the end."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the file position. PyAV treats the file as seekable because this method exists."""
        return self._file.tell()

    def fail(self, error: Exception) -> None:
        """Store the first error, in words."""
        self.error = self.error or in_words(error)

    def keep(self) -> None:
        """Mark the end of a complete frame at the current position."""
        self._kept = self._file.tell()

    def close(self) -> None:
        """Close the file. After an error, cut off the frame that is incomplete."""
        with contextlib.suppress(OSError), self._file:
            if self.error is not None:
                self._file.truncate(self._kept)
