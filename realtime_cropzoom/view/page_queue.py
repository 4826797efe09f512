"""Queue of one page: what waits to be sent to it. It is bounded, however slowly the page reads.

Poses are kept in order; if too many batches wait, the oldest are dropped and counted. Of everything else that describes
a state, and of pictures, only the newest waits.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable

from realtime_cropzoom.view.protocol import Dropped, encode

MAX_BATCHES = 90
"""Maximum number of batches of poses that wait: 3 s. The oldest are dropped."""
MAX_EVENTS = 500
"""Maximum number of events that wait. The oldest are dropped."""


class PageQueue:
    """Messages for one page. Any thread may put; one takes."""

    def __init__(self, wake: Callable[[], object]) -> None:
        """Call ``wake`` whenever something was put, in the thread that put it."""
        self._wake = wake
        self._lock = threading.Lock()
        self._waiting: dict[Hashable, str] = {}
        self._in_order: dict[str, deque[Hashable]] = {"batch": deque(), "event": deque()}
        self._pictures: dict[str, bytes] = {}
        self._count = 0
        self.shows: frozenset[str] = frozenset()
        """The cameras whose pictures the page wants."""
        self.dropped = 0
        """Number of batches of poses that were dropped since the page joined."""

    def put_state(self, key: Hashable, text: str) -> None:
        """Put a message that replaces an earlier one with the same ``key``."""
        with self._lock:
            self._waiting.pop(key, None)
            self._waiting[key] = text
        self._wake()

    def put_batch(self, text: str) -> None:
        """Put poses."""
        with self._lock:
            if self._put_in_order("batch", text, MAX_BATCHES):
                self.dropped += 1
                self._waiting["dropped"] = encode(Dropped(self.dropped))
        self._wake()

    def put_event(self, text: str) -> None:
        """Put an event, or an answer."""
        with self._lock:
            self._put_in_order("event", text, MAX_EVENTS)
        self._wake()

    def put_picture(self, camera: str, picture: bytes) -> None:
        """Put the newest picture of a camera."""
        with self._lock:
            self._pictures[camera] = picture
        self._wake()

    def take(self) -> tuple[list[str], list[bytes]]:
        """Return and remove all that waits: messages in order, and pictures."""
        with self._lock:
            texts, pictures = [*self._waiting.values()], [*self._pictures.values()]
            self._waiting.clear()
            self._pictures.clear()
            for keys in self._in_order.values():
                keys.clear()
        return texts, pictures

    def _put_in_order(self, kind: str, text: str, limit: int) -> bool:
        """Add a message; returns whether the oldest of its kind was dropped for it."""
        keys = self._in_order[kind]
        key = (kind, self._count)
        self._count += 1
        keys.append(key)
        self._waiting[key] = text
        if len(keys) <= limit:
            return False
        del self._waiting[keys.popleft()]
        return True
