"""The bare model at a rate: a process of its own that sleeps between calls, as a live loop must.

    python -m benchmarks.paced MODEL INPUT.npy FPS COUNT OUT.npy [DETECTOR INPUT.npy PER_SECOND]

Between frames a core sleeps and its caches grow cold, so that a call takes longer than back to back. With a
detector, that model runs beside it in a second thread.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.material import Bench
from benchmarks.results import ROOT
from realtime_cropzoom.bench.networks import Ready
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.types import Float32


@dataclass(frozen=True)
class Beside:
    """A detector that runs in a second thread."""

    ready: Ready
    per_second: float


def paced(bench: Bench, ready: Ready, fps: float, count: int, beside: Beside | None = None) -> np.ndarray:
    """Return the times (ms) of a model called at a rate, from a new process.

    Args:
        bench: Where temporary files go.
        ready: The model, and its prepared input.
        fps: Calls per second.
        count: Number of calls.
        beside: The detector that runs at the same time; None for none.
    """
    given, seen, out = (bench.scratch / f"{name}.npy" for name in ("input", "seen", "times"))
    np.save(given, ready.prepared)
    command = [sys.executable, "-m", "benchmarks.paced", ready.model.path, given, fps, count, out]
    if beside is not None:
        np.save(seen, beside.ready.prepared)
        command += [beside.ready.model.path, seen, beside.per_second]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    subprocess.run([str(word) for word in command], check=True, env=environment)
    times: np.ndarray = np.load(out)
    return times[min(count // 4, round(fps / 2)) :]


def measure(model: Model, prepared: Float32, fps: float, count: int) -> np.ndarray:
    """Return how long each call took, in ms; the calls are 1 / fps seconds apart."""
    times = np.empty(count)
    begin = time.perf_counter()
    for index in range(count):
        time.sleep(max(0.0, begin + index / fps - time.perf_counter()))
        begun = time.perf_counter_ns()
        model.infer(prepared)
        times[index] = time.perf_counter_ns() - begun
    return times / 1e6


def main(arguments: list[str]) -> None:
    """Measure and write the times."""
    model, prepared, fps, count, out = arguments[:5]
    if len(arguments) > 5:
        detector, seen, per_second = arguments[5:]
        beside = (Model(Path(detector)), np.load(seen), float(per_second), 10**9)
        threading.Thread(target=measure, args=beside, daemon=True).start()
    np.save(out, measure(Model(Path(model)), np.load(prepared), float(fps), int(count)))
    os._exit(0)  # the detector's thread may be inside its model


if __name__ == "__main__":
    main(sys.argv[1:])
