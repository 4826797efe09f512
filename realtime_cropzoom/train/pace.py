"""Pace of a training: how far it is, the learning rate there, and whether its error still falls. No I/O.

A training goes from progress 0 to 1. The learning rate depends on the progress alone, so that a training of any length
ends with a small one. A training with a time budget measures its own speed and spreads the rest over the time left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_START_RATE, _END_RATE = 1 / 25, 1 / 250_000
"""Learning rate at the start and at the end, relative to the maximum."""
_MOMENTUM = (0.85, 0.95)
"""Momentum at the maximum of the learning rate, and at both ends."""
_SMOOTHING = 0.05
"""Weight of the last batch in the time per batch."""
_CHECKED_SHARE = 0.25
"""Share of the epochs, the last ones, in which the error must have fallen."""
_MIN_EPOCHS = 20
"""Minimum number of such epochs."""
_MIN_GAIN = 0.01
"""Share by which the error must have fallen in them."""
_REST_SHARE = 0.25
"""Time that a training still gets when its error no longer falls, relative to the time that it has had."""


def warm_share(steps: int) -> float:
    """Return the share of ``steps`` batches in which the rate rises: a tenth. Below 0 for a handful of batches.

    Source: ``torch.optim.lr_scheduler.OneCycleLR`` with ``total_steps`` one higher and ``pct_start`` 0.1.
    """
    return (0.1 * (steps + 1) - 1) / steps


def one_cycle(progress: float, warm: float) -> tuple[float, float]:
    """Return the learning rate, relative to its maximum, and the momentum. Both follow half waves of a cosine.

    Args:
        progress: How far the training is, from 0 to 1.
        warm: Share of the training in which the rate rises.
    """
    least, most = _MOMENTUM
    if progress < warm:
        risen = (1 - math.cos(math.pi * progress / warm)) / 2
        return _START_RATE + (1 - _START_RATE) * risen, most + (least - most) * risen
    fallen = (1 - math.cos(math.pi * (progress - warm) / (1 - warm))) / 2
    return 1 + (_END_RATE - 1) * fallen, least + (most - least) * fallen


@dataclass(slots=True)
class Pace:
    """Progress of a training, of a number of batches or of a time."""

    per_step: float
    """Progress of one batch."""
    warm: float
    """Share of the training in which the learning rate rises."""
    budget_s: float | None = None
    """Time for all batches (s); None for a fixed number of batches."""
    step_s: float = 0.0
    """Time for one batch (s), a moving average; 0 before the first."""
    progress: float = 0.0
    spent_s: float = 0.0
    """Time for the batches so far (s)."""
    steps: int = 0
    """Number of batches so far."""
    hurried: bool = False
    """Whether the end was brought forward, because the error no longer falls."""

    @classmethod
    def of_steps(cls, steps: int) -> Pace:
        """Return the pace of a training of ``steps`` batches."""
        return cls(1 / steps, warm_share(steps))

    @classmethod
    def of_time(cls, budget_s: float, step_s: float) -> Pace:
        """Return the pace of a training that takes ``budget_s``, if a batch takes ``step_s`` (s)."""
        return cls(min(1.0, step_s / budget_s), 0.1, budget_s, step_s)

    @property
    def done(self) -> bool:
        """Whether the training is at its end."""
        return self.progress >= 1 - 1e-9

    @property
    def steps_left(self) -> float:
        """Number of batches of the rest, as planned now."""
        return 0.0 if self.done else (1 - self.progress) / self.per_step

    @property
    def seconds_left(self) -> float:
        """Estimated time for the rest (s)."""
        return self.steps_left * self.step_s

    def after_step(self, seconds: float) -> None:
        """Count a batch that took ``seconds``. The time per batch decides the progress of the next one."""
        self.steps += 1
        self.progress = min(1.0, self.progress + self.per_step)
        self.spent_s += seconds
        self.step_s += (seconds - self.step_s) * (_SMOOTHING if self.steps > 1 or self.budget_s else 1.0)
        if self.budget_s is not None and not self.done:
            steps_left = max(1.0, (self.budget_s - self.spent_s) / self.step_s)
            self.per_step = (1 - self.progress) / steps_left

    def hurry(self) -> None:
        """Bring the end forward: the rest takes a quarter of the time so far, or less if less is left."""
        self.hurried = True
        steps_left = max(1.0, _REST_SHARE * self.steps)
        self.per_step = max(self.per_step, (1 - self.progress) / steps_left)
        if self.budget_s is not None:
            self.budget_s = min(self.budget_s, self.spent_s * (1 + _REST_SHARE))


def still_falls(errors: Sequence[float]) -> bool:
    """Return whether the held-out error still falls, or too few epochs say so.

    Args:
        errors: Error after each epoch; NaN for none.
    """
    checked = max(_MIN_EPOCHS, round(_CHECKED_SHARE * len(errors)))
    before, last = errors[:-checked], errors[-checked:]
    if not before or math.isnan(min(before)):
        return True
    return min(last) < (1 - _MIN_GAIN) * min(before)
