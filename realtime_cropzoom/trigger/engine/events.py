"""What goes into the engine and what comes out of it.

All times are ns of the publisher's monotonic clock, so that they join with the files of the run; on
another machine the subscriber's times were converted before, and ``uncertainty_ns`` says how well.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from realtime_cropzoom.messaging.message import Message


@dataclass(frozen=True, slots=True)
class Received:
    """A message arrived."""

    message: Message
    received_ns: int
    uncertainty_ns: int = 0
    """How far off ``received_ns`` may be; age is judged as if it were all against us."""
    asked_ns: tuple[int, ...] = ()
    """In a replay: what the clock showed each time that a rule was about to fire on this message."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time went by without a message: the engine's own deadline has come."""

    now_ns: int


class Order(enum.StrEnum):
    """What a person, a script or a schedule asks for."""

    ARM = "arm"
    DISARM = "disarm"
    TEST = "test"
    """Fire one marked test pulse on ``target``, armed or not."""
    STOP = "stop"
    """The end: outputs go to their safe level."""


@dataclass(frozen=True, slots=True)
class Command:
    """Somebody asked for something."""

    order: Order
    now_ns: int
    by: str
    """Who asked: key, control, schedule, start, signal."""
    target: str | None = None
    """The rule to arm or disarm, None for all; for a test the output."""


@dataclass(frozen=True, slots=True)
class Withheld:
    """An output was not given what a decision had ordered, or ended it by itself."""

    number: int
    """Of the decision; -1: whatever held the output."""
    output: str
    reason: str
    now_ns: int


Event = Received | Tick | Command | Withheld


class Act(enum.StrEnum):
    """What an output is told."""

    PULSE = "pulse"
    """On for ``ms``, then off; an output without levels sends one marker."""
    ON = "on"
    OFF = "off"
    SAFE = "safe"
    """To the safe level at once, whatever was going on."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing for one output to do."""

    output: str
    """Its name in the rules file."""
    act: Act
    ms: float = 0.0
    """Length of a pulse."""
    max_on_ms: float | None = field(default=None, compare=False)
    """Of an on: how long the limits allow it to last at most."""


class Verdict(enum.StrEnum):
    """What was decided."""

    FIRED = "fired"
    SHAM = "sham"
    """The rule would have fired, and chance said no."""
    REFUSED = "refused"
    """The condition held and a limit did not allow it; or a stretch begins in which the poses cannot be trusted."""
    ALLOWED = "allowed"
    """A stretch of poses that could not be trusted is over; the reason says how long it was."""
    RELEASED = "released"
    """A rule that holds its outputs on has let go."""
    RESUMED = "resumed"
    """It holds them again after a doubt shorter than ``bridge_ms``: the same firing goes on."""
    SAFE = "safe"
    """All outputs to their safe level."""
    ARMED = "armed"
    DISARMED = "disarmed"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Decision:
    """One row of the trigger log. The pose it rests on is None in what a command or silence caused."""

    number: int
    """Counts decisions from 0."""
    verdict: Verdict
    rule: str
    """Empty where it is about all of them."""
    reason: str
    """Why: what held, what was missing, who asked; in words."""
    actions: tuple[Action, ...]
    now_ns: int
    """When the event that led to it was there: ``received_ns`` of the message."""
    run: str | None = None
    camera: str | None = None
    seq: int | None = None
    frame: int | None = None
    """Capture index: the row of the pose files."""
    captured_ns: int | None = None
    published_ns: int | None = None
    age_ms: float | None = None
    """``now_ns`` less ``captured_ns``, with the clocks' uncertainty added."""
    fresh_until_ns: int | None = field(default=None, compare=False)
    """When its pose becomes too old for an output to be switched on; None where it rests on no pose."""


class Outcome(enum.Enum):
    """What became of an action."""

    DONE = enum.auto()
    FAILED = enum.auto()
    """Not written, or not answered as it should be."""
    LATE = enum.auto()
    """Not given: it had waited too long, or its pose had become too old."""
    OVERTAKEN = enum.auto()
    """Not given, because safe came."""
    STILL_ON = enum.auto()
    """An off that was not written, because somebody else needs the output on."""
    DRY_RUN = enum.auto()
    SILENT = enum.auto()
    """The output went to its safe level by itself: the rule loop gave no sign of life."""


@dataclass(frozen=True, slots=True)
class ActionResult:
    """What an output did about one action of a decision; a row of the output log."""

    number: int
    """Of the decision; -1 for a sync pulse."""
    frame: int | None
    action: Action
    queued_ns: int
    """The engine handed it over."""
    written_ns: int | None
    """The last byte was handed to the operating system; None where it was not written."""
    acknowledged_ns: int | None
    """The device answered; None where it does not, or did not."""
    error: str
    """Empty where all went well."""
    outcome: Outcome = field(default=Outcome.DONE, compare=False)
    """The same, for programs."""
