"""Memory over ten thousand frames: it must not grow after the warm-up."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import psutil

from benchmarks.material import SHIPPED, Bench, MemorySource, arena_frames
from benchmarks.results import Row
from realtime_cropzoom.pipeline.pipeline import Pipeline
from realtime_cropzoom.sources.video_file import VideoFile

TITLE = "Memory: resident set after the first tenth and at the end"
_SIZES = ((640, 480), (1280, 1024), (1920, 1080))
_FRAMES = 10_000
_SAMPLES = 50
_ARENA_FRAMES = 12
_AIM_MB = 5.0


def run(bench: Bench) -> Iterator[Row]:
    """Yield one row per frame size, and one for decoding files."""
    for width, height in _SIZES:
        count = bench.count(_FRAMES)
        yield row_of(f"lockstep pipeline, {width}×{height}", measure(_pipeline, bench, count, width, height), count)
    count = bench.count(_FRAMES * (10 if bench.long else 1))
    yield row_of(f"decoding a file over and over ({bench.recording_name})", measure(_decode, bench, count), count)


def row_of(name: str, rss_mb: list[float], count: int) -> Row:
    """Return how much the samples grow after their first tenth."""
    after = rss_mb[len(rss_mb) // 10 :]
    growth = after[-1] - after[0]
    value = f"{growth:+.1f} MB ({after[0]:.0f} → {after[-1]:.0f}; highest {max(after):.0f})"
    return Row(name, value, f"within {_AIM_MB:.0f} MB", abs(growth) <= _AIM_MB, f"{count} frames", {"rss_mb": rss_mb})


class _Samples:
    """Samples the resident set size, once in a fixed number of frames."""

    def __init__(self, count: int) -> None:
        self._every = max(1, count // _SAMPLES)
        self._process = psutil.Process()
        self.rss_mb: list[float] = []

    def __call__(self, index: int) -> None:
        if index % self._every == 0:
            self.rss_mb.append(self._process.memory_info().rss / 1e6)


def measure(target: Callable[..., None], bench: Bench, *args: object) -> list[float]:
    """Run ``target`` in a fresh process; return the samples it sends."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    fresh = replace(bench)  # without its frames, which would be sent to the process
    process = context.Process(target=target, args=(theirs, fresh, *args))
    process.start()
    theirs.close()
    try:
        samples: list[float] = ours.recv()
    finally:
        process.join()
    return samples


def _pipeline(pipe: Connection, bench: Bench, count: int, width: int, height: int) -> None:
    samples = _Samples(count)
    source = MemorySource(arena_frames(width, height, _ARENA_FRAMES), 30.0, count, each=samples)
    pipeline = Pipeline(bench.settings(SHIPPED, pace="fast"), source=lambda: source)
    pipeline.start()
    pipeline.join()
    samples(0)
    pipe.send(samples.rss_mb)


def _decode(pipe: Connection, bench: Bench, count: int) -> None:
    samples = _Samples(count)
    for index, _ in zip(range(count), _endless(bench.recording), strict=False):
        samples(index)
    pipe.send(samples.rss_mb)


def _endless(video: Path) -> Iterator[None]:
    """Decode the file repeatedly, each frame into the same memory."""
    while True:
        source = VideoFile(video)
        out = np.empty((source.info.height, source.info.width, 3), np.uint8)
        for captured in source.frames():
            captured.copy_to(out)
            yield
        source.close()
