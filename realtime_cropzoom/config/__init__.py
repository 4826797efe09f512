"""The settings of a run.

In reading order:

* ``group``, ``input_groups``, ``output_groups``: the settings by group, their defaults and their checks.
* ``settings``: all groups as one flat set.
* ``resolve``: combines flags, environment, file and defaults, in this order of precedence.
* ``overrides``: parses ``section.name=value``.
* ``multi_camera``: separates a file with several cameras into the settings of each camera.
* ``description``: the groups of the settings, in the help and in ``docs/reference/settings.md``.

``Settings`` and ``load_settings`` are for scripts that run a ``Pipeline`` of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime_cropzoom.config.resolve import load_settings
    from realtime_cropzoom.config.settings import Settings

__all__ = ["Settings", "load_settings"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from realtime_cropzoom.config import resolve, settings

    return {"Settings": settings.Settings, "load_settings": resolve.load_settings}[name]
