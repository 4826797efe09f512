"""ZeroMQ request output: sends JSON to a REP socket. Any reply is the acknowledgement."""

from __future__ import annotations

import json
from typing import Any

import zmq
from pydantic import Field

from realtime_cropzoom.clock import now_ns, now_s
from realtime_cropzoom.errors import SinkError, explain
from realtime_cropzoom.messaging.sockets import new_socket
from realtime_cropzoom.trigger.outputs.base import (
    BEATS_PER_WATCHDOG,
    Job,
    Output,
    ReceiverGone,
    WatchdogSettings,
    WriteResult,
    build_alive,
    build_order,
    overtaken,
)

_SLICE_MS = 5
"""Interval (ms) at which a wait for a reply checks whether a SAFE waits."""
_CONNECT_TIMEOUT_S = 0.5
_MAX_REPLY_BYTES = 1 << 20
"""Maximum size of a reply (bytes)."""


class ZmqRequestSettings(WatchdogSettings):
    """``store: {zmq_request: "tcp://127.0.0.1:5671"}``."""

    zmq_request: str = Field(min_length=1)
    """Endpoint that the answering program has bound."""
    acknowledge_ms: float = Field(200.0, gt=0, le=1000)
    """Timeout (ms) of the reply."""

    def make(self, name: str, shared: dict[str, Any]) -> ZmqRequest:
        """Return the output."""
        return ZmqRequest(self.zmq_request, self.acknowledge_ms / 1000, self.watchdog_ms)


class Requester:
    """DEALER socket that asks a REP socket. A new request need not wait for the reply to the last one.

    Each request has a number that comes back with its reply, so that an old reply cannot answer a new request.
    """

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._socket: zmq.Socket[bytes] | None = None
        self._number = 0
        self._answered = False
        """Whether the last request was answered, so that a program is connected unless it has ended since."""

    def connect(self) -> None:
        """Connect. It is not an error if no program answers yet.

        Raises:
            SinkError: if the endpoint is not valid.
        """
        self._context = self._context or zmq.Context()
        self._socket = new_socket(self._context, zmq.DEALER, self.endpoint)
        # Nothing is queued for a program that is not connected: it would be done much too late.
        self._socket.set(zmq.IMMEDIATE, 1)
        self._socket.set(zmq.RECONNECT_IVL_MAX, 500)
        self._socket.set(zmq.MAXMSGSIZE, _MAX_REPLY_BYTES)
        try:
            self._socket.connect(self.endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise SinkError(f"cannot connect to {self.endpoint}: {explain(error)}") from error

    def send(self, text: bytes) -> int:
        """Send a request; return the time (ns) at which ZeroMQ had it.

        Raises:
            SinkError: if no program is connected.
        """
        if self._socket is None:
            self.connect()
        assert self._socket is not None
        self._number += 1
        try:
            self._socket.send_multipart([b"%d" % self._number, b"", text], zmq.NOBLOCK)
        except zmq.Again:
            if self._answered:
                self._answered = False
                raise ReceiverGone(f"the program at {self.endpoint} has ended; start it") from None
            raise SinkError(f"no program answers at {self.endpoint}; start it") from None
        return now_ns()

    def ask(self, text: bytes, timeout_s: float, output: Output) -> None:
        """Send a request that changes nothing, to see that the program is alive.

        Raises:
            ReceiverGone: if the program has ended.
            SinkError: if it does not answer.
        """
        self.send(text)
        if self.reply(timeout_s, output) is None and not output.preempted():
            raise SinkError(f"{self.endpoint} did not reply within {timeout_s * 1000:.0f} ms")

    def reply(self, timeout_s: float, output: Output | None = None) -> bytes | None:
        """Return the reply to the last request.

        Args:
            timeout_s: Maximum time (s) to wait.
            output: Output for which this waits; if a SAFE preempts it, the wait ends.

        Returns:
            None if no reply came in time, or the wait was preempted. After a timeout the socket reconnects, because
            requests that are still in its queue would arrive too late.
        """
        assert self._socket is not None
        deadline = now_s() + timeout_s
        while (left_ms := (deadline - now_s()) * 1000) > 0:
            if output is not None and output.preempted():
                return None
            if self._socket.poll(max(1, min(round(left_ms), _SLICE_MS))):
                parts = self._socket.recv_multipart()
                if parts[0] == b"%d" % self._number:
                    self._answered = True
                    return parts[-1]
        self._answered = False
        self._socket.close()
        self.connect()
        return None

    def wait_connected(self) -> None:
        """Wait up to half a second for a connection."""
        if self._socket is not None:
            self._socket.poll(round(_CONNECT_TIMEOUT_S * 1000), zmq.POLLOUT)

    def close(self) -> None:
        """Disconnect. It may be called twice."""
        if self._socket is not None:
            self._socket.close(linger=0)
        if self._context is not None:
            self._context.term()
        self._socket = self._context = None


class ZmqRequest(Output):
    """Sends jobs as JSON and waits for the replies."""

    def __init__(self, endpoint: str, timeout_s: float, watchdog_ms: int) -> None:
        super().__init__()
        self._requester, self._timeout_s, self._watchdog_ms = Requester(endpoint), timeout_s, watchdog_ms
        self.beat_every_s = watchdog_ms / 1000 / BEATS_PER_WATCHDOG

    def open(self) -> None:
        """Connect. It is not an error if no program answers yet.

        Raises:
            SinkError: if the endpoint is not valid.
        """
        self._requester.connect()
        self._requester.wait_connected()

    def perform(self, job: Job) -> WriteResult:
        """Send the job and wait for the reply."""
        request = json.dumps(build_order(job, self._watchdog_ms)).encode()
        self.check(job)
        written_ns = self._requester.send(request)
        if self._requester.reply(self._timeout_s, self) is None:
            if self.preempted():
                return overtaken(written_ns)
            why = f"{self._requester.endpoint} did not reply within {self._timeout_s * 1000:.0f} ms"
            return WriteResult(written_ns, None, why)
        return WriteResult(written_ns, now_ns())

    def beat(self, job: Job) -> None:
        """Send a heartbeat and take the reply.

        Raises:
            ReceiverGone: if the program has ended.
            SinkError: if it does not answer.
        """
        self._requester.ask(json.dumps(build_alive(job, self._watchdog_ms)).encode(), self._timeout_s, self)

    def close(self) -> None:
        """Disconnect."""
        self._requester.close()
