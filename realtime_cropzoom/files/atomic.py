"""Output files that are complete or absent: written under a temporary name, renamed when complete.

Predicting a recording takes long. An interrupted command therefore leaves its rows next to the
final file, as ``<name>.partial``, and ``--resume`` continues from them. A second file,
``<name>.partial.json``, lists the inputs of these rows: ``--resume`` refuses other inputs.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import FileIO
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from realtime_cropzoom.clock import now_s
from realtime_cropzoom.errors import DataError, SinkError, advise
from realtime_cropzoom.files.locks import lock_file
from realtime_cropzoom.files.replacing import replace_file

_FLUSH_S = 0.5

_ADVICE = "; give another file with --out"

MAKE_ROOM = "; free some space, or give another folder"
"""Advice for the files of a folder that the command has made."""

Say = Callable[[str], None]
"""Function that shows the user one line."""


def partial_path(final: Path) -> Path:
    """Return the temporary path under which a file is written until it is complete: ``<name>.partial``."""
    return final.with_name(final.name + ".partial")


class ResumableCsv:
    """A resumable CSV file: it grows row by row under a temporary name and is renamed when complete.

    Use it as a context manager. Leaving the block without ``commit`` keeps the rows for ``--resume``.
    """

    def __init__(
        self, final: Path, header: str, made_of: Mapping[str, object], *, resume: bool, announce: bool = True
    ) -> None:
        """Start the file, or continue the rows that an earlier command left.

        Args:
            final: The path of the complete file.
            header: The header lines, each with its line break.
            made_of: The inputs of the rows, by name. Stored next to the rows and compared by ``resume``.
            resume: Whether to continue existing rows. Otherwise they are overwritten.
            announce: Whether to add a note about --resume to an error that ends the block.

        Raises:
            SinkError: if the file cannot be written, or another command writes it.
            DataError: if the existing rows come from other inputs.
        """
        self.final = final
        self._announce = announce
        self._partial = partial_path(final)
        self._inputs_file = final.with_name(final.name + ".partial.json")
        self.rows = 0
        """Number of complete rows that an earlier command left."""
        self._header_rows = header.count("\n")
        self._pending: list[str] = []
        self._flushed_s = now_s()
        made_of = json.loads(json.dumps(made_of, default=str))
        with _sink_errors(final):
            final.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._open_alone()
            try:
                size = self._continue_rows(made_of) if resume else 0
                self._file.truncate(size)
                self._unwritten = (b"" if size else header.encode(), size)
                self._write()
                if not size:
                    self._inputs_file.write_text(json.dumps(made_of, indent=2), encoding="utf-8")
            except BaseException:
                self._file.close()
                self._delete_if_empty()
                raise

    def _open_alone(self) -> FileIO:
        """Open the temporary file and lock it until it is closed: the rows of two commands would mix.

        Raises SinkError if another command has locked it.
        """
        while True:
            file = FileIO(self._partial, "r+", opener=_open_or_create)
            try:
                with contextlib.suppress(OSError):  # a disk that knows no locks
                    if not lock_file(file.fileno()):
                        raise SinkError(
                            f"another command is writing {self.final}. Wait until it has ended, or end it, then give "
                            "this command again"
                        )
                with contextlib.suppress(FileNotFoundError):  # the other command has just renamed it
                    if os.path.samestat(os.fstat(file.fileno()), self._partial.stat()):
                        return file
            except BaseException:
                file.close()
                raise
            file.close()

    def truncate_rows(self, rows: int) -> None:
        """Truncate the rows of an earlier command to the first ``rows``."""
        if rows < self.rows:
            with self._partial.open("rb") as file:
                size = sum(len(line) for line, _ in zip(file, range(self._header_rows + rows), strict=False))
            self._file.truncate(size)
            self._unwritten = (b"", size)
            self.rows = rows

    def row(self, number: int) -> str:
        """Return row ``number``, counted from 0, of an earlier command, without its line break."""
        with self._partial.open(encoding="utf-8") as file:
            return next(islice(file, self._header_rows + number, None)).rstrip("\n")

    def earlier_rows(self, count: int) -> Iterator[str]:
        """Yield the first rows of an earlier command, at most ``count``, without line breaks."""
        with self._partial.open(encoding="utf-8") as file:
            for line in islice(file, self._header_rows, self._header_rows + count):
                yield line.rstrip("\n")

    def add(self, line: str) -> None:
        """Add a row, which ends with its line break. Rows are flushed every 0.5 s. Raises SinkError as ``flush``."""
        self._pending.append(line)
        if now_s() - self._flushed_s > _FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Write all queued rows.

        Raises:
            SinkError: if the rows cannot be written, for example because the disk is full.
        """
        rows, self._pending = self._pending, []
        data, offset = self._unwritten
        self._unwritten = (data + "".join(rows).encode(), offset)
        with _sink_errors(self.final):
            self._write()
        self._flushed_s = now_s()

    def _write(self) -> None:
        """Write the unwritten bytes at their offset. If Ctrl-C interrupts, the next call repeats the same write."""
        data, offset = self._unwritten
        while data:  # a disk that fills up writes the first part, and raises only at the next write
            self._file.seek(offset)
            written = self._file.write(data) or 0
            data, offset = data[written:], offset + written
            self._unwritten = (data, offset)

    def commit(self) -> None:
        """Write the remaining rows and rename the file to its final name. Raises SinkError if that fails."""
        self.flush()
        self._file.close()
        with _sink_errors(self.final):
            replace_file(self._partial, self.final)
            self._inputs_file.unlink(missing_ok=True)

    def __enter__(self) -> ResumableCsv:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file.closed:
            return
        with contextlib.suppress(SinkError):
            self.flush()
        self._file.close()
        rows = self._delete_if_empty()
        if rows and error is not None and self._announce:
            # --resume helps after Ctrl-C or a full disk; bad input must be corrected first.
            how = "; the same command with --resume continues them"
            resumable = isinstance(error, (KeyboardInterrupt, SinkError))
            error.add_note(f"{rows} rows are in {self._partial}{how if resumable else ''}")

    def _continue_rows(self, made_of: Mapping[str, object]) -> int:
        """Count the complete rows of an earlier command and return the byte offset of their end.

        An incomplete last row is left out: it is written again. Raises DataError if the inputs differ.
        """
        self.rows, size = self._complete_rows()
        if self.rows == 0:
            return 0
        try:
            was_made_of = json.loads(self._inputs_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            was_made_of = None
        if was_made_of != made_of:
            differs = [k for k in made_of if not was_made_of or was_made_of.get(k) != made_of[k]]
            raise DataError(
                f"{self._partial} was made with other inputs or settings ({', '.join(differs) or 'another command'}). "
                "Leave out --resume to start over, or give the same inputs and settings again"
            )
        return size

    def _delete_if_empty(self) -> int:
        """Return the number of complete rows. If there is none, delete the temporary files."""
        rows, _ = self._complete_rows()
        if rows == 0:
            self._partial.unlink(missing_ok=True)
            self._inputs_file.unlink(missing_ok=True)
        return rows

    def _complete_rows(self) -> tuple[int, int]:
        """Return the number of complete rows and the byte offset at which the last of them ends."""
        lines, size = 0, 0
        with self._partial.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                lines, size = lines + 1, size + len(line)
        return max(0, lines - self._header_rows), size


def _open_or_create(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT, 0o666)


@contextmanager
def replacing(final: Path) -> Iterator[IO[str]]:
    """Open a UTF-8 text file that replaces ``final`` when the block ends without an error.

    After an error the temporary file is deleted and an older ``final`` stays.

    Raises:
        SinkError: if the file cannot be written.
    """
    partial = partial_path(final)
    with _sink_errors(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("w", encoding="utf-8", newline="") as file:
                yield file
            replace_file(partial, final)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def write_whole(final: Path, content: bytes | str, advice: str = _ADVICE) -> None:
    """Write a small file that is complete or absent.

    Args:
        final: The file, replaced if it exists.
        content: Bytes, or text, which is written as UTF-8.
        advice: The end of the error text.

    Raises:
        SinkError: if the file cannot be written.
    """
    write_all({final: content}, advice)


def write_all(contents: Mapping[Path, bytes | str], advice: str = _ADVICE) -> None:
    """Write small files that belong together.

    All files are written under temporary names before the first is renamed, and no temporary file stays.
    If writing fails before the first rename, no final file has changed: a retry is safe. For a link, the
    file that it points to is replaced, not the link.

    Args:
        contents: Bytes or text by path. Text is written as UTF-8.
        advice: The end of the error text.

    Raises:
        SinkError: if a file cannot be written, or a path is a folder or a device.
    """
    targets = {final: _target(final) for final in contents}
    try:
        for final, content in contents.items():
            with _sink_errors(final, advice):
                # A file name in a text need not be UTF-8: other bytes are written as backslash escapes.
                data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
                partial_path(targets[final]).write_bytes(data)
        for final, target in targets.items():
            with _sink_errors(final, advice):
                replace_file(partial_path(target), target)
    finally:
        for target in targets.values():
            with contextlib.suppress(OSError):
                partial_path(target).unlink(missing_ok=True)


def _target(final: Path) -> Path:
    """Return the file to replace, links resolved. Raises SinkError if it is a folder or a device."""
    with _sink_errors(final):
        target = Path(os.path.realpath(final))
        if target.exists() and not target.is_file():
            kind = "a folder" if target.is_dir() else "a device"
            another = advise("; give another with --out", "; move it away")
            raise SinkError(f"cannot write {final}: got {kind}, expected a file{another}")
    return target


def make_folder(folder: Path) -> None:
    """Create an output folder and its parents, if missing. Raises SinkError if that fails."""
    with _sink_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def _sink_errors(final: Path, advice: str = "") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SinkError(f"cannot write {final}: {error.strerror or error}{advice}") from error


def try_write_whole(path: Path, text: str) -> str | None:
    """Write a small text file as ``write_whole`` does, without raising: a run continues without it.

    Returns:
        None, or one line that says why the file cannot be written.
    """
    try:
        write_whole(path, text, advice="")
    except SinkError as error:
        return str(error) if path.parent.exists() else moved_or_deleted(path.parent)
    return None


def moved_or_deleted(path: Path) -> str:
    """Return the warning for a folder or file that disappeared while a run writes to it."""
    return (
        f"{path} was moved or deleted while it was written: "
        "later data go to the moved files, or are lost if they were deleted"
    )


def to_json(summary: dict[str, Any]) -> str:
    """Return a summary as indented JSON with a final line break. Values unknown to JSON are written as text."""
    return json.dumps(summary, indent=2, ensure_ascii=False, default=str) + "\n"
