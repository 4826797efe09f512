"""The web application of ``cropzoom view``: the page, its files, and the WebSocket over which it gets everything."""

from __future__ import annotations

import asyncio
import logging
import mimetypes
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain
from pathlib import Path

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.view.hub import Hub
from realtime_cropzoom.view.metrics import CONTENT_TYPE, metrics_text
from realtime_cropzoom.view.orders import give
from realtime_cropzoom.view.protocol import Answer, Order, PageMessage, Show, decode_page_message, encode

logger = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
"""Folder of the page."""
MAX_MESSAGE_BYTES = 1 << 18
"""Maximum size (bytes) of a message of a page. A rules file is the largest that it sends."""
_MESSAGES_PER_S, _MESSAGES_AT_ONCE = 20.0, 60.0
"""How many messages a page may send: on average (per second), and at once."""
_LEFT = (WebSocketDisconnect, RuntimeError, TimeoutError)
"""What ends a page in an orderly way; starlette raises RuntimeError after a close."""
_READ_WITHIN_S = 30.0
"""Time (s) within which a page must read what it is sent. One that does not, such as a stopped browser, is left."""
_ORDERS_AT_ONCE = 8
"""How many orders of one page to one program may wait for their answer."""
_POOL = ThreadPoolExecutor(32, "order")
"""Threads that wait for answers: so many that programs that hang do not hold up orders to others."""
_PROGRAMS_AT_ONCE = 16
"""To how many programs orders of one page may wait at the same time."""
_TOO_MANY, _BAD_MESSAGE, _TRY_LATER = 1008, 1003, 1013
"""WebSocket close codes."""
_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".svg": "image/svg+xml", ".json": "application/json"}


def make_app(hub: Hub) -> Starlette:
    """Return the application for live runs, without its guard.

    Args:
        hub: What the pages show.
    """

    async def websocket(socket: WebSocket) -> None:
        await _Page(socket, hub).serve()

    async def metrics(_: Request) -> Response:
        return Response(metrics_text(hub), media_type=CONTENT_TYPE)

    return Starlette(routes=[*page_routes("index.html"), WebSocketRoute("/ws", websocket), Route("/metrics", metrics)])


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
    found = {path.relative_to(STATIC).as_posix(): path for path in STATIC.rglob("*") if _is_ours(path)}
    if name not in found:
        return PlainTextResponse("There is no such file.\n", 404)
    path = found[name]
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Response(path.read_bytes(), media_type=kind)


def _is_ours(path: Path) -> bool:
    """Return whether a path is a file in ``static``, and no link to another place."""
    return path.is_file() and path.resolve().is_relative_to(STATIC.resolve())


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


class _Page:
    """One page, from its WebSocket's first message to its last."""

    def __init__(self, socket: WebSocket, hub: Hub) -> None:
        self._socket, self._hub = socket, hub
        self._news, self._loop = asyncio.Event(), asyncio.get_running_loop()
        self._orders: dict[str, deque[asyncio.Task[None]]] = {}
        """Program → the orders to it that wait for their answer, in order."""
        self._rate = RateLimit(_MESSAGES_PER_S, _MESSAGES_AT_ONCE)

    async def serve(self) -> None:
        """Serve the page until it leaves."""
        await self._socket.accept()
        try:
            self._queue = self._hub.join(self._wake)
        except ConfigError as error:
            await self._socket.close(_TRY_LATER, str(error))
            return
        both = [asyncio.create_task(self._send()), asyncio.create_task(self._receive())]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)  # it has left, or does not read
        finally:
            self._hub.leave(self._queue)
            tasks = [*both, *chain.from_iterable(self._orders.values())]
            for task in tasks:
                task.cancel()
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(ended, Exception) and not isinstance(ended, _LEFT):
                    logger.error("a page failed", exc_info=ended)

    def _wake(self) -> None:
        """Wake the sender, from any thread."""
        with suppress(RuntimeError):  # the loop is closed: the server ends
            self._loop.call_soon_threadsafe(self._news.set)

    async def _send(self) -> None:
        """Send what waits. A slow page keeps only this task waiting."""
        while True:
            await self._news.wait()
            self._news.clear()
            texts, pictures = self._queue.take()
            async with asyncio.timeout(_READ_WITHIN_S):
                if texts:
                    await self._socket.send_text(f"[{','.join(texts)}]")
                for picture in pictures:
                    await self._socket.send_bytes(picture)

    async def _receive(self) -> None:
        while True:
            received = await self._socket.receive()
            if received["type"] == "websocket.disconnect":
                return
            if not self._rate.allows(self._loop.time()):
                await self._socket.close(_TOO_MANY, "too many messages")
                return
            try:
                message = decode_page_message(received.get("text") or received.get("bytes") or "")
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                await self._socket.close(_BAD_MESSAGE, "not a message of a page")
                return
            self._take(message)

    def _take(self, message: PageMessage) -> None:
        if isinstance(message, Show):
            self._hub.show(self._queue, message.previews)
        else:
            self._take_order(message)

    def _take_order(self, order: Order) -> None:
        """Give an order after earlier ones to the same program: a disarm must not overtake an arm."""
        waiting = self._orders.get(order.to, deque())
        if len(waiting) >= _ORDERS_AT_ONCE or len({*self._orders, order.to}) > _PROGRAMS_AT_ONCE:
            self._answer(Answer(order.id, False, "too many orders wait for their answer"))
            return
        before = waiting[-1] if waiting else None
        waiting.append(asyncio.create_task(self._obey(order, before)))
        self._orders[order.to] = waiting

    async def _obey(self, order: Order, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        self._answer(await self._loop.run_in_executor(_POOL, give, order, self._hub))
        waiting = self._orders[order.to]
        waiting.popleft()  # it was the first
        if not waiting:
            del self._orders[order.to]

    def _answer(self, answer: Answer) -> None:
        self._queue.put_event(encode(answer))
