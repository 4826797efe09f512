"""``--pace fast`` compared with the limit: the cost of the pipeline around the models."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from time import perf_counter

import numpy as np

from benchmarks.material import Bench, Pair, prepare
from benchmarks.results import Row
from benchmarks.runs import run_fast
from realtime_cropzoom.bench.networks import Ready

TITLE = "Lockstep throughput: every frame detected and posed, nothing published"
_AIM = 0.9


def run(bench: Bench) -> Iterator[Row]:
    """Yield the pipeline's rate as a fraction of the models' own."""
    for pair in bench.pairs:
        yield from _pair(bench, pair)


def _pair(bench: Bench, pair: Pair) -> Iterator[Row]:
    shipped = pair.name == "shipped"
    count, repeats = bench.count(800 if shipped else 40), 4 if shipped else 3
    detector, pose = prepare(pair, bench.frames[0])
    rates: dict[str, list[float]] = {"sequence": [], "parallel": [], "file": [], "memory": []}
    for _ in range(2 if bench.quick else repeats):
        rates["sequence"].append(in_sequence(detector, pose, count))
        rates["file"].append(run_fast(bench, pair, count, None))
        rates["parallel"].append(_in_parallel(detector, pose, count))
        rates["memory"].append(run_fast(bench, pair, count, bench.frames))
    n = f"{len(rates['file'])} × {count} frames"
    for kind, what in (("file", bench.recording_name), ("memory", "same frames, decoded beforehand")):
        for limit, aim in (("sequence", _AIM), ("parallel", None)):
            yield ratio_row(f"{pair.name}: {what} / models in {limit}", rates[kind], rates[limit], aim, n)


def ratio_row(name: str, rates: list[float], limits: list[float], aim: float | None, n: str) -> Row:
    """Return the median of the ratios of all repetitions, because the speed of the machine drifts."""
    ratio = float(np.median(np.divide(rates, limits)))
    value = f"{ratio:.2f} ({np.median(rates):.0f} of {np.median(limits):.0f} frames/s)"
    met = None if aim is None else ratio >= aim
    return Row(name, value, "" if aim is None else f"≥ {aim}", met, n, {"ratio": ratio, "fps": rates, "limit": limits})


def in_sequence(detector: Ready, pose: Ready, count: int) -> float:
    """Return the rate of one model after the other, on one core."""
    begun = perf_counter()
    for _ in range(count):
        detector.infer()
        pose.infer()
    return count / (perf_counter() - begun)


def _in_parallel(detector: Ready, pose: Ready, count: int) -> float:
    """Return the rate of both models at once, on a thread each: the best that two free cores can do."""

    def loop(model: Ready) -> None:
        for _ in range(count):
            model.infer()

    threads = [threading.Thread(target=loop, args=(model,)) for model in (detector, pose)]
    begun = perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return count / (perf_counter() - begun)
