"""Guests of a run: programs that look at it as a person's window does. Each runs in a process of its own."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from contextlib import suppress
from http.cookiejar import CookieJar
from multiprocessing.synchronize import Event
from urllib.parse import urlsplit

from realtime_cropzoom.client.preview import PreviewSubscriber


def read_previews(endpoint: str, ready: Event) -> None:
    """Receive the previews of a run until the process is killed. ``ready`` is set at the first one."""
    with PreviewSubscriber(endpoint) as pictures:
        while True:
            if pictures.receive(timeout_s=1.0) is not None:
                ready.set()


def read_page(address: str, number: int, ready: Event) -> None:
    """Read what ``number`` pages are sent, as their script does but without drawing.

    Args:
        address: Address of the page, with its token.
        number: Number of pages.
        ready: Set once each of them has a picture.
    """
    jar = CookieJar()
    with urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar)).open(address) as page:
        page.read()
    cookie = "; ".join(f"{one.name}={one.value}" for one in jar)
    asyncio.run(_read_all(urlsplit(address).netloc, cookie, number, ready))


async def _read_all(host: str, cookie: str, number: int, ready: Event) -> None:
    shown: set[int] = set()
    await asyncio.gather(*(_read(host, cookie, one, number, shown, ready) for one in range(number)))


async def _read(host: str, cookie: str, one: int, number: int, shown: set[int], ready: Event) -> None:
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed

    headers = {"Cookie": cookie, "Origin": f"http://{host}"}
    with suppress(ConnectionClosed):  # the server is killed
        async with connect(f"ws://{host}/ws", additional_headers=headers, max_size=None, compression=None) as socket:
            async for frame in socket:
                if isinstance(frame, bytes):
                    shown.add(one)
                    if len(shown) == number:
                        ready.set()
                    continue
                found = json.loads(frame)
                for message in found if isinstance(found, list) else [found]:
                    if message["kind"] == "camera":
                        await socket.send(json.dumps({"kind": "show", "previews": [message["camera"]]}))
