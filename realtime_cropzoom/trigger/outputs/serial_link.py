"""Connection to one trigger board, shared by all outputs that are channels of it.

Its thread opens the port, reads answers, sends heartbeats, and opens the port again when the board was unplugged or
has stopped answering. After each opening, all channels first go to the safe level.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import os
import select
import sys
import threading
from collections.abc import Callable
from typing import Any

from realtime_cropzoom.clock import now_ns, now_s
from realtime_cropzoom.errors import SinkError, explain
from realtime_cropzoom.trigger.engine.events import ActionType
from realtime_cropzoom.trigger.outputs.base import BEATS_PER_WATCHDOG, WouldWait, WriteResult, needs, overtaken
from realtime_cropzoom.trigger.outputs.serial_protocol import (
    ID_RANGE,
    IDENTIFY,
    NAME,
    NO_WATCHDOG,
    VERSION,
    Acknowledged,
    Answer,
    Identity,
    Lines,
    Notice,
    Refused,
    encode,
    encode_heartbeat,
    encode_watchdog,
    parse,
)

_IDENTIFY_INTERVAL_S = 0.2
_IDENTIFY_TIMEOUT_S = 4.0
"""Timeout (s) of the first answer. An Arduino restarts when its port opens, with two seconds in its bootloader."""
_WRITE_TIMEOUT_S = 0.2
_POLL_S = 0.05
_BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0)
_MAX_UNANSWERED_BEATS = 4
_EXCLUSIVE = None if sys.platform == "win32" else True
"""Whether to lock the port. Windows always does, and pyserial accepts nothing else there."""
_IN_USE = (errno.EAGAIN, errno.EBUSY)
"""Numbers of the error of a port that another program has locked."""

logger = logging.getLogger(__name__)


class SerialLink:
    """One serial port. ``send`` and ``answer`` may be called from any thread."""

    def __init__(self, port: str, baud: int, watchdog_ms: int, first_output: str) -> None:
        """Create the link of a port.

        Args:
            port: The serial port.
            baud: Its speed (bits per second).
            watchdog_ms: Time (ms) without a line after which the board goes to its safe level.
            first_output: Name of the first output on it, for the error text.

        Raises:
            SinkError: if pyserial is not installed.
        """
        try:
            import serial
        except ImportError as error:
            raise needs("pyserial", "serial", error) from None
        self._serial = serial
        self.port, self.baud, self.watchdog_ms = port, baud, watchdog_ms
        self._first_output = first_output
        self.channels = 0
        """Number of channels of the board."""
        self.used: set[int] = set()
        """Channels that outputs use."""
        self.listeners: dict[int, Callable[[str], None]] = {}
        """Channel → function that is called with a reason when the board fails or goes to its safe level by itself."""
        self._ids = itertools.count(1)
        self._answers: dict[int, tuple[Answer, int]] = {}
        self._awaited: set[int] = set()
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._device: Any = None
        self._lines = Lines()
        self._unanswered = 0
        self._stop = threading.Event()
        self._first = threading.Event()
        self._first_error: SinkError | None = None
        self._thread = threading.Thread(target=self._run, name=f"cropzoom-serial-{os.path.basename(port)}", daemon=True)

    def open(self, preempted: Callable[[], bool] = lambda: False) -> None:
        """Connect. Later calls do nothing.

        Args:
            preempted: Function that returns True to stop waiting.

        Raises:
            SinkError: if no board answers.
        """
        with self._changed:
            if self._thread.ident is None:
                self._thread.start()
        deadline = now_s() + _IDENTIFY_TIMEOUT_S + 2
        while not self._first.wait(_POLL_S) and now_s() < deadline and not preempted():
            pass
        if self._first_error is not None:
            raise self._first_error
        if self._device is None:
            raise SinkError(f"{self.port} did not open in time")

    def send(self, act: ActionType, channel: int, ms: float, *, wait: bool = True) -> tuple[int, int]:
        """Ask the board for an action; return the id of the line and the time (ns) at which it was written.

        ``answer`` must be called with them.

        Args:
            act: What to do.
            channel: Channel of the board, counted from 1.
            ms: Duration of a pulse (ms).
            wait: Whether to wait if the port does not take the line at once.

        Raises:
            SinkError: if it could not be written.
            WouldWait: if it would have to wait.
        """
        id = next(self._ids) % ID_RANGE
        with self._changed:
            self._awaited.add(id)
        try:
            return id, self._write(encode(act, id, channel, ms), wait=wait)
        except BaseException:
            self._forget(id)
            raise

    def answer(self, id: int, written_ns: int, timeout_s: float, preempted: Any) -> WriteResult:
        """Wait for the board's answer to a line.

        Args:
            id: Id of the line.
            written_ns: Time (ns) at which it was written.
            timeout_s: Maximum time (s) to wait.
            preempted: Function that returns True to stop waiting.
        """
        try:
            answered = self._answer(id, timeout_s, preempted)
        finally:
            self._forget(id)
        if answered is None:
            if preempted():
                return overtaken(written_ns)
            within = f"did not acknowledge within {timeout_s * 1000:.0f} ms"
            why = "broke off before it acknowledged" if self._device is None else within
            return WriteResult(written_ns, None, f"{self.port} {why}")
        answer, at_ns = answered
        error = f"{self.port} refused: {answer.reason}" if isinstance(answer, Refused) else None
        return WriteResult(min(written_ns, at_ns), at_ns, error)  # the answer may be read before this thread runs again

    def _forget(self, id: int) -> None:
        with self._changed:
            self._awaited.discard(id)
            self._answers.pop(id, None)

    def release(self, channel: int) -> None:
        """Release a channel. With the last one the port closes and the thread ends."""
        with self._changed:
            self.used.discard(channel)
            if self.used:
                return
        with contextlib.suppress(SinkError):  # the board may be unplugged
            self._write(encode_watchdog(0, 0))
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(1.0)

    def _answer(self, id: int, timeout_s: float, preempted: Any) -> tuple[Answer, int] | None:
        deadline = now_s() + timeout_s
        with self._changed:
            while id not in self._answers:
                left_s = deadline - now_s()
                if left_s <= 0 or self._device is None or preempted():
                    return None
                self._changed.wait(min(left_s, 0.005))
            return self._answers[id]

    def _write(self, line: bytes, *, wait: bool = True) -> int:
        """Write a line; return the time (ns) at which the operating system had it. Raises SinkError and WouldWait."""
        if not self._writing.acquire(blocking=wait):
            raise WouldWait
        try:
            if self._device is None:
                raise SinkError(f"{self.port} is not connected")
            if not wait:
                line = line[os.write(self._device.fileno(), line) :]
            if line:
                self._device.write(line)
            return now_ns()
        except BlockingIOError:
            raise WouldWait from None
        except (self._serial.SerialException, OSError) as error:
            raise SinkError(f"cannot write to {self.port}: {explain(error)}") from error
        finally:
            self._writing.release()

    def _run(self) -> None:
        backoff = iter(_BACKOFF_S)
        while not self._stop.is_set():
            again = self._first.is_set()
            try:
                device = self._connect()
            except SinkError as error:
                if not again:
                    self._first_error = error
                    self._first.set()
                    return
                self._stop.wait(next(backoff, _BACKOFF_S[-1]))
                continue
            if again:
                logger.warning("%s is back", self.port)
            backoff = iter(_BACKOFF_S)
            why = None
            try:
                why = self._serve(device)
            finally:
                self._drop(device)
                self._tell(why)

    def _connect(self) -> Any:
        """Open the port and identify the board. Raises SinkError."""
        try:
            device = self._serial.Serial(
                self.port,
                self.baud,
                timeout=0,
                write_timeout=_WRITE_TIMEOUT_S,
                exclusive=_EXCLUSIVE,
            )
        except (self._serial.SerialException, OSError, ValueError) as error:
            raise SinkError(self._explain_refusal(error)) from error
        try:
            identity = self._ask(device)
            if identity.version != VERSION:
                raise SinkError(
                    f"the board at {self.port} speaks version {identity.version} of the protocol, this program "
                    f"{VERSION}; upload examples/arduino/cropzoom_trigger again"
                )
            self.channels = identity.channels
            device.write(encode_watchdog(0, self.watchdog_ms))
            for channel in range(1, self.channels + 1):
                device.write(encode(ActionType.SAFE, 0, channel))
        except (self._serial.SerialException, OSError) as error:
            device.close()
            raise SinkError(f"{self.port} broke off: {explain(error)}") from error
        except SinkError:
            device.close()
            raise
        self._unanswered = 0
        with self._writing:
            self._device = device
        self._first.set()
        return device

    def _explain_refusal(self, error: Exception) -> str:
        """Return why the port does not open, and what to do."""
        if getattr(error, "errno", None) not in _IN_USE:
            return f"cannot open {self.port} ({explain(error)}); is the board plugged in?"
        return (
            f"cannot open {self.port}: another program uses it, perhaps another 'cropzoom trigger'. End that one, or "
            f"send a test pulse through it: cropzoom ctl test {self._first_output}"
        )

    def _ask(self, device: Any) -> Identity:
        self._lines = Lines()
        deadline = now_s() + _IDENTIFY_TIMEOUT_S
        while now_s() < deadline and not self._stop.is_set():
            device.write(b"\n" + IDENTIFY)  # the newline ends a line that was sent in part before
            ask_again = now_s() + _IDENTIFY_INTERVAL_S
            while (left_s := ask_again - now_s()) > 0:
                for answer in self._read(device, left_s):
                    if isinstance(answer, Identity):
                        return answer
        raise SinkError(
            f"nothing at {self.port} answers as {NAME} does; upload examples/arduino/cropzoom_trigger to the board, "
            "and check the port"
        )

    def _read(self, device: Any, timeout_s: float) -> list[Answer]:
        """Wait for bytes and return the answers in them; pyserial raises if the board is gone."""
        if sys.platform != "win32":
            ready = bool(select.select([device], [], [], timeout_s)[0])
        else:  # on Windows, select does not accept a serial port
            device.timeout = timeout_s
            first = device.read(1)
            return self._parse_all(first + device.read(device.in_waiting)) if first else []
        return self._parse_all(device.read(max(1, device.in_waiting))) if ready else []

    def _parse_all(self, data: bytes) -> list[Answer]:
        return [answer for line in self._lines.feed(data) if (answer := parse(line)) is not None]

    def _serve(self, device: Any) -> str | None:
        """Read answers and send heartbeats until the board is gone; return why. None: the link closes."""
        every_ns = self.watchdog_ms * 1_000_000 // BEATS_PER_WATCHDOG
        beat_ns = 0
        try:
            while not self._stop.is_set():
                if now_ns() >= beat_ns:
                    self._beat()
                    beat_ns = now_ns() + every_ns
                for answer in self._read(device, max(0.0, (beat_ns - now_ns()) / 1e9)):
                    self._take(answer)
        except (self._serial.SerialException, OSError, SinkError) as error:
            if not self._stop.is_set():
                why = str(error) if isinstance(error, SinkError) else "is the board plugged in?"
                logger.warning("%s broke off (%s); reconnecting", self.port, why)
                return f"{self.port} broke off; its watchdog switches it off after {self.watchdog_ms} ms"
        return None

    def _beat(self) -> None:
        if self._unanswered >= _MAX_UNANSWERED_BEATS:
            raise SinkError(f"no answer to {_MAX_UNANSWERED_BEATS} heartbeats")
        self._unanswered += 1
        self._write(encode_heartbeat(0))

    def _take(self, answer: Answer) -> None:
        at_ns = now_ns()
        self._unanswered = 0
        if isinstance(answer, Notice):
            logger.warning("the board at %s went to its safe level: %s", self.port, answer.reason)
        if isinstance(answer, Notice) or (isinstance(answer, Refused) and answer.reason == NO_WATCHDOG):
            self._write(encode_watchdog(0, self.watchdog_ms))
            by_itself = isinstance(answer, Notice)  # else the board was reset, such as by a drop of its voltage
            self._tell(f"the board went to its safe level: {answer.reason}" if by_itself else "the board has restarted")
        if isinstance(answer, Acknowledged | Refused):
            with self._changed:
                if answer.id in self._awaited:
                    self._answers[answer.id] = answer, at_ns
                    self._changed.notify_all()

    def _tell(self, why: str | None) -> None:
        for listener in list(self.listeners.values()) if why else ():
            listener(why or "")

    def _drop(self, device: Any) -> None:
        with self._writing:
            self._device = None
            device.close()
        with self._changed:
            self._changed.notify_all()
