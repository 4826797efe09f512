"""Packet recorder: copies the camera's compressed frames to a video without encoding, and never delays the tracking.

The capture thread passes the frames on as they arrive. The queue is bounded in bytes: if the disk is too
slow, the recording loses all frames up to the next key frame, which are counted and marked. The tracking
loses nothing.
"""

from __future__ import annotations

from realtime_cropzoom.runtime.records import Record
from realtime_cropzoom.runtime.ring import Ring
from realtime_cropzoom.runtime.worker import POLL_S, RunControl
from realtime_cropzoom.sinks.base_recorder import BaseRecorder
from realtime_cropzoom.sinks.packet_file import DropToKeyFrameQueue, QueuedFrame
from realtime_cropzoom.sinks.recording import BEFORE_KEY_FRAME, RUN_ENDED, TOO_SLOW, CopiedRecording
from realtime_cropzoom.sources.base import CapturedFrame
from realtime_cropzoom.types import FrameMeta


class PacketRecorder(BaseRecorder):
    """Records every captured frame as the camera compressed it."""

    recording: CopiedRecording

    def __init__(
        self, recording: CopiedRecording, ring: Ring, control: RunControl, *, limit_bytes: int, lockstep: bool
    ) -> None:
        """Create the recorder without starting it.

        Args:
            recording: Video and table to write.
            ring: Ring of the run. Only index and times of its frames are read, not the pixels.
            control: Control of the run.
            limit_bytes: Maximum size (bytes) of the frames that wait to be written.
            lockstep: Whether the capture thread waits for room, instead of dropping frames.
        """
        super().__init__(recording, ring, control)
        self._queue = DropToKeyFrameQueue(limit_bytes, wait_when_full=lockstep)
        recording.first = self._first_unrecorded = ring.newest + 1
        """Index of the first captured frame that has no row yet."""
        self._awaits_key_frame = recording.first > 0
        """Whether no key frame came yet, in a recording that begins while the run goes."""

    def offer(self, meta: FrameMeta, captured: CapturedFrame) -> None:
        """Queue a captured frame. The capture thread calls this; it waits only in lockstep."""
        encoded = captured.encoded() if captured.encoded is not None else None
        if self._awaits_key_frame:
            if encoded is None or not encoded.starts_with_key_frame:
                return
            self._awaits_key_frame = False
        self._queue.put(QueuedFrame(meta, encoded))

    def put(self, record: Record) -> None:
        """Do nothing: this recorder does not wait for the pose stage."""

    def _next_index(self) -> int:
        return self._first_unrecorded

    def _record_all(self) -> None:
        try:
            while not self._is_complete(self._first_unrecorded):
                # first: what was captured before the end is in the queue by then
                ended = self._ended.is_set() or self._is_complete(self._ring.newest + 1)
                frame = self._queue.take(POLL_S)
                if frame is not None:
                    self._record(frame)
                elif ended:
                    self._mark_dropped_up_to(self._ring.newest + 1)
                    return
        finally:
            self._queue.close()

    def _record(self, frame: QueuedFrame) -> None:
        self._mark_dropped_up_to(frame.meta.index)
        self._first_unrecorded = frame.meta.index + 1
        if self._grace.over():
            self.recording.mark_dropped([frame.meta], RUN_ENDED)
        else:
            self.recording.write(frame.meta, frame.encoded)

    def _mark_dropped_up_to(self, index: int) -> None:
        """Mark the frames before ``index`` that the queue dropped."""
        metas = self._ring.metas(self._first_unrecorded, index)
        begins_late = self.recording.first > 0 and self._first_unrecorded == self.recording.first
        self.recording.mark_dropped(metas, BEFORE_KEY_FRAME if begins_late else TOO_SLOW)
        self._first_unrecorded = max(self._first_unrecorded, index)
