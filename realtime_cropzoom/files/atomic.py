"""Files that are there whole or not at all: written under another name, renamed when they are done.

A recording takes long to predict, so what an interrupted command has got so far stays beside
the file it was to become, as ``<name>.partial``, and ``--resume`` goes on from there. A note
beside it, ``<name>.partial.json``, says what it was made of: nothing else may be added to it.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import cv2
import numpy as np
import numpy.typing as npt

from realtime_cropzoom.errors import DataError, SinkError, advised

_FLUSH_S = 0.5
_ADVICE = "; give another file with --out"
Say = Callable[[str], None]
"""Tells the user something, in a line."""


def partial_of(final: Path) -> Path:
    """Where a file is written until it is complete."""
    return final.with_name(final.name + ".partial")


class RowsFile:
    """A CSV file that grows row by row, and gets its name when it is complete."""

    def __init__(
        self, final: Path, header: str, made_of: Mapping[str, object], *, resume: bool, announce: bool = True
    ) -> None:
        """Begin ``final``, or go on with what is there of it. Raises SinkError or DataError.

        With ``announce``, an error that ends it early gets a note that says how to go on.
        """
        self.final = final
        self._announce = announce
        self._partial = partial_of(final)
        self._note = final.with_name(final.name + ".partial.json")
        self.rows = 0
        """Rows that an earlier command has left."""
        self._header_rows = header.count("\n")
        self._pending: list[str] = []
        self._flushed_s = time.monotonic()
        made_of = json.loads(json.dumps(made_of, default=str))
        size = self._take_up(made_of) if resume and self._partial.exists() else 0
        with _words_for(final):
            final.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._partial.open("r+b" if size else "wb", buffering=0)
            try:
                self._file.truncate(size)
                self._unwritten = (b"" if size else header.encode(), size)
                self._write()
                if not size:
                    self._note.write_text(json.dumps(made_of, indent=2), encoding="utf-8")
            except BaseException:
                self._file.close()
                self._forget_if_empty()
                raise

    def shorten(self, rows: int) -> None:
        """Forget all but the first ``rows`` rows that an earlier command has left."""
        if rows < self.rows:
            with self._partial.open("rb") as file:
                size = sum(len(line) for line, _ in zip(file, range(self._header_rows + rows), strict=False))
            self._file.truncate(size)
            self._unwritten = (b"", size)
            self.rows = rows

    def row(self, number: int) -> str:
        """Return a row that an earlier command has left."""
        with self._partial.open(encoding="utf-8") as file:
            return next(islice(file, self._header_rows + number, None)).rstrip("\n")

    def earlier_rows(self, count: int) -> Iterator[str]:
        """Yield the first rows that an earlier command has left, ``count`` at most."""
        with self._partial.open(encoding="utf-8") as file:
            for line in islice(file, self._header_rows, self._header_rows + count):
                yield line.rstrip("\n")

    def add(self, line: str) -> None:
        """Add a row."""
        self._pending.append(line)
        if time.monotonic() - self._flushed_s > _FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Hand all rows to the operating system. Raises SinkError, as where the disk is full."""
        rows, self._pending = self._pending, []
        data, offset = self._unwritten
        self._unwritten = (data + "".join(rows).encode(), offset)
        with _words_for(self.final):
            self._write()
        self._flushed_s = time.monotonic()

    def _write(self) -> None:
        """Write what has not been written. Where Ctrl-C comes in between, the same goes to the same place again."""
        data, offset = self._unwritten
        while data:  # a disk that fills up takes the first part, and raises only for the next
            self._file.seek(offset)
            taken = self._file.write(data) or 0
            data, offset = data[taken:], offset + taken
            self._unwritten = (data, offset)

    def commit(self) -> None:
        """Give the file its name."""
        self.flush()
        self._file.close()
        with _words_for(self.final):
            os.replace(self._partial, self.final)
            self._note.unlink(missing_ok=True)

    def __enter__(self) -> RowsFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file.closed:
            return
        with contextlib.suppress(SinkError):
            self.flush()
        self._file.close()
        rows = self._forget_if_empty()
        if rows and error is not None and self._announce:
            # What was stopped, or ran out of disk, can go on; bad input must be mended first.
            how = "; the same command with --resume goes on from there"
            goes_on = isinstance(error, (KeyboardInterrupt, SinkError))
            error.add_note(f"{rows} frames are in {self._partial}{how if goes_on else ''}")

    def _take_up(self, made_of: Mapping[str, object]) -> int:
        """Count what is there and return where it ends; a row that was cut off is written anew."""
        self.rows, size = self._complete_rows()
        if self.rows == 0:
            return 0
        try:
            was_made_of = json.loads(self._note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            was_made_of = None
        if was_made_of != made_of:
            differs = [k for k in made_of if not was_made_of or was_made_of.get(k) != made_of[k]]
            raise DataError(
                f"{self._partial} was made with another {', '.join(differs) or 'command'}; "
                "leave out --resume to start over, or give what it was made with"
            )
        return size

    def _forget_if_empty(self) -> int:
        """Return how many rows are there; without any there is nothing to go on from, and nothing is left."""
        rows, _ = self._complete_rows()
        if rows == 0:
            self._partial.unlink(missing_ok=True)
            self._note.unlink(missing_ok=True)
        return rows

    def _complete_rows(self) -> tuple[int, int]:
        """Return how many rows are in the file to their end, and where the last of them ends."""
        lines, size = 0, 0
        with self._partial.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                lines, size = lines + 1, size + len(line)
        return max(0, lines - self._header_rows), size


@contextmanager
def replacing(final: Path) -> Iterator[IO[str]]:
    """Open a text file that takes its name, and the place of an older one, when it is complete. Raises SinkError."""
    partial = partial_of(final)
    with _words_for(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("w", encoding="utf-8", newline="") as file:
                yield file
            os.replace(partial, final)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def write_image(final: Path, pixels: npt.NDArray[np.integer[Any]]) -> None:
    """Write a picture, in OpenCV's order of colours, whole or not at all. Raises SinkError.

    OpenCV only encodes it: on a full disk it leaves half a file of some kinds, and says that all is well.
    """
    data = encode_image(final, pixels)
    make_folder(final.parent)
    write_whole(final, data, advice="")


def write_whole(final: Path, content: bytes | str, advice: str = _ADVICE) -> None:
    """Write a small file, whole or not at all. Raises SinkError, which ends with ``advice``."""
    write_all({final: content}, advice)


def write_all(contents: Mapping[Path, bytes | str], advice: str = _ADVICE) -> None:
    """Write small files that belong together: all of them, or none. Raises SinkError, which ends with ``advice``.

    Where it fails nothing is left under their names, so that the same command can be tried again. What a
    link points at is replaced, and not the link.
    """
    targets = {final: _target(final) for final in contents}
    try:
        for final, content in contents.items():
            with _words_for(final, advice):
                # A file name in a text need not be UTF-8: what of it is not is written as JSON and YAML write it.
                data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
                partial_of(targets[final]).write_bytes(data)
        for final, target in targets.items():
            with _words_for(final, advice):
                os.replace(partial_of(target), target)
    finally:
        for target in targets.values():
            with contextlib.suppress(OSError):
                partial_of(target).unlink(missing_ok=True)


def _target(final: Path) -> Path:
    """Return what is to be replaced. Raises SinkError where it is something else than a file."""
    with _words_for(final):
        target = Path(os.path.realpath(final))
        if target.exists() and not target.is_file():
            kind = "a folder" if target.is_dir() else "a device"
            another = advised("; give another with --out", "; move it away")
            raise SinkError(f"cannot write {final}: got {kind}, expected a file{another}")
    return target


def is_same_image(path: Path, pixels: npt.NDArray[np.integer[Any]]) -> bool:
    """Whether a file is what ``write_image`` would write, or holds the same pixels."""
    if path.read_bytes() == encode_image(path, pixels):
        return True
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    return found is not None and np.array_equal(found, pixels)


def encode_image(final: Path, pixels: npt.NDArray[np.integer[Any]]) -> bytes:
    """Return a picture, in OpenCV's order of colours, as the kind of file that its name says. Raises SinkError."""
    try:
        if not final.suffix.isascii():  # OpenCV ends the process where a name is no text
            raise ValueError
        return bytes(cv2.imencode(final.suffix, pixels)[1].tobytes())
    except (cv2.error, ValueError) as error:
        height, width = pixels.shape[:2]
        raise SinkError(
            f"cannot write {final}: a picture of {width}x{height} cannot be {final.suffix or 'without an ending'}; "
            "give a name such as frames.png"
        ) from error


def make_folder(folder: Path) -> None:
    """Make a folder that files are to go to. Raises SinkError."""
    with _words_for(folder):
        folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def _words_for(final: Path, advice: str = "") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SinkError(f"cannot write {final}: {error.strerror or error}{advice}") from error


def write_text(path: Path, text: str) -> str | None:
    """Write a small file, whole or not at all; return what went wrong instead of raising: a run goes on without it."""
    part = path.with_name(f".{path.name}.part")
    try:
        # A file name need not be UTF-8: what of it is not is written as JSON and YAML write it.
        part.write_text(text, encoding="utf-8", errors="backslashreplace")
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        if not path.parent.exists():
            return moved_or_deleted(path.parent)
        return f"{path}: {error.strerror}"
    return None


def moved_or_deleted(path: Path) -> str:
    """Say that a folder or file is not there any more, though it is being written."""
    return f"{path} was moved or deleted while it was written: what is written is there now, or lost"


def must_write_text(path: Path, text: str) -> None:
    """Write a small file, whole or not at all. Raises DataError: what the command is for is in it."""
    if (problem := write_text(path, text)) is not None:
        raise DataError(f"cannot write {problem}; free some space, or give another folder")


def to_json(summary: dict[str, Any]) -> str:
    """Return a summary as indented JSON."""
    return json.dumps(summary, indent=2, ensure_ascii=False, default=str) + "\n"
