"""Terminal of a command: stdout and stderr that never block or end the tracking.

A user can stop (Ctrl-S) or close a terminal, the reader of a pipe can leave, and the disk of a log file can be full.
``install`` therefore puts a thread between the program and each open file. ``write`` adds to a queue and returns; it
never raises. If the queue is full, text for stderr is left out and counted. Text for stdout is a result: it waits for
the reader, until ``hurry`` is called at the end of the program.

``show`` keeps a few lines at the bottom of a terminal up to date. All other output appears above them.
"""

from __future__ import annotations

import atexit
import codecs
import contextlib
import errno
import io
import os
import select
import sys
import textwrap
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from realtime_cropzoom.cli.windows_console import prepare_console
from realtime_cropzoom.clock import now_s
from realtime_cropzoom.runtime.signals import before_ending, signals_held_back

_QUEUE_BYTES = 1 << 16
_CHUNK_BYTES = 1 << 12
_END_TIMEOUT_S = 1.0
"""Maximum time (s) that the end of a command waits for a blocked terminal."""
_GONE = (errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO)
"""Errors of a reader that has left for good. After other errors, such as a full disk, a later write may succeed."""
_PLAIN = {"→": "->", "…": "...", "µ": "u", "μ": "u", "×": "x", "–": "-", "±": "+-", "°": " deg", "≥": ">=", "≤": "<="}
ENCODING_ERRORS = "cropzoom"
"""Codec error handler: the bytes of file names are kept, other characters become plain ones."""


def _replace_unencodable(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character, after = error.object[error.start], error.start + 1
    if 0xDC80 <= ord(character) <= 0xDCFF:  # a byte of a file name that is not UTF-8
        return bytes([ord(character) - 0xDC00]), after
    return _PLAIN.get(character, "?"), after


codecs.register_error(ENCODING_ERRORS, _replace_unencodable)


class _Output:
    """One open file, and the thread that writes to it.

    ``error`` is the last failure. ``gone`` means that the other end is closed. Both are written by the thread.
    """

    def __init__(self, descriptor: int | None, encoding: str, *, live: bool) -> None:
        """Start the thread.

        Args:
            descriptor: The open file; None discards all text.
            encoding: Encoding of the text.
            live: Whether the file is a terminal.
        """
        self.descriptor, self.live = descriptor, live
        self.error: OSError | None = None
        self.gone = descriptor is None
        self.hurried = False
        self._encoding = encoding
        # Re-entrant, because a signal handler may write while the main thread has the lock.
        self._changed = threading.Condition(threading.RLock())
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._dropped = 0
        self._writing = False
        self._picture: tuple[str, ...] = ()
        self._painted: tuple[str, ...] = ()
        self._painted_rows = 0
        self._at_line_start = True
        if not self.gone:
            with signals_held_back():  # the thread keeps this mask; otherwise it would take signals during imports
                threading.Thread(target=self._run, name="terminal", daemon=True).start()

    def put(self, text: str, *, wait: bool) -> None:
        """Queue ``text``. With ``wait``, wait for room in the queue; otherwise a full queue drops the text."""
        data = text.encode(self._encoding, ENCODING_ERRORS)
        with self._changed:
            if wait:
                self._wait_until(lambda: self._queued < _QUEUE_BYTES)
            if self.gone or not data:
                return
            if self._queued and self._queued + len(data) > _QUEUE_BYTES and not (wait and not self.hurried):
                self._dropped += 1
                return
            if self._dropped:
                note = f"({self._dropped} lines are not shown: the terminal was blocked)\n"
                data, self._dropped = note.encode() + data, 0
            self._queue.append(data)
            self._queued += len(data)
            self._changed.notify_all()

    def show(self, lines: Sequence[str]) -> None:
        """Replace the lines at the bottom of the terminal with ``lines``."""
        with self._changed:
            self._picture = tuple(lines)
            self._changed.notify_all()

    def keep(self) -> None:
        """Leave the shown lines where they are. Later output appears below them."""
        with self._changed:
            lines, self._picture = self._fitting(self._picture), ()
            self.put("".join(f"{line}\n" for line in lines), wait=False)

    def finish(self, *, wait: bool) -> None:
        """Wait until everything is written: with ``wait`` without a limit, otherwise 1 s at most."""
        with self._changed:
            deadline = None if wait else now_s() + _END_TIMEOUT_S
            self._wait_until(self._is_done, deadline)
            if not self._is_done():  # wait only once
                self.gone = True

    def _is_done(self) -> bool:
        return not self._queue and not self._writing and not self._must_paint()

    def _wait_until(self, done: Callable[[], bool], deadline: float | None = None) -> None:
        """Wait for ``done``, in short waits, so that signal handlers can run and set ``hurried``."""
        while not (self.gone or done()):
            if self.hurried and deadline is None:
                deadline = now_s() + _END_TIMEOUT_S
            if deadline is not None and now_s() > deadline:
                return
            self._changed.wait(0.1)

    def _run(self) -> None:
        while not self.gone:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._must_paint())
                data, self._writing = self._next_bytes(), True
            try:
                self._write(data)
            except OSError as error:
                self.error = error
                self.gone = error.errno in _GONE
            with self._changed:
                self._writing = False
                self._changed.notify_all()

    def _must_paint(self) -> bool:
        return self._at_line_start and self._picture != self._painted

    def _next_bytes(self) -> bytes:
        text = b""
        while self._queue and len(text) < _CHUNK_BYTES:
            text += self._queue.popleft()
        self._queued -= len(text)
        erase = _erase(self._painted_rows)
        if text:
            self._at_line_start = text.endswith(b"\n")
        self._painted = self._picture if self._at_line_start else ()
        lines = self._fitting(self._painted)
        self._painted_rows = len(lines)
        return erase + text + "\n".join(lines).encode(self._encoding, ENCODING_ERRORS)

    def _fitting(self, lines: Sequence[str]) -> list[str]:
        """Return the lines that fit into the terminal, cut at its width."""
        columns, rows = terminal_size(self.descriptor)
        return [line[: columns - 1] for line in lines[: max(1, rows - 1)]]

    def _write(self, data: bytes) -> None:
        assert self.descriptor is not None
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self.descriptor, left) :]
            except BlockingIOError:  # another program made the shared pipe non-blocking
                select.select([], [self.descriptor], [], 0.1)


