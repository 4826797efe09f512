"""The receiving end: what an experiment's own script imports.

::

    from realtime_cropzoom import Subscriber

    try:
        with Subscriber() as poses:
            while poses.stream != "ended":
                message = poses.newest(timeout_s=0.02)
                x = message.keypoints["snout"][0] if message and message.state == "tracking" else None
                laser.set(x is not None and x > 320)
    finally:
        laser.set(False)

Imports pyzmq and msgspec, nothing heavy. ``AsyncSubscriber`` is the same for asyncio.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

import zmq

from realtime_cropzoom.client.base import AT_ONCE, DEFAULT_ENDPOINT, SubscriberBase
from realtime_cropzoom.messaging.limits import NEEDED_TO_LISTEN, check_open_files
from realtime_cropzoom.messaging.message import EndMessage, Message, PoseMessage

__all__ = ["DEFAULT_ENDPOINT", "Subscriber"]


class Subscriber(SubscriberBase):
    """Receives the messages of one endpoint. Use it from one thread.

    Iterate it, call ``receive`` for whatever comes next, or ``newest`` for what is there now. Nothing is hidden: see
    ``missed``, ``late``, ``restarts``, ``malformed``, ``oversize``, ``stream`` and ``clock``.
    """

    def __init__(
        self,
        endpoint: str = DEFAULT_ENDPOINT,
        camera: str | None = None,
        *,
        follow: bool = False,
        keys: str | Path | None = None,
    ) -> None:
        """Connect; it is no error if nobody publishes yet, and who comes back is found again.

        With ``camera``, the messages of others are passed over. With ``follow``, iterating goes on with the next run
        when one has ended. ``keys`` is the file that ``cropzoom keys`` has made for this client, where the run has
        keys. Raises ConfigError where ``endpoint`` is none, or the file cannot be used.
        """
        check_open_files(NEEDED_TO_LISTEN)  # ZeroMQ would end the whole process
        context = zmq.Context()
        self._socket = context.socket(zmq.SUB)
        super().__init__(context, self._socket, endpoint, camera, keys)
        self._follow = follow
        self._poller = zmq.Poller()
        for socket in (self._socket, self._handshake.events):
            self._poller.register(socket, zmq.POLLIN)

    def receive(self, timeout_s: float | None = None) -> Message | None:
        """Return the next message of any kind, or None if none came in time (None waits for ever).

        What is no message of schema version 1 is counted and passed over. Raises ConfigError where the endpoint
        refuses this client, or has no keys though ``keys`` are given: nothing would ever come.
        """
        deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
        while ready := dict(self._poller.poll(ms_until(deadline))):
            if self._socket not in ready:  # what has come before a refusal comes out first
                self._check_handshake()
            message = self._take(self._socket.recv_multipart()) if self._socket in ready else None
            if message is not None or time.monotonic() >= deadline:  # whatever else keeps arriving
                return message
        return None

    def newest(self, max_age_ms: float | None = None, timeout_s: float = 0.0) -> PoseMessage | None:
        """Return the newest pose if it is no older than ``max_age_ms``, or None.

        Everything that waits is received first. If there is nothing new, this waits up to ``timeout_s`` for a pose,
        and then gives the last one again, while that is young enough and the stream is live (its ``seq`` is the same).

        Without a number the age follows the stream, see ``usual_age_ms``. A number shorter than the time between two
        poses gives None between them, and is warned of once. The age is that of ``age_ms``: None, too, while it cannot
        be told. Raises as ``receive`` does.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            pose = self._newest(self._all_waiting(), max_age_ms)
            if pose is not None:
                return pose
            if self._socket not in dict(self._poller.poll(ms_until(deadline))):
                self._check_handshake()  # before it is given up: who never waits must learn of a refusal as well
            if time.monotonic() >= deadline:
                return self._still_young(max_age_ms)

    def messages(self) -> Iterator[Message]:
        """Yield the messages of all kinds, for ever: through ends and restarts."""
        while True:
            message = self.receive()
            if message is not None:
                yield message

    def __iter__(self) -> Iterator[PoseMessage]:
        """Yield the poses of a run until its end message; with ``follow``, of all runs for ever."""
        for message in self.messages():
            if isinstance(message, PoseMessage):
                yield message
            elif isinstance(message, EndMessage) and not self._follow:
                return

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _all_waiting(self) -> Iterator[Message | None]:
        for _ in range(AT_ONCE):
            if not self._waiting():
                return
            yield self._take(self._socket.recv_multipart())


def ms_until(deadline: float) -> int | None:
    """What ``poll`` takes: whole milliseconds, None for ever."""
    return None if deadline == math.inf else max(0, math.ceil((deadline - time.monotonic()) * 1000))
