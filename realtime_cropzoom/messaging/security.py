"""CURVE security of ZeroMQ sockets: decides which clients may connect, and reports why a server refused this client.

A ``ConnectionGuard`` protects all sockets that are bound in one context. With keys, each connection is encrypted, and
is accepted only if the client knows the run's public key and its own key is in the folder of clients at that moment:
the guard reads the folder for each connection. Without keys the guard only ensures that no other machine can reach
the endpoints, unless ``insecure`` allows it. In both cases it cuts off connections that send more than their
allowance, and accepts no connection of ZMTP before version 3, which a web page can imitate.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import zmq
from zmq.utils import z85

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.messaging.connections import SUBSCRIPTIONS, Allowance, Connections
from realtime_cropzoom.messaging.endpoints import check_free, check_reach
from realtime_cropzoom.messaging.keys import ServerKeys, allowed_clients
from realtime_cropzoom.messaging.limits import connections_allowed
from realtime_cropzoom.messaging.sockets import allow_ipv6, monitor, parse_event

logger = logging.getLogger(__name__)

_ZAP_ENDPOINT = "inproc://zeromq.zap.01"
"""Endpoint at which ZeroMQ asks whether a client may connect (RFC 27)."""

_DOMAIN = b"cropzoom"

_POLL_MS = 50
"""Timeout (ms) of the wait for events. Connections are checked at least that often."""

_HANDSHAKE_MS = 10_000
"""Timeout of a handshake (ms). ZeroMQ then drops the connection."""

_MAX_KEYS = 64
"""Maximum number of unknown keys that are remembered and logged. Further ones are only counted."""


_FAILED = zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL

_WATCHED = _FAILED | zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED

_MECHANISM_MISMATCH = 0x11000002
"""Value of a handshake event: one side has keys and the other has none."""

_TRIES = 3
"""Number of connections that must break off during the handshake before a warning. A single one may have another
reason than a key."""


class RejectedConnections:
    """Counts rejected connections. Any thread may add and read."""

    def __init__(self) -> None:
        self.count = 0
        """Number of connections that were rejected, or broke off before the client was known."""
        self.keys: dict[str, int] = {}
        """Unknown public key → number of times it was rejected; the first 64 keys only."""
        self.cut_off = 0
        """Number of connections closed because they sent too much, or because there were too many."""
        self._logged: set[str] = set()
        self._lock = threading.Lock()

    def add(self, *, without_key: bool) -> None:
        """Count a rejected connection; the first one without a key, or with the key of another run, is logged."""
        with self._lock:
            self.count += 1
        if without_key:
            self._log_once(
                "rejected a client without a key, or with the key of another run; further ones are only counted"
            )

    def add_cut_off(self, name: str, reason: str) -> None:
        """Count a connection to the endpoint ``name`` that was cut off; log the first one of each reason."""
        with self._lock:
            self.cut_off += 1
        self._log_once(f"{name}: a connection was cut off: {reason}; further ones are only counted")

    def _log_once(self, text: str) -> None:
        with self._lock:
            first = text not in self._logged
            self._logged.add(text)
        if first:
            logger.warning("%s", text)

    def add_key(self, key: str, address: str, folder: Path) -> None:
        """Remember an unknown key and log it once. ``add`` counts the connection itself."""
        with self._lock:
            first = key not in self.keys and len(self.keys) < _MAX_KEYS
            if first or key in self.keys:
                self.keys[key] = self.keys.get(key, 0) + 1
        if first:
            logger.warning("rejected a client at %s: its key %s is not in %s", address, key, folder)


@dataclass(frozen=True, slots=True)
class Security:
    """Security settings that all sockets of a run share."""

    keys: ServerKeys | None = None
    """Keys of the run: only its clients may connect. None means no keys."""
    insecure: bool = False
    """Without keys: whether endpoints may be bound that other machines can reach."""
    rejected: RejectedConnections = field(default_factory=RejectedConnections)
    """Counts of the rejected connections."""


class ConnectionGuard:
    """Protects the sockets of one context. ``bind`` them, ``start``, and ``close`` before the sockets are closed.

    Call all methods from the thread that owns the sockets.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], security: Security) -> None:
        self._context, self._security, self._keys = context, security, security.keys
        self._guarded: list[zmq.Socket[bytes]] = []
        self._monitors: dict[zmq.Socket[bytes], tuple[str, Connections]] = {}
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._zap_socket: zmq.Socket[bytes] | None = None
        if self._keys is not None:  # before any socket is bound, so that each is protected from the start
            self._zap_socket = context.socket(zmq.REP)
            self._zap_socket.bind(_ZAP_ENDPOINT)

    def bind(self, socket: zmq.Socket[bytes], name: str, endpoint: str, allowance: Allowance = SUBSCRIPTIONS) -> str:
        """Bind a socket. Call it before ``start``.

        Args:
            socket: Socket of the guard's context.
            name: Name of the setting that gives the endpoint, for errors and warnings.
            endpoint: ZeroMQ endpoint to bind.
            allowance: How much one connection may send before it is cut off.

        Returns:
            The endpoint with the port that the system chose.

        Raises:
            ConfigError: if ``endpoint`` is not an endpoint, is in use by another program, or if other machines could
                reach it although the settings do not allow that.
            zmq.ZMQError: if the socket cannot be bound.
        """
        check_reach(name, endpoint, keys=self._keys is not None, insecure=self._security.insecure)
        check_free(name, endpoint)
        allow_ipv6(socket, endpoint)
        # With a domain ZeroMQ refuses connections without a version, such as HTTP. Otherwise it reads HTTP as messages.
        socket.set(zmq.ZAP_DOMAIN, _DOMAIN)
        if self._keys is not None:
            socket.set(zmq.CURVE_SERVER, 1)
            socket.set(zmq.CURVE_SECRETKEY, self._keys.secret)
            socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)  # without a ZAP handler every connection is refused
        socket.set(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
        connections = Connections(allowance, connections_allowed())
        self._monitors[monitor(self._context, socket, _WATCHED)] = name, connections
        self._guarded.append(socket)
        socket.bind(endpoint)
        return bytes(socket.get(zmq.LAST_ENDPOINT)).decode()

    def sent(self, frame: zmq.Frame) -> None:
        """Count a subscription that a bound socket received, for connections that the kernel does not measure."""
        try:
            descriptor = int(frame.get(zmq.SRCFD))
        except zmq.ZMQError:  # no peer sent it: ZeroMQ unsubscribes for a peer that has left
            return
        for _, connections in self._monitors.values():
            connections.sent(descriptor, len(frame))

    def start(self) -> None:
        """Accept clients from now on. Before, they wait."""
        self._thread = threading.Thread(target=self._watch, name="cropzoom-guard", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Accept no more clients; connected ones stay. May be called more than once."""
        for socket in self._guarded:
            socket.disable_monitor()  # first: else ZeroMQ waits without end to deliver events that are no longer read
        self._guarded.clear()
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        for socket in self._watched():
            socket.close(linger=0)

    def __enter__(self) -> ConnectionGuard:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _watched(self) -> list[zmq.Socket[bytes]]:
        return [*self._monitors] if self._zap_socket is None else [self._zap_socket, *self._monitors]

    def _watch(self) -> None:
        poller = zmq.Poller()
        for socket in self._watched():
            poller.register(socket, zmq.POLLIN)
        while not self._over.is_set():
            for socket, _ in poller.poll(_POLL_MS):
                if socket is self._zap_socket:
                    self._answer(socket)
                else:
                    self._process_events(socket, self._monitors[socket][1])
            for name, connections in self._monitors.values():
                for reason in connections.cut_off(now_ns()):
                    self._security.rejected.add_cut_off(name, reason)

    def _answer(self, door: zmq.Socket[bytes]) -> None:
        """Answer whether a client may connect, in ZeroMQ's authentication protocol (ZAP, RFC 27)."""
        request = door.recv_multipart()
        version, number, _, address, _, mechanism, *credentials = request
        name = None
        if mechanism == b"CURVE" and len(credentials) == 1:
            name = self._find_client(z85.encode(credentials[0]), address.decode(errors="replace"))
        status = (b"400", b"not a client", b"") if name is None else (b"200", b"", name.encode())
        door.send_multipart([version, number, *status, b""])

    def _find_client(self, key: bytes, address: str) -> str | None:
        assert self._keys is not None
        name = allowed_clients(self._keys.clients).get(key)
        if name is None:
            self._security.rejected.add_key(key.decode(), address, self._keys.clients)
        return name

    def _process_events(self, events: zmq.Socket[bytes], connections: Connections) -> None:
        """Process all waiting events of a socket's connections; the system reuses descriptors at once."""
        while events.poll(0):
            event, value = parse_event(events.recv_multipart())
            if event == zmq.EVENT_ACCEPTED:
                connections.accepted(value, now_ns())
            elif event == zmq.EVENT_DISCONNECTED:
                connections.ended(value)
            elif self._keys is not None:
                self._security.rejected.add(without_key=event != zmq.EVENT_HANDSHAKE_FAILED_AUTH)


class HandshakeMonitor:
    """Monitors the handshakes of a client's socket, so that a refusal is reported and is not mistaken for silence."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], socket: zmq.Socket[bytes], endpoint: str, *, with_keys: bool
    ) -> None:
        """Start to monitor. Create it before the socket is connected.

        Args:
            context: Context of the socket.
            socket: The client's socket.
            endpoint: The endpoint to which it will connect, for the messages.
            with_keys: Whether the client uses keys.
        """
        self._endpoint, self._with_keys = endpoint, with_keys
        self._socket = socket
        self._broken_off = 0
        self.succeeded = False
        """Whether a handshake with the endpoint has succeeded at least once."""
        self.events = monitor(context, socket, _FAILED | zmq.EVENT_HANDSHAKE_SUCCEEDED)
        """Socket that is readable when there are events for ``check``."""

    def check(self) -> str | None:
        """Process the waiting events.

        If ZeroMQ continues to connect, the fault may pass: that is only logged as a warning.

        Returns:
            Why no message will ever arrive, in one line; None if no event says so.
        """
        reason = None
        while self.events.poll(0):
            event, value = parse_event(self.events.recv_multipart())
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                reason, self._broken_off, self.succeeded = None, 0, True
            elif event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
                self._count_broken_off()
            elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                reason = "the run does not know this key; check that its public part is in the run's folder 'clients'"
            elif value == _MECHANISM_MISMATCH:
                reason = self._explain_mismatch()
            else:
                reason = "the program there is not a run; check the port"
        return reason and f"refused at {self._endpoint}: {reason}"

    def close(self) -> None:
        """Stop to monitor. Call it before the socket is closed. May be called more than once."""
        with suppress(zmq.ZMQError):
            self._socket.disable_monitor()
        self.events.close(linger=0)

    def _count_broken_off(self) -> None:
        self._broken_off += 1
        if self._broken_off == _TRIES:
            keys = "no keys, or other keys than those of this client's file" if self._with_keys else "keys"
            logger.warning(
                "every connection to %s breaks off: the run has %s, or a tunnel has no run behind it; "
                "trying again", self._endpoint, keys,
            )  # fmt: skip

    def _explain_mismatch(self) -> str:
        if self._with_keys:
            return (
                "the run has no keys, so that it could be anyone; start it with 'cropzoom run --key-folder FOLDER' or "
                "connect without"
            )
        return "the run accepts no client without a key; give the file that 'cropzoom keys' made for it (keys, --keys)"
