"""All that an engine was given, line by line in JSON, so that a replay decides byte for byte the same.

The first line has the rules, the seed and the calibration; then there is a line an event, with what
of a message an engine looks at. A file that was cut off anywhere is good up to its last whole line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from realtime_cropzoom.calibration.calibration import Calibration, calibration_yaml, read_calibration
from realtime_cropzoom.errors import DataError
from realtime_cropzoom.files.atomic import MAKE_ROOM, write_whole
from realtime_cropzoom.messaging.message import (
    SCHEMA_VERSION,
    Counts,
    EndMessage,
    HelloMessage,
    PoseMessage,
    StatusMessage,
    TimeField,
)
from realtime_cropzoom.trigger.async_csv import RowLog
from realtime_cropzoom.trigger.engine.events import Command, Event, Order, Received, Tick, Withheld
from realtime_cropzoom.trigger.rules.rules import Rules, parse_rules

_FORMAT = "cropzoom trigger inputs 1"
_COUNTS = Counts(0, 0, 0, 0, 0)


class _Header(msgspec.Struct):
    format: str
    seed: int
    rules: dict[str, Any]
    calibration: str | None


class _Line(msgspec.Struct, tag_field="type", omit_defaults=True):
    now_ns: int


class _Tick(_Line, tag="tick"):
    pass


class _Command(_Line, tag="command"):
    order: str
    by: str
    target: str | None = None
    reason: str | None = None


class _Withheld(_Line, tag="withheld"):
    number: int
    output: str
    reason: str


class _FromWire(_Line):
    run: str
    camera: str
    uncertainty_ns: int = 0


class _Pose(_FromWire, tag="pose", kw_only=True):
    seq: int
    frame: int
    state: str
    stream: str
    captured_ns: int
    published_ns: int
    segment: int = 0
    asked_ns: tuple[int, ...] = ()
    keypoints: dict[str, tuple[float | None, float | None, float | None]]
    plausible: bool | None = None
    doubt: str | None = None


class _Status(_FromWire, tag="status", kw_only=True):
    stream: str


class _Hello(_FromWire, tag="hello", kw_only=True):
    keypoint_names: list[str]


class _End(_FromWire, tag="end", kw_only=True):
    reason: str


_decode = msgspec.json.Decoder(_Tick | _Command | _Withheld | _Pose | _Status | _Hello | _End).decode
_encode = msgspec.json.Encoder().encode


class InputLog:
    """Writes each event as soon as it is there; nobody waits for the disk."""

    def __init__(
        self, folder: Path, name: str, rules: Rules, seed: int, calibration: Calibration | None = None
    ) -> None:
        """Create ``<name>_inputs.jsonl``. Raises SinkError where that cannot be done, or it is there already."""
        self.path = folder / f"{name}_inputs.jsonl"
        given = rules.model_dump(mode="json", by_alias=True, exclude_unset=True)
        header = _Header(_FORMAT, seed, given, None if calibration is None else calibration_yaml(calibration))
        self._rows = RowLog(self.path, _encode(header).decode())

    def add(self, event: Event) -> None:
        """Take in an event, in the order in which the engine gets them."""
        self._rows.add(event_line(event))

    def problems(self) -> list[str]:
        """Say what is not in the file; right after ``close``."""
        return self._rows.problems()

    def close(self) -> None:
        """Write what is queued and close the file."""
        self._rows.close()


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a file of inputs holds."""

    rules: Rules
    seed: int
    calibration: Calibration | None
    events: Iterator[Event]


def read_inputs(path: Path) -> Inputs:
    """Open a file of inputs; its events are read as they are asked for. Raises DataError."""
    lines = _whole_lines(path)
    try:
        header = msgspec.json.decode(next(lines, b""), type=_Header)
    except msgspec.DecodeError:
        header = None
    if header is None or header.format != _FORMAT:
        raise DataError(f"{path} is no file of trigger inputs; expected one that a trigger session has left")
    events = (_event(path, number, line) for number, line in enumerate(lines, start=2))
    return Inputs(parse_rules(header.rules), header.seed, _calibration(header.calibration), events)


def event_line(event: Event) -> str:
    """Return an event as a line of JSON with its end."""
    return _encode(_line(event)).decode() + "\n"


def _line(event: Event) -> _Line:
    if isinstance(event, Tick):
        return _Tick(event.now_ns)
    if isinstance(event, Command):
        return _Command(event.now_ns, str(event.order), event.by, event.target, event.reason)
    if isinstance(event, Withheld):
        return _Withheld(event.now_ns, event.number, event.output, event.reason)
    message = event.message
    head = (event.received_ns, message.run, message.camera, event.uncertainty_ns)
    if isinstance(message, PoseMessage):
        return _Pose(
            *head,
            seq=message.seq,
            frame=message.frame,
            state=message.state,
            stream=message.stream,
            captured_ns=message.time.captured_ns,
            published_ns=message.time.published_ns,
            segment=message.segment,
            plausible=message.plausible,
            doubt=message.doubt,
            asked_ns=event.asked_ns,
            keypoints=message.keypoints,
        )
    if isinstance(message, StatusMessage):
        return _Status(*head, stream=message.stream)
    if isinstance(message, HelloMessage):
        return _Hello(*head, keypoint_names=message.keypoint_names)
    return _End(*head, reason=message.reason)


def _whole_lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from (line for line in file if line.endswith(b"\n"))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None


def _event(path: Path, number: int, text: bytes) -> Event:
    try:
        line = _decode(text)
        if isinstance(line, _Tick):
            return Tick(line.now_ns)
        if isinstance(line, _Command):
            return Command(Order(line.order), line.now_ns, line.by, line.target, line.reason)
        if isinstance(line, _Withheld):
            return Withheld(line.number, line.output, line.reason, line.now_ns)
        asked_ns = line.asked_ns if isinstance(line, _Pose) else ()
        return Received(_message(line), line.now_ns, line.uncertainty_ns, asked_ns)
    except (msgspec.DecodeError, ValueError) as error:
        raise DataError(f"{path}, line {number}: {error}") from None


def _message(line: Any) -> PoseMessage | StatusMessage | HelloMessage | EndMessage:
    """A message with what was kept of it; an engine looks at nothing else."""
    head = (SCHEMA_VERSION, line.run, line.camera)
    if isinstance(line, _Pose):
        times = TimeField(None, line.captured_ns, None, None, line.published_ns, line.published_ns, 0)
        return PoseMessage(
            *head, line.seq, line.frame, line.state, line.stream, line.keypoints, None, times, _COUNTS, line.segment,
            plausible=line.plausible, doubt=line.doubt,
        )  # fmt: skip
    if isinstance(line, _Status):
        return StatusMessage(*head, "", line.stream, _COUNTS, 0, 0.0, 0.0, {}, 0, 0)
    if isinstance(line, _Hello):
        return HelloMessage(*head, "", line.keypoint_names, 0, 0, None, None, "", "", "", 0)
    return EndMessage(*head, line.reason, _COUNTS, 0)


def _calibration(text: str | None) -> Calibration | None:
    if text is None:
        return None
    with TemporaryDirectory() as folder:
        path = Path(folder) / "calibration.yaml"
        write_whole(path, text, MAKE_ROOM)
        return read_calibration(path)
