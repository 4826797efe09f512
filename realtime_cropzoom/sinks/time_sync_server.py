"""Tells whoever asks what time it is on this machine's clock, so that ages can be judged on another."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

import msgspec
import zmq

from realtime_cropzoom.clock import clock_id, now_ns
from realtime_cropzoom.messaging.connections import REQUESTS
from realtime_cropzoom.messaging.security import Guard, Security
from realtime_cropzoom.messaging.time_sync import MARK_BYTES, EchoReply
from realtime_cropzoom.runtime.started import Started

_POLL_MS = 50
_ANSWERS_AT_ONCE = 32
_REST_S = 0.02
"""After so many answers without a pause: who asks without end must not take the interpreter from the tracking."""
_ENDS_WITHIN_S = 2.0
_LARGEST_FRAME = 1024
_QUEUE = 64


class EchoServer:
    """A thread of its own, because an answer that waits for something else makes the offset uncertain.

    Whatever it is sent, it answers or does not; nothing ends it but ``stop``.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        clock: str | None = None,
        now: Callable[[], int] = now_ns,
        security: Security | None = None,
    ) -> None:
        """``clock`` names what ``now`` reads; both are this machine's where they are not given.

        Without ``security`` the endpoint is for this machine alone.
        """
        self._security = security or Security()
        self.endpoint = endpoint
        """The endpoint really bound, once started (a port 0 or * becomes a number)."""
        self._clock, self._now = clock or clock_id(), now
        self._started, self._stop = Started(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="cropzoom-echo", daemon=True)

    def start(self) -> None:
        """Begin to answer.

        Raises zmq.ZMQError where the endpoint cannot be bound, ConfigError where it must not, SinkError after a while.
        """
        self._thread.start()
        try:
            self._started.wait("the clock's echo")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End, and free the endpoint; may be called twice."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_ENDS_WITHIN_S)

    def _run(self) -> None:
        with (
            self._started.reporting(),
            zmq.Context() as context,
            context.socket(zmq.ROUTER) as socket,
            Guard(context, self._security) as guard,
        ):
            self._bind(guard, socket)
            self._started.ready()
            while not self._stop.is_set():
                answered = 0
                while answered < _ANSWERS_AT_ONCE and socket.poll(0 if answered else _POLL_MS):
                    self._answer(socket, self._now())
                    answered += 1
                if answered == _ANSWERS_AT_ONCE:
                    self._stop.wait(_REST_S)

    def _bind(self, guard: Guard, socket: zmq.Socket[bytes]) -> None:
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.MAXMSGSIZE, _LARGEST_FRAME)
        socket.set(zmq.RCVHWM, _QUEUE)
        socket.set(zmq.SNDHWM, _QUEUE)
        self.endpoint = guard.bind(socket, "publish_echo", self.endpoint, REQUESTS)
        guard.start()

    def _answer(self, socket: zmq.Socket[bytes], received_ns: int) -> None:
        """Answer one request; a REQ socket puts an empty frame before it, a DEALER does not."""
        with contextlib.suppress(zmq.ZMQError):  # who asked is gone, or does not read
            *envelope, mark = socket.recv_multipart(zmq.NOBLOCK)
            if len(mark) <= MARK_BYTES and len(envelope) in (1, 2) and not any(envelope[1:]):
                reply = msgspec.json.encode(EchoReply(self._clock, received_ns, self._now()))
                socket.send_multipart([*envelope, mark, reply], zmq.NOBLOCK)
