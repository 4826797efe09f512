"""Pauses: tells the detector when the pose stage has finished a frame.

Both models on a machine of two cores slow each other down. A detection that begins in the pause between two poses is
often done before the next frame comes, and then it delays no pose.
"""

from __future__ import annotations

import threading


class Pauses:
    """The pauses of one stage. One thread announces them, another one waits for the next."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0
        self._closed = False

    def begin(self) -> None:
        """Announce that a pause begins."""
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Announce that no further work follows: the pause has no end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wait_for_next(self, timeout_s: float) -> bool:
        """Wait up to ``timeout_s`` (s) for the beginning of a pause; return whether one began, or has no end."""
        with self._changed:
            seen = self._count
            return self._changed.wait_for(lambda: self._closed or self._count != seen, timeout_s)
