"""What a muxer writes to: a file that is good up to its last whole frame, whatever happens to the disk."""

from __future__ import annotations

import contextlib
from pathlib import Path

from realtime_cropzoom.errors import SinkError


class OutputFile:
    """A new file; after an error nothing more is written, and it then ends with the last whole frame."""

    def __init__(self, path: Path) -> None:
        """Raises SinkError where the file cannot be made."""
        self.error: str | None = None
        self._kept = 0
        try:
            self._file = path.open("xb", buffering=0)
        except OSError as error:
            raise SinkError(f"cannot record to {path}: {error.strerror}; give another folder with --out") from error

    def write(self, data: bytes) -> int:
        """Write all of ``data``, unless something has gone wrong before: nothing is raised through the muxer."""
        view = memoryview(data)
        try:
            while self.error is None and view:
                view = view[self._file.write(view) or 0 :]
        except OSError as error:
            self.fail(error)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Seek; the muxer goes back once, at the end."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Where it stands; that there is this method tells PyAV that the file can be sought."""
        return self._file.tell()

    def fail(self, error: Exception) -> None:
        """Keep the first error, in words."""
        self.error = self.error or getattr(error, "strerror", None) or str(error) or type(error).__name__

    def keep(self) -> None:
        """Say that what is written so far is whole."""
        self._kept = self._file.tell()

    def close(self) -> None:
        """Close; what an error has left half written is cut off."""
        with contextlib.suppress(OSError), self._file:
            if self.error is not None:
                self._file.truncate(self._kept)
