"""Orders to the trigger process: who can give them, how they find their way, and what is left behind."""

from __future__ import annotations

import json
import os
import socket as sockets
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support.pipelines import cropzoom, finish, free_port, start_process, wait_for

from realtime_cropzoom.errors import ConfigError, SinkError
from realtime_cropzoom.messaging.keys import make_client_keys, make_server_keys
from realtime_cropzoom.trigger import AUTO
from realtime_cropzoom.trigger.process import command_address
from realtime_cropzoom.trigger.process.command_address import (
    ControlAddress,
    check_control,
    control_folder,
    find_address,
    take_address,
)
from realtime_cropzoom.trigger.process.commands import CommandQueue, CommandServer, give_order, send

RULES = """
endpoint: tcp://127.0.0.1:1
outputs: {marks: {zmq_publish: "tcp://127.0.0.1:*"}}
zones: {all: {rectangle_px: [0, 0, 640, 480]}}
rules: {came: {when: {entered: all, keypoint: snout}, fire: marks, pulse_ms: 10}}
"""
pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes of folders are of POSIX systems")


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A runtime folder of this test's own; a short path, as a socket's must be."""
    with tempfile.TemporaryDirectory(prefix="cz") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder)


@contextmanager
def taking(address: ControlAddress) -> Iterator[Taken]:
    """Take orders there; all are as they should be."""
    orders, over = Taken(), threading.Event()
    control = CommandServer(address, orders, lambda order, target: "", lambda: {"armed": []})
    loop = threading.Thread(target=orders.take_until, args=(over,))
    loop.start()
    control.start()
    try:
        yield orders
    finally:
        control.close()
        over.set()
        loop.join()


class Taken(CommandQueue):
    """Orders, and a rule loop that takes them."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[str] = []

    def take_until(self, over: threading.Event) -> None:
        while not over.wait(0.005):
            for asked in self.take():
                self.all.append(asked.order.value)
                asked.done()


def given(orders: Taken) -> list[str]:
    """What was ordered since this was asked last."""
    orders.all, new = [], orders.all
    return new


def test_an_order_finds_the_one_process_that_runs_by_itself(runtime: Path) -> None:
    with taking(take_address(AUTO, "rules")) as orders:
        assert give_order("arm") == {"ok": True, "armed": []}
        assert given(orders) == ["arm"]
        assert (runtime / "cropzoom" / "rules.sock").is_socket()
    assert not (runtime / "cropzoom" / "rules.sock").exists()


def test_the_folder_is_private_to_the_user(runtime: Path) -> None:
    assert control_folder() == runtime / "cropzoom"
    assert (runtime / "cropzoom").stat().st_mode & 0o777 == 0o700


def _open_it(folder: Path) -> None:
    folder.chmod(0o755)


