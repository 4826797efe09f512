"""Live runs of the pipeline on frames from memory, measured at a subscriber in another process."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from typing import Any

import numpy as np

from realtime_cropzoom.bench.material import MemorySource
from realtime_cropzoom.client.subscriber import Subscriber
from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.messaging.message import EndMessage, HelloMessage, PoseMessage
from realtime_cropzoom.pipeline.pipeline import Pipeline
from realtime_cropzoom.runtime.signals import signals_held_back
from realtime_cropzoom.types import UInt8

ANY_PORT = "tcp://127.0.0.1:*"
_SILENCE_S = 20.0
"""Timeout (s) of a listener without messages."""
_LOOK_S = 0.1


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
        with signals_held_back():  # the process inherits that: Ctrl-C in the terminal reaches it, too
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
        self._process.kill()
        self._process.join()


def _listen(receive: Any, pipe: Connection, ready: Event) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Windows, where nothing is held back
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


@dataclass(frozen=True)
class LiveRun:
    """One live run of the pipeline, measured at its subscriber."""

    latency_ms: np.ndarray
    """Latencies (ms) from the hand-over to the subscriber, without the warm-up."""
    missed: int
    summary: dict[str, Any]
    stages_ms: dict[str, float]
    """Medians of the steps of a frame, in order, and of all together."""
    poses: int
    """Number of poses with a box that arrived, with those of the warm-up."""
    poses_per_s: float
    """Poses that arrived each second, without the warm-up; NaN with fewer than two."""

    @property
    def lost(self) -> int:
        """Number of frames that did not reach the subscriber, for any reason."""
        counts = self.summary["counts"]
        return int(counts["skipped"] + counts["failed"] + counts["unsent"] + self.missed)

    @property
    def detections_per_s(self) -> float:
        """Number of detections."""
        return float(self.summary["detector"]["detections"] / self.summary["seconds"])


def run_from_memory(
    settings: Settings, images: list[UInt8], fps: float, count: int, stop: threading.Event | None = None
) -> LiveRun:
    """Play frames from memory live, with a subscriber in another process.

    Args:
        settings: The settings of the run.
        images: The frames, (H, W, 3) RGB.
        fps: Frames per second.
        count: Number of frames.
        stop: Ends the run early when it is set.

    Raises:
        CropzoomError: if the pipeline refuses the settings, or fails.
        TimeoutError: if the subscriber hears nothing.
    """
    with Listener(receive_ours) as listener:
        source = MemorySource(images, fps, count, before=listener.wait_ready)
        endpoints = {"publish": ANY_PORT, "publish_latest": ANY_PORT}
        pipeline = Pipeline(settings.model_copy(update=endpoints), source=lambda: source)
        pipeline.start()
        listener.connect(pipeline.endpoints[0])
        while stop is not None and not pipeline.control.stop.is_set() and not pipeline.wait(_LOOK_S):
            if stop.is_set():
                pipeline.stop()
        summary = pipeline.join()
        received = listener.result()
    steady = received.frame >= min(count // 4, round(fps / 2))
    stages = _stages(received, steady, summary)
    rate = _per_second(received.captured_ns[steady])
    return LiveRun(received.latency_ms[steady], received.missed, summary, stages, len(received.frame), rate)


def _per_second(captured_ns: np.ndarray) -> float:
    if len(captured_ns) < 2:
        return float("nan")
    return float((len(captured_ns) - 1) * 1e9 / (captured_ns[-1] - captured_ns[0]))


def _stages(received: Received, steady: np.ndarray, summary: dict[str, Any]) -> dict[str, float]:
    """Return the median (ms) of each step: the first four as the run counts them, the others from its messages."""
    inferred, published, latency = (
        times[steady] for times in (received.inferred_ms, received.published_ms, received.latency_ms)
    )
    own = {name: summary["latency_ms"][name]["p50"] or np.nan for name in ("wait", "crop", "infer", "decode")}
    later = {"judge, record": published - inferred, "send, wire, receive": latency - published, "all": latency}
    return {**own, **{name: float(np.median(times)) if len(times) else np.nan for name, times in later.items()}}
