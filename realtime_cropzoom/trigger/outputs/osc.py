"""Open Sound Control output over UDP: act, ms, rule, number, frame. There is no acknowledgement."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import SinkError, explain
from realtime_cropzoom.trigger.outputs.base import BEATS_PER_WATCHDOG, Job, Output, OutputSettings, WriteResult, needs


class OscSettings(OutputSettings):
    """``osc: {osc: "127.0.0.1:9000", address: /cropzoom}``."""

    osc: str
    """Host and port of the receiver."""
    address: str = Field("/cropzoom", pattern=r"^/[^\s#*,?\[\]{}]*$")
    """Address of the messages."""
    watchdog_ms: int | None = Field(None, ge=50, le=60_000)
    """Watchdog of the receiver (ms): five heartbeats go to ``<address>/alive`` in this time; None: no heartbeats."""

    @field_validator("osc")
    @classmethod
    def _host_and_port(cls, given: str) -> str:
        host, _, port = given.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError("expected host:port, such as 127.0.0.1:9000")
        return given

    def make(self, name: str, shared: dict[str, Any]) -> Osc:
        """Return the output.

        Raises:
            ConfigError: if python-osc is missing.
        """
        try:
            from pythonosc import udp_client
        except ImportError as error:
            raise needs("python-osc", "pythonosc", error) from None
        return Osc(self, udp_client)


class Osc(Output):
    """One UDP socket."""

    def __init__(self, settings: OscSettings, udp_client: Any) -> None:
        super().__init__()
        self._settings, self._udp_client = settings, udp_client
        if settings.watchdog_ms is not None:
            self.beat_every_s = settings.watchdog_ms / 1000 / BEATS_PER_WATCHDOG
        self._client: Any = None

    def open(self) -> None:
        """Find the receiver's address.

        Raises:
            SinkError: if there is none.
        """
        host, _, port = self._settings.osc.rpartition(":")
        try:
            self._client = self._udp_client.SimpleUDPClient(host.strip("[]"), int(port))
        except OSError as error:
            raise SinkError(f"cannot send OSC to {self._settings.osc}: {explain(error)}") from error

    def perform(self, job: Job) -> WriteResult:
        """Send one message. A missing frame is -1, because not every OSC receiver knows null."""
        self.check(job)
        self._send(self._settings.address, str(job.act), job)
        return WriteResult(now_ns())

    def beat(self, job: Job) -> None:
        """Send a heartbeat.

        Raises:
            SinkError: if that fails.
        """
        self._send(f"{self._settings.address}/alive", "alive", job)

    def _send(self, address: str, act: str, job: Job) -> None:
        frame = -1 if job.frame is None else job.frame
        try:
            self._client.send_message(address, [act, job.ms, job.rule, job.number, frame])
        except OSError as error:
            raise SinkError(f"cannot send OSC to {self._settings.osc}: {explain(error)}") from error

    def close(self) -> None:
        """Close the socket."""
        if self._client is not None:
            self._client._sock.close()  # the library has no public way to close it
            self._client = None
