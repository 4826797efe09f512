"""Device: what a training computes on, and whether bfloat16 makes it faster there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

_TRIES = 3
"""Number of batches that are timed."""
_WORTHWHILE = 0.9
"""Time of a batch in bfloat16, relative to float32, up to which bfloat16 is used: it is less exact."""


@dataclass(frozen=True, slots=True)
class Device:
    """What computes, and in which precision."""

    name: str
    """``cpu``, ``cuda`` or ``mps``."""
    bfloat16: bool = False
    """Whether to compute in bfloat16 where torch's autocast does."""

    def __str__(self) -> str:
        """Words for the user."""
        return "the CPU" if self.name == "cpu" else "the GPU"


CPU = Device("cpu")


def find_device() -> Device:
    """Return the GPU that torch can use, or the CPU."""
    if torch.cuda.is_available():
        return Device("cuda")
    return Device("mps") if torch.backends.mps.is_available() else CPU


def faster_precision(device: Device, step: Callable[[Device], object]) -> tuple[Device, float]:
    """Time batches in both precisions.

    CPUs with AVX512-BF16 or AMX train up to twice as fast in bfloat16; others emulate it and are much slower.

    Args:
        device: What computes.
        step: Trains on one batch and waits for its end.

    Returns:
        The device with the faster precision, and the time of a batch with it (s).
    """
    exact, coarse = replace(device, bfloat16=False), replace(device, bfloat16=True)
    exact_s = _median_s(exact, step)
    if device.name == "mps":  # its autocast does not know bfloat16 everywhere
        return exact, exact_s
    coarse_s = _median_s(coarse, step)
    return (coarse, coarse_s) if coarse_s < _WORTHWHILE * exact_s else (exact, exact_s)


def _median_s(device: Device, step: Callable[[Device], object]) -> float:
    step(device)  # the first batch also plans and allocates
    times = []
    for _ in range(_TRIES):
        begun = time.perf_counter()
        step(device)
        times.append(time.perf_counter() - begun)
    return sorted(times)[_TRIES // 2]
