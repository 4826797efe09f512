"""Disk use: how fast the folder of a run grows, and how much room is left on its disk.

A thread of its own measures, because a disk may not answer for any time. Then the values grow old, and are unknown.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections import deque
from pathlib import Path

from realtime_cropzoom.clock import now_ns

_INTERVAL_S = 2.0
_WINDOW_NS = 60_000_000_000
"""Time (ns) over which the growth is measured."""
_SHORTEST_NS = 5_000_000_000
"""Minimum time (ns) over which it is: files are written in portions."""
_TOO_OLD_NS = 10_000_000_000
"""Age (ns) above which a measurement says nothing any more."""
_JOIN_TIMEOUT_S = 0.2


class DiskUse:
    """Measures every two seconds, from ``start`` to ``stop``."""

    def __init__(self, folder: Path) -> None:
        """Measure nothing yet.

        Args:
            folder: The folder of the run.
        """
        self._folder = folder
        self._measured: tuple[int, int, float | None] | None = None  # in one assignment, so that all belong together
        self._sizes: deque[tuple[int, int]] = deque()
        """Time (monotonic, ns) and size (bytes) of the folder, of the last minute."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cropzoom-disk", daemon=True)

    def start(self) -> None:
        """Start to measure."""
        self._thread.start()

    def stop(self) -> None:
        """Stop. If the disk does not answer, the thread is left behind. May be called twice, and before ``start``."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_TIMEOUT_S)

    def free_and_growth(self, at_ns: int) -> tuple[int | None, float | None]:
        """Return the free space (bytes) and the growth of the folder (bytes per second); None for what is unknown.

        Args:
            at_ns: The time (monotonic, ns).
        """
        measured = self._measured
        if measured is None or at_ns - measured[0] > _TOO_OLD_NS:
            return None, None
        return measured[1:]

    def measure(self, at_ns: int) -> None:
        """Measure once, at ``at_ns`` (monotonic, ns)."""
        try:
            free, size = shutil.disk_usage(self._folder).free, _size(self._folder)
        except OSError:  # the folder is gone, or its disk
            return
        self._sizes.append((at_ns, size))
        while at_ns - self._sizes[0][0] > _WINDOW_NS:
            self._sizes.popleft()
        since_ns, before = self._sizes[0]
        long_enough = at_ns - since_ns >= _SHORTEST_NS
        self._measured = at_ns, free, max(0, size - before) * 1e9 / (at_ns - since_ns) if long_enough else None

    def _run(self) -> None:
        self.measure(now_ns())
        while not self._stop.wait(_INTERVAL_S):
            self.measure(now_ns())


def _size(folder: Path) -> int:
    """Return the size of all files in a folder (bytes)."""
    return sum(os.stat(os.path.join(place, name)).st_size for place, _, names in os.walk(folder) for name in names)
