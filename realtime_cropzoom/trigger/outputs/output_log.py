"""Log of the outputs, ``<name>_outputs.csv``: one row for each action.

``number`` joins with the decisions, ``frame`` with the pose files. Times are ns of the publisher's monotonic clock;
an empty time means that the action was not written, or not acknowledged.
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
        """Create the file.

        Raises:
            SinkError: if it cannot be created, or exists already.
        """
        self._log = AsyncCsv(folder / f"{name}_outputs.csv", COLUMNS)

    def add(self, done: ActionResult) -> None:
        """Add the result of one action; from any thread."""
        action = done.action
        cells = (
            *(done.number, done.frame, action.output, str(action.act), f"{action.ms:g}"),
            *(done.queued_ns, done.written_ns, done.acknowledged_ns, done.error),
        )
        self._log.add(csv_line(cells))

    def problems(self) -> list[str]:
        """Return a line for each thing that is missing in the file; call it after ``close``."""
        return self._log.problems()

    def close(self) -> None:
        """Write what is queued and close the file."""
        self._log.close()
