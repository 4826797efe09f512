"""Runs of the pipeline, measured from outside."""

from __future__ import annotations

import csv
import multiprocessing
import subprocess
import sys
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
from benchmarks.receivers import free_endpoint
from benchmarks.results import ROOT
from realtime_cropzoom.client.subscriber import Subscriber
from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.messaging.message import EndMessage, HelloMessage, PoseMessage
from realtime_cropzoom.pipeline.pipeline import Pipeline
from realtime_cropzoom.sources.base import Source
from realtime_cropzoom.sources.video_file import VideoFile
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
    inferred_ms: np.ndarray
    """From the hand-over to the keypoints; of ours only."""
    published_ms: np.ndarray
    """From the hand-over until right before the message is sent; of ours only."""
    captured_ns: np.ndarray
    """Time of the hand-over."""


Times = tuple[int, ...]
"""Frame, captured_ns, received_ns; then inferred_ns and published_ns, if the message has them."""


class Listener:
    """A subscriber in a process of its own, like the script of an experiment."""

    def __init__(self, receive: Callable[[str, Event], tuple[list[Times], int]]) -> None:
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
        frame, captured_ns, *later_ns = np.array(rows, np.int64).reshape(len(rows), -1).T if rows else [np.empty(0)] * 3
        latency, *stages = ((at_ns - captured_ns) / 1e6 for at_ns in later_ns)
        inferred, published = stages or (np.empty(0), np.empty(0))
        return Received(frame, latency, missed, inferred, published, captured_ns)

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()


def _listen(receive: Any, pipe: Connection, ready: Event) -> None:
    pipe.send("started")
    pipe.send(receive(pipe.recv(), ready))


def receive_ours(endpoint: str, ready: Event) -> tuple[list[Times], int]:
    """Receive the poses of a pipeline; return the times of those with a box, and the number of missed ones."""
    rows: list[Times] = []
    with Subscriber(endpoint) as subscriber:
        while (message := subscriber.receive(_SILENCE_S)) is not None and not isinstance(message, EndMessage):
            received_ns = now_ns()
            if isinstance(message, HelloMessage):
                ready.set()
            elif isinstance(message, PoseMessage) and message.box is not None:
                at = message.time
                rows.append((message.frame, at.captured_ns, received_ns, at.inferred_ns or 0, at.published_ns))
        return rows, subscriber.missed


def receive_peer(endpoint: str, ready: Event) -> tuple[list[Times], int]:
    """Receive the messages of ``peer_loop.py`` or ``plain_loop.py``."""
    import json

    rows: list[Times] = []
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
    stages_ms: dict[str, float]
    """Medians of the steps of a frame, in order, and of all together."""

    @property
    def lost(self) -> int:
        """Number of frames that did not reach the subscriber, for any reason."""
        counts = self.summary["counts"]
        return int(counts["skipped"] + counts["failed"] + counts["unsent"] + self.missed)

    @property
    def detections_per_s(self) -> float:
        """Number of detections."""
        return float(self.summary["detector"]["detections"] / self.summary["seconds"])


def run_live(bench: Bench, pair: Pair, fps: float, count: int, **more: Any) -> LiveRun:
    """Play frames from memory at ``fps``, with a subscriber in another process. ``more`` are settings."""
    with Listener(receive_ours) as listener:
        source = MemorySource(bench.frames, fps, count, before=listener.wait_ready)
        settings = bench.settings(pair, publish="tcp://127.0.0.1:*", publish_latest="tcp://127.0.0.1:*", **more)
        pipeline = Pipeline(settings, source=lambda: source)
        pipeline.start()
        listener.connect(pipeline.endpoints[0])
        summary = pipeline.join()
        received = listener.result()
    steady = received.frame >= min(count // 4, round(fps / 2))
    return LiveRun(received.latency_ms[steady], received.missed, summary, _stages(received, steady, summary))


def _stages(received: Received, steady: np.ndarray, summary: dict[str, Any]) -> dict[str, float]:
    """Return the median (ms) of each step: the first four as the run counts them, the others from its messages."""
    inferred, published, latency = (
        times[steady] for times in (received.inferred_ms, received.published_ms, received.latency_ms)
    )
    own = {name: summary["latency_ms"][name]["p50"] or np.nan for name in ("wait", "crop", "infer", "decode")}
    later = {"judge, record": published - inferred, "send, wire, receive": latency - published, "all": latency}
    return {**own, **{name: float(np.median(times)) if len(times) else np.nan for name, times in later.items()}}


def plain_loop(bench: Bench, pair: Pair, fps: float, count: int) -> tuple[np.ndarray, int]:
    """Return the latencies (ms) of the plain loop, and how many of its frames were lost."""
    frames = bench.scratch / "frames.npy"
    if not frames.exists():
        np.save(frames, np.stack(bench.frames))
    with zmq.Context() as context:
        endpoint = free_endpoint(context)
    with Listener(receive_peer) as listener:
        listener.connect(endpoint)
        flags = {"detector": pair.detector, "pose": pair.pose, "frames": frames, "fps": fps, "count": count}
        words = [f"--{name}={value}" for name, value in {**flags, "endpoint": endpoint}.items()]
        done = subprocess.run(
            [sys.executable, ROOT / "scripts/plain_loop.py", *words], check=True, capture_output=True, text=True
        )
        received = listener.result()
    steady = received.frame >= min(count // 4, round(fps / 2))
    return received.latency_ms[steady], int(done.stdout)


def run_fast(bench: Bench, pair: Pair, count: int, images: list[UInt8] | None, *, publish: bool = False) -> float:
    """Return the frames per second of a lockstep run over the recording or ``images``, detecting on every frame."""
    source = VideoFile(bench.recording) if images is None else MemorySource(images, 30.0, count)
    rows = run_lockstep(bench, pair, count, source, publish="tcp://127.0.0.1:*" if publish else "none")
    return len(rows) * 1e9 / (int(rows[-1]["inferred_ns"]) - int(rows[0]["captured_ns"]))


def run_lockstep(bench: Bench, pair: Pair, count: int, source: Source, **more: Any) -> list[dict[str, str]]:
    """Track ``count`` frames of a source in lockstep, and return the rows of the table of times."""
    with tempfile.TemporaryDirectory(dir=bench.scratch) as out:
        settings = bench.settings(pair, pace="fast", frames=count, out=out, **more)
        pipeline = Pipeline(settings, source=lambda: source)
        pipeline.start()
        pipeline.join()
        (timing,) = Path(out).glob("**/*_timing.csv")
        with timing.open(encoding="utf-8") as file:
            return list(csv.DictReader(file))


def frame_ms(rows: list[dict[str, str]]) -> np.ndarray:
    """Return the time (ms) of each frame from the hand-over to its pose."""
    return np.array([int(row["inferred_ns"]) - int(row["captured_ns"]) for row in rows]) / 1e6
