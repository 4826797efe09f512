"""Live latency: from the frame handed over to the message received in another process.

The pose model's own time is part of that and not ours to shorten, so it is measured in the
same minutes and taken off: what is left is what the pipeline adds.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from time import perf_counter

import numpy as np

from benchmarks.material import SHIPPED, Bench, Pair, prepare, time_ms
from benchmarks.results import Row, percentiles
from benchmarks.runs import LiveRun, run_live

TITLE = "Live latency: handed over → received in another process, 640×480"
_RATES = (30, 100, 200, 400)
_RISING = (500, 600, 800, 1000, 1300, 1600, 2000)
_ROUNDS = 2
_UTILISATION = 0.6
"""Of the core that runs the large pose model."""


def run(bench: Bench) -> Iterator[Row]:
    """Yield the shipped pair at fixed and rising rates, then the large pair at a rate the machine holds."""
    yield from _shipped(bench)
    if bench.litpose is None:
        yield Row("ResNet-18 pair", "skipped: the data folder with the models is missing", "≤ 1 ms median")
    else:
        yield from _large(bench, bench.litpose)


def _shipped(bench: Bench) -> Iterator[Row]:
    _, pose = prepare(SHIPPED, bench.frames[0])
    runs: dict[float, list[LiveRun]] = {fps: [] for fps in _RATES}
    bare: dict[float, list[np.ndarray]] = {fps: [] for fps in _RATES}
    for _ in range(1 if bench.quick else _ROUNDS):
        for fps in _RATES:
            bare[fps].append(time_ms(pose.infer, bench.count(2000)))
            runs[fps].append(run_live(bench, SHIPPED, fps, _frames(bench, fps)))
            bare[fps].append(time_ms(pose.infer, bench.count(2000)))
    for fps in _RATES:
        aims = {200: (0.5, 2.0)}.get(fps, (None, None))
        yield from _overhead(f"shipped, {fps} fps", runs[fps], bare[fps], *aims)
        yield _drops(f"shipped, {fps} fps", runs[fps], aim=fps == 400)
    yield _highest_rate(bench)


def _frames(bench: Bench, fps: float) -> int:
    """Ten seconds, but enough frames for a 99th percentile."""
    return bench.count(round(max(10 * fps, 1000)))


def _overhead(
    name: str, runs: list[LiveRun], bare: list[np.ndarray], median_aim: float | None, p99_aim: float | None
) -> Iterator[Row]:
    whole = percentiles(np.concatenate([run.latency_ms for run in runs]))
    alone = percentiles(np.concatenate(bare))
    stages = {stage: [run.summary["latency_ms"][stage] for run in runs] for stage in runs[0].summary["latency_ms"]}
    numbers = {"whole_ms": whole, "bare_pose_ms": alone, "stages_ms": stages}
    numbers["detections_per_s"] = [run.detections_per_s for run in runs]
    for q, label, aim in (("p50", "median", median_aim), ("p99", "p99", p99_aim)):
        over = whole[q] - alone[q]
        value = f"{over:+.2f} ms ({whole[q]:.2f} less the bare pose model's {alone[q]:.2f})"
        met = None if aim is None else over <= aim
        n = f"{whole['n']} frames, {len(runs)} runs"
        yield Row(f"{name}: {label}", value, "" if aim is None else f"≤ {aim} ms", met, n, {"over_ms": over, **numbers})


def _drops(name: str, runs: list[LiveRun], *, aim: bool) -> Row:
    lost = sum(run.lost for run in runs)
    ages = [run.summary["box_age_ms"] for run in runs]
    counts = [{**run.summary["counts"], "missed": run.missed} for run in runs]
    numbers = {"box_age_ms": ages, "counts": counts}
    p50, worst = np.median([age["p50"] for age in ages]), max(age["max"] for age in ages)
    value = f"{lost} lost; box age median {p50:.0f} ms, max {worst:.0f} ms"
    n = f"{sum(count['captured'] for count in counts)} frames, {len(runs)} runs"
    return Row(f"{name}: frames lost", value, "0 lost" if aim else "", lost == 0 if aim else None, n, numbers)


def _highest_rate(bench: Bench) -> Row:
    """Raise the rate until a frame is lost, or the source cannot be played that fast."""
    tried, held, why = {}, 0, "the highest rate tried"
    for fps in _RISING:
        run = run_live(bench, SHIPPED, fps, _frames(bench, fps))
        tried[fps] = {"lost": run.lost, "fps": run.summary["fps"], **percentiles(run.latency_ms)}
        if run.lost or run.summary["fps"] < 0.98 * fps:
            why = f"at {fps} fps {run.lost} of {run.summary['counts']['captured']} frames are lost"
            why += f" (frames came at {run.summary['fps']:.0f} fps)"
            break
        held = fps
    value = f"{held} fps; {why}" if held else f"under {_RISING[0]} fps; {why}"
    return Row("shipped: highest rate without a lost frame", value, n="10 s a rate", numbers={"rates": tried})


def _large(bench: Bench, pair: Pair) -> Iterator[Row]:
    detector, pose = prepare(pair, bench.frames[0])
    fps = round(_UTILISATION * 1000 / float(np.median(time_ms(pose.infer, bench.count(60)))), 1)
    count = bench.count(400)
    runs, alone, beside = [], [], []
    for _ in range(1 if bench.quick else _ROUNDS):
        runs.append(run_live(bench, pair, fps, count))
        with detecting(detector.infer, runs[-1].detections_per_s):
            beside.append(time_ms(pose.infer, count))
        alone.append(time_ms(pose.infer, count))
    name = f"{pair.name}, {fps} fps"
    yield from _overhead(f"{name}, detector running beside the bare model too", runs, beside, 1.0, None)
    yield from _overhead(f"{name}, bare model with the machine to itself", runs, alone, None, None)
    yield _drops(name, runs, aim=False)


@contextlib.contextmanager
def detecting(step: Callable[[], object], per_second: float) -> Iterator[None]:
    """Run the detector's session in a second thread, so many times a second."""
    stop = threading.Event()

    def loop() -> None:
        due = perf_counter()
        while not stop.is_set():
            step()
            due = max(due + 1 / per_second, perf_counter())
            stop.wait(due - perf_counter())

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
