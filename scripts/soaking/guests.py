"""Subscribers of several kinds, each kind in a process of its own.

The fast ones only find ``run`` and ``seq`` in the bytes and decode nothing, so that two cores suffice for twenty.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import zmq

from realtime_cropzoom.client.subscriber import Subscriber
from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.messaging.message import PoseMessage, decode

READ_EVERY_S = 0.2
"""Interval (s) of the slow reader at the conflating endpoint. A queue would give it poses older than this."""
_SPAWN = multiprocessing.get_context("spawn")
_PATIENCE_S = 30.0


class Guest:
    """A process that listens."""

    def __init__(self, target: Callable[..., None], *args: Any) -> None:
        """Start the process, and wait until it has subscribed. It calls ``target`` with a pipe and ``args``."""
        self._pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=target, args=(theirs, *args), daemon=True)
        self._process.start()
        theirs.close()
        self._answer()

    @property
    def pid(self) -> int:
        """Return the process id."""
        assert self._process.pid is not None
        return self._process.pid

    def ask(self) -> Any:
        """Return the results so far."""
        self._pipe.send(None)
        return self._answer()

    def kill(self) -> None:
        """Kill the process as ``kill -9`` does. May be called twice."""
        self._process.kill()
        self._process.join()

    def _answer(self) -> Any:
        if not self._pipe.poll(_PATIENCE_S):
            raise TimeoutError("a subscriber's process does not answer")
        return self._pipe.recv()

    def __enter__(self) -> Guest:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


@dataclass
class Fast:
    """The poses that one fast subscriber received."""

    run: bytes = b""
    seq: int = -1
    received: int = 0
    missed: int = 0
    """Number of missing poses of a run after its first one."""
    runs: int = 0
    run_began_ns: int = 0
    """Time of the first pose of the newest run (ns)."""

    def take(self, payload: bytes) -> None:
        """Count a pose."""
        run, seq = _after(payload, b'"run":"', b'"'), int(_after(payload, b'"seq":', b","))
        if run != self.run:
            self.run, self.runs, self.run_began_ns = run, self.runs + 1, now_ns()
        else:
            self.missed += seq - self.seq - 1
        self.seq = seq
        self.received += 1


def _after(payload: bytes, key: bytes, end: bytes) -> bytes:
    begin = payload.index(key) + len(key)
    return payload[begin : payload.index(end, begin)]


def be_fast(pipe: Connection, endpoint: str, count: int) -> None:
    """Receive everything with ``count`` sockets, and answer with a list of ``Fast``."""
    context, poller = zmq.Context(), zmq.Poller()
    guests: dict[Any, Fast] = {}
    for _ in range(count):
        socket = context.socket(zmq.SUB)
        socket.subscribe(b"pose/")
        socket.connect(endpoint)
        poller.register(socket, zmq.POLLIN)
        guests[socket] = Fast()
    poller.register(pipe.fileno(), zmq.POLLIN)
    pipe.send(None)
    while True:
        for socket, _ in poller.poll():
            if socket in guests:
                guests[socket].take(socket.recv_multipart()[1])
            else:
                pipe.recv()
                pipe.send(list(guests.values()))


@dataclass
class Newest:
    """The poses that a slow reader of the conflating endpoint received."""

    ages_ms: list[float] = field(default_factory=list)
    """Age (ms) of each pose when it was read, since the last question."""
    repeated: int = 0
    """Number of poses that were not newer than the one before."""
    seq: int = -1

    def take(self, pose: PoseMessage) -> None:
        """Count a pose."""
        self.ages_ms.append((now_ns() - pose.time.captured_ns) / 1e6)
        self.repeated += pose.seq <= self.seq
        self.seq = pose.seq


def be_slow(pipe: Connection, latest: str) -> None:
    """Read one pose per interval, and answer with a ``Newest``."""
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.set(zmq.CONFLATE, 1)
        socket.subscribe(b"")
        socket.connect(latest)
        pipe.send(None)
        newest = Newest()
        while True:
            time.sleep(READ_EVERY_S)
            pose = decode(socket.recv())
            assert isinstance(pose, PoseMessage)
            newest.take(pose)
            if pipe.poll():
                pipe.recv()
                pipe.send(newest)
                newest.ages_ms = []


def ages(newest: Newest) -> tuple[float, float]:
    """Return the median and the largest age (ms); NaN without a pose."""
    if not newest.ages_ms:
        return float("nan"), float("nan")
    return float(np.median(newest.ages_ms)), max(newest.ages_ms)


def be_ordinary(pipe: Connection, endpoint: str) -> None:
    """Receive everything like the script of an experiment, until it is stopped or killed."""
    with Subscriber(endpoint) as subscriber:
        pipe.send(None)
        while True:
            subscriber.receive()


def be_restless(pipe: Connection, endpoint: str) -> None:
    """Connect and disconnect repeatedly."""
    pipe.send(None)
    join_every_second(endpoint)


def join_every_second(endpoint: str) -> None:
    """Subscribe, receive the hello and some poses, and disconnect; repeat until killed."""
    while True:
        with Subscriber(endpoint) as subscriber:
            deadline = time.monotonic() + 1.0
            while time.monotonic() < deadline:
                subscriber.receive(0.1)
