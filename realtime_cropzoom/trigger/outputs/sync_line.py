"""Sync line: pulses or barcodes that align frames with another recording, such as electrophysiology.

It sends a pulse for every N-th processed frame, or a barcode at an interval. Each is a row of ``<name>_sync.csv``, with
the frame that it belongs to.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.files.csv_text import csv_line
from realtime_cropzoom.trigger.async_csv import AsyncCsv
from realtime_cropzoom.trigger.engine.events import Action, ActionResult, ActionType
from realtime_cropzoom.trigger.outputs.barcode import BITS, UNITS, code_value, edges
from realtime_cropzoom.trigger.outputs.base import Job

RULE = "sync"
COLUMNS = "frame,captured_ns,kind,value,queued_ns,written_ns,acknowledged_ns,error"
_PENDING = 1024


class SyncSettings(BaseModel):
    """``sync:`` of the rules file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    output: str
    """Name of the output that is the sync line. No rule may fire it."""
    every: int | None = Field(None, ge=1)
    """Send a pulse for every N-th processed frame."""
    pulse_ms: float = Field(1.0, gt=0)
    """Duration of a pulse (ms). It must be shorter than the interval of pulses, or they merge."""
    barcode: bool = False
    """Send barcodes instead of pulses."""
    each_s: float = Field(1.0, gt=0)
    """Interval from the beginning of a code to the beginning of the next one (s)."""
    unit_ms: float = Field(12.0, gt=0)
    """Duration of one unit of a code (ms)."""

    @model_validator(mode="after")
    def _one_of_both(self) -> SyncSettings:
        if (self.every is None) != self.barcode:
            raise ValueError("give either every: 1 (or another number) or barcode: true")
        if self.barcode and UNITS * self.unit_ms > 900 * self.each_s:
            raise ValueError(
                f"a code lasts {UNITS} x unit_ms = {UNITS * self.unit_ms:g} ms; "
                f"expected at most 0.9 x each_s = {900 * self.each_s:g} ms"
            )
        return self


def parse_sync(mapping: dict[str, Any], outputs: set[str]) -> SyncSettings:
    """Check the ``sync:`` section.

    Raises:
        ConfigError: one line with all that is wrong.
    """
    try:
        settings = SyncSettings.model_validate(mapping)
    except ValidationError as error:
        wrong = [f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}".lstrip(": ") for e in error.errors()]
        raise ConfigError(f"sync: {'; '.join(wrong)}") from None
    if settings.output not in outputs:
        raise ConfigError(f"sync: there is no output {settings.output!r}; there are {', '.join(sorted(outputs))}")
    return settings


@dataclass
class _Sent:
    """One pulse or code, from its submission to its last result."""

    frame: int | None
    captured_ns: int | None
    kind: str
    value: int
    awaited: int
    """Number of results that are missing."""
    first: ActionResult | None = None
    errors: list[str] = field(default_factory=list)


class SyncLine:
    """Sends pulses or codes. Call ``frame`` for each pose, and ``take`` for each result of an output."""

    def __init__(
        self, settings: SyncSettings, submit: Callable[[Job], None], log: AsyncCsv | None, *, holds_level: bool
    ) -> None:
        """Prepare the sync line.

        Args:
            settings: Its settings.
            submit: Function that hands a job to the output.
            log: The log of the sync line; None: none.
            holds_level: Whether the output holds a level. To any other output, a code goes as one message.
        """
        self._settings, self._submit, self._log, self._holds_level = settings, submit, log, holds_level
        self._seed = random.getrandbits(BITS)  # so that two sessions have different codes
        self._lock = threading.Lock()
        self._pending: dict[int, _Sent] = {}
        self._last: tuple[int | None, int | None, int] = (None, None, 0)
        self._frames = self._sent = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start to send codes. Pulses need no start."""
        if self._settings.barcode:
            self._thread = threading.Thread(target=self._send_codes, name="cropzoom-barcode", daemon=True)
            self._thread.start()

    def frame(self, frame: int, captured_ns: int, offset_ns: int = 0) -> None:
        """Take a pose; times as in ``Job``."""
        self._last = frame, captured_ns, offset_ns
        if self._settings.every is not None:
            if self._frames % self._settings.every == 0:
                action = Action(self._settings.output, ActionType.PULSE, self._settings.pulse_ms)
                self._send(_Sent(frame, captured_ns, "pulse", self._sent, 1), action, RULE)
                self._sent += 1
            self._frames += 1

    def take(self, done: ActionResult) -> bool:
        """Log the result of a job; returns False if the job is not of the sync line."""
        if done.number != -1 or done.action.output != self._settings.output:
            return False
        with self._lock:
            sent = self._pending.pop(done.queued_ns, None)
        if sent is None:
            # The off at the end of a pulse has no row of its own. Other results belong in the log of the outputs.
            return done.action.act is ActionType.OFF and not done.error
        sent.first = sent.first or done
        sent.awaited -= 1
        if done.error:
            sent.errors.append(done.error)
        if sent.awaited == 0 and self._log is not None:
            self._log.add(_row(sent))
        return True

    def close(self) -> None:
        """Stop sending codes. The end of the output ends a code that is being sent, at the low level."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(1.0)

    def _send_codes(self) -> None:
        began_ns, count = now_ns(), 0
        while not self._wait_until(began_ns + round(count * self._settings.each_s * 1e9)):
            self._send_code(code_value(self._seed, count))
            count += 1

    def _send_code(self, value: int) -> None:
        frame, captured_ns, _ = self._last
        output = self._settings.output
        if not self._holds_level:
            sent = _Sent(frame, captured_ns, "barcode", value, 1)
            self._send(sent, Action(output, ActionType.PULSE, 0.0), f"barcode {value}")
            return
        changes = edges(value)
        sent = _Sent(frame, captured_ns, "barcode", value, len(changes))
        began_ns = now_ns()
        for edge in changes:
            if self._wait_until(began_ns + round(edge.time * self._settings.unit_ms * 1e6)):
                return
            self._send(sent, Action(output, ActionType.ON if edge.high else ActionType.OFF), RULE)

    def _send(self, sent: _Sent, action: Action, rule: str) -> None:
        frame, captured_ns, offset_ns = self._last
        with self._lock:
            queued_ns = now_ns()
            while queued_ns + offset_ns in self._pending:  # the time is the key by which the result is found
                queued_ns += 1
            self._pending[queued_ns + offset_ns] = sent
            if len(self._pending) > _PENDING:  # the output has stopped answering
                del self._pending[next(iter(self._pending))]
        self._submit(Job(action, queued_ns, -1, frame, captured_ns, rule, offset_ns=offset_ns))

    def _wait_until(self, at_ns: int) -> bool:
        """Wait; returns True if ``close`` came first."""
        return self._stop.wait(max(0.0, (at_ns - now_ns()) / 1e9))


def open_sync_log(folder: Path, name: str) -> AsyncCsv:
    """Create ``<name>_sync.csv``.

    Raises:
        SinkError: if it cannot be created, or exists already.
    """
    return AsyncCsv(folder / f"{name}_sync.csv", COLUMNS)


def _row(sent: _Sent) -> str:
    first = sent.first
    assert first is not None
    # The row has the times of the first edge, and the first error of any edge.
    row = [sent.frame, sent.captured_ns, sent.kind, sent.value, first.queued_ns, first.written_ns]
    return csv_line([*row, first.acknowledged_ns, sent.errors[0] if sent.errors else ""])
