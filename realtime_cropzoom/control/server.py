"""Server of orders: the thread that receives them, asks the handler, and answers."""

from __future__ import annotations

import logging
import os
import socket as sockets
import struct
import threading
from contextlib import suppress
from typing import Any

import msgspec
import zmq

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.control.address import ControlAddress
from realtime_cropzoom.control.protocol import (
    MAX_ANSWER_BYTES,
    MAX_REQUEST_BYTES,
    Handler,
    Origin,
    decode_request,
)
from realtime_cropzoom.errors import CropzoomError, SinkError, advise, explain
from realtime_cropzoom.messaging.connections import ORDERS
from realtime_cropzoom.messaging.security import ConnectionGuard, Security
from realtime_cropzoom.runtime.started import Started

_POLL_MS = 100
logger = logging.getLogger(__name__)

_MAX_QUEUED_REQUESTS = 16
"""Maximum number of requests that wait in the socket."""
_PAUSE_S = 0.001
"""Pause (s) between two answers. A script that asks in a loop must not slow down the program."""
_CLOSES_WITHIN_S = 2.0
"""Maximum time (s) to wait for the thread at the end."""
_LOG_EVERY_NS = 1_000_000_000
"""Minimum time (ns) between two logged refusals."""
_CREDENTIALS = struct.Struct("=iII")
"""Process, user and group of the peer of a Unix socket (Linux, ``struct ucred``)."""


class ControlServer:
    """Thread that receives orders and answers them. ``start`` it, and ``close`` it at the end.

    It takes one order after the other. The handler is called in its thread, so that it may wait, but the next sender
    waits too.
    """

    def __init__(self, address: ControlAddress, handler: Handler) -> None:
        """``handler`` obeys orders; what it raises is the answer."""
        self._address, self._handler = address, handler
        self._refused, self._log_from_ns = 0, 0
        """Refused orders that are not logged, and when (ns) the next one may be."""
        self._started, self._over = Started(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="cropzoom-control", daemon=True)

    @property
    def endpoint(self) -> str:
        """The endpoint that is bound, once started; a port 0 or * has become a number."""
        return self._address.endpoint

    @property
    def name(self) -> str:
        """What a sender on this machine gives as ``--to``: a name, or the endpoint if there is none."""
        return self._address.name or self.endpoint

    def start(self) -> None:
        """Start to answer.

        Raises:
            SinkError: if the endpoint cannot be bound.
        """
        self._thread.start()
        try:
            self._started.wait("the socket for orders")
        except zmq.ZMQError as error:
            self.close()
            raise SinkError(
                f"cannot take orders at {self.endpoint}: {explain(error)}"
                + advise("; give another one with --control, or none")
            ) from error
        except BaseException:
            self.close()
            raise

    def end(self) -> None:
        """Take no more orders; does not wait."""
        self._over.set()

    def close(self) -> None:
        """Stop the thread and release the name. A handler that hangs is left behind. It may be called twice."""
        self.end()
        if self._thread.is_alive():
            self._thread.join(_CLOSES_WITHIN_S)
        self._address.close()

    def _run(self) -> None:
        with (
            self._started.reporting(),
            zmq.Context() as context,
            context.socket(zmq.REP) as socket,
            ConnectionGuard(context, Security(self._address.keys)) as guard,
        ):
            socket.set(zmq.LINGER, 200)
            socket.set(zmq.MAXMSGSIZE, MAX_REQUEST_BYTES)
            socket.set(zmq.RCVHWM, _MAX_QUEUED_REQUESTS)
            socket.set(zmq.SNDHWM, _MAX_QUEUED_REQUESTS)
            self._address.bound(guard.bind(socket, "control", self.endpoint, ORDERS))
            guard.start()
            self._started.ready()
            while not self._over.is_set():
                if socket.poll(_POLL_MS):
                    socket.send(_encode(self._answer(socket.recv_multipart(copy=False)[-1])))
                    self._over.wait(_PAUSE_S)

    def _answer(self, frame: zmq.Frame) -> dict[str, Any]:
        origin = origin_of(frame, None)
        try:
            request = decode_request(frame.bytes)
            origin = origin._replace(program=request.by)
            return {"ok": True, "name": self.name, **self._handler(request, origin)}
        except CropzoomError as error:
            self._log_refusal(origin, str(error))
            return {"ok": False, "error": str(error)}
        except Exception as error:  # a fault of the handler must not end the thread: it would take no orders any more
            logger.exception("an order failed")
            return {"ok": False, "error": f"the order failed: {type(error).__name__}: {explain(error)}"}

    def _log_refusal(self, origin: Origin, why: str) -> None:
        """Log a refused order, but at most one a second: a script may ask without end."""
        self._refused += 1
        if now_ns() < self._log_from_ns:
            return
        before = f" ({self._refused - 1} more before)" if self._refused > 1 else ""
        logger.warning("an order by %s was refused: %s%s", origin, " ".join(why.split()), before)
        self._refused, self._log_from_ns = 0, now_ns() + _LOG_EVERY_NS


def origin_of(frame: zmq.Frame, program: str | None) -> Origin:
    """Return who sent a message.

    Args:
        frame: The message as it came from the socket.
        program: Program, as the request says.
    """
    key = None
    with suppress(zmq.ZMQError):
        key = str(frame.get("User-Id"))  # the guard's answer gives the connection the name of its key
    user, process = (None, None) if key else _peer(frame)
    return Origin(program, user, process, key or None)


def _peer(frame: zmq.Frame) -> tuple[str | None, int | None]:
    """Return user and process at the other end of a Unix socket; only this user can be there where it is unknown."""
    if not hasattr(sockets, "SO_PEERCRED"):
        return _user_name(os.getuid()) if hasattr(os, "getuid") else None, None
    with suppress(OSError, zmq.ZMQError), _connection(frame) as connection:
        if connection.family == sockets.AF_UNIX:
            process, user, _ = _CREDENTIALS.unpack(
                connection.getsockopt(sockets.SOL_SOCKET, sockets.SO_PEERCRED, _CREDENTIALS.size)
            )
            return _user_name(user), process
    return None, None


def _connection(frame: zmq.Frame) -> sockets.socket:
    """Return a duplicate of the connection on which a message came, which ZeroMQ cannot close meanwhile."""
    copy = os.dup(int(frame.get(zmq.SRCFD)))
    try:
        return sockets.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise


def _user_name(user: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"


def _encode(answer: dict[str, Any]) -> bytes:
    data = msgspec.json.encode(answer)
    if len(data) <= MAX_ANSWER_BYTES:
        return data
    return msgspec.json.encode({"ok": False, "error": f"the answer would have {len(data)} bytes, which is too many"})
