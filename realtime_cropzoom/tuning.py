"""Keeps threads, and the garbage collector, from getting in the way of each other."""

from __future__ import annotations

import gc
import os
import sys
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
    """Tune this process for many small jobs on many threads; returns what undoes it.

    Frozen, the objects that are there before the first frame are not looked through again and again.
    """
    interval, cv_threads = sys.getswitchinterval(), cv2.getNumThreads()
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    cv2.setNumThreads(1)
    blas = threadpool_limits(limits=1, user_api="blas")  # its idle threads spin
    gc.collect()
    gc.freeze()

    def restore() -> None:
        sys.setswitchinterval(interval)
        cv2.setNumThreads(cv_threads)
        blas.restore_original_limits()
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
