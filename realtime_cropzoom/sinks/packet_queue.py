"""The queue between the thread that captures and the one that writes what came compressed."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from realtime_cropzoom.sources.encoded import CodedFrames
from realtime_cropzoom.types import Stamp

_FRAMES = 1 << 13
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class QueuedFrame:
    """A captured frame on its way."""

    stamp: Stamp
    coded: CodedFrames | None
    """None where what it is made from is missing."""


class DropToKeyFrameQueue:
    """Bounded in frames and in bytes. When it is full, what comes is dropped, up to a key frame that has room.

    A frame is made from those before it: after one that is missing, none is of use up to the next key frame.
    """

    def __init__(self, limit_bytes: int, *, wait_when_full: bool) -> None:
        """With ``wait_when_full`` (lockstep) nothing is dropped."""
        self._limit_bytes, self._wait_when_full = limit_bytes, wait_when_full
        self._frames: deque[QueuedFrame] = deque()
        self._bytes = 0
        self._dropping = False
        self._closed = False
        self._changed = threading.Condition()

    def put(self, frame: QueuedFrame) -> None:
        """Take in the next frame, or drop it; who takes them sees from the indices that one is missing."""
        coded = frame.coded
        with self._changed:
            while self._wait_when_full and not self._has_room(coded) and not self._closed:
                self._changed.wait(_POLL_S)
            begins = coded is not None and coded.begins
            if self._closed or not self._has_room(coded) or (self._dropping and not begins):
                self._dropping = True
                return
            self._dropping = False
            self._frames.append(frame)
            self._bytes += coded.nbytes if coded is not None else 0
            self._changed.notify_all()

    def take(self, timeout_s: float) -> QueuedFrame | None:
        """Return the oldest frame, or None if none came in time."""
        with self._changed:
            if not self._frames:
                self._changed.wait(timeout_s)
            if not self._frames:
                return None
            frame = self._frames.popleft()
            self._bytes -= frame.coded.nbytes if frame.coded is not None else 0
            self._changed.notify_all()
            return frame

    def close(self) -> None:
        """Say that nobody takes frames any more: nobody waits for room, then."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _has_room(self, coded: CodedFrames | None) -> bool:
        """One frame always fits, however large it is."""
        more = coded.nbytes if coded is not None else 0
        return not self._frames or (len(self._frames) < _FRAMES and self._bytes + more <= self._limit_bytes)
