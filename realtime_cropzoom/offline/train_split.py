"""Training split: divides labelled frames into training, validation and test sets. No I/O.

The same fractions and seed give the same sets as Lightning Pose. A frame that one program holds out is held out
by the other, too, and the ``set`` column of a prediction file is the same in both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from realtime_cropzoom.errors import ConfigError

_MAX_WRAP_GAP = 5
"""Fewer frames than this that remain after rounding go to the training set, instead of a test set."""


@dataclass(frozen=True, slots=True)
class Split:
    """Indices of the frames of each set, in the order in which they were drawn."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]

    def sets(self, count: int) -> list[str]:
        """Return the ``set`` column for ``count`` frames: train, validation, test, or unused for a frame in no set."""
        words = ["unused"] * count
        for word, indices in (("train", self.train), ("validation", self.validation), ("test", self.test)):
            for index in indices:
                words[index] = word
        return words


def split_frames(
    count: int, train_prob: float, val_prob: float | None = None, seed: int = 0, train_frames: float | None = None
) -> Split:
    """Split frames into training, validation and test sets.

    Source: Lightning Pose, ``data/utils.py`` (``split_sizes_from_probabilities``,
    ``compute_num_train_frames``) and ``data/datamodules.py``.

    Args:
        count: Number of frames.
        train_prob: Fraction for training.
        val_prob: Fraction for validation; None for half of the rest.
        seed: Seed of the order.
        train_frames: Number (above 1) or fraction (below 1) of the training frames to keep; 1 or None keeps all.

    Raises:
        ConfigError: if the fractions or the count allow no split.
    """
    train, validation = _sizes(count, train_prob, val_prob)
    order = _permutation(count, seed)
    chosen = order[:train]
    if train_frames is not None and train_frames != 1 and train_frames < train:
        if train_frames <= 0:
            raise ConfigError(f"train_frames is {train_frames}; expected a number of frames, or a fraction above 0")
        chosen = chosen[: int(train_frames) if train_frames > 1 else int(train_frames * train)]
    if not chosen:
        raise ConfigError(f"train_frames is {train_frames}: of {train} frames none is left to train on")
    return Split(chosen, order[train : train + validation], order[train + validation :])


def _sizes(count: int, train_prob: float, val_prob: float | None) -> tuple[int, int]:
    if val_prob is None:
        val_prob = round((1.0 - train_prob) / 2, 5)
    if train_prob <= 0 or val_prob < 0 or train_prob + val_prob > 1 + 1e-9:
        raise ConfigError(
            f"train_prob is {train_prob} and val_prob {val_prob}; expected fractions that add up to at most 1"
        )
    train, validation = math.floor(train_prob * count), math.floor(val_prob * count)
    left = count - train - validation
    if left < _MAX_WRAP_GAP:
        train += left
    if validation == 0:
        train, validation = train - 1, 1
    if train < 1:
        raise ConfigError(f"{count} labelled frames; expected at least two, one to train on and one to validate with")
    return train, validation


def _permutation(count: int, seed: int) -> tuple[int, ...]:
    """Return ``torch.randperm(count)`` for a seed: a Fisher-Yates shuffle on the Mersenne Twister.

    Written without torch, because offline commands must run where torch is not installed.
    """
    draws = np.random.RandomState(seed).randint(0, 1 << 32, size=max(count - 1, 0), dtype=np.uint32).tolist()
    order = list(range(count))
    for i, draw in enumerate(draws):
        j = i + draw % (count - i)
        order[i], order[j] = order[j], order[i]
    return tuple(order)