def _erase(rows: int) -> bytes:
    """Return the codes that remove the painted rows. The cursor is at the end of the last one."""
    return b"\r\x1b[K" + b"\x1b[1A\x1b[2K" * (rows - 1) if rows else b""


def terminal_size(descriptor: int | None) -> tuple[int, int]:
    """Return columns and rows of a terminal; (80, 24) if unknown."""
    size = (0, 0)
    if descriptor is not None:
        with contextlib.suppress(OSError, ValueError):
            size = os.get_terminal_size(descriptor)
    return size[0] or 80, size[1] or 24


def columns(stream: TextIO | None = None) -> int:
    """Return the maximum width of lines on ``stream`` (None: stderr); 1000 if it is not a terminal."""
    stream = sys.stderr if stream is None else stream
    try:
        return terminal_size(stream.fileno())[0] if stream.isatty() else 1000
    except (OSError, ValueError):
        return 1000


class Stream(io.TextIOBase):
    """Text file that replaces ``sys.stdout`` or ``sys.stderr`` and writes through an ``_Output``."""

    def __init__(self, output: _Output, encoding: str, *, is_result: bool) -> None:
        self.output, self.is_result = output, is_result
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding that the environment chose."""
        return self._encoding

    def writable(self) -> bool:
        """Return True."""
        return True

    def isatty(self) -> bool:
        """Return whether the file is a terminal."""
        return self.output.live

    def fileno(self) -> int:
        """Return the descriptor. Raises OSError if there is none."""
        if self.output.descriptor is None:
            raise OSError(errno.EBADF, "the stream is closed")
        return self.output.descriptor

    def write(self, text: str) -> int:
        """Queue ``text`` and return; never raises."""
        self.output.put(text, wait=self.is_result)
        return len(text)


def install() -> None:
    """Replace ``sys.stdout`` and ``sys.stderr`` of this process. Call it before anything is written or opened."""
    if isinstance(sys.stderr, Stream):
        return
    for descriptor in (0, 1, 2):  # the next opened file would get the number of a closed one
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    out = _output_of(sys.stdout, None)
    err = _output_of(sys.stderr, out)
    sys.stdout = Stream(out, getattr(sys.stdout, "encoding", None) or "utf-8", is_result=True)
    sys.stderr = Stream(err, getattr(sys.stderr, "encoding", None) or "utf-8", is_result=False)
    before_ending.append(hurry)
    atexit.register(finish)


def _output_of(stream: TextIO | None, other: _Output | None) -> _Output:
    """Return the output of a stream: ``other`` if both are the same open file, so that lines stay in order."""
    if stream is None:
        return _Output(None, "utf-8", live=False)
    descriptor, encoding, live = stream.fileno(), stream.encoding, stream.isatty()
    if other is not None and other.descriptor is not None and _is_same_file(descriptor, other.descriptor):
        return other
    if live and sys.platform == "win32":
        encoding, live = prepare_console(descriptor)
    return _Output(descriptor, encoding, live=live)


def _is_same_file(one: int, other: int) -> bool:
    """Return whether two descriptors are one open file. Windows gives all pipes one number: they count as two."""
    if sys.platform == "win32" and not os.fstat(one).st_ino:
        return os.isatty(one) and os.isatty(other)
    return os.path.sameopenfile(one, other)


def hurry() -> None:
    """Let no write wait longer than 1 s for a reader from now on. Called when the program is going to end."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Stream):
            stream.output.hurried = True


