"""What all outputs share: their settings, what they are told, and what they answer."""

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
    """A pulse or an on that waited longer than this is not given any more: late is worse than never."""

    def make(self, name: str, shared: dict[str, Any]) -> Output:
        """Return the output, not yet open. Raises ConfigError where a library is missing.

        ``shared`` is what the outputs of one rules file have in common, such as an open port.
        """
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Job:
    """One action of one decision on its way to an output. Times are this machine's monotonic clock."""

    action: Action
    queued_ns: int
    """When the engine handed it over."""
    number: int = -1
    """Of the decision; -1 for a sync pulse and for what the output does by itself."""
    frame: int | None = None
    """Capture index of the pose that it rests on."""
    captured_ns: int | None = None
    """When that frame was captured, in the publisher's clock."""
    rule: str = ""
    """Who asks: the rule's name, ``sync``, or nothing where it is about all of them."""
    verdict: Verdict = Verdict.FIRED
    """``test`` marks a test pulse."""
    offset_ns: int = 0
    """The publisher's clock less this machine's; 0 on the same machine."""
    fresh_until_ns: int | None = None
    """When its pose becomes too old for a pulse or an on; None where it rests on no pose."""

    @property
    def act(self) -> ActionType:
        """What to do."""
        return self.action.act

    @property
    def ms(self) -> float:
        """Length of a pulse in ms."""
        return self.action.ms

    def fields(self) -> dict[str, Any]:
        """What receivers are told of it, as JSON knows it."""
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
    """Return what a decision asks of the outputs, one job an action."""
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
    """What became of a job, in this machine's monotonic clock."""

    written_ns: int | None
    """The last byte was handed to the operating system; None where nothing was written."""
    acknowledged_ns: int | None = None
    """The device answered; None where it does not, or did not."""
    error: str | None = None
    """What went wrong although it was written, such as a missing answer."""
    outcome: Outcome | None = None
    """None: done, or failed where there is an error."""
    idle: bool = False
    """There was nothing to do, so that this says nothing of whether the output works."""


class WatchdogSettings(OutputSettings):
    """An output whose receiver keeps the level, and hears while it is held on that this program is alive."""

    watchdog_ms: int = Field(500, ge=50, le=60_000)
    """A receiver that heard nothing for so long goes off by itself; it hears something five times as often."""


BEATS_PER_WATCHDOG = 5


def build_order(job: Job, watchdog_ms: int) -> dict[str, Any]:
    """What a receiver that watches is told of a job, as JSON knows it."""
    return job.fields() | ({"watchdog_ms": watchdog_ms} if job.act is ActionType.ON else {})


def build_alive(job: Job, watchdog_ms: int) -> dict[str, Any]:
    """What it is told while the order of ``job`` holds."""
    return build_order(job, watchdog_ms) | {"act": "alive"}


class TooLate(SinkError):
    """A pulse or an on must not be written any more."""


class Output(ABC):
    """Something that can be switched. After it was made, all of it happens in one thread."""

    holds_level: bool = False
    """It is on or off, and stays so. Without, each job is one message and the receiver does the timing."""
    supports_pulse: bool = True
    """A pulse is one job. With ``holds_level`` and without this, the thread makes it of an on and an off."""

    def __init__(self) -> None:
        self.preempted: Callable[[], bool] = lambda: False
        """Whether something more urgent waits: ``perform`` then stops waiting for an answer."""
        self.check: Callable[[Job], None] = lambda job: None
        """``perform`` calls it right before it writes. Raises TooLate."""

    @abstractmethod
    def open(self) -> None:
        """Make it ready and safe. Raises SinkError."""

    @abstractmethod
    def perform(self, job: Job) -> WriteResult:
        """Do it, within a fraction of a second. Raises SinkError where it could not be written."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything; also where ``open`` failed."""

    beat_every_s: float | None = None
    """How often the receiver hears that the program is alive, while an order holds it on; None: never."""

    def beat(self, job: Job) -> None:
        """Say that the program is alive, and that the order of ``job`` still holds. Raises SinkError."""
        raise NotImplementedError


def needs(library: str, module: str, error: ImportError) -> ConfigError:
    """Return the error about a ``library`` that is not there, or whose ``module`` cannot be loaded."""
    if isinstance(error, ModuleNotFoundError):
        return ConfigError(f"this output needs {library}: {install_advice(module)}")
    return ConfigError(f"this output needs {library}, which cannot be loaded: {error}")


class DryRun(Output):
    """Stands in for any output; its rows in the log say so."""

    def open(self) -> None:
        """Nothing."""

    def perform(self, job: Job) -> WriteResult:
        """Nothing."""
        return WriteResult(None, None, "dry run", Outcome.DRY_RUN)

    def close(self) -> None:
        """Nothing."""
