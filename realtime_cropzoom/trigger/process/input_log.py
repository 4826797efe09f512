"""Input log ``<name>_inputs.jsonl``: the events of an engine, from which a replay makes the same decisions.

The first line has the rules, the seed and the calibration; each further line is one event. A file that was cut off is
valid up to its last complete line.
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
    """Writes the events of an engine, without making it wait for the disk."""

    def __init__(
        self, folder: Path, name: str, rules: Rules, seed: int, calibration: Calibration | None = None
    ) -> None:
        """Create ``<name>_inputs.jsonl``.

        Args:
            folder: Folder of the log.
            name: Name of the rules.
            rules: The rules.
            seed: Seed of the random draws.
            calibration: Calibration that the rules name; None if they name none.

        Raises:
            SinkError: if the file cannot be created, or exists already.
        """
        self.path = folder / f"{name}_inputs.jsonl"
        header = _Header(
            _FORMAT, seed, rules_content(rules), None if calibration is None else calibration_yaml(calibration)
        )
        self._rows = AsyncCsv(self.path, _encode(header).decode())

    def add(self, event: Event) -> None:
        """Add an event. Call it in the order in which the engine receives the events."""
        self._rows.add(event_line(event))

    def problems(self) -> list[str]:
        """Return a line for each thing that is missing in the file; call it after ``close``."""
        return self._rows.problems()

    def close(self) -> None:
        """Write what is queued and close the file."""
        self._rows.close()


@dataclass(frozen=True, slots=True)
class Inputs:
    """Content of an input log."""

    rules: Rules
    seed: int
    calibration: Calibration | None
    events: Iterator[Event]


def read_inputs(path: Path) -> Inputs:
    """Open an input log. Its events are read one by one.

    Raises:
        DataError: if it cannot be read, or is not an input log.
    """
    lines = _whole_lines(path)
    try:
        header = msgspec.json.decode(next(lines, b""), type=_Header)
    except msgspec.DecodeError:
        header = None
    if header is None or header.format != _FORMAT:
        raise DataError(f"{path} is not a log of trigger inputs; expected NAME_inputs.jsonl of a trigger session")
    calibration = None if header.calibration is None else parse_calibration(header.calibration, str(path))
    events = (_event(path, number, line) for number, line in enumerate(lines, start=2))
    return Inputs(parse_rules(header.rules), header.seed, calibration, events)


def rules_content(rules: Rules) -> dict[str, Any]:
    """Return the content of a rules file, in types that JSON knows."""
    return rules.model_dump(mode="json", by_alias=True, exclude_unset=True)


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
