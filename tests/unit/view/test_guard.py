"""Who may read the page: asked with raw requests to a real server."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import pytest

from realtime_cropzoom.view import guard, serve
from realtime_cropzoom.view.app import make_app
from realtime_cropzoom.view.hub import Hub
from realtime_cropzoom.view.serve import in_thread

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str


class Site:
    """A running server, and requests to it."""

    def __init__(self, served: serve.Site) -> None:
        self.served, self.port, self.token = served, served.port, served.token
        self.host = f"127.0.0.1:{self.port}"
        self.cookie = {"Cookie": f"cropzoom-{self.port}={self.token}"}
        self.origin = {"Origin": f"http://{self.host}"}

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": self.host, **headers}.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        text = "" if answer.status == 101 else answer.read().decode(errors="replace")
        connection.close()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, text)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with in_thread(make_app(Hub())) as served:
        yield Site(served)


def test_the_token_moves_into_a_cookie_and_leaves_the_address(site: Site) -> None:
    first = site.ask(f"/?token={site.token}")
    assert (first.status, first.headers["location"]) == (303, "/")
    cookie = first.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    page = site.ask("/", Cookie=cookie.split(";")[0])
    assert page.status == 200
    assert site.token not in page.text


@pytest.mark.parametrize("path", ["/", "/static/index.html", "/metrics", "/api/session", "/docs", "/nothing"])
def test_without_the_token_nothing_is_readable(site: Site, path: str) -> None:
    for headers in ({}, {"Cookie": f"cropzoom-{site.port}=wrong"}, {"Cookie": "=;;\x01="}, {"Cookie": "other=1"}):
        answer = site.ask(path, **headers)
        assert answer.status == 403
        assert site.token not in answer.text + str(answer.headers)


@pytest.mark.parametrize("other", ['a={"x":1}', "a=b c", "x", 'a="', "a@b=1", "path=/x", "a=\u00fc", "MINE=wrong"])
def test_cookies_of_other_ports_do_not_lock_the_user_out(site: Site, other: str) -> None:
    mine = site.cookie["Cookie"]
    other = other.replace("MINE", f"cropzoom-{site.port}")
    assert site.ask("/", Cookie=f"{other}; {mine}").status == 200
    assert site.ask("/", Cookie=f"{mine}; {other}").status == 200
    assert site.ask("/", Cookie=other).status == 403


def test_a_code_opens_the_page_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    path = site.served.launch_url().removeprefix(f"http://{site.host}")
    assert site.token not in path
    first = site.ask(path)
    assert (first.status, first.headers["location"]) == (303, "/")
    assert site.ask("/", Cookie=first.headers["set-cookie"].split(";")[0]).status == 200
    assert site.ask(path).status == 403
    monkeypatch.setattr(guard, "_CODE_S", -1.0)
    late = site.served.launch_url().removeprefix(f"http://{site.host}")
    for wrong in (late, "/?once=", "/?once=wrong", "/?once=&token="):
        assert site.ask(wrong).status == 403


@pytest.mark.parametrize("given", ["wrong", "", "%ff%00", "é", "a" * 4000])
def test_a_wrong_token_is_refused(site: Site, given: str) -> None:
    path = f"/?token={given}" if given.isascii() else "/?token=%C3%A9"
    answer = site.ask(path)
    assert answer.status == 403
    assert "set-cookie" not in answer.headers


def test_only_healthz_needs_no_token(site: Site) -> None:
    answer = site.ask("/healthz")
    assert (answer.status, answer.text) == (200, "ok\n")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.1.evil.example:{port}", ""]
)
def test_another_name_of_the_host_is_refused(site: Site, host: str) -> None:
    for path in ("/healthz", "/", f"/?token={site.token}"):
        answer = site.ask(path, **{"Host": host.format(port=site.port), **site.cookie})
        assert answer.status == 400
        assert "set-cookie" not in answer.headers


def test_metrics_take_the_token_of_a_program_too(site: Site) -> None:
    answer = site.ask("/metrics", Authorization=f"Bearer {site.token}")
    assert answer.status == 200
    assert "cropzoom_pages" in answer.text
    assert site.ask("/metrics", **site.cookie).status == 200
    for wrong in (f"Basic {site.token}", "Bearer wrong", f"Bearer {site.token}x", "Bearer", ""):
        assert site.ask("/metrics", Authorization=wrong).status == 403
    assert site.ask("/", Authorization=f"Bearer {site.token}").status == 403


def test_localhost_is_our_name_too(site: Site) -> None:
    assert site.ask("/", Host=f"localhost:{site.port}", **site.cookie).status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1:{port}"])
def test_another_page_reads_nothing_and_opens_no_websocket(
    site: Site, origin: str, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {**site.cookie, "Origin": origin.format(port=site.port)}
    assert site.ask("/ws", **headers, **UPGRADE).status == 403
    assert site.ask("/", **headers).status == 403
    assert not caplog.records, "it cannot fill the terminal either"


def test_a_websocket_needs_origin_and_cookie(site: Site) -> None:
    assert site.ask("/ws", **site.cookie, **UPGRADE).status == 403
    assert site.ask("/ws", **site.origin, **UPGRADE).status == 403
    assert site.ask(f"/ws?token={site.token}", **site.origin, **UPGRADE).status == 403
    assert site.ask("/ws", **site.cookie, **site.origin, **UPGRADE).status == 101


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_nothing_but_get_is_taken(site: Site, method: str) -> None:
    assert site.ask("/", method, **site.cookie, **site.origin).status == 405


@pytest.mark.parametrize(
    "path",
    [
        *("/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc/passwd", "/static/"),
        *("/static/%2fetc%2fpasswd", "/static/....//app.py", "/static/index.html/", "/static/.%00/index.html"),
        "/static/..\\app.py",
    ],
)
def test_no_path_leads_out_of_the_files_of_the_page(site: Site, path: str) -> None:
    answer = site.ask(path, **site.cookie)
    assert answer.status in (400, 404)
    assert "import" not in answer.text
    assert "root:" not in answer.text


def test_each_answer_tells_the_browser_what_the_page_may_do(site: Site) -> None:
    for path, headers in (("/", site.cookie), ("/", {}), ("/healthz", {}), ("/nothing", site.cookie)):
        given = site.ask(path, **headers).headers
        policy = given["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert given["x-content-type-options"] == "nosniff"
        assert given["referrer-policy"] == "no-referrer"
        assert given["cross-origin-opener-policy"] == "same-origin"
        assert given["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in given
        assert "server" not in given


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: {host}\r\nHost: evil.example\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
    ],
)
def test_odd_bytes_get_no_page(site: Site, raw: bytes) -> None:
    answer = b""
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as connection, suppress(ConnectionError):
        connection.sendall(raw.replace(b"{host}", site.host.encode()))
        while part := connection.recv(65536):
            answer += part
    assert not answer or answer.split()[1] in (b"400", b"403")
