"""Serves the application on a port of this machine until it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import secrets
import socket as sockets
import threading
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from realtime_cropzoom.errors import ConfigError, explain
from realtime_cropzoom.view.app import MAX_MESSAGE_BYTES
from realtime_cropzoom.view.guard import Guard

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 8765
_NEXT_PORTS = 20
MAX_CONNECTIONS = 128
"""Maximum number of connections at the same time. A further one is closed at once."""
_REQUEST_WITHIN_S = 10.0
"""Time (s) within which a connection must have sent a whole request."""
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1"})


def new_token() -> str:
    """Return a new secret: 256 random bits, as 43 characters that may stand in a URL."""
    return secrets.token_urlsafe(32)


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches ``host``: localhost, or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def open_socket(host: str, port: int | None) -> sockets.socket:
    """Bind and return the listening socket.

    Args:
        host: Name or address to bind.
        port: Port, 0 for any free one; None for the default port, or the next one that is free.

    Raises:
        ConfigError: if no port can be bound.
    """
    ports = range(DEFAULT_PORT, DEFAULT_PORT + _NEXT_PORTS) if port is None else [port]
    for one in ports:
        try:
            return _bind(host, one)
        except OSError as error:
            if port is None and error.errno == errno.EADDRINUSE:
                continue
            raise ConfigError(f"port {one} at {host}: {explain(error)}. Give another one with --port") from error
    raise ConfigError(f"the ports {ports[0]} to {ports[-1]} are all in use. Give another one with --port")


def _bind(host: str, port: int) -> sockets.socket:
    family, kind, protocol, _, address = sockets.getaddrinfo(host, port, type=sockets.SOCK_STREAM)[0]
    socket = sockets.socket(family, kind, protocol)
    try:
        socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
        socket.bind(address)
        socket.listen(128)
    except OSError:
        socket.close()
        raise
    socket.setblocking(False)
    return socket


def url_of(socket: sockets.socket, host: str, token: str) -> str:
    """Return the address of the page, with its token. A server at all addresses is named by this machine's name."""
    port = socket.getsockname()[1]
    if host in ("0.0.0.0", "::"):
        host = sockets.gethostname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/?token={token}"


class Connection(H11Protocol):
    """One HTTP connection. It is closed if no request is complete in time, or if there are too many connections.

    A client that sends its request byte by byte, or none at all, then holds nothing that others need.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection."""
        super().connection_made(transport)
        self._last: object = None
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
        else:
            self.loop.call_later(_REQUEST_WITHIN_S, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if self.transport.is_closing() or self.transport.get_protocol() is not self:  # it is a WebSocket by now
            return
        answering = self.cycle is not None and not self.cycle.response_complete
        if not answering and self.cycle is self._last:
            self.transport.close()
            return
        self._last = self.cycle
        self.loop.call_later(_REQUEST_WITHIN_S, self._close_if_idle)


class Server(uvicorn.Server):
    """uvicorn without its handlers of signals: the command has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


def make_server(app: ASGIApp, socket: sockets.socket, host: str, token: str) -> Server:
    """Return the server of a guarded application. ``serve`` runs it; set its ``should_exit`` to end it.

    Args:
        app: The application, without a guard.
        socket: From ``open_socket``.
        host: Host given by the user, by which browsers may call this machine.
        token: Secret of this start.
    """
    names = _LOCAL_NAMES | {host.lower(), sockets.gethostname().lower()}
    guarded = Guard(app, token, names, socket.getsockname()[1])
    options: dict[str, Any] = {"ws": "websockets-sansio", "http": Connection, "loop": "asyncio", "lifespan": "off"}
    return Server(
        uvicorn.Config(
            guarded,
            **options,
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws_max_size=MAX_MESSAGE_BYTES,
            ws_per_message_deflate=False,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=1,
        )
    )


@contextlib.contextmanager
def in_thread(app: ASGIApp, host: str = LOOPBACK, token: str | None = None) -> Iterator[tuple[int, str]]:
    """Serve ``app`` in a thread inside the ``with`` block, at a free port; yields port and token."""
    socket, token = open_socket(host, 0), token or new_token()
    server = make_server(app, socket, host, token)
    thread = threading.Thread(target=serve, args=(server, socket), name="cropzoom-serve", daemon=True)
    thread.start()
    try:
        yield socket.getsockname()[1], token
    finally:
        server.should_exit = True
        thread.join()


def serve(server: Server, socket: sockets.socket, started: Callable[[], object] | None = None) -> None:
    """Serve at ``socket`` until ``should_exit`` of the server is set."""
    if started is not None:
        started()
    server.run([socket])
