"""Headings of the settings in the help texts and in ``docs/reference/settings.md``, and the choices of a setting."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

GROUPS: dict[str, tuple[str, ...]] = {
    "models": (
        "project",
        "detector",
        "pose",
        "decoder",
        "provider",
        "precision",
        "detector_threads",
        "pose_threads",
        "realtime_priority",
    ),
    "box": (
        *(
            "crop_size",
            "crop_ratio",
            "anchor_keypoints",
            "min_likelihood",
            "min_box",
            "edge",
            "box_from",
            "box_check_s",
        ),
        *("detector_max_fps", "coast_after_ms", "lost_after_ms", "schedule", "regions", "animals"),
    ),
    "camera": (
        *("camera", "camera_size", "camera_fps", "pixel_format", "exposure_ms", "gain", "roi", "trigger"),
        *("open_timeout_s", "read_timeout_s", "reconnect_for_s", "changed", "stall_after_ms"),
    ),
    "file": ("start_s", "loop", "speed", "pace", "detector_every", "frames"),
    "recording": ("out", "record", "record_crops", "record_buffer", "calibration"),
    "filter": (),
    "network": (
        *("publish", "publish_latest", "publish_echo", "publish_preview", "publish_optional", "key_folder"),
        *("insecure", "encoding", "max_age_ms", "control", "control_keys"),
    ),
    "advanced": (),
}
"""Settings by heading, in the order of the page. ``group_of`` gives the heading of a setting that is not listed."""


def group_of(name: str) -> str:
    """Return the heading of a setting in the help and on the page."""
    if name.startswith(("filter", "kalman", "one_euro")):
        return "filter"
    return next((title for title, names in GROUPS.items() if name in names), "advanced")


def literals(annotation: Any) -> tuple[str, ...]:
    """Return the values that a setting with fixed choices accepts; empty for other settings."""
    if get_origin(annotation) is Literal:
        return tuple(str(choice) for choice in get_args(annotation))
    return tuple(choice for part in get_args(annotation) for choice in literals(part))
