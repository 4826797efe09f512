"""Other programs: how many cores they keep busy, before and during a measurement."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

BUSY_CORES = 0.1
"""Number of cores that other programs may keep busy. An idle machine shows about 0.01."""
_WINDOW_S = 3.0
_PATIENCE_S = 30.0
_STAT = Path("/proc/stat")
_COMPUTING = (0, 1, 2, 5, 6, 7)
"""Columns of /proc/stat in which a core computes: user, nice, system, irq, softirq, steal."""


class OtherPrograms:
    """Counts what other programs compute, from its creation on. A virtual machine's stolen time counts, too."""

    def __init__(self) -> None:
        self._begun, self._all_s, self._own_s = time.monotonic(), _all_s(), _own_s()

    def cores(self) -> float | None:
        """Return the mean number of cores kept busy so far; None if this system does not tell.

        All processes of this one must have ended.
        """
        all_s = _all_s()
        if all_s is None or self._all_s is None:
            return None
        theirs_s = all_s - self._all_s - (_own_s() - self._own_s)
        return round(max(0.0, theirs_s / (time.monotonic() - self._begun)), 3)


def wait_for_calm(stop: threading.Event | None = None) -> float | None:
    """Wait for three seconds in which the machine is idle, half a minute at most.

    Args:
        stop: Ends the wait when it is set.

    Returns:
        Number of cores that other programs kept busy in the last three seconds; None if this system does not tell.
    """
    stop = stop or threading.Event()
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        others = OtherPrograms()
        stop.wait(_WINDOW_S)
        cores = others.cores()
        if cores is None or cores <= BUSY_CORES or stop.is_set() or time.monotonic() > deadline:
            return cores


def _all_s() -> float | None:
    """Return the time (s) that all cores together have computed since the machine started; None if nobody tells."""
    try:
        ticks = _STAT.read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
    except OSError:  # not Linux
        return _all_s_of_psutil()
    return sum(int(ticks[column]) for column in _COMPUTING) / os.sysconf("SC_CLK_TCK")


def _all_s_of_psutil() -> float | None:
    try:
        import psutil
    except ModuleNotFoundError:
        return None
    spent = psutil.cpu_times()
    return float(sum(getattr(spent, name, 0.0) for name in ("user", "nice", "system", "irq", "interrupt", "dpc")))


def _own_s() -> float:
    """Return the time (s) that this process and its ended children have computed."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system
