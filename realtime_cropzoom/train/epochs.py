"""Epochs: the loop that all trainings share. A training can keep its best network, end early, and go on later."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from realtime_cropzoom.train.network import CropzoomSmall
from realtime_cropzoom.train.pace import Pace, still_falls
from realtime_cropzoom.train.trainer import Trainer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Epoch:
    """Progress after an epoch."""

    number: int
    """Number of the epoch, counted from 1."""
    of: int
    """Number of all epochs, as planned now."""
    loss: float
    """Mean loss over the views of the epoch."""
    held_out_px: float
    """Mean error on the held-out frames (image pixels), in boxes from the labels; NaN without held-out frames."""
    seconds: float
    """Time since the training began (s)."""

    def __str__(self) -> str:
        """One line for a log."""
        held_out = "" if np.isnan(self.held_out_px) else f"  held-out error {self.held_out_px:.2f} px"
        return f"epoch {self.number}/{self.of}  loss {self.loss:.4f}{held_out}  {self.seconds:.0f} s"


@dataclass(frozen=True, slots=True)
class Step:
    """Progress after a batch."""

    done: int
    """Number of batches done."""
    of: int
    """Number of batches of all epochs."""
    seconds: float
    """Time since the first batch began (s)."""

    @property
    def seconds_left(self) -> float:
        """Estimated remaining time (s), at the speed so far."""
        return self.seconds / self.done * (self.of - self.done)


class Epochs:
    """A training under way: one epoch after the other."""

    def __init__(self, trainer: Trainer, pace: Pace, started: float) -> None:
        """Train at a pace.

        Args:
            trainer: The network, and the views that it sees.
            pace: How long the training takes.
            started: Time at which the training began (s), of ``time.monotonic``.
        """
        self._trainer = trainer
        self._started = started
        self._best: dict[str, Any] | None = None
        self.pace = pace
        self.done: list[Epoch] = []

    @property
    def best(self) -> Epoch:
        """The epoch with the smallest held-out error; the last one without held-out frames."""
        return min(self.done, key=_error) if not np.isnan(self.done[-1].held_out_px) else self.done[-1]

    def next(self, after_step: Callable[[], None]) -> Epoch:
        """Train one epoch, and measure it. ``after_step`` is called after each batch; its errors end the epoch."""
        begun, spent, losses = time.monotonic(), self.pace.spent_s, []
        for _ in range(self._trainer.steps_per_epoch):
            before = time.monotonic()
            losses.append(self._trainer.step(self.pace.progress, self.pace.warm))
            self.pace.after_step(time.monotonic() - before)
            after_step()
            if self.pace.done:
                break
        held_out_px, now = self._trainer.held_out_px(), time.monotonic()
        self.pace.spent_s = spent + now - begun  # the measurement and the views of the user take time, too
        number = len(self.done) + 1
        left = math.ceil(self.pace.steps_left / self._trainer.steps_per_epoch - 1e-6)
        epoch = Epoch(number, number + left, float(np.mean(losses)), held_out_px, now - self._started)
        self.done.append(epoch)
        logger.info("%s", epoch)
        return epoch

    def keep_best(self) -> None:
        """Keep the averaged network if the last epoch is the best. Ends the training soon if the error stays."""
        if self.best is self.done[-1]:
            self._best = copy.deepcopy(self._trainer.average.state_dict())
        if not self.pace.hurried and not still_falls([epoch.held_out_px for epoch in self.done]):
            self.pace.hurry()

    def result(self) -> CropzoomSmall:
        """Return the network to save: the best that was kept, or else the last averaged one."""
        network: CropzoomSmall = copy.deepcopy(self._trainer.average)
        if self._best is not None:
            network.load_state_dict(self._best)
        network.cpu().eval()
        return network

    def state(self) -> dict[str, Any]:
        """Return all that the training needs to go on."""
        return {
            "trainer": self._trainer.state(),
            "pace": asdict(self.pace),
            "epochs": [asdict(epoch) for epoch in self.done],
            "best": self._best,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` returned."""
        self._trainer.restore(state["trainer"])
        self.pace = Pace(**state["pace"])
        self.done = [Epoch(**epoch) for epoch in state["epochs"]]
        self._best = state["best"]
        if self.done:
            self._started = time.monotonic() - self.done[-1].seconds


def _error(epoch: Epoch) -> float:
    return epoch.held_out_px
