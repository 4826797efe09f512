"""The WebSocket of a page on a real server: what it gets and may send, and that none holds up another."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from support.orders import taking
from support.pipelines import wait_for
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from realtime_cropzoom.control.address import take_address
from realtime_cropzoom.view import app, serve
from realtime_cropzoom.view.app import RateLimit, make_app
from realtime_cropzoom.view.hub import MAX_PAGES, Hub
from realtime_cropzoom.view.protocol import Answer, Order, PoseRow, Poses

LONG_S = 30


class Site:
    def __init__(self, hub: Hub, port: int, token: str) -> None:
        self.hub, self.port, self.token = hub, port, token

    @contextmanager
    def page(self) -> Iterator[ClientConnection]:
        """Open the WebSocket of a page."""
        cookie = {"Cookie": f"cropzoom-{self.port}={self.token}"}
        origin = Origin(f"http://127.0.0.1:{self.port}")
        url = f"ws://127.0.0.1:{self.port}/ws"
        with connect(url, origin=origin, additional_headers=cookie, compression=None, max_size=None) as page:
            yield page

    def raw(self, sent: bytes) -> socket.socket:
        """Open a connection and send bytes."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=LONG_S)
        connection.sendall(sent)
        return connection

    def upgrade(self) -> bytes:
        """Return the bytes that open the WebSocket of a page."""
        host = f"127.0.0.1:{self.port}"
        lines = [
            *("GET /ws HTTP/1.1", f"Host: {host}", f"Origin: http://{host}"),
            *(f"Cookie: cropzoom-{self.port}={self.token}", "Connection: Upgrade", "Upgrade: websocket"),
            *("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", ""),
        ]
        return "\r\n".join(lines).encode()


@pytest.fixture
def site(runtime: Path) -> Iterator[Site]:
    with serving() as it:
        yield it


@contextmanager
def serving() -> Iterator[Site]:
    hub = Hub()
    with serve.in_thread(make_app(hub)) as served:
        yield Site(hub, served.port, served.token)


def messages(page: ClientConnection) -> list[dict[str, Any]]:
    got = json.loads(page.recv(timeout=LONG_S))
    return got if isinstance(got, list) else [got]


def answer(page: ClientConnection) -> dict[str, Any]:
    """Return the next answer; several may come together."""
    kept: list[dict[str, Any]] = page.__dict__.setdefault("answers", [])
    while not kept:
        kept += [message for message in messages(page) if message["kind"] == "answer"]
    return kept.pop(0)


def order(number: int, **more: Any) -> str:
    return json.dumps({"kind": "order", "id": number, "to": "rules", "order": "arm", **more})


def test_a_page_gets_the_welcome_first(site: Site) -> None:
    with site.page() as page:
        assert messages(page)[0]["kind"] == "welcome"


def test_an_order_of_a_page_is_obeyed_and_answered(site: Site) -> None:
    with taking(take_address("rules", "rules")) as taker, site.page() as page:
        page.send(order(7, target="corner"))
        got = answer(page)
        assert (got["id"], got["ok"], got["state"]["kind"]) == (7, True, "trigger")
        assert [request.target for request, _ in taker.all] == ["corner"]


