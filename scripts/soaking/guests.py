"""Subscribers of all sorts, each sort in a process of its own.

The fast ones are light, so that two cores suffice for twenty of them: they take ``run`` and ``seq`` out of the
bytes and decode nothing.
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
"""So slowly the one at the conflating endpoint reads: a queue would give it poses that are older than this."""
_SPAWN = multiprocessing.get_context("spawn")
_PATIENCE_S = 30.0


class Guest:
    """A process that listens."""

    def __init__(self, target: Callable[..., None], *args: Any) -> None:
        """Start it, and wait until it has subscribed; ``target`` is called there with a pipe and ``args``."""
        self._pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=target, args=(theirs, *args), daemon=True)
        self._process.start()
        theirs.close()
        self._answer()

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process.pid is not None
        return self._process.pid

    def ask(self) -> Any:
        """Return how it went so far."""
        self._pipe.send(None)
        return self._answer()

    def kill(self) -> None:
        """As ``kill -9``; may be called twice."""
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
    """What one light subscriber has had."""

    run: bytes = b""
    seq: int = -1
    received: int = 0
    missed: int = 0
    """Poses of a run that never came after its first one had."""
    runs: int = 0
    run_began_ns: int = 0
    """When the first pose of the newest run came."""

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
    """Receive everything with ``count`` sockets; answers with a list of ``Fast``."""
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
    """What a slow reader of the conflating endpoint has had."""

    ages_ms: list[float] = field(default_factory=list)
    """Handed over → read, of each pose since it was asked last."""
    repeated: int = 0
    """Poses that were no newer than the one before."""
    seq: int = -1

    def take(self, pose: PoseMessage) -> None:
        """Count a pose."""
        self.ages_ms.append((now_ns() - pose.time.captured_ns) / 1e6)
        self.repeated += pose.seq <= self.seq
        self.seq = pose.seq


def be_slow(pipe: Connection, latest: str) -> None:
    """Read one pose now and then; answers with a ``Newest``."""
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
    """Return the median and the largest age in ms; NaN where nothing was read."""
    if not newest.ages_ms:
        return float("nan"), float("nan")
    return float(np.median(newest.ages_ms)), max(newest.ages_ms)


def be_ordinary(pipe: Connection, endpoint: str) -> None:
    """Receive everything as an experiment's own script does, until it is stopped or killed."""
    with Subscriber(endpoint) as subscriber:
        pipe.send(None)
        while True:
            subscriber.receive()


def be_restless(pipe: Connection, endpoint: str) -> None:
    """Come and go."""
    pipe.send(None)
    join_every_second(endpoint)


def join_every_second(endpoint: str) -> None:
    """Subscribe, hear the hello and some poses, and go; for ever."""
    while True:
        with Subscriber(endpoint) as subscriber:
            deadline = time.monotonic() + 1.0
            while time.monotonic() < deadline:
                subscriber.receive(0.1)
