"""Time synchronisation: the offset of another machine's clock, and the server that answers requests."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator

import msgspec
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from support.corrupt_bytes import garbage
from support.pipelines import LONG_S, wait_for

from realtime_cropzoom.clock import clock_id, now_ns
from realtime_cropzoom.messaging.message import HelloMessage
from realtime_cropzoom.messaging.time_sync import (
    SAME_CLOCK,
    ClockOffset,
    ClockSync,
    EchoReply,
    Exchange,
    estimate,
    select_offset,
)
from realtime_cropzoom.sinks.time_sync_server import EchoServer

AHEAD_NS = 5 * 3600 * 10**9
"""Offset (ns) of the clock of the other machine in these tests."""
ELSEWHERE = "another machine's clock"

ways = st.integers(0, 10**9)
offsets = st.integers(-(2**62), 2**62)


def exchange(offset_ns: int, there_ns: int, busy_ns: int, back_ns: int, sent_ns: int = 0) -> Exchange:
    received_ns = sent_ns + there_ns + offset_ns
    return Exchange(sent_ns, received_ns, received_ns + busy_ns, sent_ns + there_ns + busy_ns + back_ns)


@given(offsets, st.lists(st.tuples(ways, ways, ways, ways), min_size=1, max_size=8))
def test_the_error_never_exceeds_the_uncertainty(offset_ns: int, durations: list[tuple[int, ...]]) -> None:
    """The durations of the two ways may differ."""
    estimated = estimate(exchange(offset_ns, *each) for each in durations)
    assert estimated is not None
    assert abs(estimated.offset_ns - offset_ns) <= estimated.uncertainty_ns
    assert estimated.uncertainty_ns <= min((there + back) // 2 for there, _, back, _ in durations) + 1


def test_implausible_exchanges_are_ignored() -> None:
    backwards = [Exchange(100, 0, 0, 50), Exchange(0, 10, 5, 20), Exchange(0, 10, 40, 20)]
    assert estimate(backwards) is None
    assert estimate([]) is None
    assert estimate([*backwards, exchange(7, 10, 5, 10)]) == ClockOffset(7, 11, 25)


def test_the_offset_becomes_less_certain_with_time() -> None:
    offset = ClockOffset(7, 1000, 10**9)
    assert offset.uncertainty_at_ns(10**9) == 1000
    assert offset.uncertainty_at_ns(3 * 10**9) == 1000 + 1_000_000
    assert SAME_CLOCK.uncertainty_at_ns(10**18) == 0


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        pytest.param(None, ClockOffset(7, 9, 0), "new", id="the first"),
        pytest.param(ClockOffset(7, 900, 0), ClockOffset(9, 100, 1000), "new", id="a more certain one"),
        pytest.param(ClockOffset(7, 100, 0), ClockOffset(9, 900, 1000), "old", id="a less certain one"),
        pytest.param(ClockOffset(7, 100, 0), ClockOffset(9, 900, 10**9), "new", id="a fresh one"),
        pytest.param(ClockOffset(7, 100, 0), ClockOffset(9000, 900, 1000), "new", id="a clock that has stepped"),
    ],
)
def test_the_more_certain_measurement_is_selected(old: ClockOffset | None, new: ClockOffset, counts: str) -> None:
    assert select_offset(old, new) == (old if counts == "old" else new)


@pytest.fixture
def server() -> Iterator[EchoServer]:
    """Start a time server whose clock is hours ahead."""
    server = EchoServer("tcp://127.0.0.1:*", clock=ELSEWHERE, now=lambda: now_ns() + AHEAD_NS)
    server.start()
    yield server
    server.stop()
    server.stop()
    assert "cropzoom-echo" not in {thread.name for thread in threading.enumerate()}


def asked(endpoint: str, mark: bytes = b"hi") -> EchoReply:
    """Send a request with a REQ socket, as programs in other languages do."""
    with zmq.Context() as context, context.socket(zmq.REQ) as request:
        request.set(zmq.LINGER, 0)
        request.connect(endpoint)
        request.send(mark)
        assert request.poll(round(LONG_S * 1000)), "no answer"
        echoed, answer = request.recv_multipart()
    assert echoed == mark
    return msgspec.json.decode(answer, type=EchoReply)


@pytest.mark.parametrize("mark", [b"", b"hi", b"\xff" * 64])
def test_the_server_answers_with_its_time(server: EchoServer, mark: bytes) -> None:
    before_ns = now_ns()
    reply = asked(server.endpoint, mark)
    assert reply.clock == ELSEWHERE
    assert before_ns + AHEAD_NS <= reply.received_ns <= reply.answered_ns <= now_ns() + AHEAD_NS


def test_the_default_clock_is_that_of_this_machine() -> None:
    server = EchoServer("tcp://127.0.0.1:*")
    server.start()
    try:
        reply = asked(server.endpoint)
    finally:
        server.stop()
    assert reply.clock == clock_id()
    assert reply.received_ns <= now_ns()


def test_an_endpoint_in_use_is_an_error(server: EchoServer) -> None:
    with pytest.raises(zmq.ZMQError, match="in use"):
        EchoServer(server.endpoint).start()


def test_malformed_requests_do_not_end_the_server(server: EchoServer) -> None:
    rng = random.Random(3)
    with zmq.Context() as context, context.socket(zmq.DEALER) as rude:
        rude.set(zmq.LINGER, 0)
        rude.set(zmq.SNDHWM, 0)
        rude.connect(server.endpoint)
        for payload in garbage([b'{"mark": 17}', b"x" * 65, b"y"], 3000, seed=4):
            rude.send_multipart([payload] * rng.choice([1, 1, 1, 2, 3, 40]))  # and it never reads an answer
        assert asked(server.endpoint).clock == ELSEWHERE
    host, port = server.endpoint.removeprefix("tcp://").split(":")
    for seed in range(20):
        with socket.create_connection((host, int(port))) as plain:
            plain.sendall(random.Random(seed).randbytes(2000))
    assert asked(server.endpoint).clock == ELSEWHERE


def hello(clock: str | None, echo: str | None) -> HelloMessage:
    return HelloMessage(1, "r", "cam0", "film", ["snout"], 160, 96, None, None, "p", "c", "0", 0, clock, echo)


@pytest.fixture
def keeper() -> Iterator[ClockSync]:
    keeper = ClockSync("tcp://127.0.0.1:5660")
    yield keeper
    keeper.close()
    keeper.close()
    assert "cropzoom-clock" not in {thread.name for thread in threading.enumerate()}


def test_another_clock_is_measured_within_the_stated_uncertainty(server: EchoServer, keeper: ClockSync) -> None:
    """Both clocks are this machine's, so that the true offset is known exactly."""
    keeper.follow(hello(ELSEWHERE, server.endpoint))
    offset = wait_for(lambda: keeper.offset_to(ELSEWHERE), "the offset")
    assert abs(offset.offset_ns - AHEAD_NS) <= offset.uncertainty_ns
    assert keeper.offset_to("a third one") is None


