"""Pauses: tells the detector when the pose stage has finished a frame, and for how long a detection may wait for that.

Both models on a machine of two cores slow each other down. A detection that begins in the pause between two poses is
often done before the next frame comes, and then it delays no pose.
"""

from __future__ import annotations

import threading

from realtime_cropzoom.types import FrameMeta

_AT_LEAST_NS = 12_000_000
"""Time (ns) for which a detection may wait in any case: a frame at 80 fps, and little beside the age of a box."""


class Pauses:
    """The pauses of one stage. One thread announces them, another one waits for them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._closed = False
        self.done = -1
        """Index of the last frame before the last pause."""

    def begin(self, index: int) -> None:
        """Announce that a pause begins: all frames up to ``index`` are done, and the next one is not there yet."""
        with self._changed:
            self.done = index
            self._changed.notify_all()

    def close(self) -> None:
        """Announce that no further work follows: the pause has no end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wait_for(self, index: int, timeout_s: float) -> bool:
        """Wait up to ``timeout_s`` (s) for a pause after frame ``index``; return whether one began, or has no end."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closed or self.done >= index, timeout_s)


class Patience:
    """For which pause a detection waits, and how long: its box shall be there for the next frame."""

    def __init__(self) -> None:
        self._last: FrameMeta | None = None
        self._interval_ns = 0
        self.takes_ns = 0
        """Time (ns) that the last detection took."""

    def see(self, meta: FrameMeta) -> None:
        """Take the newest frame, from which the interval between frames follows."""
        last, self._last = self._last, meta
        if last is not None and meta.index > last.index:
            self._interval_ns = max(0, meta.captured_ns - last.captured_ns) // (meta.index - last.index)

    def wanted(self, meta: FrameMeta, done: int, at_ns: int) -> tuple[int, float]:
        """Return after which frame a detection in the newest one begins, and the maximum time (s) to wait for that.

        Args:
            meta: The newest frame.
            done: The last frame that has a pose, and after which a pause began.
            at_ns: The time (monotonic, ns).
        """
        left_ns = meta.captured_ns + self._interval_ns - self.takes_ns * 5 // 4 - at_ns
        too_late = done >= meta.index and left_ns < 0  # the pause is nearly over: the next one is better
        return meta.index + too_late, max(_AT_LEAST_NS, left_ns) / 1e9
