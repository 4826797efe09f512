"""Base of the recorders: opens a recording, gives every frame its row in the table, and closes it whatever happens."""

from __future__ import annotations

import threading
from typing import Any

from realtime_cropzoom.clock import now_s
from realtime_cropzoom.runtime.records import Record
from realtime_cropzoom.runtime.ring import Ring
from realtime_cropzoom.runtime.worker import RunControl, Stage
from realtime_cropzoom.sinks.recording import RUN_ENDED, Recording

_GRACE_S = 0.4
"""Time (s) after the stop of a run in which frames captured before are still recorded."""


class ShutdownGrace:
    """Grace period of a recorder after the stop of a run. After it, the remaining frames are left out."""

    def __init__(self, control: RunControl) -> None:
        self._control = control
        self._over_at: float | None = None

    def over(self) -> bool:
        """Return whether the grace period has ended."""
        if self._over_at is None and self._control.stop.is_set():
            self._over_at = now_s() + _GRACE_S
        return self._over_at is not None and now_s() > self._over_at


class RecordingWork:
    """Work of a recorder's thread."""

    recording: Recording[Any]
    """Video and table to write."""

    def work(self) -> None:
        """Record until the last frame. The recording is closed even if this fails."""
        if not self.recording.open():
            return
        try:
            try:
                self._record_all()
            finally:
                self._mark_rest()
        finally:
            self.recording.close()

    def _is_complete(self, next_index: int) -> bool:
        """Return whether the frame ``next_index`` comes after the end of the recording."""
        end = self.recording.end
        return end is not None and next_index >= end

    def _record_all(self) -> None:
        """Record until the last frame."""
        raise NotImplementedError

    def _mark_rest(self) -> None:
        """Mark the frames that are left when recording ends, so that each has its row."""


class BaseRecorder(RecordingWork, Stage):
    """Recorder of every captured frame, with a thread of its own."""

    def __init__(self, recording: Recording[Any], ring: Ring, control: RunControl) -> None:
        """Create the recorder without starting it.

        Args:
            recording: Video and table to write.
            ring: Ring of the run.
            control: Control of the run.
        """
        super().__init__("record", control)
        self.recording = recording
        self._ring = ring
        self._grace = ShutdownGrace(control)
        self._ended = threading.Event()

    def put(self, record: Record) -> None:
        """Take note that the pose stage is done with a frame."""
        raise NotImplementedError

    def end(self) -> None:
        """Announce that no further frame will come, even if the ring was not closed."""
        self._ended.set()

    def stop_before(self, index: int) -> None:
        """End the recording before the captured frame ``index``, while the run goes on. The thread ends soon after."""
        self.recording.end = index

    def _next_index(self) -> int:
        """Return the index of the first captured frame that has no row yet."""
        raise NotImplementedError

    def _mark_rest(self) -> None:
        self.recording.mark_dropped(self._ring.metas(self._next_index(), self._ring.newest + 1), RUN_ENDED)
