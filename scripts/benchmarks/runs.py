"""Runs of the pipeline, measured from outside."""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from benchmarks.material import Bench, Pair
from benchmarks.receivers import free_endpoint
from benchmarks.results import ROOT
from realtime_cropzoom.bench.live import Listener, LiveRun, Times, run_from_memory
from realtime_cropzoom.bench.material import MemorySource
from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.pipeline.pipeline import Pipeline
from realtime_cropzoom.sources.base import Source
from realtime_cropzoom.sources.video_file import VideoFile
from realtime_cropzoom.types import UInt8

_SILENCE_S = 20.0
"""Timeout (s) of a listener without messages."""


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


def run_live(bench: Bench, pair: Pair, fps: float, count: int, **more: Any) -> LiveRun:
    """Play frames from memory at ``fps``, with a subscriber in another process. ``more`` are settings."""
    return run_from_memory(bench.settings(pair, **more), bench.frames, fps, count)


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
