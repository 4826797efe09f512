"""Priority: the threads that a pose waits for go before all other work of the machine, and previews after it.

Linux runs a thread of the scheduling class SCHED_FIFO as soon as it can run, however busy the machine is. A user needs
the permission for it (``RLIMIT_RTPRIO``), which an administrator gives.
"""

from __future__ import annotations

import os
import sys
import threading

PRIORITY = 20
"""Priority within SCHED_FIFO, 1 to 99. The kernel's own threads for devices have 50."""

_NICENESS = 10
"""Niceness of threads whose work can wait. With it they get a tenth of a core that another thread wants.

More is worse: with 19, a run at 100 frames/s beside two busy programs on two cores had a p99 of 13 ms, and with 10 the
8 ms that it has without such threads. The pose stage then waits for the lock of a thread that waits for a core.
"""


def lower_priority() -> None:
    """Let other threads go before the calling thread and those that it starts. Linux only: elsewhere, nothing changes.

    Such a thread should hold the interpreter's lock for moments only: a thread of usual priority may wait for the lock
    while others take its core.
    """
    if sys.platform == "linux":  # elsewhere this would be the priority of the whole process
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(_NICENESS, os.getpriority(os.PRIO_PROCESS, thread)))


def raise_priority() -> None:
    """Give the calling thread real-time priority. It stays as it is where that is not allowed."""
    try:
        _raise()
    except (AttributeError, OSError):
        return


def missing_permission() -> str | None:
    """Return why threads cannot have real-time priority here, and what to do; None if they can."""
    reasons: list[str] = []
    thread = threading.Thread(target=_try, args=(reasons,), name="cropzoom-priority")
    thread.start()
    thread.join()
    return reasons[0] if reasons else None


def _try(reasons: list[str]) -> None:
    try:
        _raise()
    except AttributeError:
        reasons.append("this system has no SCHED_FIFO; it is for Linux")
    except OSError:
        reasons.append(
            "this user may not use it. As administrator, write the line '@users - rtprio 50' to "
            "/etc/security/limits.d/cropzoom.conf, and log in again"
        )


def _raise() -> None:
    os.sched_setscheduler(threading.get_native_id(), os.SCHED_FIFO, os.sched_param(PRIORITY))
