"""Parts that a trigger process has open while it runs: logs, sync line, socket for orders, subscriber."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from realtime_cropzoom.client.subscriber import Subscriber
from realtime_cropzoom.control.server import ControlServer
from realtime_cropzoom.trigger.async_csv import AsyncCsv
from realtime_cropzoom.trigger.outputs.output_log import OutputLog
from realtime_cropzoom.trigger.outputs.sync_line import SyncLine
from realtime_cropzoom.trigger.process.decision_log import DecisionLog
from realtime_cropzoom.trigger.process.input_log import InputLog


@dataclass(frozen=True, slots=True)
class SessionLogs:
    """Log files of a session."""

    decisions: DecisionLog
    inputs: InputLog
    actions: OutputLog
    sync: AsyncCsv | None

    def problems(self) -> list[str]:
        """Return a line for each thing that is missing in a file; call it when they are closed."""
        logs = (self.decisions, self.inputs, self.actions, self.sync)
        return [problem for log in logs if log is not None for problem in log.problems()]


@dataclass(frozen=True, slots=True)
class OpenProcess:
    """Open parts of a trigger process."""

    folder: Path
    logs: SessionLogs
    sync: SyncLine | None
    control: ControlServer | None
    subscriber: Subscriber
    switch_interval_s: float
    """Python's own switch interval (s), to restore at the end."""
    resources: ExitStack
    """Closes all of the above, the last one first."""
