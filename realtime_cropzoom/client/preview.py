"""Preview subscriber: receives the small pictures of a run, for a window that shows it.

::

    from realtime_cropzoom import PreviewSubscriber

    with PreviewSubscriber("tcp://127.0.0.1:5660") as pictures:
        while True:
            picture = pictures.receive(timeout_s=1.0)
            if picture is not None:
                show(picture.jpeg, picture.header.frame)

The run makes pictures only while somebody subscribes, so close it when nobody looks. The module imports pyzmq and
msgspec, but no video library: decode the JPEG with what your window has.
"""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec
import zmq

from realtime_cropzoom.client.base import DEFAULT_ENDPOINT
from realtime_cropzoom.client.subscriber import poll_ms
from realtime_cropzoom.clock import now_s
from realtime_cropzoom.errors import ConfigError, explain
from realtime_cropzoom.messaging.endpoints import endpoint_seen_from
from realtime_cropzoom.messaging.keys import read_client_keys
from realtime_cropzoom.messaging.limits import NEEDED_TO_LISTEN, check_open_files
from realtime_cropzoom.messaging.message import SCHEMA_VERSION, HelloMessage, PreviewHeader, decode
from realtime_cropzoom.messaging.security import HandshakeMonitor
from realtime_cropzoom.messaging.sockets import new_socket, use_client_keys

_LARGEST_BYTES = 1 << 21
"""Maximum size (bytes) of a message part. ZeroMQ disconnects a peer that sends a larger one."""
_MAX_WAITING = 4
"""Maximum number of pictures that wait at a socket."""
_RECEIVE_BUFFER = 1 << 17
"""Size (bytes) of the system's receive buffer: a few pictures, so that a slow reader gets few that are old."""
_MAX_BATCH = 64
"""Maximum number of messages that are read in a row."""
_JPEG = b"\xff\xd8"
_PARTS = 3

_HEADER = msgspec.json.Decoder(PreviewHeader)


class Preview(NamedTuple):
    """A picture of one frame."""

    header: PreviewHeader
    """Which frame it shows, and its size."""
    jpeg: bytes
    """The picture, colour or gray."""