def test_orders_to_a_program_keep_their_order_and_wait_for_no_other(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, given = threading.Event(), list[int]()

    def slow(one: Order, _: Hub) -> Answer:
        if one.to == "hangs" or one.id == 0:
            assert free.wait(LONG_S)
        given.append(one.id)
        return Answer(one.id, True)

    monkeypatch.setattr(app, "give", slow)
    with site.page() as page:
        page.send(order(9, to="hangs"))
        for number in range(4):
            page.send(order(number, to="rules"))
        page.send(order(8, to="other"))
        assert answer(page)["id"] == 8
        free.set()
        answers = [answer(page)["id"] for _ in range(5)]
    assert [number for number in given if number < 4] == [0, 1, 2, 3]
    assert sorted(answers) == [0, 1, 2, 3, 9]


def test_more_orders_than_a_program_answers_are_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    free = threading.Event()

    def hang(one: Order, _: Hub) -> Answer:
        assert free.wait(LONG_S)
        return Answer(one.id, True)

    monkeypatch.setattr(app, "give", hang)
    with site.page() as page:
        for number in range(9):
            page.send(order(number))
        refused = answer(page)
        assert (refused["id"], refused["error"]) == (8, "too many orders wait for their answer")
        free.set()
        assert [answer(page)["id"] for _ in range(8)] == [*range(8)]


def test_a_refused_order_is_seen_by_every_page(site: Site) -> None:
    with site.page() as one, site.page() as other:
        messages(other)
        one.send(order(1, to="nobody"))
        assert not answer(one)["ok"]
        assert [m["what"] for m in messages(other)] == ["order_refused"]


@pytest.mark.parametrize("sent", ["no json", "[]", '{"kind":"welcome"}', b"\x00\xff", '{"kind":"order"}', "[" * 50_000])
def test_what_is_no_message_of_a_page_ends_the_connection(site: Site, sent: str | bytes) -> None:
    with site.page() as page:
        page.send(sent)
        assert code_at_the_end(page) == 1003
    with site.page() as page:  # the server goes on
        assert messages(page)


def test_a_huge_message_ends_the_connection_before_it_is_whole(site: Site) -> None:
    with site.page() as page:
        with suppress(ConnectionClosed):
            page.send(["x" * 100_000] * 20)  # 2 MB in fragments
        assert code_at_the_end(page) == 1009


def test_too_many_messages_end_the_connection(site: Site) -> None:
    with site.page() as page:
        with suppress(ConnectionClosed):
            for _ in range(1000):
                page.send('{"kind":"show","previews":[]}')
        assert code_at_the_end(page) == 1008


def code_at_the_end(page: ClientConnection) -> int | None:
    with suppress(ConnectionClosed):
        while True:
            page.recv(timeout=LONG_S)
    return page.close_code


def test_a_page_too_many_is_told_why_and_a_place_is_free_again_when_one_leaves(site: Site) -> None:
    with ExitStack() as stack:
        pages = [stack.enter_context(site.page()) for _ in range(MAX_PAGES)]
        for page in pages:
            messages(page)
        with site.page() as too_many:
            assert code_at_the_end(too_many) == 1013
        pages[0].close()
        wait_for(lambda: len(site.hub.pages) < MAX_PAGES, "the place")
        with site.page() as page:
            assert messages(page)


def many_poses(frame: int) -> Poses:
    points = [(float(i), 1.0, 0.5) for i in range(100)]
    return Poses("cam0", [PoseRow(frame, 0.0, "tracking", None, None, list(points), 1.0, True)] * 20)


def test_a_page_that_reads_nothing_holds_up_nobody(site: Site) -> None:
    stopped = site.raw(site.upgrade())
    stopped.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    wait_for(lambda: site.hub.pages, "the page that reads nothing")
    (queue,) = site.hub.pages
    with site.page() as page:
        messages(page)
        seen: list[int] = []
        for frame in range(1000):
            site.hub.publish_poses(many_poses(frame))
            seen += [m["rows"][0][0] for m in messages(page) if m["kind"] == "poses"]
        assert seen == [*range(1000)]
    assert queue.dropped > 100
    stopped.close()


def test_a_page_that_stays_stopped_loses_its_place(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_READ_WITHIN_S", 0.2)
    with site.raw(site.upgrade()):
        wait_for(lambda: site.hub.pages, "the page")

        def has_left() -> bool:
            site.hub.publish_poses(many_poses(0))
            return not site.hub.pages

        wait_for(has_left, "its place")


def test_clients_that_never_finish_their_request_hold_up_nobody(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "_REQUEST_WITHIN_S", 0.5)
    slow = [site.raw(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ") for _ in range(50)]
    with site.page() as page:
        assert messages(page)
    for connection in slow:  # each is closed by the server, though it sends a byte now and then
        sender = threading.Thread(target=drip, args=(connection,))
        sender.start()
        assert connection.recv(1) == b""
        connection.close()
        sender.join()


def drip(connection: socket.socket) -> None:
    try:
        while True:
            connection.sendall(b"a")
            threading.Event().wait(0.05)
    except OSError:
        return


def test_connections_beyond_the_limit_are_closed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "MAX_CONNECTIONS", 20)
    opened = [site.raw(b"G") for _ in range(40)]
    ended = wait_for(lambda: [one for one in opened if is_closed(one)], "the end of some")
    assert wait_for(lambda: len([one for one in opened if is_closed(one)]) == 20, "the end of twenty")
    for one in opened:
        one.close()
    assert ended
    with site.page() as page:
        assert messages(page)


def is_closed(connection: socket.socket) -> bool:
    connection.settimeout(0.01)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def test_a_connection_reset_in_the_middle_is_no_trouble(site: Site) -> None:
    connection = site.raw(site.upgrade())
    wait_for(lambda: site.hub.pages, "the page")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    wait_for(lambda: not site.hub.pages, "its end")


def test_a_rate_limit_refills_with_time() -> None:
    limit = RateLimit(2.0, 3.0)
    assert [limit.allows(0.0) for _ in range(5)] == [True, True, True, False, False]
    assert [limit.allows(1.0) for _ in range(3)] == [True, True, False]
