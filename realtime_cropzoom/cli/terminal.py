"""The terminal of a command: stdout and stderr that never hold up or end the work behind them.

A terminal can be stopped (Ctrl-S) or closed, a pipe's reader can leave, and the disk under a log file can be
full. ``install`` therefore puts a thread between the program and each open file: a ``write`` takes its place in a
queue and returns. What is written to stderr is left out, and counted, where the queue is full. What is written to
stdout is a result: it waits for its reader, until ``hurry`` says that the program is to end. No write raises.

``show`` keeps a few lines at the bottom of a terminal up to date, no wider than the terminal is; all other output
appears above them.
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
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from realtime_cropzoom.runtime.signals import before_ending, signals_held_back

_QUEUE_BYTES = 1 << 16
_CHUNK_BYTES = 1 << 12
_SHOWN_WITHIN_S = 1.0
"""How long the end of a command waits for a terminal that is held up."""
_GONE = (errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO)
"""Nobody will ever read there again. After other errors, such as a full disk, a later write may succeed."""
_PLAIN = {"→": "->", "…": "...", "µ": "u", "μ": "u", "×": "x", "–": "-", "±": "+-", "°": " deg", "≥": ">=", "≤": "<="}
ENCODING_ERRORS = "cropzoom"
"""The codec error handler: file names keep their bytes, and other characters become plain ones."""


def _encode_anyhow(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character, after = error.object[error.start], error.start + 1
    if 0xDC80 <= ord(character) <= 0xDCFF:  # a byte of a file name that is not UTF-8
        return bytes([ord(character) - 0xDC00]), after
    return _PLAIN.get(character, "?"), after


codecs.register_error(ENCODING_ERRORS, _encode_anyhow)


class _Output:
    """One open file with a thread that writes to it. ``error`` is the last failure; ``gone`` means no reader."""

    def __init__(self, descriptor: int | None, encoding: str, *, live: bool) -> None:
        """``live`` is whether it is a terminal; without a ``descriptor`` everything vanishes."""
        self.descriptor, self.live = descriptor, live
        self.error: OSError | None = None
        self.gone = descriptor is None
        self.hurried = False
        self._encoding = encoding
        # Re-entrant, because a signal handler may write while the main thread holds it.
        self._changed = threading.Condition(threading.RLock())
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._left_out = 0
        self._writing = False
        self._picture: tuple[str, ...] = ()
        self._painted: tuple[str, ...] = ()
        self._painted_rows = 0
        self._at_line_start = True
        if not self.gone:
            with signals_held_back():  # a thread keeps this mask: one that took signals would undo it for the imports
                threading.Thread(target=self._run, name="terminal", daemon=True).start()

    def put(self, text: str, *, wait: bool) -> None:
        """Queue ``text``; with ``wait``, wait for room in the queue. Otherwise a full queue leaves it out."""
        data = text.encode(self._encoding, ENCODING_ERRORS)
        with self._changed:
            if wait:
                self._wait_until(lambda: self._queued < _QUEUE_BYTES)
            if self.gone or not data:
                return
            if self._queued and self._queued + len(data) > _QUEUE_BYTES and not (wait and not self.hurried):
                self._left_out += 1
                return
            if self._left_out:
                note = f"({self._left_out} lines are not shown: the terminal was held up)\n"
                data, self._left_out = note.encode() + data, 0
            self._queue.append(data)
            self._queued += len(data)
            self._changed.notify_all()

    def show(self, lines: Sequence[str]) -> None:
        """Replace the lines at the bottom of the terminal."""
        with self._changed:
            self._picture = tuple(lines)
            self._changed.notify_all()

    def keep(self) -> None:
        """Leave the lines of the picture where they are: what follows comes below them."""
        with self._changed:
            lines, self._picture = self._fitting(self._picture), ()
            self.put("".join(f"{line}\n" for line in lines), wait=False)

    def finish(self, *, wait: bool) -> None:
        """Wait until all is written: with ``wait`` as long as it takes, else for a second at most."""
        with self._changed:
            deadline = None if wait else time.monotonic() + _SHOWN_WITHIN_S
            self._wait_until(self._is_done, deadline)
            if not self._is_done():  # it was waited for, once
                self.gone = True

    def _is_done(self) -> bool:
        return not self._queue and not self._writing and not self._must_paint()

    def _wait_until(self, done: Callable[[], bool], deadline: float | None = None) -> None:
        """Wait for ``done``; short waits let signal handlers run in between, which may hurry this."""
        while not (self.gone or done()):
            if self.hurried and deadline is None:
                deadline = time.monotonic() + _SHOWN_WITHIN_S
            if deadline is not None and time.monotonic() > deadline:
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
        """Return the lines, and of each the part, for which the terminal has room."""
        columns, rows = terminal_size(self.descriptor)
        return [line[: columns - 1] for line in lines[: max(1, rows - 1)]]

    def _write(self, data: bytes) -> None:
        assert self.descriptor is not None
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self.descriptor, left) :]
            except BlockingIOError:  # another program has made the pipe that both use non-blocking
                select.select([], [self.descriptor], [], 0.1)


def _erase(rows: int) -> bytes:
    """Return what removes painted rows; the cursor stands at the end of the last one."""
    return b"\r\x1b[K" + b"\x1b[1A\x1b[2K" * (rows - 1) if rows else b""


def terminal_size(descriptor: int | None) -> tuple[int, int]:
    """Return columns and rows of a terminal; (80, 24) where it does not say."""
    size = (0, 0)
    if descriptor is not None:
        with contextlib.suppress(OSError, ValueError):
            size = os.get_terminal_size(descriptor)
    return size[0] or 80, size[1] or 24


def columns(stream: TextIO | None = None) -> int:
    """Return how wide lines may be that are written to ``stream`` (stderr); those of a file may have any width."""
    stream = sys.stderr if stream is None else stream
    try:
        return terminal_size(stream.fileno())[0] if stream.isatty() else 1000
    except (OSError, ValueError):
        return 1000


class Stream(io.TextIOBase):
    """A text file over an ``_Output``, in place of ``sys.stdout`` or ``sys.stderr``."""

    def __init__(self, output: _Output, encoding: str, *, is_result: bool) -> None:
        self.output, self.is_result = output, is_result
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """As the environment has chosen it."""
        return self._encoding

    def writable(self) -> bool:
        """Yes."""
        return True

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self.output.live

    def fileno(self) -> int:
        """Return the descriptor. Raises OSError where there is none."""
        if self.output.descriptor is None:
            raise OSError(errno.EBADF, "there is no such stream")
        return self.output.descriptor

    def write(self, text: str) -> int:
        """Queue ``text`` and return; never raises."""
        self.output.put(text, wait=self.is_result)
        return len(text)


def install() -> None:
    """Replace ``sys.stdout`` and ``sys.stderr`` of this process, once, before anything is written or opened."""
    if isinstance(sys.stderr, Stream):
        return
    for descriptor in (0, 1, 2):  # a closed one would be given to the next file that is opened
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
    """Return the output of a stream; ``other`` where both are the same open file, so that lines stay in order."""
    if stream is None:
        return _Output(None, "utf-8", live=False)
    descriptor = stream.fileno()
    if other is not None and other.descriptor is not None and os.path.sameopenfile(descriptor, other.descriptor):
        return other
    return _Output(descriptor, stream.encoding, live=stream.isatty())


def hurry() -> None:
    """The program is to end: from now on nothing waits longer than a second for a reader."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Stream):
            stream.output.hurried = True