def _link_it(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to(folder.with_name("elsewhere"))


@pytest.mark.parametrize(("spoil", "says"), [(_open_it, "is open to others \\(mode 0755"), (_link_it, "is a link")])
def test_a_folder_that_others_can_reach_is_refused(runtime: Path, spoil: Callable[[Path], None], says: str) -> None:
    spoil(control_folder())
    with pytest.raises(ConfigError, match=says) as refused:
        take_address(AUTO, "rules")
    assert "\n" not in str(refused.value)


def test_a_runtime_folder_that_others_can_reach_is_not_used(
    runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = control_folder()
    assert runtime not in folder.parents
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_name_selects_one_of_several_processes(runtime: Path) -> None:
    with (
        taking(take_address(AUTO, "rules")) as first,
        taking(take_address(AUTO, "rules")) as second,
        taking(take_address("left", "rules")) as left,
    ):
        with pytest.raises(ConfigError, match="3 trigger processes run: left, rules-2, rules; give one with --control"):
            give_order("arm")
        give_order("arm", control="left")
        give_order("disarm", control="rules-2")
        send(find_address(AUTO, "rules"), "stop")
        assert [given(orders) for orders in (first, second, left)] == [["stop"], ["disarm"], ["arm"]]
        with pytest.raises(ConfigError, match="called left runs already"):
            take_address("left", "rules")
        with pytest.raises(SinkError, match=r"no trigger process called right .* there are left, rules-2, rules"):
            give_order("arm", control="right")


def test_an_order_without_a_process_is_an_error(runtime: Path) -> None:
    done = cropzoom("trigger", "--send", "arm")
    assert done.returncode == 2
    assert done.stderr.startswith(f"cropzoom: no trigger process takes orders in {runtime}/cropzoom; start one with ")
    assert done.stderr.count("\n") == 1


def test_files_that_a_killed_process_left_do_not_block_its_name(runtime: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    flags = ("trigger", rules, "--dry-run", "--quiet")
    socket = runtime / "cropzoom" / "rules.sock"
    killed = start_process(*flags, "--log", tmp_path / "killed")
    wait_for(socket.exists, "the socket")
    killed.kill()
    finish(killed)
    assert socket.exists()
    with pytest.raises(SinkError, match="no trigger process takes orders"):
        give_order("state")
    again = start_process(*flags, "--log", tmp_path / "again")
    wait_for(lambda: "rules" in cropzoom_running(runtime), "the socket")
    assert cropzoom("trigger", rules, "--send", "stop").returncode == 0
    assert finish(again).returncode == 0


def cropzoom_running(runtime: Path) -> list[str]:
    """The names of the processes that take orders."""
    return list(command_address.running_processes(runtime / "cropzoom"))


@pytest.mark.parametrize(
    ("control", "says"),
    [
        ("tcp://127.0.0.1:5690", "a web page or another user could give orders"),
        ("tcp://0.0.0.0:5690", "a web page or another user could give orders"),
        ("ipc:///tmp/orders.sock", "its folder (is open to others|belongs to another user)"),
        ("ipc://@orders", "expected the path of a file"),
        ("inproc://orders", "expected a name such as left"),
        ("../orders", "expected a name such as left"),
        ("ipc://" + "x" * 200, "too long"),
    ],
)
def test_no_socket_that_switches_outputs_is_open_to_others(control: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        check_control(control, None)
    assert "\n" not in str(refused.value)


def test_a_bare_port_ends_the_command_before_an_output_is_opened(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    port = free_port()
    done = cropzoom("trigger", rules, "--control", f"tcp://127.0.0.1:{port}", "--log", tmp_path / "log")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "log").exists()


def test_a_file_that_is_not_a_socket_is_not_touched(tmp_path: Path) -> None:
    precious = tmp_path / "orders.sock"
    precious.write_text("data")
    with pytest.raises(ConfigError, match="is not a socket"):
        check_control(f"ipc://{precious}", None)
    assert precious.read_text() == "data"


def http(port: int) -> bytes:
    """Send what a page in a browser sends, with orders in it as ZMTP 1.0 has them; return the answer."""
    order = json.dumps({"order": "arm"}).encode()
    with sockets.create_connection(("127.0.0.1", port), timeout=5) as page:
        page.sendall(b"POST /" + b"a" * 90 + b" HTTP/1.1\r\n" + b"\x01\x01" + bytes([len(order) + 1, 0]) + order)
        answer = b""
        with suppress(ConnectionResetError):
            while part := page.recv(4096):  # an empty one: closed
                answer += part
    return answer


def test_at_a_tcp_endpoint_a_key_is_needed(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    make_server_keys(keys)
    secret = make_client_keys(keys, "bench")
    port = free_port()
    control = f"tcp://127.0.0.1:{port}"
    with taking(take_address(control, "rules", keys)) as orders:
        assert give_order("arm", control=control, keys=secret)["ok"]
        assert given(orders) == ["arm"]
        with pytest.raises(SinkError, match="no trigger process answers"):
            send(control, "arm", timeout_s=0.3)
        assert b"ok" not in http(port)
        assert given(orders) == []
    with pytest.raises(ConfigError, match="takes orders only with a key"):
        give_order("arm", control=control)


def test_without_unix_sockets_the_process_makes_the_keys(runtime: Path) -> None:
    address = take_address(AUTO, "rules", unix=False)
    with taking(address) as orders:
        (secret,) = control_folder().glob("*.keys/local.key_secret")
        assert secret.stat().st_mode & 0o777 == 0o600
        assert give_order("arm")["ok"]
        assert given(orders) == ["arm"]
        with pytest.raises(SinkError, match="no trigger process answers"):
            send(address.endpoint, "arm", timeout_s=0.3)
        assert b"ok" not in http(int(address.endpoint.rpartition(":")[2]))
        assert given(orders) == []
    assert not list(control_folder().iterdir())


def test_idle_connections_do_not_block_orders(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime_cropzoom.messaging.security.connections_allowed", lambda: 20)
    address = take_address(AUTO, "rules")
    idle = []
    with taking(address) as orders:
        for _ in range(100):
            idle.append(sockets.socket(sockets.AF_UNIX))
            idle[-1].connect(address.endpoint.removeprefix("ipc://"))
        assert give_order("arm")["ok"]
        assert given(orders) == ["arm"]
    for one in idle:
        one.close()


def test_a_script_that_asks_in_a_loop_does_not_block_orders(runtime: Path) -> None:
    address = take_address(AUTO, "rules")
    asker = "import sys, zmq\ns = zmq.Context().socket(zmq.DEALER)\ns.connect(sys.argv[1])\n"
    asker += "while True: s.send_multipart([b'', b'{\"order\": \"state\"}'])"
    with taking(address) as orders, subprocess.Popen([sys.executable, "-c", asker, address.endpoint]) as process:
        try:
            for _ in range(5):
                assert give_order("arm")["ok"]
            assert given(orders) == ["arm"] * 5
        finally:
            process.kill()
