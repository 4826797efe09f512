"""The web application of ``cropzoom view``: the page, its files, and the WebSocket over which it gets everything."""

from __future__ import annotations

import asyncio
import mimetypes
from contextlib import suppress
from pathlib import Path

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.view.hub import Hub
from realtime_cropzoom.view.page_queue import PageQueue
from realtime_cropzoom.view.protocol import PageMessage, decode_page_message

STATIC = Path(__file__).parent / "static"
"""Folder of the page."""
MAX_MESSAGE_BYTES = 1 << 18
"""Maximum size (bytes) of a message of a page. A rules file is the largest that it sends."""
_MESSAGES_PER_S, _MESSAGES_AT_ONCE = 20.0, 60.0
"""How many messages a page may send: on average (per second), and at once."""
_TOO_MANY, _BAD_MESSAGE, _TRY_LATER = 1008, 1003, 1013
"""WebSocket close codes."""
_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".svg": "image/svg+xml", ".json": "application/json"}


def make_app(hub: Hub) -> Starlette:
    """Return the application for live runs, without its guard.

    Args:
        hub: What the pages show.
    """

    async def websocket(socket: WebSocket) -> None:
        await _serve_page(socket, hub)

    return Starlette(routes=[*page_routes("index.html"), WebSocketRoute("/ws", websocket)])


def page_routes(page: str) -> list[BaseRoute]:
    """Return the routes of a page and of its files.

    Args:
        page: The file in ``static`` that ``/`` gives.
    """

    async def index(_: Request) -> Response:
        return _file(page)

    async def static(request: Request) -> Response:
        return _file(request.path_params["path"])

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    return [Route("/", index), Route("/static/{path:path}", static), Route("/healthz", healthz)]


def _file(name: str) -> Response:
    """Return a file of the page. Only names that are listed in ``static`` exist, so that no path leads out of it."""
    found = {path.relative_to(STATIC).as_posix(): path for path in STATIC.rglob("*") if is_plain_file(path)}
    if name not in found:
        return PlainTextResponse("There is no such file.\n", 404)
    path = found[name]
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Response(path.read_bytes(), media_type=kind)


def is_plain_file(path: Path) -> bool:
    """Return whether a path is a file and no link."""
    return path.is_file() and not path.is_symlink()


class RateLimit:
    """Allows so many messages a second, and some more at once."""

    def __init__(self, per_s: float, at_once: float) -> None:
        self._per_s, self._at_once = per_s, at_once
        self._left, self._at_s = at_once, 0.0

    def allows(self, at_s: float) -> bool:
        """Return whether another message is allowed at ``at_s`` (s, any clock that does not go back)."""
        self._left = min(self._at_once, self._left + (at_s - self._at_s) * self._per_s)
        self._at_s = at_s
        if self._left < 1:
            return False
        self._left -= 1
        return True


async def _serve_page(socket: WebSocket, hub: Hub) -> None:
    """Serve one page until it leaves."""
    await socket.accept()
    loop, news = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        with suppress(RuntimeError):  # the loop is closed: the server ends
            loop.call_soon_threadsafe(news.set)

    try:
        page = hub.join(wake)
    except ConfigError as error:
        await socket.close(_TRY_LATER, str(error))
        return
    sender = asyncio.create_task(_send(socket, page, news))
    try:
        await _receive(socket, page, hub)
    except (WebSocketDisconnect, RuntimeError):  # starlette raises RuntimeError after a close
        pass
    finally:
        hub.leave(page)
        sender.cancel()
        with suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
            await sender


async def _send(socket: WebSocket, page: PageQueue, news: asyncio.Event) -> None:
    """Send what waits for a page. A slow page keeps only this task waiting."""
    while True:
        await news.wait()
        news.clear()
        texts, pictures = page.take()
        if texts:
            await socket.send_text(f"[{','.join(texts)}]")
        for picture in pictures:
            await socket.send_bytes(picture)


async def _receive(socket: WebSocket, page: PageQueue, hub: Hub) -> None:
    limit, loop = RateLimit(_MESSAGES_PER_S, _MESSAGES_AT_ONCE), asyncio.get_running_loop()
    while True:
        text = await socket.receive_text()
        if not limit.allows(loop.time()):
            await socket.close(_TOO_MANY, "too many messages")
            return
        try:
            message = decode_page_message(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            await socket.close(_BAD_MESSAGE, "not a message of a page")
            return
        _take(message, page, hub)


def _take(message: PageMessage, page: PageQueue, hub: Hub) -> None:
    """Take a message of a page."""
