"""The receiving end: what an experiment's own script imports.

::

    from realtime_cropzoom import Subscriber

    with Subscriber() as poses:
        for message in poses:
            x, y, likelihood = message.keypoints["snout"]
            if message.state == "tracking" and poses.age_ms(message) < 20 and x is not None and x > 320:
                ...  # switch the laser on

Imports pyzmq and msgspec, nothing heavy.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import zmq

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.keys import read_client_keys
from realtime_cropzoom.message import SCHEMA_VERSION, EndMessage, HelloMessage, Message, PoseMessage, decode
from realtime_cropzoom.security import Handshake, use_client_keys

DEFAULT_ENDPOINT = "tcp://127.0.0.1:5660"


class Subscriber:
    """Receives the messages of one endpoint. Use it from one thread; iterate it, or call ``receive``.

    Gaps are not hidden: ``missed`` counts the poses that were published but never arrived here,
    and ``hello`` changes when a new run begins at the endpoint.
    """

    def __init__(
        self, endpoint: str = DEFAULT_ENDPOINT, camera: str | None = None, *, keys: str | Path | None = None
    ) -> None:
        """Connect; it is no error if nobody publishes yet.

        ``keys`` is the file that ``cropzoom keys`` has made for this client, where the run has keys.
        Raises ConfigError where ``endpoint`` is none, or the file cannot be used.
        """
        client_keys = None if keys is None else read_client_keys(Path(keys))
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.set(zmq.IPV6, int("[" in endpoint))
        self._socket.set(zmq.RECONNECT_IVL_MAX, 1000)
        if client_keys is not None:
            use_client_keys(self._socket, client_keys)
        self._handshake = Handshake(self._context, self._socket, endpoint, with_keys=keys is not None)
        self._poller = zmq.Poller()
        for socket in (self._socket, self._handshake.events):
            self._poller.register(socket, zmq.POLLIN)
        self._camera = camera
        try:
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise ConfigError(f"cannot listen to {endpoint} ({error.strerror}); expected {DEFAULT_ENDPOINT}") from error
        self._socket.subscribe(b"")
        self._last_seq: dict[tuple[str, str], int] = {}
        self.hello: HelloMessage | None = None
        """The last hello: keypoint names, frame size, hashes."""
        self.missed = 0
        """Poses that never arrived, seen as gaps in ``seq``."""

    def receive(self, timeout_s: float | None = None) -> Message | None:
        """Return the next message of any kind, or None if none came in time (None waits for ever).

        What is no message of schema version 1 is passed over. Raises ConfigError where the endpoint refuses this
        client, or has no keys though ``keys`` are given: nothing would ever come.
        """
        deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
        while ready := dict(self._poller.poll(_ms_until(deadline))):
            if self._socket not in ready:  # what has come before a refusal comes out first
                self._check_handshake()
            message = _decoded(self._socket.recv_multipart()[-1]) if self._socket in ready else None
            if message is not None and self._camera in (None, message.camera):
                if isinstance(message, HelloMessage):
                    self.hello = message
                elif isinstance(message, PoseMessage):
                    self._count_gap(message)
                return message
            if time.monotonic() >= deadline:  # others talk all the time, so that poll alone would never end this
                return None
        return None

    def __iter__(self) -> Iterator[PoseMessage]:
        """Yield the poses of a run until its end message."""
        while not isinstance(message := self.receive(), EndMessage):
            if isinstance(message, PoseMessage):
                yield message

    @staticmethod
    def age_ms(message: PoseMessage) -> float:
        """Return how long ago the frame of ``message`` was captured; only on the machine that captured it."""
        return (now_ns() - message.time.captured_ns) / 1e6

    def close(self) -> None:
        """Disconnect; may be called twice."""
        self._handshake.close()
        self._socket.close(linger=0)
        self._context.term()

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_handshake(self) -> None:
        why = self._handshake.judge()
        if why is not None:
            raise ConfigError(why)

    def _count_gap(self, message: PoseMessage) -> None:
        key = (message.run, message.camera)
        self.missed += max(0, message.seq - self._last_seq.get(key, message.seq - 1) - 1)
        self._last_seq[key] = message.seq


def _ms_until(deadline: float) -> int | None:
    return None if math.isinf(deadline) else max(0, round((deadline - time.monotonic()) * 1000))


def _decoded(payload: bytes) -> Message | None:
    """Return the message, or None where the bytes are none of this schema: whatever they are, they raise nothing."""
    try:
        message = decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return message if message.schema == SCHEMA_VERSION else None
