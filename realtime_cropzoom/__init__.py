"""Live cropzoom pose tracking of freely moving animals.

``track`` runs the pipeline inside a script. ``Subscriber`` and ``AsyncSubscriber`` receive the poses of a pipeline
that runs elsewhere, ``PreviewSubscriber`` its small pictures. ``give_order`` gives an order to a run or a trigger
process. ``load_session`` and ``load_events`` read the files of a run. Each is imported when it is first used, so a
script that only subscribes loads neither models nor video.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime_cropzoom.client.async_subscriber import AsyncSubscriber
    from realtime_cropzoom.client.preview import PreviewSubscriber
    from realtime_cropzoom.client.subscriber import Subscriber
    from realtime_cropzoom.control.client import give_order
    from realtime_cropzoom.pipeline.tracking import track
    from realtime_cropzoom.sessions.events import load_events
    from realtime_cropzoom.sessions.table import load_session


def _version() -> str:
    """Return the version that the build has written; a copy of the code that was never installed has none."""
    try:
        with open(os.path.join(os.path.dirname(__file__), "version.txt"), encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return "0.0+unknown"


__version__ = _version()
__all__ = [
    "AsyncSubscriber",
    "PreviewSubscriber",
    "Subscriber",
    "__version__",
    "give_order",
    "load_events",
    "load_session",
    "track",
]

_MODULES = {
    "track": "realtime_cropzoom.pipeline.tracking",
    "Subscriber": "realtime_cropzoom.client.subscriber",
    "AsyncSubscriber": "realtime_cropzoom.client.async_subscriber",
    "PreviewSubscriber": "realtime_cropzoom.client.preview",
    "give_order": "realtime_cropzoom.control.client",
    "load_events": "realtime_cropzoom.sessions.events",
    "load_session": "realtime_cropzoom.sessions.table",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES[name]), name)
