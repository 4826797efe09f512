"""Serial output: one channel of a trigger board (Arduino, Teensy). The board times the pulses."""

from __future__ import annotations

import sys
from typing import Any

from pydantic import Field

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import ConfigError, SinkError
from realtime_cropzoom.trigger.outputs.base import Job, Output, OutputSettings, WriteResult
from realtime_cropzoom.trigger.outputs.serial_link import SerialLink


class SerialSettings(OutputSettings):
    """``laser: {serial: /dev/ttyACM0, channel: 1}``."""

    serial: str = Field(min_length=1)
    """Serial port of the board."""
    channel: int = Field(1, ge=1)
    """Channel of the board, counted from 1."""
    baud: int = Field(115200, gt=0)
    """Baud rate. It has no effect on a board with USB of its own, such as a Teensy."""
    watchdog_ms: int = Field(500, ge=50, le=60_000)
    """Time (ms) without a line from the computer after which the board goes to its safe level."""
    acknowledge_ms: float = Field(100.0, gt=0, le=1000)
    """Timeout (ms) of the acknowledgement."""

    def make(self, name: str, shared: dict[str, Any]) -> SerialOutput:
        """Return the output. Channels of one board share one link.

        Raises:
            ConfigError: if the settings of two channels contradict each other.
        """
        if self.serial not in shared:
            shared[self.serial] = SerialLink(self.serial, self.baud, self.watchdog_ms, name)
        link: SerialLink = shared[self.serial]
        if (link.baud, link.watchdog_ms) != (self.baud, self.watchdog_ms):
            raise ConfigError(f"outputs.{name}: all channels of {self.serial} need the same baud and watchdog_ms")
        if self.channel in link.used:
            raise ConfigError(f"outputs.{name}: channel {self.channel} of {self.serial} is another output's already")
        link.used.add(self.channel)
        return SerialOutput(self, link)


class SerialOutput(Output):
    """One channel of a trigger board."""

    holds_level = True
    writes_at_once = sys.platform != "win32"

    def __init__(self, settings: SerialSettings, link: SerialLink) -> None:
        super().__init__()
        self._channel, self._timeout_s = settings.channel, settings.acknowledge_ms / 1000
        self._link = link

    def open(self) -> None:
        """Connect to the board.

        Raises:
            SinkError: if no board answers, or it has no such channel.
        """
        self._link.listeners[self._channel] = self.lost
        self._link.open(self.preempted)
        if self._channel > self._link.channels:
            raise SinkError(f"channel {self._channel}: the board at {self._link.port} has {self._link.channels}")

    def perform(self, job: Job) -> WriteResult:
        """Write the line and wait for the acknowledgement."""
        self.check(job)
        id, written_ns = self._link.send(job.act, self._channel, job.ms)
        return self.answer(WriteResult(written_ns, id=id))

    def write(self, job: Job) -> WriteResult:
        """Write the line; ``answer`` waits for the acknowledgement."""
        self.check(job)
        id, written_ns = self._link.send(job.act, self._channel, job.ms, wait=False)
        return WriteResult(written_ns, id=id)

    def answer(self, written: WriteResult) -> WriteResult:
        """Wait for the acknowledgement of a line."""
        return self._link.answer(written.id, written.written_ns or now_ns(), self._timeout_s, self.preempted)

    def close(self) -> None:
        """Release the channel; the link closes with its last channel."""
        self._link.release(self._channel)
