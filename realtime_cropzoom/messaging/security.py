"""CURVE on ZeroMQ sockets: who may connect to ours, and why we were not let in elsewhere.

A ``Guard`` stands at all sockets that are bound in one context. With keys, each connection is encrypted, and
lasts only if the client knows the run's public key and its own is in the folder of clients *now*: the
folder is read anew for each of them. Without keys it only sees to it that nothing but this machine
can reach the endpoints, unless that was asked for. With or without, it cuts off who sends more than it should,
and takes no connection of ZMTP before version 3, which a web page can imitate.
"""

from __future__ import annotations

import logging
import secrets
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import zmq
from zmq.utils import z85

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.messaging.connections import SUBSCRIPTIONS, Allowance, Connections
from realtime_cropzoom.messaging.endpoints import check_free, check_reach
from realtime_cropzoom.messaging.keys import ClientKeys, ServerKeys, allowed_clients
from realtime_cropzoom.messaging.limits import connections_allowed

logger = logging.getLogger(__name__)

_ZAP = "inproc://zeromq.zap.01"
_DOMAIN = b"cropzoom"
_POLL_MS = 50
_HANDSHAKE_MS = 10_000
"""Who has not said by then who it is is dropped."""
_KEYS_REMEMBERED = 64
_LONGEST_SUBSCRIPTION = 512
_SUBSCRIPTIONS_WAITING = 16
_RECEIVE_BUFFER = 1 << 15
_FAILED = zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
_WATCHED = _FAILED | zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED
_MECHANISM_MISMATCH = 0x11000002
_TRIES = 3
"""One connection that breaks off while it is made may have other reasons than a key."""


class RejectedConnections:
    """Counts who was refused. Any thread may count, and read."""

    def __init__(self) -> None:
        self.count = 0
        """Connections that were refused, or broke off before it was known whose they were."""
        self.keys: dict[str, int] = {}
        """Public key → how often it was refused because it is no client's; the first 64 of them."""
        self.cut_off = 0
        """Connections that were ended because they sent too much, or were too many."""
        self._said: set[str] = set()
        self._lock = threading.Lock()

    def add(self, *, without_key: bool) -> None:
        """Count a connection."""
        with self._lock:
            self.count += 1
        if without_key:
            self._say("refused a client that has no key, or knows another run's; further ones are only counted")

    def add_cut_off(self, name: str, why: str) -> None:
        """Count a connection to the endpoint ``name`` that was ended."""
        with self._lock:
            self.cut_off += 1
        self._say(f"{name}: a connection was cut off: {why}; further ones are only counted")

    def _say(self, text: str) -> None:
        with self._lock:
            first = text not in self._said
            self._said.add(text)
        if first:
            logger.warning("%s", text)

    def add_key(self, key: str, address: str, folder: Path) -> None:
        """Remember a key, of a connection that is counted besides."""
        with self._lock:
            first = key not in self.keys and len(self.keys) < _KEYS_REMEMBERED
            if first or key in self.keys:
                self.keys[key] = self.keys.get(key, 0) + 1
        if first:
            logger.warning("refused a client at %s: its key %s is not in %s", address, key, folder)


@dataclass(frozen=True, slots=True)
class Security:
    """What all sockets of a run have in common."""

    keys: ServerKeys | None = None
    """With them, only their clients are let in."""
    insecure: bool = False
    """Without them: whether endpoints may be bound that others can reach."""
    refusals: RejectedConnections = field(default_factory=RejectedConnections)
    """Who was not let in."""


