"""Packet recorder: copies the camera's compressed frames to a video without encoding, and never delays the tracking.

The capture thread passes the frames on as they arrive. The queue is bounded in bytes: if the disk is too
slow, the recording loses all frames up to the next key frame, which are counted and marked. The tracking
loses nothing.
"""

from __future__ import annotations

import threading
import time

from realtime_cropzoom.runtime.records import Record
from realtime_cropzoom.runtime.ring import Ring
from realtime_cropzoom.runtime.worker import POLL_S, RunControl, Stage
from realtime_cropzoom.sinks.packet_file import DropToKeyFrameQueue, QueuedFrame
from realtime_cropzoom.sinks.recording import RUN_ENDED, TOO_SLOW, CopiedRecording
from realtime_cropzoom.sources.base import CapturedFrame
from realtime_cropzoom.types import FrameMeta

_LAST_S = 0.4
"""Time (s) after the stop of a run in which frames captured before are still recorded."""


class ShutdownGrace:
    """Grace period of a recorder after the stop of a run. After it, the remaining frames are left out."""

    def __init__(self, control: RunControl) -> None:
        self._control = control
        self._over_at: float | None = None

    def over(self) -> bool:
        """Return whether the grace period has ended."""
        if self._over_at is None and self._control.stop.is_set():
            self._over_at = time.monotonic() + _LAST_S
        return self._over_at is not None and time.monotonic() > self._over_at


class PacketRecorder(Stage):
    """Records every captured frame as the camera compressed it."""

    def __init__(
        self, recording: CopiedRecording, ring: Ring, control: RunControl, *, limit_bytes: int, lockstep: bool
    ) -> None:
        """Create the recorder without starting it.

        Args:
            recording: Video and table to write.
            ring: Ring of the run. Only the stamps of its frames are read, not the pixels.
            control: Control of the run.
            limit_bytes: Maximum size (bytes) of the frames that wait to be written.
            lockstep: Whether the capture thread waits for room, instead of dropping frames.
        """
        super().__init__("record", control)
        self.recording = recording
        self._ring = ring
        self._queue = DropToKeyFrameQueue(limit_bytes, wait_when_full=lockstep)
        self._grace = ShutdownGrace(control)
        self._ended = threading.Event()
        self._next_index = 0

    def offer(self, stamp: FrameMeta, captured: CapturedFrame) -> None:
        """Queue a captured frame. The capture thread calls this; it waits only in lockstep."""
        self._queue.put(QueuedFrame(stamp, captured.coded() if captured.coded is not None else None))

    def put(self, record: Record) -> None:
        """Ignore the end of the pose stage's work on a frame: this recorder does not wait for it."""

    def end(self) -> None:
        """Announce that no further frame will come."""
        self._ended.set()

    def work(self) -> None:
        """Record until the last frame."""
        if not self.recording.open():
            return
        try:
            self._record_all()
        finally:
            self._queue.close()
            self._mark_dropped_up_to(self._ring.newest + 1, RUN_ENDED)
            self.recording.close()

    def _record_all(self) -> None:
        while True:
            ended = self._ended.is_set()  # first: what was captured before the end is in the queue by then
            frame = self._queue.take(POLL_S)
            if frame is not None:
                self._record(frame)
            elif ended:
                self._mark_dropped_up_to(self._ring.newest + 1, TOO_SLOW)
                return

    def _record(self, frame: QueuedFrame) -> None:
        self._mark_dropped_up_to(frame.stamp.index, TOO_SLOW)
        self._next_index = frame.stamp.index + 1
        if self._grace.over():
            self.recording.mark_dropped([frame.stamp], RUN_ENDED)
        else:
            self.recording.write(frame.stamp, frame.coded)

    def _mark_dropped_up_to(self, index: int, why: str) -> None:
        """Mark the frames up to ``index`` that the queue dropped."""
        self.recording.mark_dropped(self._ring.stamps(self._next_index, index), why)
        self._next_index = max(self._next_index, index)
