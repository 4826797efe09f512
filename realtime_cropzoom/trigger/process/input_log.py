"""All that an engine was given, line by line in JSON, so that a replay decides byte for byte the same.

The first line has the rules, the seed and the calibration; then there is a line an event, with what
of a message an engine looks at. A file that was cut off anywhere is good up to its last whole line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from realtime_cropzoom.calibration.calibration import Calibration, calibration_yaml, parse_calibration
from realtime_cropzoom.errors import DataError
from realtime_cropzoom.trigger.async_csv import AsyncCsv
from realtime_cropzoom.trigger.engine.events import Event
from realtime_cropzoom.trigger.rules.rules import Rules, parse_rules

_FORMAT = "cropzoom trigger inputs 1"


class _Header(msgspec.Struct):
    format: str
    seed: int
    rules: dict[str, Any]
    calibration: str | None


_decode = msgspec.json.Decoder(Event).decode
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
        self._rows = AsyncCsv(self.path, _encode(header).decode())

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
    calibration = None if header.calibration is None else parse_calibration(header.calibration, str(path))
    events = (_event(path, number, line) for number, line in enumerate(lines, start=2))
    return Inputs(parse_rules(header.rules), header.seed, calibration, events)


def event_line(event: Event) -> str:
    """Return an event as a line of JSON with its end."""
    return _encode(event).decode() + "\n"


def _whole_lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from (line for line in file if line.endswith(b"\n"))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None


def _event(path: Path, number: int, line: bytes) -> Event:
    try:
        event: Event = _decode(line)
    except (msgspec.DecodeError, ValueError) as error:
        raise DataError(f"{path}, line {number}: {error}") from None
    return event
