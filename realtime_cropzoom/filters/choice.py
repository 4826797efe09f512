"""The filter that the settings of a run ask for; the same function reads them live and from a session's files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from realtime_cropzoom.filters.factory import make_filter
from realtime_cropzoom.filters.pose_filter import PoseFilter

NONE = "none"
_OF_ALL = {"filter_min_likelihood": "min_likelihood", "filter_hold_ms": "hold_ms"}
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
