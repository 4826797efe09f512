"""ZeroMQ sockets: creates one for an endpoint, limits what it receives, gives it keys and monitors its connections."""

from __future__ import annotations

import secrets
import struct
from typing import Any, TypeVar

import zmq

from realtime_cropzoom.messaging.keys import ClientKeys

_MAX_SUBSCRIPTION_BYTES = 512
_MAX_WAITING = 16
"""Maximum number of subscriptions that wait at a publishing socket."""
_RECEIVE_BUFFER = 1 << 15
"""Size (bytes) of the system's receive buffer of a publishing socket."""

_Socket = TypeVar("_Socket", bound=zmq.Socket[Any])


def new_socket(context: zmq.Context[_Socket], kind: int, endpoint: str) -> _Socket:
    """Create a socket that can bind or connect to an endpoint, and does neither yet.

    Args:
        context: Context of the socket. If it is of asyncio, so is the socket.
        kind: Type of the socket, such as ``zmq.SUB``.
        endpoint: ZeroMQ endpoint. IPv6 is switched on if its host is an IPv6 address.

    Returns:
        The socket. Closing it drops the messages that are not sent yet (``LINGER`` is 0).
    """
    socket = context.socket(kind)
    socket.set(zmq.LINGER, 0)
    allow_ipv6(socket, endpoint)
    return socket


def allow_ipv6(socket: zmq.Socket[Any], endpoint: str) -> None:
    """Switch on IPv6 if the host of ``endpoint`` is an IPv6 address, and off otherwise."""
    socket.set(zmq.IPV6, int("[" in endpoint))


def take_subscriptions_only(socket: zmq.Socket[bytes]) -> None:
    """Limit what a publishing socket receives to few, short subscriptions. Call it before the socket is bound.

    ZeroMQ processes all waiting subscriptions at once while the thread sends. With a small buffer, sending is not
    delayed for long.
    """
    socket.set(zmq.MAXMSGSIZE, _MAX_SUBSCRIPTION_BYTES)
    socket.set(zmq.RCVHWM, _MAX_WAITING)
    socket.set(zmq.RCVBUF, _RECEIVE_BUFFER)


def use_client_keys(socket: zmq.Socket[bytes], keys: ClientKeys) -> None:
    """Make a socket connect only to the run whose key ``keys`` holds. Call it before the socket is connected."""
    socket.set(zmq.CURVE_SERVERKEY, keys.server)
    socket.set(zmq.CURVE_PUBLICKEY, keys.public)
    socket.set(zmq.CURVE_SECRETKEY, keys.secret)


def monitor(context: zmq.Context[zmq.Socket[bytes]], socket: zmq.Socket[bytes], events: int) -> zmq.Socket[bytes]:
    """Return a socket on which the events of another socket arrive.

    Args:
        context: Context of both sockets.
        socket: The socket to monitor. Call its ``disable_monitor`` before it is closed.
        events: Bit mask of ``zmq.EVENT_*``.
    """
    address = f"inproc://monitor-{secrets.token_hex(8)}"
    socket.monitor(address, events)
    pair = context.socket(zmq.PAIR)
    pair.set(zmq.RCVHWM, 0)  # no limit: a full queue would block ZeroMQ's own thread, and so all messages
    pair.connect(address)
    return pair


def parse_event(parts: list[bytes]) -> tuple[int, int]:
    """Return event and value of a monitor's message. ``zmq.utils.monitor`` does the same, but imports asyncio."""
    event, value = struct.unpack("=HI", parts[0])
    return event, value
