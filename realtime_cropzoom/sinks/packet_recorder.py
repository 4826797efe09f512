"""Frames as their camera has compressed them → a video, without encoding anything; never in the way of the tracking.

The thread that captures hands them over as they come. The queue between is bounded in bytes: a disk
that is too slow costs the recording all frames up to the next key frame, counted and marked, and the
tracking nothing.
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
"""So long a run that was stopped goes on recording what was captured before."""


class ShutdownGrace:
    """Tells a recorder that a run was stopped so long ago that it must leave out what is left."""

    def __init__(self, control: RunControl) -> None:
        self._control = control
        self._over_at: float | None = None

    def over(self) -> bool:
        """Whether to leave out the rest."""
        if self._over_at is None and self._control.stop.is_set():
            self._over_at = time.monotonic() + _LAST_S
        return self._over_at is not None and time.monotonic() > self._over_at


class PacketRecorder(Stage):
    """Records every captured frame as it came."""

    def __init__(
        self, recording: CopiedRecording, ring: Ring, control: RunControl, *, limit_bytes: int, lockstep: bool
    ) -> None:
        """``limit_bytes`` may wait to be written. Of the ``ring`` it takes no pixels, only stamps."""
        super().__init__("record", control)
        self.recording = recording
        self._ring = ring
        self._queue = DropToKeyFrameQueue(limit_bytes, wait_when_full=lockstep)
        self._last_moments = ShutdownGrace(control)
        self._ended = threading.Event()
        self._next_index = 0

    def offer(self, stamp: FrameMeta, captured: CapturedFrame) -> None:
        """Take a frame that was captured, in the thread that captures it: nothing here waits, but in lockstep."""
        self._queue.put(QueuedFrame(stamp, captured.coded() if captured.coded is not None else None))

    def put(self, record: Record) -> None:
        """Learn that the pose stage is done with a frame: it is nothing to wait for here."""

    def end(self) -> None:
        """Learn that no frame will come."""
        self._ended.set()

    def work(self) -> None:
        """Record until no frame comes any more."""
        if not self.recording.open():
            return
        try:
            self._record_all()
        finally:
            self._queue.close()
            self._leave_out_up_to(self._ring.newest + 1, RUN_ENDED)
            self.recording.close()

    def _record_all(self) -> None:
        while True:
            ended = self._ended.is_set()  # first: what was captured before the end is in the queue by then
            frame = self._queue.take(POLL_S)
            if frame is not None:
                self._record(frame)
            elif ended:
                self._leave_out_up_to(self._ring.newest + 1, TOO_SLOW)
                return

    def _record(self, frame: QueuedFrame) -> None:
        self._leave_out_up_to(frame.stamp.index, TOO_SLOW)
        self._next_index = frame.stamp.index + 1
        if self._last_moments.over():
            self.recording.leave_out([frame.stamp], RUN_ENDED)
        else:
            self.recording.write(frame.stamp, frame.coded)

    def _leave_out_up_to(self, index: int, why: str) -> None:
        """Mark the frames that the queue has dropped."""
        self.recording.leave_out(self._ring.stamps(self._next_index, index), why)
        self._next_index = max(self._next_index, index)
