"""Base class of outputs, with the settings, the jobs and the results that all outputs share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from realtime_cropzoom.errors import ConfigError, SinkError, install_advice
from realtime_cropzoom.trigger.engine.events import Action, ActionType, Decision, Outcome, Verdict


class OutputSettings(BaseModel):
    """One entry of ``outputs:`` in the rules file. The first field of each kind names the kind."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    late_after_ms: float = Field(100.0, gt=0)
    """Maximum time (ms) that a pulse or an on may wait. After that it is not written: late is worse than never."""

    def make(self, name: str, shared: dict[str, Any]) -> Output:
        """Return the output, not open yet.

        Args:
            name: Name of the output in the rules file.
            shared: Objects that the outputs of one rules file share, such as an open port.

        Raises:
            ConfigError: if a library is missing, or the settings of two outputs contradict each other.
        """
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Job:
    """One action of one decision on its way to an output. Times are this machine's monotonic clock."""

    action: Action
    queued_ns: int
    """Time at which the engine handed it over."""
    number: int = -1
    """Number of the decision; -1 for a sync pulse and for what the output does by itself."""
    frame: int | None = None
    """Capture index of the pose that caused it."""
    captured_ns: int | None = None
    """Time at which that frame was captured (ns of the publisher's clock)."""
    rule: str = ""
    """Name of the rule, or ``sync``; empty if the job concerns all rules."""
    verdict: Verdict = Verdict.FIRED
    """``test`` marks a test pulse."""
    offset_ns: int = 0
    """The publisher's clock minus this machine's (ns); 0 on the same machine."""
    fresh_until_ns: int | None = None
    """Time at which its pose becomes too old for a pulse or an on; None if no pose caused the job."""

    @property
    def act(self) -> ActionType:
        """Type of the action."""
        return self.action.act

    @property
    def ms(self) -> float:
        """Duration of a pulse (ms)."""
        return self.action.ms

    def fields(self) -> dict[str, Any]:
        """Return the job as receivers get it, in types that JSON knows."""
        limit = {"max_on_ms": self.action.max_on_ms} if self.act is ActionType.ON else {}
        return {
            "number": self.number,
            "frame": self.frame,
            "captured_ns": self.captured_ns,
            "rule": self.rule,
            "output": self.action.output,
            "act": str(self.act),
            "ms": self.ms,
            "test": self.verdict is Verdict.TEST,
            **limit,
        }


def build_jobs(decision: Decision, queued_ns: int, offset_ns: int = 0) -> list[Job]:
    """Return the jobs of a decision, one for each action.

    Args:
        decision: The decision.
        queued_ns: Now (ns of this machine's clock).
        offset_ns: The publisher's clock minus this machine's (ns).
    """
    fresh_until_ns = None if decision.fresh_until_ns is None else decision.fresh_until_ns - offset_ns
    return [
        Job(
            action,
            queued_ns,
            decision.number,
            decision.frame,
            decision.captured_ns,
            decision.rule,
            decision.verdict,
            offset_ns,
            fresh_until_ns,
        )
        for action in decision.actions
    ]


class WriteResult(NamedTuple):
    """Result of a job. Times are ns of this machine's monotonic clock."""

    written_ns: int | None
    """Time at which the last byte went to the operating system; None if nothing was written."""
    acknowledged_ns: int | None = None
    """Time of the device's answer; None if it gave none."""
    error: str | None = None
    """What went wrong, such as a missing answer; None if nothing did."""
    outcome: Outcome | None = None
    """None: DONE, or FAILED if there is an error."""
    idle: bool = False
    """Whether there was nothing to do, so that the result does not show whether the output works."""
    id: int = 0
    """Number by which ``answer`` finds the answer."""


def overtaken(written_ns: int) -> WriteResult:
    """Return the result of a job that was written at ``written_ns``, and whose answer a SAFE did not wait for.

    Nothing shows that the output failed. Whether it works, the answer to the SAFE shows.
    """
    return WriteResult(written_ns, None, "safe came before its answer", Outcome.OVERTAKEN)


