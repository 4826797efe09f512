"""Factory of outputs: builds, opens and closes all outputs of a rules file, each with a thread of its own.

::

    outputs = Outputs({"laser": parse_output("laser", {"serial": "/dev/ttyACM0"})}, log.add)
    outputs.open()              # raises SinkError with what cannot be opened
    outputs.submit(decision)    # returns at once
    outputs.settle()            # after the last decision on a pose
    outputs.alive()             # at least every half second, or held outputs go off
    outputs.close()             # sets all to the safe level, within two seconds
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from realtime_cropzoom.clock import now_ns, now_s
from realtime_cropzoom.errors import ConfigError, SinkError
from realtime_cropzoom.trigger.engine.events import ActionResult, Decision
from realtime_cropzoom.trigger.outputs.base import DryRun, Job, OutputSettings, build_jobs
from realtime_cropzoom.trigger.outputs.output_state import LOOP_SILENT_NS
from realtime_cropzoom.trigger.outputs.runner import OutputThread

_KINDS = {
    "serial": ("serial_output", "SerialSettings"),
    "zmq_publish": ("zmq_publish", "ZmqPublishSettings"),
    "zmq_request": ("zmq_request", "ZmqRequestSettings"),
    "open_ephys": ("open_ephys", "OpenEphysSettings"),
    "lsl": ("lsl", "LslSettings"),
    "osc": ("osc", "OscSettings"),
    "python": ("python_callable", "PythonSettings"),
    "shell": ("shell", "ShellSettings"),
}
_CLOSE_TIMEOUT_S = 1.5
_WATCH_EVERY_NS = 250_000_000
"""Interval (ns) at which is looked whether an output hangs."""
_GIVE_UP_TIMEOUT_S = 0.8
"""The same if the outputs were still being opened: an output that hangs there has switched nothing."""

logger = logging.getLogger(__name__)


def parse_output(name: str, mapping: Any) -> OutputSettings:
    """Check one entry of ``outputs:``.

    Raises:
        ConfigError: one line with all that is wrong.
    """
    kinds = _kinds_in(mapping)
    if len(kinds) != 1:
        given = f"has {' and '.join(kinds)}" if kinds else f"is {mapping!r}"
        raise ConfigError(f"outputs.{name} {given}; expected one of {', '.join(_KINDS)}, such as {{serial: PORT}}")
    module, settings = _KINDS[kinds[0]]
    model: type[OutputSettings] = getattr(
        importlib.import_module(f"realtime_cropzoom.trigger.outputs.{module}"), settings
    )
    try:
        return model.model_validate(dict(mapping))
    except ValidationError as error:
        there = ", ".join(model.model_fields)
        wrong = [_line(f"outputs.{name}", problem, there) for problem in error.errors()]
        raise ConfigError("; ".join(wrong)) from None


def output_kind(mapping: Any) -> str:
    """Return the kind of one entry of ``outputs:``, which has been checked."""
    return _kinds_in(mapping)[0]


def _kinds_in(mapping: Any) -> list[str]:
    return [key for key in mapping if key in _KINDS] if isinstance(mapping, Mapping) else []


def _line(where: str, problem: Any, there: str) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"{where} has no setting {key}; there are {there}"
    return f"{where}.{key}: {problem['msg'].removeprefix('Value error, ')} (given: {problem['input']!r})"


class OutputLevel(NamedTuple):
    """What an output does, as far as it is known here."""

    level: str | None
    """On, off, or unknown while switching off fails; None if only the receiver knows."""
    error: str | None
    """The last error, until a job works again; None if there is none."""


class Outputs:
    """All outputs of a rules file."""

    def __init__(
        self,
        settings: Mapping[str, OutputSettings],
        report: Callable[[ActionResult], None],
        *,
        dry_run: bool = False,
        silent_after_ms: float = LOOP_SILENT_NS / 1e6,
    ) -> None:
        """Build the outputs.

        Args:
            settings: Settings of each output, by name.
            report: Function called with the result of each action, from any thread. It must not block.
            dry_run: Open and write nothing.
            silent_after_ms: Time (ms) after the last ``alive`` after which held outputs go off; at most a second.

        Raises:
            ConfigError: if a library is missing, or settings contradict each other.
        """
        self._seen_ns = self._watched_ns = now_ns()
        self._dry_run = dry_run
        shared: dict[str, Any] = {}
        self._threads = {
            name: OutputThread(
                name,
                DryRun() if dry_run else one.make(name, shared),
                report,
                late_after_ms=one.late_after_ms,
                loop_seen_ns=lambda: self._seen_ns,
                silent_after_ns=_silent_after_ns(silent_after_ms),
            )
            for name, one in settings.items()
        }

    @property
    def errors(self) -> dict[str, int]:
        """Number of failed jobs, by output."""
        return {name: thread.errors for name, thread in self._threads.items()}

    @property
    def levels(self) -> dict[str, OutputLevel]:
        """What each output does; in a dry run nothing is known."""
        return {
            name: OutputLevel(None, None) if self._dry_run else OutputLevel(thread.level, thread.failure)
            for name, thread in self._threads.items()
        }

    def set_silent_after(self, silent_after_ms: float) -> None:
        """Set the time (ms) after the last ``alive`` after which held outputs go off."""
        for thread in self._threads.values():
            thread.set_silent_after(_silent_after_ns(silent_after_ms))

    def holds_level(self, name: str) -> bool:
        """Return whether an output holds a level. Any other sends each job as one message."""
        return self._threads[name].holds_level

    def open(self, given_up: Callable[[], bool] = lambda: False) -> bool:
        """Open all outputs.

        Args:
            given_up: Function that returns True to stop.

        Returns:
            False if ``given_up`` came first: then all outputs are closed again.

        Raises:
            SinkError: if outputs cannot be opened, with the name of each; then all are closed again.
        """
        for thread in self._threads.values():
            thread.start()
        problems = []
        for thread in self._threads.values():
            try:
                if not thread.wait_open(given_up=given_up):
                    self.close(_GIVE_UP_TIMEOUT_S)
                    return False
            except SinkError as error:
                problems.append(str(error))
        if problems:
            self.close()
            raise SinkError("; ".join(problems))
        self.alive()
        return True

    def submit(self, decision: Decision, offset_ns: int = 0) -> bool:
        """Submit the jobs of a decision; ``offset_ns`` is the publisher's clock minus this machine's.

        Call ``settle`` after the last of the decisions that are made together.

        Returns:
            Whether each output has written already.
        """
        jobs = build_jobs(decision, now_ns(), offset_ns)
        written = [self._threads[job.action.output].submit(job, settles=True) for job in jobs]
        return all(written)

    def settle(self) -> None:
        """Let the threads of the outputs finish what ``submit`` has written: wait for answers, and log."""
        for thread in self._threads.values():
            thread.settle()

    def submit_job(self, job: Job) -> None:
        """Submit one job; returns at once.

        Raises:
            KeyError: if there is no such output.
        """
        self._threads[job.action.output].submit(job)

    def alive(self) -> None:
        """Note that the rule loop is alive. Held outputs go off ``silent_after_ms`` after the last call."""
        self._seen_ns = now_ns()
        if self._seen_ns - self._watched_ns > _WATCH_EVERY_NS:
            self._watched_ns = self._seen_ns
            for thread in self._threads.values():
                thread.watch()

    def close(self, within_s: float = _CLOSE_TIMEOUT_S) -> list[str]:
        """Take all outputs to their safe level and close them; returns the names of those that hang."""
        for thread in self._threads.values():
            thread.finish()
        deadline = now_s() + within_s
        return [name for name, thread in self._threads.items() if not thread.close(max(0.0, deadline - now_s()))]


def _silent_after_ns(silent_after_ms: float) -> int:
    return min(LOOP_SILENT_NS, round(silent_after_ms * 1e6))
