"""Large models: Lightning Pose's ResNet-18 pair, in fp32 and in int8, live on this machine."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.int8 import Made, int8_pair
from benchmarks.latency import Measured, lost_row, quantile_rows
from benchmarks.material import Bench, Pair, prepare
from benchmarks.paced import Beside, paced
from benchmarks.results import Row
from benchmarks.runs import run_live
from realtime_cropzoom.bench.networks import Ready, time_ms

TITLE = "Large models: Lightning Pose's ResNet-18 pair, in fp32 and in int8"
_ROUNDS = 3
_UTILISATION = 0.6
"""Load of the core that runs the fp32 pose model."""
_FPS_INT8 = 50.0
_SPEEDUP = 2.5
_SHIFT_PX = {"median": 0.2, "p95": 0.6}
"""Largest shift of the keypoints of the pose model. Those of the detector only place a box."""


def run(bench: Bench) -> Iterator[Row]:
    """Yield the fp32 pair at 60 % load, then int8: gain, shift, and live."""
    if bench.litpose is None:
        yield Row("ResNet-18 pair", "skipped: the data folder with the models is missing", "≤ 1 ms median")
        return
    detector, pose = prepare(bench.litpose, bench.frames[0])
    fps = round(_UTILISATION * 1000 / float(np.median(time_ms(pose.infer, bench.count(40)))), 1)
    yield from _live(bench, bench.litpose, detector, pose, fps, bench.count(80))
    made = int8_pair(bench)
    small = prepare(made.pair, bench.frames[0])
    for name, fp32, int8, one in (("detector", detector, small[0], made.detector), ("pose", pose, small[1], made.pose)):
        yield _gain(bench, name, fp32, int8)
        yield from _shifts(name, one)
    yield from _live(bench, made.pair, *small, _FPS_INT8, bench.count(300))


def _live(bench: Bench, pair: Pair, detector: Ready, pose: Ready, fps: float, count: int) -> Iterator[Row]:
    at, is_fp32 = Measured(), fps != _FPS_INT8
    for _ in range(1 if bench.quick else _ROUNDS):
        at.runs.append(run_live(bench, pair, fps, count, pose_threads=1))  # as the bare one
        at.bare.append(paced(bench, pose, fps, count, Beside(detector, at.runs[-1].detections_per_s)))
    name = f"{pair.name}, {fps:g} fps, detector beside the bare model, too"
    p50, p99, *_ = list(quantile_rows(name, at, fps))
    ratios = [a["p99"] / b["p99"] for a, b in zip(p99.numbers["ours_ms"], p99.numbers["bare_ms"], strict=True)]
    ratio, over = float(np.median(ratios)), p50.numbers["over_ms"]
    aims = ("≤ 1.0 ms", "≤ 1.3") if is_fp32 else ("", "")
    yield Row(p50.name, p50.value, aims[0], over <= 1.0 if is_fp32 else None, p50.n, p50.numbers)
    name = f"{name}: p99 / that of the bare model"
    yield Row(name, f"{ratio:.2f}; {p99.value}", aims[1], ratio <= 1.3 if is_fp32 else None, p99.n, {"ratio": ratio})
    yield lost_row(f"{pair.name}, {fps:g} fps", at, aim=not is_fp32)


def _gain(bench: Bench, name: str, fp32: Ready, int8: Ready) -> Row:
    """Return how many times as fast int8 is: both networks alone, in turns."""
    blocks = [(time_ms(fp32.infer, bench.count(20)), time_ms(int8.infer, bench.count(20))) for _ in range(5)]
    ratio = float(np.median([np.median(slow) / np.median(fast) for slow, fast in blocks]))
    slow, fast = (float(np.median([np.median(block[place]) for block in blocks])) for place in (0, 1))
    value = f"{ratio:.2f}× ({slow:.1f} → {fast:.1f} ms)"
    return Row(f"int8 {name}: gain in speed, one thread", value, f"≥ {_SPEEDUP}×", ratio >= _SPEEDUP,
               "5 × 20 runs of each", {"ratio": ratio, "fp32_ms": slow, "int8_ms": fast})  # fmt: skip


def _shifts(name: str, made: Made) -> Iterator[Row]:
    """Yield how far int8 moves the keypoints, on frames that it was not calibrated on."""
    for q, most in _SHIFT_PX.items():
        px = made.shift_px[q]
        value = f"{px:.3f} px ({made.in_float} convolutions in float)"
        aim, met = (f"≤ {most} px", px <= most) if name == "pose" else ("", None)
        yield Row(f"int8 {name}: shift of the keypoints, {q}", value, aim, met,
                  f"{made.judged_on} frames", {"shift_px": made.shift_px})  # fmt: skip