class WatchdogSettings(OutputSettings):
    """Settings of an output whose receiver keeps the level and gets heartbeats while the output is held on."""

    watchdog_ms: int = Field(500, ge=50, le=60_000)
    """Time (ms) without a heartbeat after which the receiver switches off by itself. Five heartbeats are sent in it."""


BEATS_PER_WATCHDOG = 5
"""Number of heartbeats in the time of a watchdog."""


def build_order(job: Job, watchdog_ms: int) -> dict[str, Any]:
    """Return a job as a receiver with a watchdog gets it, in types that JSON knows."""
    return job.fields() | ({"watchdog_ms": watchdog_ms} if job.act is ActionType.ON else {})


def build_alive(job: Job, watchdog_ms: int) -> dict[str, Any]:
    """Return the heartbeat that says that the order of ``job`` still holds."""
    return build_order(job, watchdog_ms) | {"act": "alive"}


class TooLate(SinkError):
    """A pulse or an on must not be written any more."""


class ReceiverGone(SinkError):
    """The receiver of an output has ended, so that its level is unknown."""


class WouldWait(Exception):
    """A write would have to wait; nothing was written."""


class Output(ABC):
    """Something that can be switched. One thread opens, uses and closes it.

    If it ``writes_at_once``, the rule loop may call ``write``, while the thread does nothing with it.
    """

    holds_level: bool = False
    """Whether it is on or off and stays so. If not, each job is one message and the receiver does the timing."""
    supports_pulse: bool = True
    """Whether a pulse is one write. If not, and with ``holds_level``, it is written as an on and an off."""

    writes_at_once: bool = False
    """Whether it has ``write``, which never waits."""
    answers: bool = True
    """Whether ``answer`` must be called after ``write``."""

    def __init__(self) -> None:
        self.preempted: Callable[[], bool] = lambda: False
        """Whether a SAFE waits: ``perform`` then stops waiting for an answer."""
        self.check: Callable[[Job], None] = lambda job: None
        """``perform`` calls it right before it writes. It raises TooLate if the job must not be written any more."""
        self.lost: Callable[[str], None] = lambda reason: None
        """To be called, from any thread, when the receiver fails or goes to its safe level by itself, with a reason."""

    @abstractmethod
    def open(self) -> None:
        """Open the output and set its safe level.

        Raises:
            SinkError: if that fails.
        """

    @abstractmethod
    def perform(self, job: Job) -> WriteResult:
        """Do a job, within a fraction of a second.

        Raises:
            SinkError: if it could not be written.
            TooLate: from ``check``.
        """

    def write(self, job: Job) -> WriteResult:
        """Write a job without waiting; raises as ``perform``, and WouldWait."""
        raise NotImplementedError

    def answer(self, written: WriteResult) -> WriteResult:
        """Wait for the answer to a ``write``, whose result is ``written``; called in the order of the writes."""
        return written

    @abstractmethod
    def close(self) -> None:
        """Release everything, also after ``open`` has failed."""

    beat_every_s: float | None = None
    """Interval (s) of the heartbeats to the receiver while the output is held on; None: none."""

    def beat(self, job: Job) -> None:
        """Tell the receiver that the program is alive and that the order of ``job`` still holds.

        Raises:
            ReceiverGone: if the receiver has certainly ended.
            SinkError: if the receiver does not answer. After ``BEATS_PER_WATCHDOG`` such heartbeats it counts as gone.
        """
        raise NotImplementedError


def needs(library: str, module: str, error: ImportError) -> ConfigError:
    """Return the error about a missing ``library``, or one whose ``module`` cannot be loaded."""
    if isinstance(error, ModuleNotFoundError):
        return ConfigError(f"this output needs {library}: {install_advice(module)}")
    return ConfigError(f"this output needs {library}, which cannot be loaded: {error}")


class DryRun(Output):
    """Takes the place of any output and writes nothing. Its rows in the log say so."""

    def open(self) -> None:
        """Do nothing."""

    def perform(self, job: Job) -> WriteResult:
        """Do nothing."""
        return WriteResult(None, None, "dry run", Outcome.DRY_RUN)

    def close(self) -> None:
        """Do nothing."""
