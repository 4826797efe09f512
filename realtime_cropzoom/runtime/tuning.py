"""Keeps threads, and the garbage collector, from getting in the way of each other."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2
from threadpoolctl import threadpool_limits

_SWITCH_INTERVAL_S = 0.0001
"""How long one Python thread may keep the others waiting; the default of 5 ms is a frame at 200 fps."""


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def tune() -> Callable[[], None]:
    """Tune this process for many small jobs on many threads; returns what ends that for this user.

    The tuning is of the whole process, so its users are counted: the first one tunes, and the last one to end
    puts everything back, whatever the order in which they began.
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
    """What is tuned, and how many need it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._restore: Callable[[], None] = lambda: None

    def begin(self) -> None:
        """Count one more user; tune for the first."""
        with self._lock:
            if self._users == 0:
                self._restore = _apply()
            self._users += 1

    def end(self) -> None:
        """Count one user less; after the last, put everything back."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._restore()


_shared = _Tuning()


def _apply() -> Callable[[], None]:
    """Tune; return what puts everything back that nobody else has set meanwhile.

    Frozen, the objects that are there before the first frame are not looked through again and again.
    """
    interval, cv_threads = sys.getswitchinterval(), cv2.getNumThreads()
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    ours = sys.getswitchinterval()  # rounded by the interpreter
    cv2.setNumThreads(1)
    blas = threadpool_limits(limits=1, user_api="blas")  # its idle threads spin
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
        if freeze:
            gc.unfreeze()

    return restore


@contextmanager
def tuned() -> Iterator[None]:
    """``tune`` for the length of a ``with``."""
    restore = tune()
    try:
        yield
    finally:
        restore()
