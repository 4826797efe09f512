"""Time sync server: answers requests with this machine's time, so that other machines can compute the age of poses."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import msgspec
import zmq

from realtime_cropzoom.clock import clock_id, now_ns
from realtime_cropzoom.messaging.connections import REQUESTS
from realtime_cropzoom.messaging.security import ConnectionGuard, Security
from realtime_cropzoom.messaging.time_sync import MARK_BYTES, EchoReply
from realtime_cropzoom.runtime.server_thread import ServerThread

_POLL_MS = 50
"""Timeout (ms) of the wait for a request. The stop is noticed after at most that time."""
_MAX_BATCH = 32
"""Maximum number of answers in a row."""
_PAUSE_S = 0.02
"""Pause (s) after ``_MAX_BATCH`` answers in a row. Endless requests must not take the CPU from the tracking."""
_JOIN_TIMEOUT_S = 2.0
"""Timeout (s) for joining the thread."""
_MAX_FRAME_BYTES = 1024
"""Maximum size (bytes) of a request. ZeroMQ disconnects a peer that sends a larger one."""
_MAX_WAITING = 64
"""Maximum number of requests and answers that wait at the socket."""


class EchoServer(ServerThread):
    """Answers time requests in a thread of its own, because a delayed answer makes the clock offset uncertain.

    Malformed requests are ignored. Only ``stop`` ends it.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        clock: str | None = None,
        now: Callable[[], int] = now_ns,
        security: Security | None = None,
    ) -> None:
        """Create the server without starting it.

        Args:
            endpoint: ZeroMQ endpoint to bind.
            clock: Id of the clock that ``now`` reads; this machine's if None.
            now: Returns the time (ns).
            security: Keys of the run. Without them the endpoint must be local to this machine.
        """
        super().__init__("cropzoom-echo", "the time server", _JOIN_TIMEOUT_S)
        self._security = security or Security()
        self.endpoint = endpoint
        """The bound endpoint once started: port 0 or * is replaced by the actual number."""
        self._clock, self._now = clock or clock_id(), now

    def _run(self) -> None:
        with (
            self._started.reporting(),
            zmq.Context() as context,
            context.socket(zmq.ROUTER) as socket,
            ConnectionGuard(context, self._security) as guard,
        ):
            self._bind(guard, socket)
            self._started.ready()
            while not self._stop.is_set():
                answered = 0
                while answered < _MAX_BATCH and socket.poll(0 if answered else _POLL_MS):
                    self._answer(socket, self._now())
                    answered += 1
                if answered == _MAX_BATCH:
                    self._stop.wait(_PAUSE_S)

    def _bind(self, guard: ConnectionGuard, socket: zmq.Socket[bytes]) -> None:
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.MAXMSGSIZE, _MAX_FRAME_BYTES)
        socket.set(zmq.RCVHWM, _MAX_WAITING)
        socket.set(zmq.SNDHWM, _MAX_WAITING)
        self.endpoint = guard.bind(socket, "publish_echo", self.endpoint, REQUESTS)
        guard.start()

    def _answer(self, socket: zmq.Socket[bytes], received_ns: int) -> None:
        """Answer one request; a REQ socket puts an empty frame before it, a DEALER does not."""
        with contextlib.suppress(zmq.ZMQError):  # the client is gone, or does not read
            *envelope, mark = socket.recv_multipart(zmq.NOBLOCK)
            if len(mark) <= MARK_BYTES and len(envelope) in (1, 2) and not any(envelope[1:]):
                reply = msgspec.json.encode(EchoReply(self._clock, received_ns, self._now()))
                socket.send_multipart([*envelope, mark, reply], zmq.NOBLOCK)
