"""What the outputs did → ``<name>_outputs.csv``, one row an action.

``number`` joins with the decisions, ``frame`` with the pose files. Times are ns of the publisher's
monotonic clock; what is empty was not written, or not acknowledged.
"""

from __future__ import annotations

from pathlib import Path

from realtime_cropzoom.files.csv_text import csv_line
from realtime_cropzoom.trigger.async_csv import AsyncCsv
from realtime_cropzoom.trigger.engine.events import ActionResult

COLUMNS = "number,frame,output,act,ms,queued_ns,written_ns,acknowledged_ns,error"


class OutputLog:
    """The output log of a run."""

    def __init__(self, folder: Path, name: str) -> None:
        """Create the file. Raises SinkError."""
        self._log = AsyncCsv(folder / f"{name}_outputs.csv", COLUMNS)

    def add(self, done: ActionResult) -> None:
        """Log what became of one action; from any thread, at once."""
        action = done.action
        cells = (
            *(done.number, done.frame, action.output, str(action.act), f"{action.ms:g}"),
            *(done.queued_ns, done.written_ns, done.acknowledged_ns, done.error),
        )
        self._log.add(csv_line(cells))

    def problems(self) -> list[str]:
        """Say what is not in the file; right after ``close``."""
        return self._log.problems()

    def close(self) -> None:
        """Write what is queued and close."""
        self._log.close()
