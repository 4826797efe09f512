"""Live latency: from the frame handed over to the message received in another process.

Two things are measured in the same minutes on the same frames. The bare pose model, called at the same rate in a
process of its own that sleeps between calls, is the limit. The plain loop (``scripts/plain_loop.py``), with the same
models and functions but nothing else, is the yardstick.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import zmq

from benchmarks.material import SHIPPED, Bench, Pair, Ready, prepare, time_ms
from benchmarks.receivers import free_endpoint
from benchmarks.results import ROOT, Row, percentiles
from benchmarks.runs import Listener, LiveRun, receive_peer, run_live

TITLE = "Live latency: handed over → received in another process, 640×480"
_COUNTS = {30: 300, 100: 1500, 200: 2500, 400: 4000}
"""Frames per run, by rate: enough for a 99.9th percentile of three runs, except at 30 fps."""
_RISING = (500, 600, 800, 1000, 1300)
_ROUNDS = 3
_UTILISATION = 0.6
"""Load of the core that runs the large pose model."""
_AIMS = {100: (0.8, 2.0, 4.0), 200: (0.8, 2.0, 4.0)}
"""Largest p50, p99 and p99.9 above the paced bare model (ms), by rate."""
_QUANTILES = ("p50", "p99", "p99.9")


@dataclass
class _Measured:
    """All repetitions at one rate."""

    runs: list[LiveRun] = field(default_factory=list)
    bare: list[np.ndarray] = field(default_factory=list)
    """Paced bare model (ms)."""
    plain: list[tuple[np.ndarray, int]] = field(default_factory=list)
    """Plain loop: latencies (ms), frames lost."""


def run(bench: Bench) -> Iterator[Row]:
    """Yield the shipped pair at fixed and rising rates, then the large pair at a rate the machine holds."""
    yield from _shipped(bench)
    if bench.litpose is None:
        yield Row("ResNet-18 pair", "skipped: the data folder with the models is missing", "≤ 1 ms median")
    else:
        yield from _large(bench, bench.litpose)


def _shipped(bench: Bench) -> Iterator[Row]:
    _, pose = prepare(SHIPPED, bench.frames[0])
    hot = percentiles(time_ms(pose.infer, bench.count(2000)))
    yield Row("shipped pose model, back to back", f"p50 {hot['p50']:.2f}, p99 {hot['p99']:.2f} ms", numbers=hot)
    measured = {fps: _Measured() for fps in _COUNTS}
    for _ in range(1 if bench.quick else _ROUNDS):
        for fps, frames in _COUNTS.items():
            count, at = bench.count(frames), measured[fps]
            at.bare.append(paced(bench, SHIPPED.pose, pose, fps, count))
            at.runs.append(run_live(bench, SHIPPED, fps, count))
            at.plain.append(_plain_loop(bench, SHIPPED, fps, count))
    for fps, at in measured.items():
        yield from _rows(f"shipped, {fps} fps", at, _AIMS.get(fps))
        yield from _lost(f"shipped, {fps} fps", at, aim=fps == 400)
    yield _highest_rate(bench)


def paced(
    bench: Bench, path: Path, ready: Ready, fps: float, count: int, beside: tuple[Path, Ready, float] | None = None
) -> np.ndarray:
    """Return the times (ms) of the bare model at a rate, measured in a process of its own.

    Args:
        bench: Where temporary files go.
        path: The model.
        ready: The same, with a prepared input.
        fps: Calls per second.
        count: Number of calls.
        beside: Model, prepared input and calls per second of a detector in a second thread.
    """
    files = [bench.scratch / f"{name}.npy" for name in ("input", "times", "seen")]
    np.save(files[0], ready.prepared)
    command = [sys.executable, "-m", "benchmarks.paced", path, files[0], fps, count, files[1]]
    if beside is not None:
        np.save(files[2], beside[1].prepared)
        command += [beside[0], files[2], beside[2]]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    subprocess.run([str(word) for word in command], check=True, env=environment)
    times: np.ndarray = np.load(files[1])
    return times[min(count // 4, round(fps / 2)) :]


def _plain_loop(bench: Bench, pair: Pair, fps: float, count: int) -> tuple[np.ndarray, int]:
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


def _rows(name: str, at: _Measured, aims: tuple[float, float, float] | None) -> Iterator[Row]:
    """Yield by how much a run exceeds the bare model, and its tail against that of the plain loop."""
    each = [percentiles(run.latency_ms) for run in at.runs]
    bare = [percentiles(times) for times in at.bare]
    plain = [percentiles(times) for times, _ in at.plain]
    stages = {
        stage: [run.summary["latency_ms"][stage] for run in at.runs] for stage in at.runs[0].summary["latency_ms"]
    }
    numbers = {"whole_ms": each, "paced_bare_ms": bare, "plain_loop_ms": plain, "stages_ms": stages}
    n = f"{sum(int(one['n']) for one in each)} frames, {len(each)} runs"
    for place, q in enumerate(_QUANTILES):
        over = float(np.median([whole[q] - alone[q] for whole, alone in zip(each, bare, strict=True)]))
        whole, alone = (float(np.median([one[q] for one in rows])) for rows in (each, bare))
        aim = None if aims is None else aims[place]
        value = f"{over:+.2f} ms ({whole:.2f}; the bare model at this rate {alone:.2f})"
        met = None if aim is None else over <= aim
        yield Row(f"{name}: {q}", value, "" if aim is None else f"≤ {aim} ms", met, n, {"over_ms": over, **numbers})
    if not plain:
        return
    ratio = float(np.median([whole["p99"] / other["p99"] for whole, other in zip(each, plain, strict=True)]))
    theirs = ", ".join(f"{q} {np.median([one[q] for one in plain]):.2f}" for q in _QUANTILES)
    met = None if aims is None else ratio <= 1.0
    aim_text = "" if aims is None else "≤ 1.0"
    yield Row(f"{name}: p99 / that of the plain loop", f"{ratio:.2f} (plain loop: {theirs} ms)", aim_text, met, n)


def _lost(name: str, at: _Measured, *, aim: bool) -> Iterator[Row]:
    lost = [run.lost for run in at.runs]
    ages = [run.summary["box_age_ms"] for run in at.runs]
    counts = [{**run.summary["counts"], "missed": run.missed} for run in at.runs]
    numbers = {"box_age_ms": ages, "counts": counts, "plain_loop_lost": [lost for _, lost in at.plain]}
    p50, worst = np.median([age["p50"] for age in ages]), max(age["max"] for age in ages)
    value = f"{', '.join(map(str, lost))} lost; box age median {p50:.0f} ms, max {worst:.0f} ms"
    if at.plain:
        value += f"; the plain loop lost {', '.join(str(lost) for _, lost in at.plain)}"
    n = f"{sum(count['captured'] for count in counts)} frames, {len(at.runs)} runs"
    yield Row(f"{name}: frames lost", value, "0 lost" if aim else "", not any(lost) if aim else None, n, numbers)


def _highest_rate(bench: Bench) -> Row:
    """Raise the rate until a frame is lost, or the source cannot be played that fast."""
    tried, held, why = {}, 400, "the highest rate tried"
    for fps in _RISING:
        run = run_live(bench, SHIPPED, fps, bench.count(5 * fps))
        tried[fps] = {"lost": run.lost, "fps": run.summary["fps"], **percentiles(run.latency_ms)}
        if run.lost or run.summary["fps"] < 0.98 * fps:
            why = f"at {fps} fps {run.lost} of {run.summary['counts']['captured']} frames are lost"
            why += f" (frames came at {run.summary['fps']:.0f} fps)"
            break
        held = fps
    value = f"{held} fps; {why}" if held >= _RISING[0] else f"under {_RISING[0]} fps; {why}"
    name = "shipped: highest rate without a lost frame"
    return Row(name, value, "≥ 500 fps", held >= _RISING[0], "5 s a rate", {"rates": tried})


def _large(bench: Bench, pair: Pair) -> Iterator[Row]:
    detector, pose = prepare(pair, bench.frames[0])
    fps = round(_UTILISATION * 1000 / float(np.median(time_ms(pose.infer, bench.count(60)))), 1)
    count = bench.count(300)
    at = _Measured()
    for _ in range(1 if bench.quick else 2):
        at.runs.append(run_live(bench, pair, fps, count))
        at.bare.append(
            paced(bench, pair.pose, pose, fps, count, (pair.detector, detector, at.runs[-1].detections_per_s))
        )
    name = f"{pair.name}, {fps} fps, detector beside the bare model, too"
    p50, p99, *_ = list(_rows(name, at, None))
    whole, bare = p99.numbers["whole_ms"], p99.numbers["paced_bare_ms"]
    ratio = float(np.median([a["p99"] / b["p99"] for a, b in zip(whole, bare, strict=True)]))
    over = p50.numbers["over_ms"]
    yield Row(p50.name, p50.value, "≤ 1.0 ms", over <= 1.0, p50.n, p50.numbers)
    yield Row(f"{name}: p99 / that of the bare model", f"{ratio:.2f}; {p99.value}", "≤ 1.3", ratio <= 1.3, p99.n)
    yield from _lost(f"{pair.name}, {fps} fps", at, aim=False)
