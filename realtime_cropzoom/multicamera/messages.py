"""Messages between the process that supervises all cameras and the process of each camera.

Each message is one line of JSON with its kind in ``type``. The supervisor sends orders: first the job, then perhaps
a stop. The worker sends reports; the last one is the end. The text is written and read with ``json``, not
with ``msgspec.json``: paths may hold bytes that are not UTF-8, and numbers may be NaN.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from realtime_cropzoom.messaging.message import StatusMessage


class Job(msgspec.Struct, frozen=True, tag="job"):
    """The first order: the run of one camera."""

    settings: dict[str, Any]
    """Settings of this camera, as ``Settings.model_dump(mode="json")`` gives them."""
    folder: str
    """Folder for the files of this camera."""
    anchor_ns: int
    """Unix time less monotonic time, ns; the same for all cameras of a session."""


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """The order to end the run."""

    reason: str
    exit: int
    """Exit code for the worker."""


class Note(msgspec.Struct, frozen=True, tag="note"):
    """A line for the user, hidden by ``--quiet``."""

    text: str


class Problem(msgspec.Struct, frozen=True, tag="problem"):
    """A line that the user sees in any case."""

    text: str


class FrameCount(msgspec.Struct, frozen=True, tag="frame_count"):
    """The number of frames in the source."""

    frames: int | None
    """None if the source does not know it."""


class Heartbeat(msgspec.Struct, frozen=True, tag="heartbeat"):
    """The state of the run, sent once per second."""

    status: StatusMessage


class End(msgspec.Struct, frozen=True, tag="end"):
    """The last report."""

    exit: int
    """Exit code of the worker."""
    reason: str
    summary: dict[str, Any] | None
    """Content of ``summary.json``; None if the run did not start."""


Order = Job | Stop
Report = Note | Problem | FrameCount | Heartbeat | End


def encode(message: Order | Report) -> str:
    """Return the message as one line of ASCII JSON, with its line end."""
    fields = {"type": message.__struct_config__.tag, **msgspec.structs.asdict(message)}
    return json.dumps(fields, default=_plain) + "\n"


def decode_order(line: str | bytes) -> Order:
    """Return the order in a line.

    Raises:
        msgspec.ValidationError: The kind of message is unknown, or a field is missing or has a wrong type.
        ValueError: The line is not JSON, as when its sender was killed while it wrote.
    """
    order: Order = msgspec.convert(json.loads(line), Order)
    return order


def decode_report(line: str | bytes) -> Report:
    """Return the report in a line.

    Raises:
        msgspec.ValidationError: The kind of message is unknown, or a field is missing or has a wrong type.
        ValueError: The line is not JSON, as when its sender was killed while it wrote.
    """
    report: Report = msgspec.convert(json.loads(line), Report)
    return report


def _plain(value: object) -> object:
    """Return a value that ``json`` cannot write in a form that it can."""
    return msgspec.to_builtins(value) if isinstance(value, msgspec.Struct) else str(value)
