"""The feed of a trigger process: who hears what, and that nothing is made while nobody listens."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq
from support.pipelines import LONG_S, wait_for

from realtime_cropzoom.messaging.keys import make_client_keys, make_server_keys, read_client_keys, read_server_keys
from realtime_cropzoom.messaging.sockets import use_client_keys
from realtime_cropzoom.trigger.engine.events import Action, ActionType, Decision, Verdict
from realtime_cropzoom.trigger.process.feed import Feed, decision_message, feed_endpoint

needs_unix = pytest.mark.skipif(os.name != "posix", reason="there are no Unix sockets here")
FIRED = Decision(
    7, Verdict.FIRED, "r", "snout in", (Action("laser", ActionType.PULSE, 5.0),), 10, run="a", camera="b", frame=3
)


class State:
    """The state of a process, and how often it was asked for."""

    def __init__(self) -> None:
        self.armed: list[str] = []
        self.asked = 0

    def state(self) -> dict[str, Any]:
        self.asked += 1
        return {"kind": "trigger", "armed": self.armed}

    def changes(self) -> object:
        return tuple(self.armed)


@contextmanager
def feeding(control: str, state: State, folder: Path | None = None) -> Iterator[Feed]:
    feed = Feed(control, None if folder is None else read_server_keys(folder), "rules", state.state, state.changes)
    feed.start()
    try:
        yield feed
    finally:
        feed.close()


@contextmanager
def hearing(endpoint: str, key: Path | None = None) -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.set(zmq.LINGER, 0)
        if key is not None:
            use_client_keys(socket, read_client_keys(key))
        socket.connect(endpoint)
        socket.subscribe(b"trigger/")
        yield socket


def hear(socket: zmq.Socket[bytes]) -> dict[str, Any]:
    assert socket.poll(round(LONG_S * 1000)), "nothing was heard"
    topic, payload = socket.recv_multipart()
    assert topic == b"trigger/rules"
    message: dict[str, Any] = json.loads(payload)
    return message


def hear_next(socket: zmq.Socket[bytes], kind: str) -> dict[str, Any]:
    while (message := hear(socket))["type"] != kind:
        pass
    return message


def test_its_socket_is_beside_that_of_the_orders() -> None:
    assert feed_endpoint("ipc:///run/user/1/cropzoom/rules.sock") == "ipc:///run/user/1/cropzoom/rules.feed.sock"
    assert feed_endpoint("ipc://orders/odd") == "ipc://orders/odd.feed"
    assert feed_endpoint("tcp://192.168.1.4:5690") == "tcp://192.168.1.4:*"
    assert feed_endpoint("tcp://[::1]:*") == "tcp://[::1]:*"


def test_a_decision_says_what_was_switched_and_when() -> None:
    assert decision_message(FIRED, "rules", 90) == {
        "type": "decision", "name": "rules", "number": 7, "rule": "r", "verdict": "fired", "reason": "snout in",
        "frame": 3, "run": "a", "camera": "b", "outputs": [["laser", "pulse"]], "test": False, "time_ns": 10,
        "unix_offset_ns": 90,
    }  # fmt: skip


@needs_unix
def test_nothing_is_made_while_nobody_subscribes(runtime: Path) -> None:
    state = State()
    with feeding(f"ipc://{runtime}/x.sock", state) as feed:
        feed.add_decision(FIRED, 0)
        feed.add_order("arm", None, "ctl", None)
        assert not feed._queue
        with hearing(feed.endpoint) as socket:
            assert hear(socket) == {"type": "trigger_state", "kind": "trigger", "armed": []}  # and nothing older
        wait_for(lambda: not feed._subscribed, "the end of the subscription")
        asked = state.asked
        feed.add_decision(FIRED, 0)
    assert state.asked == asked
    assert not list(runtime.iterdir())


@needs_unix
def test_a_late_subscriber_hears_the_state_at_once_and_all_hear_what_comes(runtime: Path) -> None:
    state = State()
    with feeding(f"ipc://{runtime}/x.sock", state) as feed, hearing(feed.endpoint) as first:
        hear(first)
        state.armed.append("r")
        while hear_next(first, "trigger_state")["armed"] != ["r"]:
            pass
        with hearing(feed.endpoint) as second:
            assert hear(second)["armed"] == ["r"]
            feed.add_decision(FIRED, 90)
            feed.add_order("arm", "q", "page (anna, process 3)", "there is no rule q")
            for socket in (first, second):
                assert hear_next(socket, "decision") == decision_message(FIRED, "rules", 90)
                order = hear_next(socket, "order")
                assert (order["order"], order["target"], order["by"]) == ("arm", "q", "page (anna, process 3)")
                assert (order["ok"], order["error"]) == (False, "there is no rule q")


@needs_unix
def test_the_end_is_heard(runtime: Path) -> None:
    state = State()
    with feeding(f"ipc://{runtime}/x.sock", state) as feed, hearing(feed.endpoint) as socket:
        hear(socket)
        state.armed = ["the last"]
        feed.add_decision(FIRED, 0)
        feed.close()
        hear_next(socket, "decision")
        assert hear(socket)["armed"] == ["the last"]


@needs_unix
def test_a_subscriber_that_reads_nothing_holds_up_neither_the_process_nor_others(runtime: Path) -> None:
    state = State()
    with (
        feeding(f"ipc://{runtime}/x.sock", state) as feed,
        hearing(feed.endpoint) as deaf,
        hearing(feed.endpoint) as ok,
    ):
        hear(deaf)
        hear(ok)
        for _ in range(10):  # 4 MB: far more than the system and ZeroMQ keep for the one that reads nothing
            for _ in range(100):
                feed.add_order("x" * 4000, None, "ctl", None)
            for _ in range(100):
                hear_next(ok, "order")
        feed.add_decision(FIRED, 0)
        hear_next(ok, "decision")


def test_over_tcp_it_needs_the_keys_of_the_orders(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    make_server_keys(keys)
    make_client_keys(keys, "rig2")
    with feeding("tcp://127.0.0.1:*", State(), keys) as feed:
        assert int(feed.endpoint.rpartition(":")[2]) > 0
        with hearing(feed.endpoint, keys / "rig2.key_secret") as socket, hearing(feed.endpoint) as stranger:
            hear(socket)
            assert not stranger.poll(0)


@needs_unix
def test_it_ends_with_its_thread(runtime: Path) -> None:
    before = threading.active_count()
    with feeding(f"ipc://{runtime}/x.sock", State()) as feed, hearing(feed.endpoint) as socket:
        hear(socket)
    assert threading.active_count() == before
