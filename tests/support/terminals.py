"""A terminal for the tests: a process on a pseudo-terminal, and what its screen shows."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from support.pipelines import LONG_S, _environment

_ESCAPE = re.compile(r"\x1b\[(\d*)([A-Za-z])")


class Screen:
    """As much of a terminal as the command line uses: text, returns, wrapping, erasing, and moving up."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.rows: list[str] = [""]
        self.row = self.column = 0
        self.wrapped = False
        """Whether any line was longer than a row."""

    @property
    def text(self) -> str:
        """All that can be seen, or scrolled back to."""
        return "\n".join(row.rstrip() for row in self.rows)

    def feed(self, data: str) -> None:
        position = 0
        while position < len(data):
            escape = _ESCAPE.match(data, position)
            if escape is not None:
                self._control(int(escape[1] or 0), escape[2])
                position = escape.end()
                continue
            self._put(data[position])
            position += 1

    def _control(self, count: int, what: str) -> None:
        line = self.rows[self.row]
        if what == "K":
            self.rows[self.row] = "" if count == 2 else line[: self.column]
        elif what in "AF":
            self.row = max(0, self.row - (count or 1))
            self.column = 0 if what == "F" else self.column
        elif what == "J":
            del self.rows[self.row + 1 :]
            self.rows[self.row] = line[: self.column]
        elif what != "m":
            raise AssertionError(f"the screen does not know \\x1b[{count}{what}")

    def _put(self, character: str) -> None:
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.row += 1
            if self.row == len(self.rows):
                self.rows.append("")
        else:
            if self.column == self.columns:  # one too many: the terminal wraps
                self.wrapped = True
                self._put("\r")
                self._put("\n")
            row = self.rows[self.row].ljust(self.column)
            self.rows[self.row] = row[: self.column] + character + row[self.column + 1 :]
            self.column += 1


class Terminal:
    """``cropzoom ARGUMENTS`` on a terminal of its own."""

    def __init__(
        self,
        *arguments: object,
        columns: int = 80,
        rows: int = 24,
        cwd: Path | None = None,
        program: Sequence[str] = ("-m", "realtime_cropzoom"),
        before: Callable[[], object] = lambda: None,
    ) -> None:
        """``before`` is called in the new process, ahead of the program."""

        def prepare() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            before()

        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen = Screen(columns)
        self.process = subprocess.Popen(
            [sys.executable, *program, *map(str, arguments)],
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True, cwd=cwd, env=_environment(),
            preexec_fn=prepare,
        )  # fmt: skip
        os.close(slave)

    def read(self, timeout_s: float = 0.1) -> bool:
        """Take in what the process has written; return whether it may write more."""
        if self._master < 0:
            return False
        if select.select([self._master], [], [], timeout_s)[0]:
            try:
                data = os.read(self._master, 1 << 16)
            except OSError:  # the last one who had it open has closed it
                return False
            self.screen.feed(data.decode("utf-8", "replace"))
        return True

    def until(self, condition: Callable[[Screen], object], what: str) -> Screen:
        """Read until the screen meets ``condition``."""
        deadline = time.monotonic() + LONG_S
        while not condition(self.screen):
            assert self.read(), f"the process has ended before {what}\n{self.screen.text}"
            assert time.monotonic() < deadline, f"waited for {what}\n{self.screen.text}"
        return self.screen

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def close(self) -> None:
        """Close the window."""
        if self._master >= 0:
            os.close(self._master)
        self._master = -1

    def finish(self) -> int:
        """Read to the end and return the exit code."""
        while self.read():
            pass
        code = self.process.wait(LONG_S)
        self.close()
        return code
