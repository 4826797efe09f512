"""A program that takes orders, as a run or a trigger process does, and what a web page sends to its port."""

from __future__ import annotations

import json
import socket as sockets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from realtime_cropzoom.control.address import ControlAddress
from realtime_cropzoom.control.protocol import ORDERS, TRIGGER, Origin, Request, unknown_order
from realtime_cropzoom.control.server import ControlServer


class Taker:
    """Obeys the orders of one kind of program, and keeps them."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.all: list[tuple[Request, Origin]] = []

    def obey(self, request: Request, origin: Origin) -> dict[str, Any]:
        if request.order not in ORDERS[self.kind]:
            raise unknown_order(request, self.kind)
        if request.order != "state":
            self.all.append((request, origin))
        return {"kind": self.kind, "armed": []}

    def given(self) -> list[str]:
        """Return the orders since this was asked last."""
        self.all, new = [], self.all
        return [request.order for request, _ in new]


@contextmanager
def taking(address: ControlAddress, kind: str = TRIGGER, taker: Taker | None = None) -> Iterator[Taker]:
    """Take orders there."""
    taker = taker or Taker(kind)
    server = ControlServer(address, taker.obey)
    try:
        server.start()
        yield taker
    finally:
        server.close()


def post_by_http(port: int, order: str = "arm") -> bytes:
    """Send what a page in a browser can send, with an order in it as ZMTP 1.0 has it; return the answer."""
    request = json.dumps({"order": order}).encode()
    with sockets.create_connection(("127.0.0.1", port), timeout=5) as page:
        page.sendall(b"POST /" + b"a" * 90 + b" HTTP/1.1\r\n" + b"\x01\x01" + bytes([len(request) + 1, 0]) + request)
        answer = b""
        with suppress(ConnectionResetError):
            while part := page.recv(4096):  # an empty one: closed
                answer += part
    return answer
