"""Where a keypoint will be when something is done about it."""

from __future__ import annotations

from realtime_cropzoom.messaging.message import FilteredKeypoint

MAX_HORIZON_MS = 100.0
"""No prediction goes further: an animal that is asked about later than that may have turned."""


def predict(
    keypoint: FilteredKeypoint, horizon_ms: float, *, max_horizon_ms: float = MAX_HORIZON_MS
) -> tuple[float | None, float | None]:
    """Return [x, y] ``horizon_ms`` after the frame was captured, at the velocity it had; None where it is unknown.

    ``horizon_ms`` is the age of the pose now, measured (``now − captured``), plus what the output still
    takes. One below zero counts as zero, and one above ``max_horizon_ms`` as that.
    """
    x, y, vx, vy = keypoint.x, keypoint.y, keypoint.vx, keypoint.vy
    if x is None or y is None or vx is None or vy is None:
        return None, None
    seconds = min(max(0.0, horizon_ms), max_horizon_ms) / 1e3
    return x + vx * seconds, y + vy * seconds
