"""Connections to a bound socket: floods, web pages and hundreds of idle connections do not disturb it."""

from __future__ import annotations

import os
import random
import socket as sockets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest
import zmq
from support.pipelines import LONG_S, finish, free_port, start_process, wait_for

from realtime_cropzoom.client.subscriber import Subscriber
from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.messaging.connections import MEASURABLE, SENDS_TOO_MUCH, Allowance, Connections, bytes_received
from realtime_cropzoom.messaging.message import PoseMessage, StatusMessage
from realtime_cropzoom.messaging.security import ConnectionGuard, Security
from realtime_cropzoom.messaging.sockets import take_subscriptions_only
from realtime_cropzoom.sinks.time_sync_server import EchoServer
from realtime_cropzoom.trigger.engine.events import Action, ActionType
from realtime_cropzoom.trigger.outputs.base import Job
from realtime_cropzoom.trigger.outputs.zmq_publish import ZmqPublish, ZmqPublishSettings

measurable = pytest.mark.skipif(not MEASURABLE, reason="only Linux says how much has come on a connection")
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + b"\x00" + bytes(31)
HTTP = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: Mozilla/5.0\r\n\r\n"
ZMTP_1 = b"\x01\x00" + b"\x02\x00\x01"
"""Bytes of an anonymous peer of ZMTP 1.0 that subscribes to all topics."""


def port_of(endpoint: str) -> int:
    return int(endpoint.rpartition(":")[2])


def raw_subscriber(port: int) -> sockets.socket:
    """Connect as a SUB socket does, with a plain TCP socket."""
    peer = sockets.create_connection(("127.0.0.1", port), timeout=LONG_S)
    peer.sendall(GREETING)
    received = b""
    while len(received) < 64:
        received += peer.recv(64 - len(received))
    ready = b"\x05READY\x0bSocket-Type\0\0\0\x03SUB"
    peer.sendall(b"\x04" + bytes([len(ready)]) + ready)
    return peer


def toggling() -> Iterator[bytes]:
    while True:
        yield (b"\x00\x02\x01x" + b"\x00\x02\x00x") * 5000


def new_topics() -> Iterator[bytes]:
    number = 0
    while True:
        yield b"".join(b"\x00\x0b\x01%010d" % (number + k) for k in range(5000))
        number += 5000


def huge_topics() -> Iterator[bytes]:
    while True:
        yield b"\x02" + (1 << 20).to_bytes(8, "big") + b"\x01" + bytes((1 << 20) - 1)


FLOODS = [toggling, new_topics, huge_topics]


def flood(port: int, blocks: Iterator[bytes], most_bytes: int = 1 << 26) -> int:
    """Send until the connection is cut off, and return the number of bytes sent before. Fails if it is not cut off."""
    sent = 0
    with raw_subscriber(port) as peer:
        threading.Thread(target=_drain, args=(peer,), daemon=True).start()
        with suppress(ConnectionError):
            while sent < most_bytes:
                sent += peer.send(next(blocks))
            pytest.fail(f"{sent} bytes of subscriptions were taken in")
    return sent


def _drain(peer: sockets.socket) -> None:
    with suppress(OSError):
        while peer.recv(1 << 16):
            pass


@contextmanager
def published(security: Security) -> Iterator[tuple[int, zmq.Socket[bytes]]]:
    """Bind an XPUB socket with its guard, as a run does."""
    with zmq.Context() as context, context.socket(zmq.XPUB) as socket, ConnectionGuard(context, security) as guard:
        socket.set(zmq.LINGER, 0)
        take_subscriptions_only(socket)
        endpoint = guard.bind(socket, "publish", "tcp://127.0.0.1:*")
        guard.start()
        yield port_of(endpoint), socket


@pytest.mark.slow
@measurable
@pytest.mark.parametrize("blocks", FLOODS)
def test_a_flood_of_subscriptions_is_cut_off_and_counted(blocks: Callable[[], Iterator[bytes]]) -> None:
    security = Security()
    with published(security) as (port, socket):
        thread = threading.Thread(target=flood, args=(port, blocks()))
        thread.start()
        while thread.is_alive():  # a run publishes on
            socket.send(b"pose", zmq.NOBLOCK)
            thread.join(0.005)
        if blocks is not huge_topics:  # ZeroMQ drops those by itself
            wait_for(lambda: security.rejected.cut_off == 1, "the count")


@measurable
def test_a_run_keeps_its_rate_during_a_flood(tmp_path: Path) -> None:
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    source = "synthetic:arena,fps=60,size=320x240,seconds=600,seed=3"
    flags = ("--publish", endpoint, "--publish-latest", "none", "--publish-echo", "none", "--quiet")
    run = start_process("run", source, *flags, "--out", tmp_path)
    try:
        with Subscriber(endpoint) as poses:
            wait_for(lambda: isinstance(poses.receive(1), PoseMessage), "the first pose")
            over = threading.Event()
            flooding = threading.Thread(target=_flood_again_and_again, args=(port_of(endpoint), over))
            flooding.start()
            before, status = _progress(poses, 3)
            over.set()
            flooding.join()
            cut_off = wait_for(lambda: _next_status(poses).cut_off, "the count")
        assert cut_off >= 1
        assert poses.missed == 0
        assert status.counts.processed > before.counts.processed
    finally:
        run.terminate()
        ended = finish(run)
    assert "a connection was cut off: it sends far more than a subscriber does" in ended.stderr
    assert ended.stderr.count("cut off") == 1


