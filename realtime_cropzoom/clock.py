"""One monotonic clock and its Unix anchor.

Every time in a run is ``monotonic_ns`` of this machine; intervals and watchdogs use
nothing else, so a step of the wall clock changes nothing. One anchor a run says what
Unix time the monotonic clock stood for when the run began.
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


def unix_offset_ns() -> int:
    """Unix time less monotonic time, in ns: add it to a monotonic time to get Unix time.

    The Unix clock is read between two readings of the monotonic one, and the closest of
    several such pairs counts.
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
    """Return a name of this machine's monotonic clock: processes that give the same one share the clock.

    On Linux it is the kernel's id of this boot and of the time namespace, so that containers of one machine share
    it as they share the clock. Elsewhere it is host name and network address; where there is no address to be
    found, every process has a name of its own, and its clock is measured though it need not be.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return f"{platform.node()}-{uuid.getnode():012x}"
    try:
        return f"{boot}-{os.stat('/proc/self/ns/time').st_ino:x}"
    except OSError:  # a kernel older than time namespaces
        return boot
