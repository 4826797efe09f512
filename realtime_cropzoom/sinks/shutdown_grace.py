"""How long a run that was stopped goes on recording."""

from __future__ import annotations

import time

from realtime_cropzoom.runtime.worker import Control

_LAST_S = 0.4
"""So long a run that was stopped goes on recording what was captured before."""


class LastMoments:
    """Tells a recorder that a run was stopped so long ago that it must leave out what is left."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._over_at: float | None = None

    def over(self) -> bool:
        """Whether to leave out the rest."""
        if self._over_at is None and self._control.stop.is_set():
            self._over_at = time.monotonic() + _LAST_S
        return self._over_at is not None and time.monotonic() > self._over_at