def finish() -> OSError | None:
    """Wait for the queued text, and return the error if stdout did not get everything; else None."""
    out, err = sys.stdout, sys.stderr
    if not isinstance(out, Stream) or not isinstance(err, Stream):
        return None
    out.output.finish(wait=True)
    err.output.finish(wait=False)
    return out.output.error


def reader_gone(stream: TextIO) -> bool:
    """Return whether the reader of ``stream`` has left for good."""
    return isinstance(stream, Stream) and stream.output.gone


def say(text: str) -> None:
    """Write lines to stderr, folded between words at the width of the terminal."""
    if sys.stderr is not None:
        sys.stderr.write(f"{fold(text, columns())}\n")


def fold(text: str, columns: int) -> str:
    """Return ``text`` with the lines that are longer than ``columns`` folded between words."""
    return "\n".join(_folded(line, columns) for line in text.split("\n"))


def _folded(line: str, columns: int) -> str:
    if len(line) <= columns:
        return line
    options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False, "subsequent_indent": "  "}
    return textwrap.fill(line, columns, replace_whitespace=False, drop_whitespace=True, **options)


def is_live(stream: TextIO | None = None) -> bool:
    """Return whether ``show`` can keep lines up to date on ``stream`` (None: stderr), which needs a terminal."""
    stream = sys.stderr if stream is None else stream
    return isinstance(stream, Stream) and stream.output.live


def show(lines: Sequence[str], stream: TextIO | None = None) -> None:
    """Show ``lines`` at the bottom of a terminal in place of the last ones. Elsewhere, write them."""
    stream = sys.stderr if stream is None else stream
    if isinstance(stream, Stream) and stream.output.live:
        stream.output.show(lines)
    else:
        for line in lines:
            print(line, file=stream)


def keep(stream: TextIO | None = None) -> None:
    """Leave the shown lines where they are. Later output appears below them."""
    stream = sys.stderr if stream is None else stream
    if isinstance(stream, Stream) and stream.output.live:
        stream.output.keep()
