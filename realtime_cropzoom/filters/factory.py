"""Name and settings → a filter."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.filters.kalman import KalmanPoint
from realtime_cropzoom.filters.one_euro import OneEuroPoint
from realtime_cropzoom.filters.pose_filter import HOLD_MS, MIN_LIKELIHOOD, PointFilter, PoseFilter

FILTERS: dict[str, Callable[..., PointFilter]] = {"one_euro": OneEuroPoint, "kalman": KalmanPoint}
"""Name → what follows one keypoint; its arguments are the filter's own settings."""


def make_filter(
    name: str,
    keypoint_count: int,
    *,
    min_likelihood: float = MIN_LIKELIHOOD,
    hold_ms: float = HOLD_MS,
    **settings: Any,
) -> PoseFilter:
    """Return a filter of ``keypoint_count`` keypoints; ``settings`` are those of ``KalmanPoint`` or ``OneEuroPoint``.

    Raises ConfigError where there is no filter of that name, or it has no such setting.
    """
    if name not in FILTERS:
        raise ConfigError(f"there is no filter {name!r}; expected {' or '.join(FILTERS)}")
    make_point = partial(FILTERS[name], **settings)
    try:
        make_point()
    except TypeError as error:
        raise ConfigError(f"the filter {name} was given {', '.join(settings)}: {error}") from None
    return PoseFilter([make_point() for _ in range(keypoint_count)], min_likelihood=min_likelihood, hold_ms=hold_ms)
