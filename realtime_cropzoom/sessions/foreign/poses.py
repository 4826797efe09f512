"""Poses of another program: what its readers return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from realtime_cropzoom.errors import DataError, quoted
from realtime_cropzoom.types import Float64, Int64

MAX_VALUES = 1 << 28
"""Maximum number of values of a file."""


@dataclass(frozen=True, slots=True, eq=False)
class Poses:
    """The poses of one animal."""

    keypoint_names: tuple[str, ...]
    """Names of the K keypoints, in order."""
    frames: Int64
    """(n,) number of each frame in the video, from 0, each once."""
    values: Float64
    """(n, K, 3): x, y (frame pixels), likelihood; NaN for an absent keypoint."""
    note: str = ""
    """What was chosen where the file has several animals; else empty."""


def check_names(path: Path, names: Sequence[str]) -> None:
    """Raise DataError if there are no keypoints, or two have one name."""
    twice = next((name for name in names if list(names).count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path} has two keypoints with the name {quoted(twice)}; rename one of them")
    if not names:
        raise DataError(f"{path} has no keypoints")
