"""Stand-in of torch: what the export calls, on NumPy arrays."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np

from torch import nn, onnx


class Tensor:
    def __init__(self, values: np.ndarray) -> None:
        self._values = values

    @property
    def shape(self) -> tuple[int, ...]:
        return self._values.shape

    def numpy(self) -> np.ndarray:
        return self._values


def zeros(*shape: int) -> Tensor:
    return Tensor(np.zeros(shape, np.float32))


def randn(*shape: int) -> Tensor:
    return Tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))


def manual_seed(seed: int) -> None:
    """Nothing here is random."""


no_grad = nullcontext
__all__ = ["Tensor", "manual_seed", "nn", "no_grad", "onnx", "randn", "zeros"]
