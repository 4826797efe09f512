"""Message tracker: decodes received bytes, counts gaps in ``seq`` and keeps the last messages of each camera.

No I/O: it receives bytes and returns messages, and does not use a socket. Malformed input never raises, and
memory use is bounded for any input.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from realtime_cropzoom.messaging.message import (
    SCHEMA_VERSION,
    EndMessage,
    FrameMessage,
    HelloMessage,
    Message,
    PoseMessage,
    StatusMessage,
    decode,
)

LARGEST_BYTES = 1 << 20
"""Maximum size of a payload (bytes). A pose of a hundred keypoints has about twenty thousand bytes."""
SILENT_AFTER_NS = 3_000_000_000
"""Time without a message (ns) after which the stream is silent. A run sends a heartbeat every second, also without
frames, so three of them are missing."""
SILENT = "silent"
"""State of a stream without messages for ``SILENT_AFTER_NS``."""
ENDED = "ended"
"""State of a stream after its end message."""
_MAX_PARTS = 2
"""Maximum number of parts of a message: topic and payload."""
_MAX_CAMERAS = 64
"""Maximum number of cameras that are kept. Together with ``_MAX_RUNS`` it bounds the memory use."""
_MAX_RUNS = 16
"""Maximum number of runs that are kept for each camera."""
_MAX_REGIONS = 64
"""Maximum number of regions that are kept for each run."""
_MAX_GAP = 10_000
"""Maximum gap in ``seq`` at any time. A larger one needs time, at most ``_MAX_POSES_PER_S``."""
_MAX_POSES_PER_S = 100_000
"""Maximum rate (poses per second) that a gap in ``seq`` may mean."""

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


@dataclass(slots=True)
class _Camera:
    """The last messages of one camera."""

    hello: HelloMessage | None = None
    runs: dict[str, dict[str | None, FrameMessage]] = field(default_factory=dict)
    """Run id → last pose of each region (None for the whole frame), in the order in which the runs were first seen."""


class MessageTracker:
    """Tracks the messages of one camera or of all cameras, of one region or of all regions."""

    def __init__(self, camera: str | None = None, region: str | None = None) -> None:
        """Drop the messages of cameras other than ``camera`` and the poses of other regions than ``region``.

        None keeps all.
        """
        self._only, self._region = camera, region
        self._cameras: dict[str, _Camera] = {}
        self._stream: str | None = None
        self._received_ns: int | None = None
        self.hello: HelloMessage | None = None
        """The last hello message."""
        self.last_status: StatusMessage | None = None
        """The last status message."""
        self.missed = 0
        """Number of poses that never arrived (gaps in ``seq``)."""
        self.late = 0
        """Number of poses that the run published before the first received pose. It belongs to the run joined last."""
        self.restarts = 0
        """Number of times that a new run began for a camera that had sent messages before."""
        self.malformed = 0
        """Number of payloads that were not a message of this schema version."""
        self.oversize = 0
        """Number of payloads that were larger than any message."""
        self.others: dict[str, None] = {}
        """The cameras whose messages were dropped, in the order in which they were first seen."""

    @property
    def runs(self) -> dict[str, tuple[str, ...]]:
        """Camera → ids of its runs, in the order in which they were first seen: at most 64 cameras and 16 runs each."""
        return {name: tuple(camera.runs) for name, camera in self._cameras.items()}

    def select_camera(self, camera: str) -> None:
        """Drop the messages of cameras other than ``camera`` from now on."""
        self._only = camera

    def take_parts(self, parts: Sequence[bytes], received_ns: int) -> Message | None:
        """Take the parts that a socket received: topic and payload, or the payload alone.

        Args:
            parts: The parts of one ZeroMQ message.
            received_ns: Time of reception (ns, monotonic clock of this machine).

        Returns:
            As ``take``.
        """
        if len(parts) > _MAX_PARTS:
            self.malformed += 1
            return None
        return self.take(parts[-1], received_ns)

    def take(self, payload: bytes, received_ns: int) -> Message | None:
        """Decode ``payload``, count it and keep it. Never raises.

        Args:
            payload: JSON or msgpack.
            received_ns: Time of reception (ns, monotonic clock of this machine).

        Returns:
            The message; None if the payload is not a message, or if it belongs to a camera that is not tracked.
        """
        if len(payload) > LARGEST_BYTES:
            self.oversize += 1
            return None
        message = _decode(payload)
        if message is not None and self._only not in (None, message.camera):
            _get_or_add(self.others, message.camera, None, _MAX_CAMERAS)
            return None
        if isinstance(message, PoseMessage) and self._region not in (None, message.region):
            return None
        if message is None or not self._keep(message):
            self.malformed += 1
            return None
        self._received_ns = received_ns
        return message

    def find_hello(self, message: Message) -> HelloMessage | None:
        """Return the hello message of the run that ``message`` belongs to; None before it arrived."""
        camera = self._cameras.get(message.camera)
        hello = None if camera is None else camera.hello
        return hello if hello is not None and hello.run == message.run else None

    def stream(self, at_ns: int) -> str:
        """Return the state of the stream in the last message, or ``silent`` if no message came for ``SILENT_AFTER_NS``.

        After the end message no more messages are expected: the state stays ``ended``.
        """
        if self._received_ns is None or self._stream is None:
            return SILENT
        silent = at_ns - self._received_ns > SILENT_AFTER_NS and self._stream != ENDED
        return SILENT if silent else self._stream

    def _keep(self, message: Message) -> bool:
        """Keep the message and count gaps; return False if its ``seq`` is not plausible."""
        camera = _get_or_add(self._cameras, message.camera, _Camera(), _MAX_CAMERAS)
        if message.run not in camera.runs:
            self.restarts += bool(camera.runs)
            _get_or_add(camera.runs, message.run, dict[str | None, FrameMessage](), _MAX_RUNS)
        if isinstance(message, FrameMessage):
            last, region = camera.runs[message.run], message.region if isinstance(message, PoseMessage) else None
            if not self._count_gap(last.get(region), message):
                return False
            _get_or_add(last, region, message, _MAX_REGIONS)
            last[region] = message
            self._stream = message.stream
        elif isinstance(message, StatusMessage):
            self.last_status = message
            self._stream = message.stream
        elif isinstance(message, HelloMessage):
            camera.hello = self.hello = message
            self._stream = self._stream if self._stream not in (None, ENDED) else "live"
        elif isinstance(message, EndMessage):
            self._stream = ENDED
        return True

    def _count_gap(self, last: FrameMessage | None, message: FrameMessage) -> bool:
        """Count the poses missing before ``message``; return False if the gap is too large for the elapsed time."""
        if last is None:
            self.late = message.seq
            return True
        gap = message.seq - last.seq - 1
        elapsed_ns = abs(message.time.captured_ns - last.time.captured_ns)
        if gap > _MAX_GAP + elapsed_ns * _MAX_POSES_PER_S // 1_000_000_000:
            return False
        self.missed += max(0, gap)
        return True


def _get_or_add(entries: dict[_Key, _Value], key: _Key, new: _Value, limit: int) -> _Value:
    """Return the value of ``key``. If it is missing, store ``new`` and drop the oldest entry above ``limit``."""
    if key not in entries:
        entries[key] = new
        if len(entries) > limit:
            del entries[next(iter(entries))]
    return entries[key]


def _decode(payload: bytes) -> Message | None:
    """Return the message, or None if the bytes are not a message of this schema version. Never raises."""
    try:
        message = decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return message if message.schema == SCHEMA_VERSION else None
