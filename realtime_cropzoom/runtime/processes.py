"""Processes that a command starts: kept apart from Ctrl-C of its terminal, interrupted, waited for, and how they ended.

On POSIX systems such a process has a session of its own; on Windows, a process group of its own, to which Ctrl-C does
not come and Ctrl-Break can be sent.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Any

from realtime_cropzoom.runtime.signals import signal_name

_CREATE_NEW_PROCESS_GROUP = 0x200
_CTRL_BREAK_EVENT = 1
_CRASHES = 0xC0000000
"""Least exit code of a process that Windows ended because of a fault."""
_FAULTS = {0xC0000005: "a forbidden memory access", 0xC00000FD: "a full stack", 0xC000013A: "Ctrl-C"}


def apart() -> dict[str, Any]:
    """Return the options of ``subprocess.Popen`` for a process that Ctrl-C in the terminal does not reach."""
    if sys.platform == "win32":
        return {"creationflags": _CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def interrupt(process: subprocess.Popen[Any]) -> None:
    """Ask a process that was started ``apart`` to end, as Ctrl-C would."""
    process.send_signal(_CTRL_BREAK_EVENT if sys.platform == "win32" else signal.SIGINT)


def wait_or_kill(process: subprocess.Popen[Any], timeout_s: float) -> None:
    """Wait for a process that was asked to end, and kill it after ``timeout_s``: it may be stopped, or hang."""
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def violent_end(code: int) -> str | None:
    """Return by what a process was ended, such as ``SIGKILL``, from its ``returncode``; None if it ended by itself.

    Windows has no such code for a process that another one has ended: it ends with the code 1.
    """
    if code < 0:
        return signal_name(-code)
    return f"{_FAULTS.get(code, 'a fault')} (0x{code:08X})" if code >= _CRASHES else None