class Guard:
    """Stands at the sockets of one context. ``bind`` them, ``start``, and ``close`` before the sockets are closed.

    All of it is for the thread that the sockets belong to.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], security: Security) -> None:
        self._context, self._security, self._keys = context, security, security.keys
        self._guarded: list[zmq.Socket[bytes]] = []
        self._monitors: dict[zmq.Socket[bytes], tuple[str, Connections]] = {}
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._door: zmq.Socket[bytes] | None = None
        if self._keys is not None:  # before any socket is bound: none is ever without it
            self._door = context.socket(zmq.REP)
            self._door.bind(_ZAP)

    def bind(self, socket: zmq.Socket[bytes], name: str, endpoint: str, allowance: Allowance = SUBSCRIPTIONS) -> str:
        """Bind a socket to the setting ``name`` and return the endpoint it got. Before ``start``.

        A connection that sends more than ``allowance`` is cut off.

        Raises ConfigError where others could reach it though nobody has said so, zmq.ZMQError where it cannot be bound.
        """
        check_reach(name, endpoint, keys=self._keys is not None, insecure=self._security.insecure)
        check_free(name, endpoint)
        socket.set(zmq.IPV6, int("[" in endpoint))
        # With a domain ZeroMQ takes no connection without a version: an HTTP request would be read as messages.
        socket.set(zmq.ZAP_DOMAIN, _DOMAIN)
        if self._keys is not None:
            socket.set(zmq.CURVE_SERVER, 1)
            socket.set(zmq.CURVE_SECRETKEY, self._keys.secret)
            socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)  # where nobody answers for the keys, nobody comes in
        socket.set(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
        connections = Connections(allowance, connections_allowed())
        self._monitors[monitor(self._context, socket, _WATCHED)] = name, connections
        self._guarded.append(socket)
        socket.bind(endpoint)
        return bytes(socket.get(zmq.LAST_ENDPOINT)).decode()

    def sent(self, frame: zmq.Frame) -> None:
        """Count a subscription that a bound socket has handed up, where the kernel does not count what comes."""
        try:
            descriptor = int(frame.get(zmq.SRCFD))
        except zmq.ZMQError:  # nobody has sent it: ZeroMQ unsubscribes for who has gone
            return
        for _, connections in self._monitors.values():
            connections.sent(descriptor, len(frame))

    def start(self) -> None:
        """Let clients in from here on; until then they wait."""
        self._thread = threading.Thread(target=self._watch, name="cropzoom-guard", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let nobody in any more; who is in stays. May be called twice."""
        for socket in self._guarded:
            socket.disable_monitor()  # first: ZeroMQ would wait for ever to tell it to nobody
        self._guarded.clear()
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        for socket in self._watched():
            socket.close(linger=0)

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _watched(self) -> list[zmq.Socket[bytes]]:
        return [*self._monitors] if self._door is None else [self._door, *self._monitors]

    def _watch(self) -> None:
        poller = zmq.Poller()
        for socket in self._watched():
            poller.register(socket, zmq.POLLIN)
        while not self._over.is_set():
            for socket, _ in poller.poll(_POLL_MS):
                if socket is self._door:
                    self._answer(socket)
                else:
                    self._note(socket, self._monitors[socket][1])
            for name, connections in self._monitors.values():
                for why in connections.cut_off(now_ns()):
                    self._security.refusals.add_cut_off(name, why)

    def _answer(self, door: zmq.Socket[bytes]) -> None:
        """Say whether a client may come in: ZeroMQ's authentication protocol, RFC 27."""
        request = door.recv_multipart()
        version, number, _, address, _, mechanism, *credentials = request
        name = None
        if mechanism == b"CURVE" and len(credentials) == 1:
            name = self._name_of(z85.encode(credentials[0]), address.decode(errors="replace"))
        status = (b"400", b"not a client", b"") if name is None else (b"200", b"", name.encode())
        door.send_multipart([version, number, *status, b""])

    def _name_of(self, key: bytes, address: str) -> str | None:
        assert self._keys is not None
        name = allowed_clients(self._keys.clients).get(key)
        if name is None:
            self._security.refusals.add_key(key.decode(), address, self._keys.clients)
        return name

    def _note(self, events: zmq.Socket[bytes], connections: Connections) -> None:
        """Take in all that ZeroMQ says of a socket's connections: descriptors are given again at once."""
        while events.poll(0):
            event, value = parse_event(events.recv_multipart())
            if event == zmq.EVENT_ACCEPTED:
                connections.accepted(value, now_ns())
            elif event == zmq.EVENT_DISCONNECTED:
                connections.ended(value)
            elif self._keys is not None:
                self._security.refusals.add(without_key=event != zmq.EVENT_HANDSHAKE_FAILED_AUTH)


