"""Memory over a hundred thousand frames: it must not grow after the warm-up.

The time of the frames is not the point here, so the frames of the long runs are small, their network is trivial, and
the measurements run side by side, a process each.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import psutil

from benchmarks.material import SHIPPED, Bench, Pair, write_arena
from benchmarks.offline import offline_command
from benchmarks.results import Row
from benchmarks.small_model import write_small_model
from realtime_cropzoom.bench.material import MemorySource, arena_frames
from realtime_cropzoom.inference.model import Models
from realtime_cropzoom.offline.inference_pool import worker_pool
from realtime_cropzoom.offline.pipeline import OfflinePipeline
from realtime_cropzoom.pipeline.pipeline import Pipeline
from realtime_cropzoom.sources.video_file import VideoFile

TITLE = "Memory: resident set in the second tenth of the time and in the last"
_LONG, _SHORT = 100_000, 2_000
_SMALL = (160, 120)
_FILE_FRAMES = 500
_SAMPLE_S = 0.1
_ARENA_FRAMES = 12
_DETECTOR_EVERY = 20
"""Of the small frames."""
_AIM_MB = 5.0

Begin = Callable[[], None]
"""Is called before the first frame."""
Target = Callable[[Bench, int, tuple[int, int], Begin], None]


def run(bench: Bench) -> Iterator[Row]:
    """Yield one row per way to go through many frames, two at the same time."""
    long, short = bench.count(_LONG), bench.count(_SHORT)
    small, large = _SMALL, (1920, 1080)
    jobs: list[tuple[str, Target, int, tuple[int, int]]] = [
        ("lockstep, small frames, trivial network", lockstep_small, long, small),
        ("decoding an H.264 file over and over", decode, long, small),
        ("pipeline over a recording, shipped models", offline, short * 5, small),
        ("lockstep, large frames, shipped models", lockstep, short, large),
    ]
    write_small_model(_small_model(bench))
    for frames in {_FILE_FRAMES, short * 5}:
        write_arena(_film(bench, frames), frames, _SMALL)
    with ThreadPoolExecutor(2) as pool:
        results = [pool.submit(_measure, target, bench, count, size) for _, target, count, size in jobs]
        for (name, _, count, (width, height)), result in zip(jobs, results, strict=True):
            yield _row(f"{name}, {width}×{height}", result.result(), count)


def _row(name: str, rss_mb: list[float], count: int) -> Row:
    """Return how much the samples grow from the end of their first tenth to their last tenth."""
    tenth = max(1, len(rss_mb) // 10)
    first, last = float(np.median(rss_mb[tenth : 2 * tenth])), float(np.median(rss_mb[-tenth:]))
    growth = last - first
    value = f"{growth:+.1f} MB ({first:.0f} → {last:.0f}; highest {max(rss_mb):.0f})"
    numbers = {"rss_mb": rss_mb[:: max(1, len(rss_mb) // 50)]}
    return Row(name, value, f"within {_AIM_MB:.0f} MB", abs(growth) <= _AIM_MB, f"{count} frames", numbers)


def _measure(target: Target, bench: Bench, count: int, size: tuple[int, int]) -> list[float]:
    """Run ``target`` in a new process; return its resident set (MB), ten times a second while frames go through."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    fresh = Bench(bench.data, bench.quick, bench.scratch)  # without its frames, which would be sent to the process
    process = context.Process(target=_sampled, args=(theirs, target, fresh, count, size))
    process.start()
    theirs.close()
    try:
        samples: list[float] = ours.recv()
    finally:
        process.join()
    return samples


def _sampled(pipe: Connection, target: Target, bench: Bench, count: int, size: tuple[int, int]) -> None:
    process, samples, done = psutil.Process(), [], threading.Event()

    def sample() -> None:
        while not done.wait(_SAMPLE_S):
            samples.append(process.memory_info().rss / 1e6)

    sampler = threading.Thread(target=sample)
    try:
        target(bench, count, size, sampler.start)
    finally:
        done.set()
        sampler.join()
    pipe.send(samples)


def lockstep(
    bench: Bench, count: int, size: tuple[int, int], begin: Begin, pair: Pair = SHIPPED, every: int = 1
) -> None:
    """Track frames from memory with the whole pipeline of a run."""
    source = MemorySource(arena_frames(*size, _ARENA_FRAMES), 30.0, count, before=begin)
    pipeline = Pipeline(bench.settings(pair, pace="fast", detector_every=every), source=lambda: source)
    pipeline.start()
    pipeline.join()


def lockstep_small(bench: Bench, count: int, size: tuple[int, int], begin: Begin) -> None:
    """The same with the trivial network."""
    lockstep(bench, count, size, begin, Pair("trivial", _small_model(bench), _small_model(bench)), _DETECTOR_EVERY)


def decode(bench: Bench, count: int, size: tuple[int, int], begin: Begin) -> None:
    """Decode and convert a short file again and again."""
    out, left = arena_frames(*size, 1)[0], count
    begin()
    while left:
        source = VideoFile(_film(bench, _FILE_FRAMES))
        for captured in source.frames():
            captured.copy_to(out)
            left -= 1
            if not left:
                break
        source.close()


def offline(bench: Bench, count: int, size: tuple[int, int], begin: Begin) -> None:
    """Track a recording as ``cropzoom pipeline`` does."""
    models, film = Models(*SHIPPED.load()), _film(bench, count)
    with worker_pool(2) as pool:
        begin()
        OfflinePipeline(bench.settings(SHIPPED), models, offline_command(pool)).run(str(film), bench.scratch / "memory")


def _small_model(bench: Bench) -> Path:
    return bench.scratch / "small.onnx"


def _film(bench: Bench, frames: int) -> Path:
    return bench.scratch / f"arena_{frames}.mp4"
