"""Serves the application on a port of this machine until it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import secrets
import socket as sockets
import threading
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from realtime_cropzoom.errors import ConfigError, explain
from realtime_cropzoom.view.app import MAX_MESSAGE_BYTES
from realtime_cropzoom.view.guard import Guard, in_url

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 8765
_NEXT_PORTS = 20
_OPTION = getattr(sockets, "SO_EXCLUSIVEADDRUSE", sockets.SO_REUSEADDR)
"""Option of the port: SO_REUSEADDR frees one that was just in use, but on Windows it takes one that is in use."""
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
            raise ConfigError(f"port {one} at {host}: {explain(error)}; choose another port") from error
    raise ConfigError(f"the ports {ports[0]} to {ports[-1]} are all in use; end another page, or choose a port")


def _bind(host: str, port: int) -> sockets.socket:
    family, kind, protocol, _, address = sockets.getaddrinfo(host, port, type=sockets.SOCK_STREAM)[0]
    socket = sockets.socket(family, kind, protocol)
    try:
        socket.setsockopt(sockets.SOL_SOCKET, _OPTION, 1)
        socket.bind(address)
        socket.listen(128)
    except OSError:
        socket.close()
        raise
    socket.setblocking(False)
    return socket


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


class Site:
    """An application at a port of this machine, behind its guard."""

    def __init__(self, app: ASGIApp, host: str = LOOPBACK, port: int | None = 0, token: str | None = None) -> None:
        """Bind the port. ``serve`` answers what comes.

        Args:
            app: The application, without a guard.
            host: Name or address of this machine to bind.
            port: As in ``open_socket``.
            token: Secret of this start; None makes one.

        Raises:
            ConfigError: if no port can be bound.
        """
        self._host, self.token = host, token or new_token()
        self._socket = open_socket(host, port)
        self.port: int = self._socket.getsockname()[1]
        names = _LOCAL_NAMES | {in_url(host.lower()), sockets.gethostname().lower()}
        self.guard = Guard(app, self.token, names, self.port)
        options: dict[str, Any] = {"ws": "websockets-sansio", "http": Connection, "loop": "asyncio", "lifespan": "off"}
        self._server = Server(
            uvicorn.Config(
                self.guard,
                **options,
                log_config=None,
                log_level="error",  # what is logged below that names the addresses of requests
                access_log=False,
                server_header=False,
                proxy_headers=False,
                ws_max_size=MAX_MESSAGE_BYTES,
                ws_per_message_deflate=False,
                timeout_keep_alive=5,
                timeout_graceful_shutdown=1,
            )
        )

    @property
    def url(self) -> str:
        """The address of the page, with its token. A server at all addresses is named by this machine's name."""
        return f"{self._base()}/?token={self.token}"

    def launch_url(self) -> str:
        """Return an address that opens the page once, within a minute: other users see the arguments of a browser."""
        return f"{self._base()}/?once={self.guard.make_code()}"

    def serve(self) -> None:
        """Answer requests until ``stop`` is called, and close the port."""
        self._server.run([self._socket])

    def stop(self) -> None:
        """End ``serve``. A signal handler or another thread may call it, also before ``serve``."""
        self._server.should_exit = True

    def close(self) -> None:
        """Close the port. May be called more than once."""
        self._socket.close()

    def _base(self) -> str:
        everywhere = self._host in ("0.0.0.0", "::")
        return f"http://{in_url(sockets.gethostname() if everywhere else self._host)}:{self.port}"


@contextlib.contextmanager
def in_thread(app: ASGIApp) -> Iterator[Site]:
    """Serve an application in a thread inside the ``with`` block, at a free port; yields its site."""
    site = Site(app)
    thread = threading.Thread(target=site.serve, name="cropzoom-serve", daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.stop()
        thread.join()
