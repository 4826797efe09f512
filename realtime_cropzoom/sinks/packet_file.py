"""Frames as they came, compressed → one Matroska file that can be read to its end, whatever ends the run.

Nothing is encoded: the packets are those of the camera. Matroska keeps times to the millisecond. Each
frame is handed to the operating system as soon as the next one comes.
"""

from __future__ import annotations

import io
import threading
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from realtime_cropzoom.errors import SinkError, plainly
from realtime_cropzoom.sinks.muxer_file import OutputFile
from realtime_cropzoom.sources.encoded import CodecParameters, CodedFrame, EncodedFrames
from realtime_cropzoom.types import FrameMeta

_FRAMES = 1 << 13
_POLL_S = 0.1
SUFFIX = ".mkv"
_TICK = Fraction(1, 1000)
_OPTIONS = {"cluster_time_limit": "0", "flush_packets": "1"}


@dataclass(frozen=True, slots=True)
class QueuedFrame:
    """A captured frame on its way."""

    stamp: FrameMeta
    coded: EncodedFrames | None
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

    def _has_room(self, coded: EncodedFrames | None) -> bool:
        """One frame always fits, however large it is."""
        more = coded.nbytes if coded is not None else 0
        return not self._frames or (len(self._frames) < _FRAMES and self._bytes + more <= self._limit_bytes)


class PacketFile:
    """One file. Opened, used and closed in one thread; once open it never raises, but keeps its ``error``."""

    def __init__(self, path: Path, coding: CodecParameters) -> None:
        """Raises SinkError where the file cannot be made."""
        self.muxed = 0
        """Frames given to the file."""
        self.on_disk = 0
        """Those that are in it for certain, whole."""
        self._last_ticks = -1
        self._file = OutputFile(path)
        try:
            self._container = av.open(self._file, "w", format="matroska", options=_OPTIONS)
            # FFmpeg finds out from a key frame what the file's header must say.
            with av.open(io.BytesIO(coding.key_frame), format=coding.codec) as key_frame:
                self._stream = self._container.add_stream_from_template(key_frame.streams.video[0])
            self._stream.time_base = _TICK
            self._container.start_encoding()
        except (av.FFmpegError, OSError, ValueError) as error:
            self._file.close()
            raise SinkError(f"cannot record to {path}: {plainly(error)}") from error

    @property
    def error(self) -> str | None:
        """What went wrong; the file holds what was written before, and takes nothing more."""
        return self._file.error

    def write(self, coded: EncodedFrames, pts_ns: int) -> None:
        """Write the frame shown at ``pts_ns``, after those it is made from, which then take no time at all."""
        ticks = self._last_ticks = max(round(pts_ns / 1e6), self._last_ticks + 1)
        for frame in coded.frames:
            self._mux(frame, ticks)
        if self.error is None:  # a frame is written out when the next one comes
            self.on_disk = max(0, self.muxed - 1)
            self._file.keep()

    def close(self) -> None:
        """Write what is left, and close the file."""
        try:
            self._container.close()
        except Exception as error:  # whatever ails it: the tracking goes on
            self._file.fail(error)
        if self.error is None:
            self.on_disk = self.muxed
        self._file.close()

    def _mux(self, frame: CodedFrame, ticks: int) -> None:
        if self.error is not None:
            return
        packet = av.Packet(frame.data)
        packet.stream, packet.time_base, packet.is_keyframe = self._stream, _TICK, frame.is_key
        packet.pts = packet.dts = ticks
        try:
            self._container.mux(packet)
            self.muxed += 1
        except Exception as error:  # as above
            self._file.fail(error)