def _flood_again_and_again(port: int, over: threading.Event) -> None:
    while not over.is_set():
        flood(port, toggling())


def _progress(poses: Subscriber, statuses: int) -> tuple[StatusMessage, StatusMessage]:
    heard = [_next_status(poses) for _ in range(statuses)]
    return heard[0], heard[-1]


def _next_status(poses: Subscriber) -> StatusMessage:
    deadline = time.monotonic() + LONG_S
    while time.monotonic() < deadline:
        if isinstance(message := poses.receive(1), StatusMessage):
            return message
    pytest.fail("no heartbeat came")


@pytest.mark.slow
@measurable
def test_a_publishing_output_cuts_off_floods_too() -> None:
    with marked() as (port, output):
        flooding = threading.Thread(target=flood, args=(port, new_topics()))
        flooding.start()
        while flooding.is_alive():
            output.perform(Job(Action("marks", ActionType.PULSE), now_ns()))
            flooding.join(0.005)


@contextmanager
def echoed() -> Iterator[int]:
    server = EchoServer("tcp://127.0.0.1:*")
    server.start()
    try:
        yield port_of(server.endpoint)
    finally:
        server.stop()


@contextmanager
def marked() -> Iterator[tuple[int, ZmqPublish]]:
    output = ZmqPublishSettings(zmq_publish="tcp://127.0.0.1:*", late_after_ms=100.0, watchdog_ms=500).make("marks", {})
    output.open()
    try:
        yield port_of(output.bound_to), output
    finally:
        output.close()


@contextmanager
def poses_published() -> Iterator[int]:
    with published(Security()) as (port, _):
        yield port


@contextmanager
def marks_published() -> Iterator[int]:
    with marked() as (port, _):
        yield port


@pytest.mark.parametrize("request_bytes", [HTTP, HTTP.replace(b"GET", b"POST"), ZMTP_1])
@pytest.mark.slow
@pytest.mark.parametrize("bound", [poses_published, echoed, marks_published])
def test_connections_before_zmtp_3_are_closed(
    bound: Callable[[], AbstractContextManager[int]], request_bytes: bytes
) -> None:
    with bound() as port, sockets.create_connection(("127.0.0.1", port), timeout=LONG_S) as page:
        page.sendall(request_bytes)
        answer = b""
        with suppress(ConnectionResetError):
            while part := page.recv(4096):  # an empty one: closed
                answer += part
    assert len(answer) <= 64  # ZeroMQ's greeting at most


def test_a_flood_of_requests_does_not_keep_others_from_an_answer() -> None:
    asker = "import sys, zmq\ns = zmq.Context().socket(zmq.DEALER)\ns.connect(sys.argv[1])\nwhile True: s.send(b'x')"
    with echoed() as port:
        endpoint = f"tcp://127.0.0.1:{port}"
        with subprocess.Popen([sys.executable, "-c", asker, endpoint]) as process:
            try:
                with zmq.Context() as context, context.socket(zmq.REQ) as other:
                    other.set(zmq.LINGER, 0)
                    other.connect(endpoint)
                    for _ in range(10):
                        other.send(b"mark")
                        assert other.poll(round(LONG_S * 1000))
                        assert other.recv_multipart()[0] == b"mark"
            finally:
                process.kill()


def test_a_hundred_idle_connections_leave_room_for_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime_cropzoom.messaging.security.connections_allowed", lambda: 20)
    security = Security()
    idle: list[sockets.socket] = []
    with published(security) as (port, socket), zmq.Context() as context, context.socket(zmq.SUB) as first:
        first.set(zmq.LINGER, 0)
        first.connect(f"tcp://127.0.0.1:{port}")
        first.subscribe(b"")
        wait_for(lambda: socket.poll(10), "the subscription")
        idle = [sockets.create_connection(("127.0.0.1", port)) for _ in range(100)]
        wait_for(lambda: security.rejected.cut_off >= 80, "the ends of idle connections")
        with context.socket(zmq.SUB) as late:
            late.set(zmq.LINGER, 0)
            late.connect(f"tcp://127.0.0.1:{port}")
            late.subscribe(b"")
            for one in (first, late):  # both hear it: the early one was not cut off, the late one was let in
                wait_for(lambda: socket.send(b"pose") or one.poll(10), "a message")  # noqa: B023, RUF100
    for connection in idle:
        connection.close()