def finish() -> OSError | None:
    """Wait for what is still to be written, and return why a result on stdout is not whole, if it is not."""
    out, err = sys.stdout, sys.stderr
    if not isinstance(out, Stream) or not isinstance(err, Stream):
        return None
    out.output.finish(wait=True)
    err.output.finish(wait=False)
    return out.output.error


def reader_gone(stream: TextIO) -> bool:
    """Whether nobody will ever read what is written to ``stream``."""
    return isinstance(stream, Stream) and stream.output.gone


def say(text: str) -> None:
    """Write lines to stderr, folded between words where the terminal is narrower."""
    if sys.stderr is not None:
        sys.stderr.write(f"{fold(text, columns())}\n")


def fold(text: str, columns: int) -> str:
    """Fold the lines of ``text`` that are longer than ``columns``, between words; nothing is left out."""
    return "\n".join(_folded(line, columns) for line in text.split("\n"))


def _folded(line: str, columns: int) -> str:
    if len(line) <= columns:
        return line
    options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False, "subsequent_indent": "  "}
    return textwrap.fill(line, columns, replace_whitespace=False, drop_whitespace=True, **options)


def is_live(stream: TextIO | None = None) -> bool:
    """Return whether ``show`` keeps its lines up to date on ``stream`` (stderr), as it does on a terminal alone."""
    stream = sys.stderr if stream is None else stream
    return isinstance(stream, Stream) and stream.output.live


def show(lines: Sequence[str], stream: TextIO | None = None) -> None:
    """Keep ``lines`` up to date at the bottom of a terminal; elsewhere write them. No lines: remove them."""
    stream = sys.stderr if stream is None else stream
    if isinstance(stream, Stream) and stream.output.live:
        stream.output.show(lines)
    else:
        for line in lines:
            print(line, file=stream)


def keep(stream: TextIO | None = None) -> None:
    """Leave the lines shown last where they are, and go on below them."""
    stream = sys.stderr if stream is None else stream
    if isinstance(stream, Stream) and stream.output.live:
        stream.output.keep()