def take_subscriptions_only(socket: zmq.Socket[bytes]) -> None:
    """Bound what a publishing socket takes in: subscriptions, which are short, and few at a time. Before it is bound.

    ZeroMQ works off all that waits in one go, while the thread sends: with little room nothing else waits for long.
    """
    socket.set(zmq.MAXMSGSIZE, _LONGEST_SUBSCRIPTION)
    socket.set(zmq.RCVHWM, _SUBSCRIPTIONS_WAITING)
    socket.set(zmq.RCVBUF, _RECEIVE_BUFFER)


def use_client_keys(socket: zmq.Socket[bytes], keys: ClientKeys) -> None:
    """Make a socket talk to none but the run whose key it has. Before it is connected."""
    socket.set(zmq.CURVE_SERVERKEY, keys.server)
    socket.set(zmq.CURVE_PUBLICKEY, keys.public)
    socket.set(zmq.CURVE_SECRETKEY, keys.secret)


class HandshakeMonitor:
    """Watches how a client's socket gets on with its endpoint, so that a refusal is no silence."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], socket: zmq.Socket[bytes], endpoint: str, *, with_keys: bool
    ) -> None:
        """Begin to watch; before the socket is connected."""
        self._endpoint, self._with_keys = endpoint, with_keys
        self._socket = socket
        self._broke_off = 0
        self.succeeded = False
        """Whether a handshake has come to its end, the last time that one did."""
        self.events = monitor(context, socket, _FAILED | zmq.EVENT_HANDSHAKE_SUCCEEDED)
        """Readable when there is something to ``judge``."""

    def judge(self) -> str | None:
        """Take in what has happened; return why nothing will ever come, in one line, or None if all is well.

        Where ZeroMQ goes on trying, there is hope, and only a warning.
        """
        why = None
        while self.events.poll(0):
            event, value = parse_event(self.events.recv_multipart())
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                why, self._broke_off, self.succeeded = None, 0, True
            elif event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
                self._count_broken_off()
            elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                why = "it does not know this key; is its public part in the folder 'clients' there?"
            elif value == _MECHANISM_MISMATCH:
                why = self._why_mismatch()
            else:
                why = "what answers there does not speak as a run does; is the port right?"
        return why and f"refused at {self._endpoint}: {why}"

    def close(self) -> None:
        """End; before the socket is closed. May be called twice."""
        with suppress(zmq.ZMQError):
            self._socket.disable_monitor()
        self.events.close(linger=0)

    def _count_broken_off(self) -> None:
        self._broke_off += 1
        if self._broke_off == _TRIES:
            keys = "no keys, or others than this client's file was made with" if self._with_keys else "keys"
            logger.warning(
                "each connection to %s breaks off: a run that has %s does so, and a tunnel with no run behind it; "
                "trying on", self._endpoint, keys,
            )  # fmt: skip

    def _why_mismatch(self) -> str:
        if self._with_keys:
            return (
                "it has no keys, so that anybody could be there; start it with 'cropzoom run --key-folder FOLDER', or "
                "listen without"
            )
        return (
            "it takes nobody without a key; give the file that 'cropzoom keys' has made for this client (keys, --keys)"
        )


def monitor(context: zmq.Context[zmq.Socket[bytes]], socket: zmq.Socket[bytes], events: int) -> zmq.Socket[bytes]:
    """Return a socket on which ``events`` of another one arrive; ``disable_monitor`` comes before closing it."""
    address = f"inproc://monitor-{secrets.token_hex(8)}"
    socket.monitor(address, events)
    pair = context.socket(zmq.PAIR)
    pair.set(zmq.RCVHWM, 0)  # where it is full, ZeroMQ's own thread would wait, and with it all messages
    pair.connect(address)
    return pair


def parse_event(parts: list[bytes]) -> tuple[int, int]:
    """Return event and value of what a monitor gives. zmq.utils.monitor does it too, but brings asyncio along."""
    event, value = struct.unpack("=HI", parts[0])
    return event, value
