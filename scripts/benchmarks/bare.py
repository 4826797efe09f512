"""The limit: the two models alone, in a loop on prepared inputs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.material import Bench, prepare
from benchmarks.results import Row, percentiles
from realtime_cropzoom.bench.networks import time_ms

TITLE = "The limit: the models alone, one thread each"
_BLOCKS = 5


def run(bench: Bench) -> Iterator[Row]:
    """Yield p50 and p99 of each model, and the rate of both in sequence."""
    for pair in bench.pairs:
        detector, pose = prepare(pair, bench.frames[0])
        count = bench.count(800 if pair.name == "shipped" else 20)
        steps = {"detector": detector.infer, "pose": pose.infer}
        # The models take turns, so that a slow minute of the machine affects both.
        blocks = [{name: time_ms(step, count) for name, step in steps.items()} for _ in range(_BLOCKS)]
        medians = []
        for name in steps:
            times = percentiles(np.concatenate([block[name] for block in blocks]))
            medians.append(times["p50"])
            value = f"p50 {times['p50']:.2f} ms, p99 {times['p99']:.2f} ms"
            yield Row(f"{pair.name} {name}", value, n=f"{times['n']} runs", numbers=times)
        rates = [1000 / sum(float(block[name].mean()) for name in steps) for block in blocks]
        rate = float(np.median(rates))
        numbers = {"fps": rate, "blocks": rates}
        yield Row(f"{pair.name} detector then pose", f"{rate:.0f} frames/s", n=f"{_BLOCKS} blocks", numbers=numbers)