def test_the_same_clock_needs_no_server_and_no_thread(keeper: ClockSync) -> None:
    keeper.follow(hello(clock_id(), "tcp://127.0.0.1:1"))
    assert keeper.offset_to(clock_id()) == SAME_CLOCK
    assert "cropzoom-clock" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("clock", [None, ELSEWHERE])
def test_without_a_clock_or_a_server_the_offset_is_unknown(keeper: ClockSync, clock: str | None) -> None:
    keeper.follow(hello(clock, None))
    assert keeper.offset_to(clock) is None


def test_the_answer_of_a_third_clock_is_ignored(keeper: ClockSync) -> None:
    reads: list[int] = []

    def now() -> int:
        reads.append(now_ns())
        return reads[-1]

    server = EchoServer("tcp://127.0.0.1:*", clock=ELSEWHERE, now=now)
    server.start()
    try:
        keeper.follow(hello("the clock before a restart", server.endpoint))
        wait_for(lambda: len(reads) >= 4, "two answers: the keeper asks again after it has ignored the first")
        assert keeper.offset_to("the clock before a restart") is None
        keeper.follow(hello(ELSEWHERE, server.endpoint))
        assert wait_for(lambda: keeper.offset_to(ELSEWHERE), "the offset")
    finally:
        server.stop()


@pytest.mark.slow
def test_malformed_answers_are_ignored_and_a_late_server_is_found(keeper: ClockSync) -> None:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as liar:
        liar.set(zmq.LINGER, 0)
        endpoint = f"tcp://127.0.0.1:{liar.bind_to_random_port('tcp://127.0.0.1')}"
        keeper.follow(hello(ELSEWHERE, endpoint))
        assert liar.poll(round(LONG_S * 1000))
        identity, mark = liar.recv_multipart()
        answer = msgspec.json.encode(EchoReply(ELSEWHERE, 10, 5))
        for parts in ([mark], [b"other", answer], [mark, b"{"], [mark, b"\xff"], [mark, answer, b""], [mark, answer]):
            liar.send_multipart([identity, *parts])
        assert liar.poll(round(LONG_S * 1000)), "no second request"
    assert keeper.offset_to(ELSEWHERE) is None
    late = EchoServer(endpoint, clock=ELSEWHERE, now=lambda: now_ns() + AHEAD_NS)
    late.start()
    try:
        assert wait_for(lambda: keeper.offset_to(ELSEWHERE), "the offset").offset_ns > AHEAD_NS / 2
    finally:
        late.stop()
