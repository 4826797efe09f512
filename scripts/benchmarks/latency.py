"""Live latency: from the frame handed over to the message received in another process.

Two things are measured in the same minutes on the same frames. The bare pose model, called at the same rate in a
process of its own that sleeps between calls, is the limit. The plain loop (``scripts/plain_loop.py``), with the same
models and functions but nothing else, is the yardstick.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from benchmarks.material import SHIPPED, Bench, prepare
from benchmarks.paced import paced
from benchmarks.results import Row, percentiles
from benchmarks.runs import plain_loop, run_live
from realtime_cropzoom.bench.live import LiveRun
from realtime_cropzoom.bench.networks import time_ms

TITLE = "Live latency: handed over → received in another process, 640×480"
_FRAMES = {30: 120, 100: 600, 200: 1200, 300: 900, 400: 1600, 500: 1500}
"""Frames per run, by rate."""
_AIMS = {100: (0.8, 2.0, 4.0), 200: (0.8, 2.0, 4.0)}
"""Largest p50, p99 and p99.9 above the paced bare model (ms), by rate."""
_NO_LOSS = 400
"""Rate at which no frame may be lost."""
_ROUNDS = 3
"""Repetitions at the rates that have an aim. Others have one: they are points of the curves."""
_RISING = (500, 600, 800, 1000, 1300)
_QUANTILES = ("p50", "p99", "p99.9")


@dataclass
class Measured:
    """All repetitions at one rate."""

    runs: list[LiveRun] = field(default_factory=list)
    bare: list[np.ndarray] = field(default_factory=list)
    """Paced bare model (ms)."""
    plain: list[tuple[np.ndarray, int]] = field(default_factory=list)
    """Plain loop: latencies (ms), frames lost."""


def run(bench: Bench) -> Iterator[Row]:
    """Yield the shipped pair at fixed rates, then the highest rate that it holds."""
    _, pose = prepare(SHIPPED, bench.frames[0])
    hot = percentiles(time_ms(pose.infer, bench.count(1000)))
    yield Row("shipped pose model, back to back", f"p50 {hot['p50']:.2f}, p99 {hot['p99']:.2f} ms", numbers=hot)
    measured = {fps: Measured() for fps in _FRAMES if not bench.rates or fps in bench.rates}
    for lap in range(1 if bench.quick else _ROUNDS):
        for fps, at in measured.items():
            if lap and fps not in _AIMS and fps != _NO_LOSS:
                continue
            count = bench.count(_FRAMES[fps])
            at.bare.append(paced(bench, pose, fps, count))
            at.runs.append(run_live(bench, SHIPPED, fps, count))
            at.plain.append(plain_loop(bench, SHIPPED, fps, count))
    for fps, at in measured.items():
        yield from quantile_rows(f"shipped, {fps} fps", at, fps, _AIMS.get(fps))
        yield lost_row(f"shipped, {fps} fps", at, aim=fps == _NO_LOSS)
    if not bench.rates:
        yield _highest_rate(bench)


def quantile_rows(name: str, at: Measured, fps: float, aims: tuple[float, float, float] | None = None) -> Iterator[Row]:
    """Yield by how much the runs exceed the bare model, and their tail against that of the plain loop."""
    each = [percentiles(run.latency_ms) for run in at.runs]
    bare = [percentiles(times) for times in at.bare]
    plain = [percentiles(times) for times, _ in at.plain]
    n = f"{sum(int(one['n']) for one in each)} frames, {len(each)} runs"
    for place, q in enumerate(_QUANTILES):
        over = float(np.median([whole[q] - alone[q] for whole, alone in zip(each, bare, strict=True)]))
        whole, alone = (float(np.median([one[q] for one in rows])) for rows in (each, bare))
        aim = None if aims is None else aims[place]
        value = f"{over:+.2f} ms ({whole:.2f}; the bare model at this rate {alone:.2f})"
        met = None if aim is None else over <= aim
        numbers = {"over_ms": over, "fps": fps, "ours_ms": each, "bare_ms": bare, "plain_ms": plain}
        yield Row(f"{name}: {q}", value, "" if aim is None else f"≤ {aim} ms", met, n, numbers)
    if not plain:
        return
    ratio = float(np.median([whole["p99"] / other["p99"] for whole, other in zip(each, plain, strict=True)]))
    theirs = ", ".join(f"{q} {np.median([one[q] for one in plain]):.2f}" for q in _QUANTILES)
    met = None if aims is None else ratio <= 1.0
    aim_text = "" if aims is None else "≤ 1.0"
    yield Row(f"{name}: p99 / that of the plain loop", f"{ratio:.2f} (plain loop: {theirs} ms)", aim_text, met, n)


def lost_row(name: str, at: Measured, *, aim: bool) -> Row:
    """Return how many frames each run lost, and how old the boxes were."""
    lost = [run.lost for run in at.runs]
    ages = [run.summary["box_age_ms"] for run in at.runs]
    counts = [{**run.summary["counts"], "missed": run.missed} for run in at.runs]
    numbers = {"lost": lost, "box_age_ms": ages, "counts": counts, "plain_loop_lost": [lost for _, lost in at.plain]}
    p50, worst = np.median([age["p50"] for age in ages]), max(age["max"] for age in ages)
    value = f"{', '.join(map(str, lost))} lost; box age median {p50:.0f} ms, max {worst:.0f} ms"
    if at.plain:
        value += f"; the plain loop lost {', '.join(str(lost) for _, lost in at.plain)}"
    n = f"{sum(count['captured'] for count in counts)} frames, {len(at.runs)} runs"
    return Row(f"{name}: frames lost", value, "0 lost" if aim else "", not any(lost) if aim else None, n, numbers)


def _highest_rate(bench: Bench) -> Row:
    """Raise the rate until a frame is lost, or the source cannot be played that fast, several times."""
    tried: list[dict[int, int]] = []
    for _ in range(1 if bench.quick else _ROUNDS):
        tried.append({})
        for fps in _RISING:
            run = run_live(bench, SHIPPED, fps, bench.count(3 * fps))
            tried[-1][fps] = run.lost
            if run.lost or run.summary["fps"] < 0.98 * fps:
                break
    held = [max((fps for fps, lost in each.items() if not lost), default=0) for each in tried]
    reached, aim = float(np.median(held)), _RISING[0]
    lost = "; ".join(", ".join(f"{lost} at {fps}" for fps, lost in each.items()) for each in tried)
    value = f"{reached:.0f} fps" if reached else f"under {aim} fps"
    name = "shipped: highest rate without a lost frame"
    return Row(name, f"{value} (lost: {lost})", f"≥ {aim} fps", reached >= aim, f"{len(tried)} times 3 s a rate",
               {"lost": tried})  # fmt: skip