@contextmanager
def connection() -> Iterator[tuple[sockets.socket, sockets.socket]]:
    """Return both ends of a connection: the peer's and ours."""
    with sockets.create_server(("127.0.0.1", 0)) as server:
        peer = sockets.create_connection(server.getsockname())
        ours, _ = server.accept()
        with peer, ours:
            yield peer, ours


@measurable
def test_the_kernel_counts_the_received_bytes() -> None:
    with connection() as (peer, ours):
        assert bytes_received(ours.fileno()) == 0
        peer.sendall(bytes(12345))
        wait_for(lambda: bytes_received(ours.fileno()) == 12345, "the bytes")
        assert ours.fileno() != -1  # still open
    with open("/dev/null") as no_socket:
        assert bytes_received(no_socket.fileno()) == 0
    assert bytes_received(99999) == 0


@measurable
def test_the_allowance_grows_with_time_up_to_a_maximum() -> None:
    with connection() as (peer, ours):
        connections = Connections(Allowance(1000, 100, 3000), 10)
        connections.accepted(ours.fileno(), 0)
        for sent, second, cut in ((1000, 0, False), (2000, 9, True), (2000, 10, False), (3001, 1000, True)):
            peer.sendall(bytes(sent - bytes_received(ours.fileno())))
            wait_for(lambda: bytes_received(ours.fileno()) == sent, "the bytes")  # noqa: B023
            fresh = Connections(Allowance(1000, 100, 3000), 10)
            fresh.accepted(ours.fileno(), 0)
            assert fresh.sends_too_much(ours.fileno(), second * 10**9) is cut
        assert connections.cut_off(1000 * 10**9) == [SENDS_TOO_MUCH]
        assert connections.cut_off(1000 * 10**9) == []  # once
        assert peer.recv(1) == b""


def test_a_reused_descriptor_is_not_shut_down() -> None:
    with connection() as (_, ours), connection() as (other_peer, other):
        connections = Connections(Allowance(0, 0, 0), 0)
        number = ours.fileno()
        connections.accepted(number, 0)
        os.dup2(other.fileno(), number)
        assert connections.cut_off(0) == []
        other.sendall(b"x")
        assert other_peer.recv(1) == b"x"


def test_bytes_over_a_unix_socket_are_counted_by_the_publisher() -> None:
    ours, peer = sockets.socketpair()
    with ours, peer:
        connections = Connections(Allowance(100, 0, 1000), 10)
        connections.accepted(ours.fileno(), 0)
        connections.sent(ours.fileno(), 100)
        assert connections.cut_off(0) == []
        connections.sent(ours.fileno(), 1)
        connections.sent(99999, 1)  # a connection that is over
        assert connections.cut_off(0) == [SENDS_TOO_MUCH]
        assert peer.recv(1) == b""


def test_a_client_that_leaves_does_not_count_as_sender() -> None:
    """ZeroMQ reports an unsubscription for it that no peer sent."""
    with zmq.Context() as context, context.socket(zmq.XPUB) as socket, ConnectionGuard(context, Security()) as guard:
        port = port_of(guard.bind(socket, "publish", "tcp://127.0.0.1:*"))
        guard.start()
        with raw_subscriber(port) as peer:
            peer.sendall(b"\x00\x02\x01x")
            guard.sent(socket.recv(copy=False))
        left = socket.recv(copy=False)
        assert left.bytes == b"\x00x"
        guard.sent(left)


@pytest.mark.slow
@pytest.mark.parametrize("bound", [poses_published, echoed, marks_published])
def test_random_bytes_do_not_end_an_endpoint(bound: Callable[[], AbstractContextManager[int]]) -> None:
    draw = random.Random(7)
    ready = b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03SUB"
    with bound() as port:
        for number in range(150):
            start = (b"", GREETING, GREETING + ready)[number % 3]
            spoilt = bytearray(start)
            if spoilt and number % 2:
                spoilt[draw.randrange(len(spoilt))] = draw.randrange(256)
            with suppress(OSError), sockets.create_connection(("127.0.0.1", port), timeout=LONG_S) as peer:
                peer.sendall(bytes(spoilt) + draw.randbytes(draw.randrange(200)))
        with raw_subscriber(port) as peer:
            assert peer.recv(1)


def bind(endpoint: str) -> None:
    with zmq.Context() as context, context.socket(zmq.PUB) as socket, ConnectionGuard(context, Security()) as guard:
        guard.bind(socket, "publish", endpoint)


@pytest.mark.skipif(not zmq.has("ipc"), reason="there are no Unix sockets here")
def test_binding_replaces_no_file_in_use(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_text("precious")
    with pytest.raises(ConfigError, match="is not a socket; give another path"):
        bind(f"ipc://{data}")
    assert data.read_text() == "precious"
    with sockets.socket(sockets.AF_UNIX) as other:
        other.bind(str(tmp_path / "socket"))
        other.listen()
        with pytest.raises(ConfigError, match="in use by another program"):
            bind(f"ipc://{tmp_path}/socket")
    bind(f"ipc://{tmp_path}/socket")  # nobody is there any more
