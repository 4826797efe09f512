"""ZeroMQ PUB output: topic ``trigger/<output>``, then JSON. There is no acknowledgement.

While the output is held on, it sends heartbeats with the topic ``alive/<output>``. A receiver switches off when they
stop.
"""

from __future__ import annotations

import json
from typing import Any

import zmq
from pydantic import Field

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import ConfigError, SinkError, explain
from realtime_cropzoom.messaging.endpoints import is_local
from realtime_cropzoom.messaging.security import ConnectionGuard, Security
from realtime_cropzoom.messaging.sockets import take_subscriptions_only
from realtime_cropzoom.trigger.outputs.base import (
    BEATS_PER_WATCHDOG,
    Job,
    Output,
    TooLate,
    WatchdogSettings,
    WriteResult,
    build_alive,
    build_order,
)

_LINGER_MS = 200


class ZmqPublishSettings(WatchdogSettings):
    """``marks: {zmq_publish: "tcp://127.0.0.1:5670"}``."""

    zmq_publish: str = Field(min_length=1)
    """Endpoint to bind."""

    def make(self, name: str, shared: dict[str, Any]) -> ZmqPublish:
        """Return the output.

        Raises:
            ConfigError: if other machines could subscribe.
        """
        if not is_local(self.zmq_publish):
            raise ConfigError(
                f"outputs.{name}: {self.zmq_publish} would be open to others; expected this machine alone, such as "
                "tcp://127.0.0.1:5670"
            )
        return ZmqPublish(self.zmq_publish, self.watchdog_ms)


class ZmqPublish(Output):
    """One PUB socket."""

    writes_at_once = True
    answers = False

    def __init__(self, endpoint: str, watchdog_ms: int) -> None:
        super().__init__()
        self._endpoint, self._watchdog_ms = endpoint, watchdog_ms
        self.beat_every_s = watchdog_ms / 1000 / BEATS_PER_WATCHDOG
        self.bound_to = endpoint
        """The endpoint that is bound; a port * has become a number."""
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None

    def open(self) -> None:
        """Bind the socket.

        Raises:
            SinkError: if that fails.
        """
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PUB)
        take_subscriptions_only(self._socket)
        self._guard = ConnectionGuard(self._context, Security())
        try:
            self.bound_to = self._guard.bind(self._socket, "zmq_publish", self._endpoint)
        except zmq.ZMQError as error:
            raise SinkError(f"cannot publish at {self._endpoint}: {explain(error)}") from error
        self._guard.start()

    def perform(self, job: Job) -> WriteResult:
        """Send the job."""
        return self.write(job)

    def write(self, job: Job) -> WriteResult:
        """Send the job. A subscriber that is too slow loses messages."""
        body = json.dumps(build_order(job, self._watchdog_ms)).encode()
        self._socket.send(f"trigger/{job.action.output}".encode(), zmq.NOBLOCK | zmq.SNDMORE)
        try:  # receivers act on the second part, and the process may be delayed between both
            self.check(job)
        except TooLate:
            self._socket.send(json.dumps(job.fields() | {"act": "late"}).encode(), zmq.NOBLOCK)
            raise
        self._socket.send(body, zmq.NOBLOCK)
        return WriteResult(now_ns())

    def beat(self, job: Job) -> None:
        """Send a heartbeat."""
        body = json.dumps(build_alive(job, self._watchdog_ms)).encode()
        self._socket.send_multipart([f"alive/{job.action.output}".encode(), body], zmq.NOBLOCK)

    def close(self) -> None:
        """Close the socket."""
        if self._context is not None:
            self._guard.close()
            self._socket.close(linger=_LINGER_MS)
            self._context.term()
            self._context = None
