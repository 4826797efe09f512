"""Description of the settings: their groups in the help texts, and the table in ``docs/reference/settings.md``."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

from realtime_cropzoom.config.settings import Settings

GROUPS: dict[str, tuple[str, ...]] = {
    "models": ("detector", "pose", "decoder", "provider", "precision", "detector_threads", "pose_threads"),
    "box": (
        *("crop_size", "crop_ratio", "anchor_keypoints", "min_likelihood", "min_box", "edge", "detector_max_fps"),
        *("coast_after_ms", "lost_after_ms", "schedule"),
    ),
    "camera": (
        *("camera", "camera_size", "camera_fps", "pixel_format", "exposure_ms", "gain", "roi", "trigger"),
        *("open_timeout_s", "read_timeout_s", "reconnect_for_s", "changed", "stall_after_ms"),
    ),
    "file": ("start_s", "loop", "speed", "pace", "detector_every", "frames"),
    "recording": ("out", "record", "record_crops", "record_buffer", "calibration"),
    "filter": (),
    "network": (
        *("publish", "publish_latest", "publish_echo", "publish_optional", "key_folder", "insecure", "encoding"),
        "max_age_ms",
    ),
    "advanced": (),
}
"""{heading in the help: its settings}, in the order of the help. ``group_of`` assigns settings not listed here."""


def group_of(name: str) -> str:
    """Return the heading under which the help shows a setting."""
    if name.startswith(("filter", "kalman", "one_euro")):
        return "filter"
    return next((title for title, names in GROUPS.items() if name in names), "advanced")


def settings_table() -> str:
    """Return all settings as a Markdown table; ``docs/reference/settings.md`` holds it."""
    rows = ["| setting | default | what |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = (
            ""
            if field.default is None
            else f"`{str(field.default).lower() if field.default is False else field.default}`"
        )
        choices = literals(field.annotation)
        allowed = f" ({', '.join(f'`{c}`' for c in choices)})" if choices else ""
        rows.append(f"| `{name}` | {default} | {field.description}{allowed} |")
    return "\n".join(rows) + "\n"


def literals(annotation: Any) -> tuple[str, ...]:
    """Return the words that a setting of a fixed choice accepts; empty for other settings."""
    if get_origin(annotation) is Literal:
        return tuple(str(choice) for choice in get_args(annotation))
    return tuple(choice for part in get_args(annotation) for choice in literals(part))
