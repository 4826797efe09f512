"""Packet file: writes compressed frames to a Matroska file that stays readable to its end, even after a crash.

Nothing is encoded: the packets come from the camera unchanged. Matroska stores times in milliseconds. Each frame
goes to the operating system as soon as the next one arrives.
"""

from __future__ import annotations

import io
import threading
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import OutputContainer

from realtime_cropzoom.sinks.muxer_file import MuxedVideo, PtsTicker
from realtime_cropzoom.sources.encoded import CodecParameters, EncodedFrame, EncodedFrames
from realtime_cropzoom.types import FrameMeta

_MAX_FRAMES = 1 << 13
"""Maximum number of frames in the queue."""
_POLL_S = 0.1
"""Time (s) after which a full queue checks again whether it was closed."""
SUFFIX = ".mkv"
"""Suffix of packet files, with its dot."""
_TICK = Fraction(1, 1000)
"""Time base (s) of Matroska."""


@dataclass(frozen=True, slots=True)
class QueuedFrame:
    """A captured frame in the queue."""

    meta: FrameMeta
    encoded: EncodedFrames | None
    """The compressed frame; None if a frame that it depends on is missing."""


class DropToKeyFrameQueue:
    """Queue bounded in frames and bytes. When it is full, it drops new frames up to the next key frame that fits.

    A frame depends on earlier ones: after a missing frame, no frame can be used up to the next key frame.
    """

    def __init__(self, limit_bytes: int, *, wait_when_full: bool) -> None:
        """Create an empty queue.

        Args:
            limit_bytes: Maximum size of the queued frames in bytes; a single frame may be larger.
            wait_when_full: Whether ``put`` waits for room, as in lockstep (``pace: fast``), instead of dropping frames.
        """
        self._limit_bytes, self._wait_when_full = limit_bytes, wait_when_full
        self._frames: deque[QueuedFrame] = deque()
        self._bytes = 0
        self._dropping = False
        self._closed = False
        self._changed = threading.Condition()

    def put(self, frame: QueuedFrame) -> None:
        """Add the next frame or drop it. The consumer detects dropped frames by their indices."""
        encoded = frame.encoded
        with self._changed:
            while self._wait_when_full and not self._has_room(encoded) and not self._closed:
                self._changed.wait(_POLL_S)
            starts_with_key_frame = encoded is not None and encoded.starts_with_key_frame
            if self._closed or not self._has_room(encoded) or (self._dropping and not starts_with_key_frame):
                self._dropping = True
                return
            self._dropping = False
            self._frames.append(frame)
            self._bytes += encoded.nbytes if encoded is not None else 0
            self._changed.notify_all()

    def take(self, timeout_s: float) -> QueuedFrame | None:
        """Remove and return the oldest frame; None if none arrives within ``timeout_s``."""
        with self._changed:
            if not self._frames:
                self._changed.wait(timeout_s)
            if not self._frames:
                return None
            frame = self._frames.popleft()
            self._bytes -= frame.encoded.nbytes if frame.encoded is not None else 0
            self._changed.notify_all()
            return frame

    def close(self) -> None:
        """Mark the queue as no longer read: ``put`` drops all frames and does not wait for room."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _has_room(self, encoded: EncodedFrames | None) -> bool:
        """Return whether a frame fits. An empty queue accepts a frame of any size."""
        more = encoded.nbytes if encoded is not None else 0
        return not self._frames or (len(self._frames) < _MAX_FRAMES and self._bytes + more <= self._limit_bytes)


class PacketFile(MuxedVideo):
    """A Matroska file of compressed frames."""

    def __init__(self, path: Path, coding: CodecParameters) -> None:
        """Create the file.

        Args:
            path: Path of the file.
            coding: Codec parameters of the frames.

        Raises:
            SinkError: if the file cannot be created.
        """
        self._coding = coding
        self._times = PtsTicker(_TICK.denominator)
        super().__init__(path, "matroska", {"cluster_time_limit": "0"})

    def add_stream(self, container: OutputContainer) -> Any:
        """Add a stream with the parameters of a key frame, from which FFmpeg derives the header of the file."""
        with av.open(io.BytesIO(self._coding.key_frame), format=self._coding.codec) as key_frame:
            stream = container.add_stream_from_template(key_frame.streams.video[0])
        stream.time_base = _TICK
        container.start_encoding()
        return stream

    def write(self, encoded: EncodedFrames, pts_ns: int) -> None:
        """Write a captured frame after the frames that it depends on, which get the same time and so no duration.

        Args:
            encoded: The compressed frames.
            pts_ns: Frame time (ns) of the captured frame.
        """
        ticks = self._times.ticks(pts_ns)
        self._mux(self._make_packet(frame, ticks) for frame in encoded.frames)
        self._end_frame()

    def _make_packet(self, frame: EncodedFrame, ticks: int) -> av.Packet[Any]:
        packet = av.Packet(frame.data)
        packet.stream, packet.time_base, packet.is_keyframe = self._stream, _TICK, frame.is_key
        packet.pts = packet.dts = ticks
        return packet
