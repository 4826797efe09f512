"""Other programs: how many cores they keep busy, before and during a measurement."""

from __future__ import annotations

import os
import time

import psutil

BUSY_CORES = 0.1
"""Number of cores that other programs may keep busy. An idle machine shows about 0.01."""
_WINDOW_S = 3.0
_PATIENCE_S = 30.0


class OtherPrograms:
    """Counts what other programs compute, from its creation on. A virtual machine's stolen time counts, too."""

    def __init__(self) -> None:
        self._begun, self._all_s, self._own_s = time.monotonic(), _all_s(), _own_s()

    def cores(self) -> float:
        """Return the mean number of cores kept busy so far. All processes of this one must have ended."""
        theirs_s = _all_s() - self._all_s - (_own_s() - self._own_s)
        return round(max(0.0, theirs_s / (time.monotonic() - self._begun)), 3)


def wait_for_calm() -> float:
    """Wait for three seconds in which the machine is idle, half a minute at most; return the last number of cores."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        others = OtherPrograms()
        time.sleep(_WINDOW_S)
        if (cores := others.cores()) <= BUSY_CORES or time.monotonic() > deadline:
            return cores


def _all_s() -> float:
    """Return the time (s) that all cores together have computed since the machine started."""
    spent = psutil.cpu_times()
    names = ("user", "nice", "system", "irq", "softirq", "steal")
    return float(sum(getattr(spent, name, 0.0) for name in names))


def _own_s() -> float:
    """Return the time (s) that this process and its ended children have computed."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system
