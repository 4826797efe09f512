"""Clock: the monotonic clock of this machine, and its offset to Unix time.

Every time in a run is ``time.monotonic_ns`` of this machine. No interval and no timeout uses another clock, so a step
of the wall clock changes nothing. The offset to Unix time is measured once per run, at its start.
"""

from __future__ import annotations

import functools
import os
import platform
import time
import uuid
from collections.abc import Callable
from pathlib import Path

now_ns: Callable[[], int] = time.monotonic_ns
"""Returns the current time (monotonic, ns)."""


def unix_offset_ns() -> int:
    """Return Unix time minus monotonic time (ns). Add it to a monotonic time to get Unix time.

    The Unix clock is read between two readings of the monotonic clock. The reading with the shortest interval, of
    five, is used.
    """
    best_width, best_offset = None, 0
    for _ in range(5):
        before = time.monotonic_ns()
        unix = time.time_ns()
        after = time.monotonic_ns()
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
