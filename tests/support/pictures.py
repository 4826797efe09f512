"""What a picture shows."""

from __future__ import annotations

import numpy as np

from realtime_cropzoom.types import UInt8


def colours_in(picture: UInt8) -> set[tuple[int, ...]]:
    """Return the colours of a picture."""
    return {tuple(int(c) for c in pixel) for pixel in np.unique(picture.reshape(-1, 3), axis=0)}
