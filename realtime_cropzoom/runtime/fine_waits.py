"""Fine waits on Windows: lets timeouts end after a millisecond instead of at the next tick, 15.6 ms later.

Windows ends a wait at a tick of its timer. Python's ``time.sleep`` has a finer timer of its own since 3.11, but the
waits of threads, queues and sockets have not. A program can ask for ticks of 1 ms while it needs them. On other systems
all waits are fine, and nothing changes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

_TICK_MS = 1


def _timer() -> Any:
    """Return the library of Windows that sets the tick."""
    import ctypes

    return ctypes.WinDLL("winmm")  # type: ignore[attr-defined,unused-ignore]


def begin_fine_waits(timer: Callable[[], Any] | None = None) -> Callable[[], None]:
    """Ask Windows for ticks of 1 ms; return the function that takes it back, to be called once.

    Args:
        timer: Returns the library with ``timeBeginPeriod`` and ``timeEndPeriod``; None loads that of Windows.
    """
    if sys.platform == "win32":
        with suppress(OSError, AttributeError):  # a Windows without it keeps its ticks
            library = (timer or _timer)()
            if library.timeBeginPeriod(_TICK_MS) == 0:
                return lambda: library.timeEndPeriod(_TICK_MS)
    return lambda: None


@contextmanager
def fine_waits() -> Iterator[None]:
    """Have fine waits inside the ``with`` block."""
    end = begin_fine_waits()
    try:
        yield
    finally:
        end()
