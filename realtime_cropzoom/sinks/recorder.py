"""Recorders: encode the captured frames to a video, and the crops to another, and never delay the tracking.

The recorder reads the ring behind the pose stage. Frames that are overwritten before it reads them are
missing in the recording, counted, and marked in ``<name>_recording.csv``. That table has one row per captured
frame, with its number in the recording or the reason why it has none. A full disk ends the recording but not
the run. The times in the file are the frame times (``pts_ns``), so it does not drift, and an outage of the
camera keeps its duration.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from realtime_cropzoom.clock import now_s
from realtime_cropzoom.config.group import COPY, NONE
from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.inference.boxes import even
from realtime_cropzoom.inference.crop import Edge, cut
from realtime_cropzoom.runtime.queues import Sink
from realtime_cropzoom.runtime.records import FrameOutcome, Record
from realtime_cropzoom.runtime.ring import EndOfStream, Ring, TrailingReader
from realtime_cropzoom.runtime.worker import POLL_S, RunControl
from realtime_cropzoom.sinks.base_recorder import BaseRecorder, RecordingWork, ShutdownGrace
from realtime_cropzoom.sinks.packet_file import SUFFIX
from realtime_cropzoom.sinks.packet_recorder import PacketRecorder
from realtime_cropzoom.sinks.recording import NO_BOX, RUN_ENDED, TOO_SLOW, CopiedRecording, EncodedRecording
from realtime_cropzoom.sinks.video_encoder import Codec, video_suffix
from realtime_cropzoom.sources.base import SourceInfo
from realtime_cropzoom.sources.encoded import CodecParameters, NotCopyable
from realtime_cropzoom.sources.recording_table import CROPS
from realtime_cropzoom.types import ActiveBox, Box, FrameMeta, Picture, UInt8

_MAX_QUEUED = 1 << 16
"""Maximum number of records that wait for the crop recorder."""
_MAX_POSE_WAIT_S = 0.02
"""Maximum time (s) to delay encoding a frame until its pose is done. Encoding immediately would compete with the
models for CPU and memory. It is bounded, so that a hung model cannot stop the recording."""


class FrameRecorder(BaseRecorder):
    """Records every captured frame, encoded here."""

    recording: EncodedRecording

    def __init__(self, recording: EncodedRecording, ring: Ring, control: RunControl, *, lockstep: bool) -> None:
        """Create the recorder without starting it.

        Args:
            recording: Video and table to write.
            ring: Ring from which the frames are read.
            control: Control of the run.
            lockstep: Whether the ring keeps each frame until it is recorded.
        """
        super().__init__(recording, ring, control)
        self._reader = TrailingReader.from_now(ring, lockstep=lockstep)
        recording.first = self._reader.next_index
        self._lockstep = lockstep
        self._posed, self._pose_done = -1, threading.Event()

    def put(self, record: Record) -> None:
        """Take note that the pose stage is done with a frame."""
        self._posed = record.meta.index
        self._pose_done.set()

    def work(self) -> None:
        """Record until the last frame. In lockstep the source waits for this recorder until then."""
        try:
            super().work()
        finally:
            self._reader.close()

    def _next_index(self) -> int:
        return self._reader.next_index

    def _record_all(self) -> None:
        while not self._is_complete(self._reader.next_index):
            try:
                lease = self._reader.take(POLL_S)
            except EndOfStream:
                return
            if lease is None:
                if self._ended.is_set():
                    return
                continue
            with lease:
                self.recording.mark_dropped(lease.skipped, TOO_SLOW)
                if self._grace.over():
                    self.recording.mark_dropped([lease.frame.meta], RUN_ENDED)
                else:
                    self._wait_for_pose(lease.frame.meta.index)
                    self.recording.write(lease.frame.meta, lease.frame.image, lease)

    def _wait_for_pose(self, index: int) -> None:
        """Wait until the frame has its pose, at most ``_MAX_POSE_WAIT_S`` and while the ring has room."""
        deadline = now_s() + _MAX_POSE_WAIT_S
        while not (self._lockstep or self._posed >= index or self.control.stop.is_set()):
            left_s = deadline - now_s()
            if left_s <= 0 or self._ring.newest - index > self._ring.slots // 2:
                return
            self._pose_done.clear()
            if self._posed < index:  # checked again: the event may have been set just before it was cleared
                self._pose_done.wait(left_s)


class CropRecorder(RecordingWork, Sink):
    """Records the crops that the pose model saw, resized to one size: one per frame with a box."""

    recording: EncodedRecording

    def __init__(
        self, recording: EncodedRecording, ring: Ring, control: RunControl, *, edge: Edge, lockstep: bool
    ) -> None:
        super().__init__("record-crops", control, limit=_MAX_QUEUED, wait_when_full=lockstep)
        self.recording = recording
        self._ring = ring
        self._reader = TrailingReader(ring, lockstep=lockstep)
        self._grace = ShutdownGrace(control)
        self._edge: Edge = edge
        self._last_queued = -1

    def show(self, meta: FrameMeta, active_box: ActiveBox) -> None:
        """Queue a frame with its box before its record, which may have to wait for later frames."""
        self.put(Record(meta, FrameOutcome.PROCESSED, active_box))

    def put(self, record: Record) -> None:
        """Queue a record, unless its frame was queued already."""
        if record.meta.index > self._last_queued:
            self._last_queued = record.meta.index
            super().put(record)

    def _record_all(self) -> None:
        ended = False
        while not ended:
            records, ended = self._take_all(POLL_S)
            for record in records:
                self._record(record)

    def _record(self, record: Record) -> None:
        meta, box = record.meta, record.active_box.box
        dropped = self._ring.metas(self._reader.next_index, meta.index)  # from a queue that was full
        self.recording.mark_dropped(dropped, TOO_SLOW)
        lease = self._reader.take_frame(meta.index)
        if box is None or lease is None or self._grace.over():
            reason = NO_BOX if box is None else TOO_SLOW if lease is None else RUN_ENDED
            self.recording.mark_dropped([meta], reason)
            if lease is not None:
                lease.release()
            return
        with lease:
            self.recording.write(meta, self._crop(lease.frame.image, box), lease)

    def _crop(self, image: Picture, box: Box) -> UInt8:
        pixels, used = cut(image, box, self._edge)
        if (used.w, used.h) == self.recording.size:
            return pixels
        return np.asarray(cv2.resize(pixels, self.recording.size), np.uint8)


Recorder = FrameRecorder | PacketRecorder | CropRecorder


def check_copy(settings: Settings, info: SourceInfo) -> None:
    """Check that the source's own stream can be copied if the settings request that.

    Raises:
        ConfigError: if it cannot.
    """
    if settings.record == COPY and isinstance(info.coding, NotCopyable):
        raise ConfigError(
            f"{info.name} cannot be recorded without encoding (--record copy): {info.coding.reason}; "
            "use --record h264, or ffv1, which is lossless"
        )


@dataclass(frozen=True, slots=True)
class RecorderMaker:
    """Creates the recorders of one run."""

    settings: Settings
    info: SourceInfo
    """Properties of the source."""
    ring: Ring
    """Ring from which frames are read."""
    folder: Path
    """Folder of the run."""
    control: RunControl
    slots: int
    """Number of frames in the ring of a run that records."""

    @property
    def codec(self) -> Codec:
        """The codec of frames and crops that are encoded here."""
        return "ffv1" if self.settings.record == "ffv1" else "h264"

    @property
    def lockstep(self) -> bool:
        """Whether each frame waits until it is recorded."""
        return self.settings.pace == "fast"

    @property
    def suffix(self) -> str:
        """Suffix of a video of frames, with its dot."""
        return SUFFIX if self.settings.record == COPY else video_suffix(self.codec)

    def make_room(self) -> None:
        """Let the ring of a run that began without a recording hold the frames that wait for one."""
        if self.settings.record != COPY:
            self.ring.grow(self.slots, kept=self.info.kept)

    def frames(self, stem: str) -> FrameRecorder | PacketRecorder:
        """Return a recorder of the frames from the next one on, without starting it. Another file must not exist.

        Args:
            stem: Name of the video without its suffix.
        """
        settings, info, video = self.settings, self.info, self.folder / f"{stem}{self.suffix}"
        if settings.record == COPY and isinstance(info.coding, CodecParameters):
            limit_bytes = settings.record_buffer * info.width * info.height * 3
            copied = CopiedRecording(video, info.coding)
            return PacketRecorder(copied, self.ring, self.control, limit_bytes=limit_bytes, lockstep=self.lockstep)
        encoded = EncodedRecording(video, (info.width, info.height), info.fps, self.codec)
        return FrameRecorder(encoded, self.ring, self.control, lockstep=self.lockstep)

    def crops(self, size: tuple[int, int]) -> CropRecorder:
        """Return a recorder of the crops, without starting it.

        Args:
            size: (width, height) in pixels to which crops are resized, rounded to even numbers.
        """
        video = self.folder / f"{self.info.name}{CROPS}{video_suffix(self.codec)}"
        crops = EncodedRecording(video, (even(size[0]), even(size[1])), self.info.fps, self.codec)
        return CropRecorder(crops, self.ring, self.control, edge=self.settings.edge, lockstep=self.lockstep)

    def at_start(self, crop_size: tuple[int, int]) -> list[Recorder]:
        """Return the recorders that the settings request from the start, without starting them.

        Args:
            crop_size: (width, height) of crops in pixels.
        """
        recorders: list[Recorder] = []
        if self.settings.record != NONE:
            recorders.append(self.frames(self.info.name))
        if self.settings.record_crops:
            recorders.append(self.crops(crop_size))
        return recorders
