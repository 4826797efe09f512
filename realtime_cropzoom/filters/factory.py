"""Name and settings → a filter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.filters.kalman import KalmanPoint
from realtime_cropzoom.filters.one_euro import OneEuroPoint
from realtime_cropzoom.filters.pose_filter import HOLD_MS, MIN_LIKELIHOOD, PointFilter, PoseFilter

FILTERS: dict[str, Callable[..., PointFilter]] = {"one_euro": OneEuroPoint, "kalman": KalmanPoint}
"""Name → what follows one keypoint; its arguments are the filter's own settings."""
NONE = "none"
_OF_ALL = {"filter_min_likelihood": "min_likelihood", "filter_hold_ms": "hold_ms"}


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


_OF_ONE = {
    "kalman": {"kalman_noise_px": "noise_px", "kalman_agility_px_s": "agility_px_s", "kalman_gate": "gate"},
    "one_euro": {
        "one_euro_min_cutoff_hz": "min_cutoff_hz",
        "one_euro_beta": "beta",
        "one_euro_velocity_cutoff_hz": "velocity_cutoff_hz",
    },
}
"""Setting → argument of ``make_filter``."""


def chosen_filter(settings: Mapping[str, Any], keypoint_count: int) -> PoseFilter | None:
    """Return the filter of these settings, None where they want none. Raises ConfigError where there is no such one.

    What ``settings`` do not say, as those of a session that is older than the setting, is the default.
    """
    name = str(settings.get("filter", NONE))
    if name == NONE:
        return None
    arguments = {**_OF_ALL, **_OF_ONE.get(name, {})}
    given = {argument: settings[setting] for setting, argument in arguments.items() if setting in settings}
    return make_filter(name, keypoint_count, **given)
