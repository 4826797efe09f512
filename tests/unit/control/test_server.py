"""The server of orders: who gave an order, who cannot, and what does not stop it."""

from __future__ import annotations

import json
import logging
import os
import pwd
import socket as sockets
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import zmq
from support.orders import post_by_http, taking
from support.pipelines import free_port

from realtime_cropzoom.control import AUTO
from realtime_cropzoom.control.address import control_folder, take_address
from realtime_cropzoom.control.client import give_order, send
from realtime_cropzoom.control.protocol import MAX_REQUEST_BYTES, OrderError, Origin, Request
from realtime_cropzoom.control.server import ControlServer
from realtime_cropzoom.errors import ConfigError, SinkError
from realtime_cropzoom.messaging.keys import make_client_keys, make_server_keys

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes of folders are of POSIX systems")


def ask(endpoint: str, *parts: bytes) -> Any:
    """Send bytes to a server, and return its answer; None without one."""
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.set(zmq.LINGER, 0)
        socket.connect(endpoint)
        socket.send_multipart(parts)
        return json.loads(socket.recv()) if socket.poll(500) else None


def test_an_order_says_which_user_and_process_gave_it(runtime: Path) -> None:
    with taking(take_address(AUTO, "rules")) as taker:
        assert give_order("arm", by="page") == {"ok": True, "name": "rules", "kind": "trigger", "armed": []}
        ((request, origin),) = taker.all
    assert (request.order, request.by) == ("arm", "page")
    assert origin == Origin("page", pwd.getpwuid(os.getuid()).pw_name, os.getpid())
    assert not (runtime / "cropzoom" / "rules.sock").exists()


def test_a_refused_order_is_logged_with_who_gave_it_but_not_each_of_many(
    runtime: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(request: Request, origin: Origin) -> dict[str, Any]:
        raise OrderError(f"there is no order {request.order}")

    server = ControlServer(take_address(AUTO, "rules"), refuse)
    server.start()
    with closing(server), caplog.at_level(logging.WARNING):
        for _ in range(20):
            assert give_order("dance", by="page") == {"ok": False, "error": "there is no order dance"}
    logged = [record.message for record in caplog.records]
    assert logged[0].startswith("an order by page (")
    assert logged[0].endswith(f"process {os.getpid()}) was refused: there is no order dance")
    assert len(logged) < 20


def test_at_a_tcp_endpoint_a_key_is_needed_and_named(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    make_server_keys(keys)
    secret = make_client_keys(keys, "bench")
    port = free_port()
    control = f"tcp://127.0.0.1:{port}"
    with taking(take_address(control, "rules", keys)) as taker:
        assert give_order("arm", to=control, keys=secret, by=None)["name"] == control
        assert [str(origin) for _, origin in taker.all] == ["key bench"]
        assert taker.given() == ["arm"]
        rules = "#" * (MAX_REQUEST_BYTES - 100)
        assert [give_order("rules", None, rules, to=control, keys=secret)["ok"] for _ in range(2)] == [True, True]
        assert taker.given() == ["rules", "rules"]
        with pytest.raises(SinkError, match="no program answers"):
            send(control, "arm", timeout_s=0.3)
        assert b"ok" not in post_by_http(port)
        assert taker.given() == []
    with pytest.raises(ConfigError, match="takes orders only with a key"):
        give_order("arm", to=control)


def test_without_unix_sockets_the_program_makes_the_keys(runtime: Path) -> None:
    address = take_address(AUTO, "rules", unix=False)
    with taking(address) as taker:
        (secret,) = control_folder().glob("*.keys/local.key_secret")
        assert secret.stat().st_mode & 0o777 == 0o600
        assert give_order("arm")["ok"]
        assert [str(origin) for _, origin in taker.all] == ["script (key local)"]
        assert taker.given() == ["arm"]
        with pytest.raises(SinkError, match="no program answers"):
            send(address.endpoint, "arm", timeout_s=0.3)
        assert b"ok" not in post_by_http(int(address.endpoint.rpartition(":")[2]))
        assert taker.given() == []
    assert not list(control_folder().iterdir())


@pytest.mark.parametrize(
    "sent",
    [b"", b"\xff\x00garbage", b"[" * 100_000, b'{"order": 1}', b'{"order": "arm", "more": 1}', b'"arm"'],
    ids=["empty", "binary", "deep", "number", "unknown field", "text"],
)
def test_garbage_gets_an_answer_and_changes_nothing(runtime: Path, sent: bytes) -> None:
    address = take_address(AUTO, "rules")
    with taking(address) as taker:
        answer = ask(address.endpoint, sent)
        assert answer == {"ok": False, "error": 'expected JSON such as {"order": "state"}'}
        assert ask(address.endpoint, b'{"order": "arm", "by": "two\\nlines"}')["error"].startswith("by: expected")
        assert taker.given() == []


def test_a_huge_request_is_dropped(runtime: Path) -> None:
    address = take_address(AUTO, "rules")
    with taking(address) as taker:
        assert ask(address.endpoint, b'{"order": "arm", "value": "' + b"x" * MAX_REQUEST_BYTES + b'"}') is None
        assert give_order("arm")["ok"]
        assert taker.given() == ["arm"]


def test_a_fault_of_the_handler_is_an_answer(runtime: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = ControlServer(take_address(AUTO, "rules"), lambda request, origin: {"ok": 1 // 0})
    server.start()
    try:
        with caplog.at_level(logging.ERROR):
            answers = [give_order("state") for _ in range(2)]
    finally:
        server.close()
    assert [answer["ok"] for answer in answers] == [False, False]
    assert "ZeroDivisionError" in answers[0]["error"]
    assert caplog.messages == ["an order failed"] * 2


def test_idle_connections_do_not_block_orders(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime_cropzoom.messaging.security.connections_allowed", lambda: 20)
    address = take_address(AUTO, "rules")
    idle = []
    with taking(address) as taker:
        for _ in range(100):
            idle.append(sockets.socket(sockets.AF_UNIX))
            idle[-1].connect(address.endpoint.removeprefix("ipc://"))
        assert give_order("arm")["ok"]
        assert taker.given() == ["arm"]
    for one in idle:
        one.close()


def test_a_script_that_asks_in_a_loop_does_not_block_orders(runtime: Path) -> None:
    address = take_address(AUTO, "rules")
    asker = "import sys, zmq\ns = zmq.Context().socket(zmq.DEALER)\ns.connect(sys.argv[1])\n"
    asker += "while True: s.send_multipart([b'', b'{\"order\": \"state\"}'])"
    with taking(address) as taker, subprocess.Popen([sys.executable, "-c", asker, address.endpoint]) as process:
        try:
            for _ in range(5):
                assert give_order("arm")["ok"]
            assert taker.given() == ["arm"] * 5
        finally:
            process.kill()
