"""Live pipeline: capture, detect, pose, publish.

``Pipeline`` and ``track`` are for scripts; they are imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime_cropzoom.pipeline.pipeline import Pipeline
    from realtime_cropzoom.pipeline.tracking import track

__all__ = ["Pipeline", "track"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from realtime_cropzoom.pipeline import pipeline, tracking

    return getattr(tracking if name == "track" else pipeline, name)
