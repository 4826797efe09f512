"""Filter factory: builds a filter from its name and its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.filters.kalman import KalmanPoint
from realtime_cropzoom.filters.one_euro import OneEuroPoint
from realtime_cropzoom.filters.pose_filter import HOLD_MS, MIN_LIKELIHOOD, PointFilter, PoseFilter

FILTERS: dict[str, Callable[..., PointFilter]] = {"one_euro": OneEuroPoint, "kalman": KalmanPoint}
"""The class that filters one keypoint, by name. Its arguments are the settings of that filter."""
NONE = "none"
"""Value of the setting ``filter`` for no filter."""
_COMMON_ARGUMENTS = {"filter_min_likelihood": "min_likelihood", "filter_hold_ms": "hold_ms"}
"""The argument of ``make_filter`` for each setting that all filters have."""


def make_filter(
    name: str,
    keypoint_count: int,
    *,
    min_likelihood: float = MIN_LIKELIHOOD,
    hold_ms: float = HOLD_MS,
    **settings: Any,
) -> PoseFilter:
    """Build a filter.

    Args:
        name: A name in ``FILTERS``.
        keypoint_count: Number of keypoints of a pose.
        min_likelihood: Keypoints with a lower likelihood count as not measured.
        hold_ms: Time (ms) for which a keypoint without a measurement is extrapolated.
        **settings: Arguments of ``KalmanPoint`` or ``OneEuroPoint``.

    Raises:
        ConfigError: if no filter has this name, or the filter has no such setting.
    """
    if name not in FILTERS:
        raise ConfigError(f"filter: got {name!r}, expected {' or '.join(FILTERS)}")
    make_point = partial(FILTERS[name], **settings)
    try:
        make_point()
    except TypeError as error:
        raise ConfigError(f"the filter {name} was given {', '.join(settings)}: {error}") from None
    return PoseFilter([make_point() for _ in range(keypoint_count)], min_likelihood=min_likelihood, hold_ms=hold_ms)


_OF_ONE = {
    "kalman": {
        "kalman_noise_px": "noise_px",
        "kalman_velocity_noise_px_s": "velocity_noise_px_s",
        "kalman_gate": "gate",
    },
    "one_euro": {
        "one_euro_min_cutoff_hz": "min_cutoff_hz",
        "one_euro_beta": "beta",
        "one_euro_velocity_cutoff_hz": "velocity_cutoff_hz",
    },
}
"""The argument of ``make_filter`` for each setting, by filter."""


def build_filter(settings: Mapping[str, Any], keypoint_count: int) -> PoseFilter | None:
    """Build the filter that the settings of a run choose.

    A missing setting has its default: the session may be older than the setting.

    Args:
        settings: The settings of a run, by name.
        keypoint_count: Number of keypoints of a pose.

    Returns:
        The filter, or None if the settings choose none.

    Raises:
        ConfigError: if no filter has the chosen name.
    """
    name = str(settings.get("filter", NONE))
    if name == NONE:
        return None
    arguments = {**_COMMON_ARGUMENTS, **_OF_ONE.get(name, {})}
    given = {argument: settings[setting] for setting, argument in arguments.items() if setting in settings}
    return make_filter(name, keypoint_count, **given)
