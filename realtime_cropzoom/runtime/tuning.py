"""Process tuning: keeps threads and the garbage collector from delaying each other during a run."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2
from threadpoolctl import threadpool_limits

from realtime_cropzoom.runtime.fine_waits import begin_fine_waits

_SWITCH_INTERVAL_S = 0.0001
"""Interpreter switch interval (s): how long a thread may block others. The default, 5 ms, is a frame at 200 fps."""


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def tune() -> Callable[[], None]:
    """Tune this process for many small jobs on many threads.

    The tuning concerns the whole process, so its users are counted. The first user applies it; the last
    one to end restores the previous values, in whatever order they began.

    Returns:
        A function that ends the tuning for this user. Further calls of it do nothing.
    """
    _shared.begin()
    ended = False

    def end() -> None:
        nonlocal ended
        if not ended:
            ended = True
            _shared.end()

    return end


class _Tuning:
    """The number of users of the tuning, and the function that restores the previous values."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._restore: Callable[[], None] = lambda: None

    def begin(self) -> None:
        """Count one more user; apply the tuning for the first."""
        with self._lock:
            if self._users == 0:
                self._restore = _apply()
            self._users += 1

    def end(self) -> None:
        """Count one user less; restore the previous values after the last."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._restore()


_shared = _Tuning()


def _apply() -> Callable[[], None]:
    """Apply the tuning; return the function that restores each value that no other code has changed since.

    The garbage collector no longer scans the objects that exist before the first frame: they are frozen.
    """
    interval, cv_threads = sys.getswitchinterval(), cv2.getNumThreads()
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    ours = sys.getswitchinterval()  # rounded by the interpreter
    cv2.setNumThreads(1)
    blas = threadpool_limits(limits=1, user_api="blas")  # its idle threads spin
    end_fine_waits = begin_fine_waits()
    freeze = gc.get_freeze_count() == 0  # else the script has frozen objects of its own, which stay frozen
    if freeze:
        gc.collect()
        gc.freeze()

    def restore() -> None:
        if sys.getswitchinterval() == ours:
            sys.setswitchinterval(interval)
        if cv2.getNumThreads() == 1:
            cv2.setNumThreads(cv_threads)
        blas.restore_original_limits()
        end_fine_waits()
        if freeze:
            gc.unfreeze()

    return restore


@contextmanager
def tuned() -> Iterator[None]:
    """Tune the process for the duration of a ``with`` block."""
    restore = tune()
    try:
        yield
    finally:
        restore()
