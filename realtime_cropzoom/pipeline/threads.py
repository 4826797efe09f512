"""Threads of the pose model: a large network on all cores, if that is clearly quicker here and gives the same numbers.

A small network on two threads waits for them as long as it gains. A large one takes half the time, and the core of the
detector is free meanwhile, because a detection begins when a pose is done. ONNX Runtime has given the same bits with
any number of threads in all models that were tried. Nothing promises that, so each model must show it: live and
offline, which uses one thread, give the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

import numpy as np

from realtime_cropzoom.clock import now_s
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.runtime.tuning import usable_cores
from realtime_cropzoom.types import Float32

SMALL_MS = 5.0
"""Time (ms) of a call on one thread below which a network stays there, and is not measured."""
_GAIN = 1.3
"""Minimum gain in speed from twice as many threads."""
_ROUNDS = 7


def load_quickest(load: Callable[[int], Model], cores: int | None = None, small_ms: float = SMALL_MS) -> Model:
    """Load a model with as many threads as are worth it: 1, 2, 4 and so on.

    Args:
        load: Returns the model with a number of threads. Raises ModelError.
        cores: Number of cores that there are; None to ask the system.
        small_ms: Time (ms) of a call below which one thread is enough.

    Raises:
        ModelError: if the model cannot be loaded.
    """
    model, cores = load(1), cores or usable_cores()
    if model.session.provider != "cpu":
        return model
    inputs = _inputs(model)
    (one_ms,) = _times_ms([model], inputs)
    while one_ms >= small_ms and 2 * model.session.threads <= cores:
        other = load(2 * model.session.threads)
        before_ms, after_ms = _times_ms([model, other], inputs)
        if before_ms < _GAIN * after_ms or not _same_bits(model, other, inputs):
            break
        model = other
    return model


def _inputs(model: Model) -> list[list[Float32]]:
    """Return model inputs of random pixels, the same for every run; a context model takes five images for each."""
    random, count = np.random.default_rng(0), 2 * model.context_radius + 1
    shape = model.new_input().shape
    return [[random.standard_normal(shape, np.float32) for _ in range(count)] for _ in range(3)]


def _times_ms(models: list[Model], inputs: list[list[Float32]]) -> list[float]:
    """Return the median time (ms) of a call of each model, measured in turns."""
    times: list[list[float]] = [[] for _ in models]
    for turn in range(_ROUNDS):
        for model, own in zip(models, times, strict=True):
            begun = now_s()
            model.infer(*inputs[turn % len(inputs)])
            own.append((now_s() - begun) * 1e3)
    return [median(own) for own in times]


def _same_bits(one: Model, other: Model, inputs: list[list[Float32]]) -> bool:
    """Return whether both give the same outputs for the same inputs, bit for bit."""
    return all(
        np.array_equal(a, b) for given in inputs for a, b in zip(one.infer(*given), other.infer(*given), strict=True)
    )