class PreviewSubscriber:
    """Receives the pictures of one camera. Use it from one thread.

    It listens for the hello of the run, which names the endpoint of the previews, and connects to that; again if the
    run starts anew with another one.
    """

    def __init__(
        self, endpoint: str = DEFAULT_ENDPOINT, camera: str | None = None, *, keys: str | Path | None = None
    ) -> None:
        """Connect to a run, which may start later.

        Args:
            endpoint: ZeroMQ endpoint of the poses of the run, such as ``tcp://127.0.0.1:5660``; or that of its
                previews.
            camera: The camera; None for the first one that is heard.
            keys: The file that ``cropzoom keys`` made for this client. Needed only if the run uses keys.

        Raises:
            ConfigError: if ``endpoint`` is not an endpoint, or the key file cannot be used.
        """
        check_open_files(NEEDED_TO_LISTEN)  # ZeroMQ aborts the process if it cannot open a file
        self._keys = None if keys is None else read_client_keys(Path(keys))
        self._endpoint = endpoint
        self.camera = camera
        """The camera; None before the first one is heard."""
        self.preview_endpoint: str | None = None
        """The endpoint of the previews that the hello names; None before it, and if the run has no previews."""
        self.malformed = 0
        """Number of messages that were no preview of schema version 1."""
        self._context = zmq.Context()
        self._previews: zmq.Socket[bytes] | None = None
        self._socket = self._open_socket(endpoint)
        self._handshake = HandshakeMonitor(self._context, self._socket, endpoint, with_keys=keys is not None)
        try:
            self._connect(self._socket, endpoint, "hello/", "frame/")  # the endpoint may be that of the previews
        except BaseException:
            self.close()
            raise

    def receive(self, timeout_s: float | None = None) -> Preview | None:
        """Return the newest picture, or None if none came in time. Older ones that wait are dropped.

        Args:
            timeout_s: Maximum time to wait (s). None waits without limit.

        Raises:
            ConfigError: if the endpoint refuses this client, or has no keys although ``keys`` are given.
        """
        deadline = math.inf if timeout_s is None else now_s() + timeout_s
        while (ready := self._poll(poll_ms(deadline))) or now_s() < deadline:
            if (picture := self._newest(ready)) is not None:
                return picture
            if (reason := self._handshake.check()) is not None:
                raise ConfigError(reason)
            if now_s() >= deadline:  # also while other messages keep arriving
                return None
        return None

    def close(self) -> None:
        """Disconnect, so that the run makes no more pictures for it. May be called more than once."""
        self._handshake.close()
        for socket in (self._socket, self._previews):
            if socket is not None:
                socket.close(linger=0)
        self._context.term()

    def __enter__(self) -> PreviewSubscriber:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open_socket(self, endpoint: str) -> zmq.Socket[bytes]:
        socket = new_socket(self._context, zmq.SUB, endpoint)
        socket.set(zmq.RECONNECT_IVL_MAX, 1000)
        socket.set(zmq.RCVHWM, _MAX_WAITING)
        socket.set(zmq.RCVBUF, _RECEIVE_BUFFER)
        socket.set(zmq.MAXMSGSIZE, _LARGEST_BYTES)
        if self._keys is not None:
            use_client_keys(socket, self._keys)
        return socket

    def _connect(self, socket: zmq.Socket[bytes], endpoint: str, *topics: str) -> None:
        try:
            socket.connect(endpoint)
        except zmq.ZMQError as error:
            raise ConfigError(f"cannot connect to {endpoint!r}: {explain(error)}; expected one such as "
                              f"{DEFAULT_ENDPOINT}") from error  # fmt: skip
        for topic in topics:
            socket.subscribe(f"{topic}{self.camera or ''}")

    def _poll(self, timeout_ms: int | None) -> list[zmq.Socket[bytes]]:
        poller = zmq.Poller()
        for socket in (self._socket, self._previews, self._handshake.events):
            if socket is not None:
                poller.register(socket, zmq.POLLIN)
        return [socket for socket, _ in poller.poll(timeout_ms)]

    def _newest(self, ready: list[zmq.Socket[bytes]]) -> Preview | None:
        """Read what waits; return the last picture in it."""
        newest = None
        for socket in (self._socket, self._previews):
            if socket is None or socket not in ready:
                continue
            for _ in range(_MAX_BATCH):
                try:
                    parts = socket.recv_multipart(zmq.NOBLOCK)
                except zmq.Again:
                    break
                newest = self._take(parts) or newest
        return newest

    def _take(self, parts: list[bytes]) -> Preview | None:
        """Return a picture; follow a hello; count anything else."""
        try:
            if len(parts) == _PARTS:
                header = _HEADER.decode(parts[1])
                if header.schema == SCHEMA_VERSION and parts[2][:2] == _JPEG:
                    return Preview(header, parts[2]) if self._is_ours(header.camera) else None
            elif isinstance(message := decode(parts[-1]), HelloMessage) and message.schema == SCHEMA_VERSION:
                if self._is_ours(message.camera):
                    self._follow(message)
                return None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        self.malformed += 1
        return None

    def _is_ours(self, camera: str) -> bool:
        self.camera = self.camera or camera
        return camera == self.camera

    def _follow(self, hello: HelloMessage) -> None:
        """Connect to the previews that a hello names, and leave earlier ones."""
        endpoint = endpoint_seen_from(self._endpoint, hello.preview)
        if endpoint == self.preview_endpoint:
            return
        if self._previews is not None:
            self._previews.close(linger=0)
        self._previews, self.preview_endpoint = None, endpoint
        if endpoint is not None:
            self._previews = self._open_socket(endpoint)
            with suppress(ConfigError):  # what a hello names may be no endpoint
                self._connect(self._previews, endpoint, "frame/")
