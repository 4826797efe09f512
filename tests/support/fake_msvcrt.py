"""Stand-in for ``msvcrt`` of Windows' Python, on POSIX: locks between real processes, and the keys of a console."""

from __future__ import annotations

import errno
import fcntl
import sys
from collections import deque

import pytest

LK_NBLCK = 2
typed: deque[str] = deque()
"""Characters that wait at the console."""


def locking(descriptor: int, mode: int, size: int) -> None:
    """Lock bytes from the position of the file on; PermissionError if another process has locked one."""
    assert mode == LK_NBLCK
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, size, 0, 1)
    except OSError as error:
        raise PermissionError(errno.EACCES, "Permission denied") from error


def kbhit() -> bool:
    """Return whether a character waits."""
    return bool(typed)


def getwch() -> str:
    """Return the next character."""
    return typed.popleft()


def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process find this module, and no ``fcntl``, as on Windows."""
    typed.clear()
    monkeypatch.setitem(sys.modules, "msvcrt", sys.modules[__name__])
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setattr(sys, "platform", "win32")


STAND_IN = """
import sys
import support.fake_msvcrt
sys.modules["msvcrt"], sys.modules["fcntl"] = support.fake_msvcrt, None
sys.platform = "win32"
"""
"""The same for a process of its own."""
