"""One monotonic clock and its Unix anchor.

Every time in a run is ``monotonic_ns`` of this machine; intervals and watchdogs use
nothing else, so a step of the wall clock changes nothing. One anchor a run says what
Unix time the monotonic clock stood for when the run began.
"""

from __future__ import annotations

import time
from collections.abc import Callable

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
