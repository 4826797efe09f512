"""Clock: the monotonic clock of this machine, and its offset to Unix time. No other module reads a monotonic clock.

Every time in a run is ``now_ns`` of this machine. No interval and no timeout uses another clock, so a step of the wall
clock changes nothing. The offset to Unix time is measured once per run, at its start.

On Linux and macOS the clock is ``time.monotonic_ns``. On Windows it is ``time.perf_counter_ns``: before Python 3.13,
``time.monotonic_ns`` steps by 15.6 ms there, so that no age of a pose would be right. Windows' counter has one zero for
all processes of a machine, and Python 3.13 reads it for both names. The system decides, not a measurement: two
processes, perhaps of two versions of Python, that measured differently would not share a zero.
"""

from __future__ import annotations

import functools
import os
import platform
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

_COARSE_NS = 1_000_000
"""Step (ns) from which a clock is too coarse: ages of poses are a few milliseconds."""
_STEPS = 3
"""Number of steps that are measured. A clock of 15.6 ms takes 50 ms for them."""


def clock_of(system: str) -> Callable[[], int]:
    """Return the function that reads the clock (ns) on a system, as ``sys.platform`` names it."""
    return time.perf_counter_ns if system == "win32" else time.monotonic_ns


now_ns: Callable[[], int] = clock_of(sys.platform)
"""Returns the current time (monotonic, ns)."""


def now_s() -> float:
    """Return the current time (monotonic, s), for deadlines and durations."""
    return now_ns() / 1e9


def step_ns(clock: Callable[[], int] = now_ns) -> int:
    """Return by how much a clock advances at once (ns): the smallest change that a few readings see."""
    smallest = None
    for _ in range(_STEPS):
        before = clock()
        while (after := clock()) == before:
            pass
        smallest = after - before if smallest is None else min(smallest, after - before)
    return smallest or 0


def too_coarse(clock: Callable[[], int] = now_ns) -> str | None:
    """Return why a clock cannot tell the age of a pose; None if it can."""
    step = step_ns(clock)
    return f"the clock of this system advances in steps of {step / 1e6:.1f} ms" if step > _COARSE_NS else None


def unix_offset_ns() -> int:
    """Return Unix time minus monotonic time (ns). Add it to a monotonic time to get Unix time.

    The Unix clock is read between two readings of the monotonic clock. The reading with the shortest interval, of
    five, is used.
    """
    best_width, best_offset = None, 0
    for _ in range(5):
        before = now_ns()
        unix = time.time_ns()
        after = now_ns()
        if best_width is None or after - before < best_width:
            best_width, best_offset = after - before, unix - (before + after) // 2
    return best_offset


@functools.cache
def clock_id() -> str:
    """Return an identifier of this machine's monotonic clock. Processes with the same identifier share the clock.

    On Linux it consists of the kernel's ids of this boot and of the time namespace, so containers of one machine share
    it, as they share the clock. Elsewhere it consists of host name and network address. Without a network address
    each process has its own identifier, and its clock offset is measured although that is not necessary.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return f"{platform.node()}-{uuid.getnode():012x}"
    try:
        return f"{boot}-{os.stat('/proc/self/ns/time').st_ino:x}"
    except OSError:  # a kernel older than time namespaces
        return boot
