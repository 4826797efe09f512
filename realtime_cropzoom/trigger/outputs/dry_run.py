"""Dry run: everything as it would be, and nothing written."""

from __future__ import annotations

from realtime_cropzoom.trigger.engine.events import Outcome
from realtime_cropzoom.trigger.outputs.base import Job, Output, Written


class DryRun(Output):
    """Stands in for any output; its rows in the log say so."""

    def open(self) -> None:
        """Nothing."""

    def perform(self, job: Job) -> Written:
        """Nothing."""
        return Written(None, None, "dry run", Outcome.DRY_RUN)

    def close(self) -> None:
        """Nothing."""
