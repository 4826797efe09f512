"""Live cropzoom pose tracking of freely moving animals.

``track`` runs the pipeline inside a script; ``Subscriber`` and ``AsyncSubscriber`` receive the poses of a
pipeline that runs elsewhere; ``load_session`` reads what a run has left. All are imported when first used, so
that an experiment's script that only subscribes loads neither models nor video.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime_cropzoom.client.async_subscriber import AsyncSubscriber
    from realtime_cropzoom.client.subscriber import Subscriber
    from realtime_cropzoom.pipeline.tracking import track
    from realtime_cropzoom.sessions.table import load_session

__version__ = "0.1.0"
__all__ = ["AsyncSubscriber", "Subscriber", "__version__", "load_session", "track"]

_HOMES = {
    "track": "realtime_cropzoom.pipeline.tracking",
    "Subscriber": "realtime_cropzoom.client.subscriber",
    "AsyncSubscriber": "realtime_cropzoom.client.async_subscriber",
    "load_session": "realtime_cropzoom.sessions.table",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
