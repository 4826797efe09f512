"""What arrives, sorted: which bytes are messages, what is missing between them, and what was heard last.

Pure: it is handed bytes and gives messages, whichever socket they came from. Nothing that arrives raises, and
however much of whatever kind arrives, what is kept stays small.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from realtime_cropzoom.messaging.message import (
    SCHEMA_VERSION,
    EndMessage,
    HelloMessage,
    Message,
    PoseMessage,
    StatusMessage,
    decode,
)

LARGEST_BYTES = 1 << 20
"""No message is as large: a pose of a hundred keypoints has twenty thousand bytes."""
SILENT_AFTER_NS = 3_000_000_000
"""A heartbeat comes once a second, whatever the camera does: three that are missing are no accident."""
SILENT = "silent"
ENDED = "ended"
_PARTS = 2
_CAMERAS_KEPT = 64
_RUNS_KEPT = 16
_PLAUSIBLE_GAP = 10_000
_PLAUSIBLE_PER_S = 100_000

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


@dataclass(slots=True)
class _Camera:
    """What was heard of a camera."""

    hello: HelloMessage | None = None
    runs: dict[str, PoseMessage | None] = field(default_factory=dict)
    """Run → its last pose, in the order in which runs were heard of first."""


class MessageTracker:
    """Takes in what arrives of one camera, or of all."""

    def __init__(self, camera: str | None = None) -> None:
        """Messages of other cameras than ``camera`` are passed over; None takes all."""
        self._only = camera
        self._cameras: dict[str, _Camera] = {}
        self._stream: str | None = None
        self._heard_ns: int | None = None
        self.hello: HelloMessage | None = None
        """The last one."""
        self.last_status: StatusMessage | None = None
        """The last one."""
        self.missed = 0
        """Poses that never arrived, seen as gaps in ``seq``."""
        self.late = 0
        """Poses that the run had published before the first one that arrived; of the run that was joined last."""
        self.restarts = 0
        """How often a new run has begun at a camera that was heard before."""
        self.malformed = 0
        """What arrived and was no message of this schema version."""
        self.oversize = 0
        """What arrived and was larger than any message."""
        self.others: dict[str, None] = {}
        """The cameras whose messages were passed over, in the order in which they were heard of first."""

    def keep_to(self, camera: str) -> None:
        """Pass over the messages of other cameras from now on."""
        self._only = camera

    def take_parts(self, parts: Sequence[bytes], received_ns: int) -> Message | None:
        """Take in what a socket gave: topic and payload, or a payload alone. As ``take``."""
        if len(parts) > _PARTS:
            self.malformed += 1
            return None
        return self.take(parts[-1], received_ns)

    def take(self, payload: bytes, received_ns: int) -> Message | None:
        """Return the message in ``payload``, or None where it is none, or none of this camera. Raises nothing."""
        if len(payload) > LARGEST_BYTES:
            self.oversize += 1
            return None
        message = _decoded(payload)
        if message is not None and self._only not in (None, message.camera):
            _kept(self.others, message.camera, None, _CAMERAS_KEPT)
            return None
        if message is None or not self._note(message):
            self.malformed += 1
            return None
        self._heard_ns = received_ns
        return message

    def hello_of(self, message: Message) -> HelloMessage | None:
        """Return the hello of the run that ``message`` belongs to, None while it has not come."""
        camera = self._cameras.get(message.camera)
        hello = None if camera is None else camera.hello
        return hello if hello is not None and hello.run == message.run else None

    def stream(self, at_ns: int) -> str:
        """Return what the last message said of the stream, or ``silent`` where nothing has come for long.

        After the end of a run nothing is to come, so that it stays ``ended``.
        """
        if self._heard_ns is None or self._stream is None:
            return SILENT
        silent = at_ns - self._heard_ns > SILENT_AFTER_NS and self._stream != ENDED
        return SILENT if silent else self._stream

    def _note(self, message: Message) -> bool:
        """Keep what is to be kept of a message, and count; return whether it makes sense."""
        camera = _kept(self._cameras, message.camera, _Camera(), _CAMERAS_KEPT)
        if message.run not in camera.runs:
            self.restarts += bool(camera.runs)
            _kept(camera.runs, message.run, None, _RUNS_KEPT)
        if isinstance(message, PoseMessage):
            if not self._count_gap(camera.runs[message.run], message):
                return False
            camera.runs[message.run] = message
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

    def _count_gap(self, last: PoseMessage | None, message: PoseMessage) -> bool:
        """Count what is missing before a pose; return whether so many can have been published meanwhile."""
        if last is None:
            self.late = message.seq
            return True
        gap = message.seq - last.seq - 1
        elapsed_ns = abs(message.time.captured_ns - last.time.captured_ns)
        if gap > _PLAUSIBLE_GAP + elapsed_ns * _PLAUSIBLE_PER_S // 1_000_000_000:
            return False
        self.missed += max(0, gap)
        return True


def _kept(those: dict[_Key, _Value], key: _Key, new: _Value, limit: int) -> _Value:
    """Return what is there under ``key``; else put ``new`` there, and forget the oldest beyond ``limit``."""
    if key not in those:
        those[key] = new
        if len(those) > limit:
            del those[next(iter(those))]
    return those[key]


def _decoded(payload: bytes) -> Message | None:
    """Return the message, or None where the bytes are none of this schema: whatever they are, they raise nothing."""
    try:
        message = decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return message if message.schema == SCHEMA_VERSION else None
