"""The ResNet-18 pair in int8, made by the code of ``cropzoom quantize`` in the temporary folder."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.material import CROP_SIZE, Bench, Pair
from realtime_cropzoom.inference.boxes import BoxRule
from realtime_cropzoom.inference.manifest import Role
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.offline.inputs import gather
from realtime_cropzoom.offline.quantization import quantize
from realtime_cropzoom.offline.quantization_frames import MIN_FRAMES, Cutter, collect

_FRAMES = 80
"""Half of them calibrate, half are compared with fp32."""
_MAX_SHIFT_PX: dict[Role, float] = {"detector": 3.0, "pose": 0.5}
"""Limits that are given to the code. A box of 240 pixels may lie a little beside the animal; a keypoint may not."""


@dataclass(frozen=True)
class Made:
    """What the command would report."""

    shift_px: dict[str, float]
    """Median, p95 and max."""
    judged_on: int
    """Number of frames."""
    in_float: int
    """Number of convolutions that stay in float."""


@dataclass(frozen=True)
class Int8:
    """The pair, and what is known of it."""

    pair: Pair
    detector: Made
    pose: Made


@cache
def int8_pair(bench: Bench) -> Int8:
    """Quantize both models at the same time, a process each: the result does not depend on the time it takes."""
    assert bench.litpose is not None
    frames, folder = max(2 * MIN_FRAMES, bench.count(_FRAMES)), bench.scratch
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        roles: tuple[Role, Role] = ("detector", "pose")
        jobs = [pool.submit(_make, bench, role, frames, folder / f"{role}_int8.onnx") for role in roles]
        detector, pose = (job.result() for job in jobs)
    pair = Pair(f"{bench.litpose.name} int8", folder / "detector_int8.onnx", folder / "pose_int8.onnx")
    return Int8(pair, detector, pose)


def _make(bench: Bench, role: Role, frames: int, out: Path) -> Made:
    pair = bench.litpose
    assert pair is not None
    limit_px = _MAX_SHIFT_PX[role] * (20 if bench.quick else 1)  # a few frames do not calibrate well
    model = Model(pair.detector if role == "detector" else pair.pose, role, precision="fp32")
    finder = Model(pair.detector, "detector") if role == "pose" else None
    samples = collect(
        gather([bench.recording], images=True), Cutter(model, finder, BoxRule(crop_size=CROP_SIZE)), frames
    )
    made = quantize(model, role, samples, out, max_shift_px=limit_px, say=lambda line: None)
    shift = {"median": made.shift.median_px, "p95": made.shift.p95_px, "max": made.shift.max_px}
    return Made(shift, made.judged_on, len(made.in_float))
