"""Runs of the pipeline, measured from outside."""

from __future__ import annotations

import csv
import multiprocessing
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from benchmarks.material import Bench, MemorySource, Pair
from realtime_cropzoom.client.subscriber import Subscriber
from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.messaging.message import EndMessage, HelloMessage, PoseMessage
from realtime_cropzoom.pipeline.pipeline import Pipeline
from realtime_cropzoom.types import UInt8

_SILENCE_S = 20.0
"""Timeout (s) of a listener without messages."""


@dataclass(frozen=True)
class Received:
    """What a listener received."""

    frame: np.ndarray
    latency_ms: np.ndarray
    """Latency (ms) of each frame, from the hand-over to the decoded message."""
    missed: int
    """Number of messages that did not arrive."""


class Listener:
    """A subscriber in a process of its own, like the script of an experiment."""

    def __init__(self, receive: Callable[[str, Event], tuple[list[tuple[int, int, int]], int]]) -> None:
        """Start the process and wait for it. It calls ``receive`` with the endpoint."""
        context = multiprocessing.get_context("spawn")
        self.ready = context.Event()
        """Set when the first message arrives."""
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_listen, args=(receive, theirs, self.ready), daemon=True)
        self._process.start()
        theirs.close()  # then the pipe ends when the process ends
        self._pipe.recv()

    def connect(self, endpoint: str) -> None:
        """Give the process its endpoint."""
        self._pipe.send(endpoint)

    def wait_ready(self) -> None:
        """Wait until messages arrive. Raises TimeoutError."""
        if not self.ready.wait(_SILENCE_S):
            raise TimeoutError("the listener's process hears nothing")

    def result(self) -> Received:
        """Return what arrived, after the end message of the run. Raises TimeoutError."""
        if not self._pipe.poll(_SILENCE_S + 5):
            raise TimeoutError("the listener's process does not end")
        rows, missed = self._pipe.recv()
        frame, captured_ns, received_ns = np.array(rows, np.int64).reshape(-1, 3).T
        return Received(frame, (received_ns - captured_ns) / 1e6, missed)

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()


def _listen(receive: Any, pipe: Connection, ready: Event) -> None:
    pipe.send("started")
    pipe.send(receive(pipe.recv(), ready))


def receive_ours(endpoint: str, ready: Event) -> tuple[list[tuple[int, int, int]], int]:
    """Receive the poses of a pipeline; return (frame, captured_ns, received_ns) of those with a box."""
    rows = []
    with Subscriber(endpoint) as subscriber:
        while (message := subscriber.receive(_SILENCE_S)) is not None and not isinstance(message, EndMessage):
            received_ns = now_ns()
            if isinstance(message, HelloMessage):
                ready.set()
            elif isinstance(message, PoseMessage) and message.box is not None:
                rows.append((message.frame, message.time.captured_ns, received_ns))
        return rows, subscriber.missed


def receive_peer(endpoint: str, ready: Event) -> tuple[list[tuple[int, int, int]], int]:
    """Receive the messages of ``peer_loop.py``."""
    import json

    rows = []
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.connect(endpoint)
        socket.subscribe(b"")
        while socket.poll(int(_SILENCE_S * 1000)):
            message = json.loads(socket.recv())
            received_ns = now_ns()
            if "end" in message:
                break
            ready.set()
            rows.append((message["frame"], message["captured_ns"], received_ns))
    return rows, 0 if not rows else rows[-1][0] + 1 - len(rows)


@dataclass(frozen=True)
class LiveRun:
    """One live run of the pipeline, measured at its subscriber."""

    latency_ms: np.ndarray
    """Latencies (ms) from the hand-over to the subscriber, without the warm-up."""
    missed: int
    summary: dict[str, Any]

    @property
    def lost(self) -> int:
        """Number of frames that did not reach the subscriber, for any reason."""
        counts = self.summary["counts"]
        return int(counts["skipped"] + counts["failed"] + counts["unsent"] + self.missed)

    @property
    def detections_per_s(self) -> float:
        """Number of detections."""
        return float(self.summary["detector"]["detections"] / self.summary["seconds"])


def run_live(bench: Bench, pair: Pair, fps: float, count: int) -> LiveRun:
    """Play frames from memory at ``fps``, with a subscriber in another process."""
    with Listener(receive_ours) as listener:
        source = MemorySource(bench.frames, fps, count, before=listener.wait_ready)
        settings = bench.settings(pair, publish="tcp://127.0.0.1:*", publish_latest="tcp://127.0.0.1:*")
        pipeline = Pipeline(settings, source=lambda: source)
        pipeline.start()
        listener.connect(pipeline.endpoints[0])
        summary = pipeline.join()
        received = listener.result()
    steady = received.frame >= min(count // 4, round(fps / 2))
    return LiveRun(received.latency_ms[steady], received.missed, summary)


def run_fast(bench: Bench, pair: Pair, count: int, images: list[UInt8] | None, *, publish: bool = False) -> float:
    """Return the frames per second of a lockstep run over the recording or ``images``, detecting on every frame."""
    with tempfile.TemporaryDirectory(dir=bench.scratch) as out:
        endpoint = "tcp://127.0.0.1:*" if publish else "none"
        source = {"source": str(bench.recording)} if images is None else {}
        settings = bench.settings(pair, pace="fast", frames=count, publish=endpoint, out=out, **source)
        memory = MemorySource(images, 30.0, count) if images is not None else None
        pipeline = Pipeline(settings, source=(lambda: memory) if memory else None)
        pipeline.start()
        pipeline.join()
        (timing,) = Path(out).glob("**/*_timing.csv")
        return _rate(timing)


def _rate(timing: Path) -> float:
    """Return the frames per second from the first hand-over to the last pose."""
    with timing.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return len(rows) * 1e9 / (int(rows[-1]["inferred_ns"]) - int(rows[0]["captured_ns"]))
