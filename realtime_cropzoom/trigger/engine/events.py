"""Inputs and outputs of the engine: events, decisions and results of actions.

All times are ns of the publisher's monotonic clock, so that they can be joined with the files of the run. On
another machine, the subscriber's times are converted before; ``uncertainty_ns`` is the error of that.

The events are also the lines of the input log: each encodes to one JSON object, whose ``type`` is the tag of its class.
There the time of an event is called ``now_ns``.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

import msgspec


class _Event(msgspec.Struct, frozen=True, tag_field="type", omit_defaults=True, rename={"at_ns": "now_ns"}):
    at_ns: int
    """Time of the event; of a message, the time at which it was received."""


class Tick(_Event, frozen=True, tag="tick"):
    """The engine's deadline has passed without a message."""


class Order(enum.StrEnum):
    """Order from a person, a script or a schedule."""

    ARM = "arm"
    DISARM = "disarm"
    TEST = "test"
    """Fire one marked test pulse on ``target``, armed or not."""
    STOP = "stop"
    """The end: outputs go to their safe level."""


class Command(_Event, frozen=True, tag="command"):
    """An order, with its origin and target."""

    order: Order
    by: str
    """Origin of the order: key, control, schedule, start, signal, run, error."""
    target: str | None = None
    """The rule to arm or disarm, None for all; for a test the output."""
    reason: str | None = None
    """For STOP: why the session ends, in words; None: stopped by ``by``."""


class NewRules(_Event, frozen=True, tag="rules", kw_only=True):
    """New rules replace those that run."""

    rules: dict[str, Any]
    """Content of the new rules file. What differs from the old one must be replaceable, see ``rules.rules_change``."""
    by: str
    """Origin of the order, see ``Command``."""
    number: int
    """Counts the rules of a session: those of its start have 1."""
    keep_armed: bool = False
    """Whether an armed rule of which only zones have moved stays armed."""


class Withheld(_Event, frozen=True, tag="withheld"):
    """An output did not receive the action of a decision, or ended it by itself."""

    number: int
    """Number of the decision; -1, in older logs, for any decision that held the output."""
    output: str
    reason: str
    ended: bool = False
    """Whether the decision held the output on until it went off by itself."""
    lost: bool = False
    """Whether the output or its receiver failed: the rule switches it on again only when it fires anew."""


class _FromPublisher(_Event, frozen=True):
    run: str
    camera: str
    uncertainty_ns: int = 0
    """Maximum error of ``at_ns``. The age of a pose is judged by the worst case."""


class _FrameEvent(_FromPublisher, frozen=True, kw_only=True):
    seq: int
    frame: int
    """Capture index."""
    stream: str
    """State of the stream."""
    captured_ns: int
    published_ns: int
    segment: int = 0
    asked_ns: tuple[int, ...] = ()
    """In a replay: the readings of the clock, one for each time that a rule was about to fire on this frame."""


class PoseEvent(_FrameEvent, frozen=True, tag="pose", kw_only=True):
    """A pose arrived."""

    state: str
    """State of the tracking."""
    keypoints: dict[str, tuple[float | None, float | None, float | None]]
    """x, y (frame pixels) and likelihood by name; None if unknown."""
    plausible: bool | None = None
    """None: not judged."""
    doubt: str | None = None
    """What contradicts the pose, in a word."""
    region: str | None = None
    """The region of the frame in which the animal is; None in a run without regions."""


class AnimalPose(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One of several animals in a frame. Its fields mean what those of a ``PoseEvent`` do."""

    number: int
    """Number of the animal, from 1."""
    state: str
    keypoints: dict[str, tuple[float | None, float | None, float | None]]
    plausible: bool | None = None
    doubt: str | None = None
    uncertain: bool = False
    """Whether it may be another animal of the run."""
    meetings: int = 0
    """Number of times that it became uncertain. Between two equal numbers it is the same animal."""


class AnimalsEvent(_FrameEvent, frozen=True, tag="animals", kw_only=True):
    """The poses of several animals in one arena arrived."""

    animals: list[AnimalPose]
    """All animals of the run, also those that are missing, in order of their numbers."""


class StreamEvent(_FromPublisher, frozen=True, tag="status", kw_only=True):
    """The publisher's status message arrived."""

    stream: str
    """State of the stream."""


class HelloEvent(_FromPublisher, frozen=True, tag="hello", kw_only=True):
    """The hello message of the publisher, which describes the run, arrived."""

    keypoint_names: list[str]
    regions: list[str] = []
    """Names of the regions of the run."""
    animals: int = 1
    """Number of animals in one arena."""


class EndEvent(_FromPublisher, frozen=True, tag="end", kw_only=True):
    """The publisher's run has ended."""

    reason: str


FrameEvent = PoseEvent | AnimalsEvent
"""What arrives for each frame."""
PublisherEvent = FrameEvent | StreamEvent | HelloEvent | EndEvent
Event = PublisherEvent | Tick | Command | NewRules | Withheld


class ActionType(enum.StrEnum):
    """Type of an action."""

    PULSE = "pulse"
    """On for ``ms``, then off; an output without levels sends one marker."""
    ON = "on"
    OFF = "off"
    SAFE = "safe"
    """To the safe level at once, regardless of a running action."""


@dataclass(frozen=True, slots=True)
class Action:
    """One action of one output."""

    output: str
    """Name of the output in the rules file."""
    act: ActionType
    ms: float = 0.0
    """Duration of a pulse (ms)."""
    max_on_ms: float | None = field(default=None, compare=False)
    """Maximum duration (ms) that the limits allow for an ON."""


class Verdict(enum.StrEnum):
    """Kind of a decision."""

    FIRED = "fired"
    SHAM = "sham"
    """The rule would have fired, but the random draw decided against it."""
    REFUSED = "refused"
    """The condition held but a limit forbade firing; or an interval of untrusted poses begins."""
    ALLOWED = "allowed"
    """An interval of untrusted poses has ended; the reason gives its duration."""
    RELEASED = "released"
    """A rule that held its outputs on has released them."""
    RESUMED = "resumed"
    """The rule holds its outputs again after a doubt shorter than ``bridge_ms``; it is the same firing."""
    SAFE = "safe"
    """All outputs to their safe level."""
    ARMED = "armed"
    DISARMED = "disarmed"
    REPLACED = "replaced"
    """New rules have replaced the old ones."""
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Decision:
    """One row of the trigger log. Fields of the pose are None if a command or silence caused the decision."""

    number: int
    """Counts decisions from 0."""
    verdict: Verdict
    rule: str
    """Name of the rule; empty if the decision concerns all rules."""
    reason: str
    """Reason in words: the condition that held, what was missing, or the origin of a command."""
    actions: tuple[Action, ...]
    now_ns: int
    """Time (ns) of the event that caused it: ``at_ns``, and for a message the time at which it was received."""
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
    """Time (ns) from which its pose is too old to switch an output on; None if there is no pose."""
    region: str | None = None
    """The region of the pose, or the animals about which the decision is, as in ``animal1;animal3``: they say which
    files of the run have it. None for one animal in the whole frame."""


class Outcome(enum.Enum):
    """Outcome of an action."""

    DONE = enum.auto()
    FAILED = enum.auto()
    """The action was not written, or the device answered it wrongly."""
    LATE = enum.auto()
    """The action was not performed: it had waited too long, or its pose had become too old."""
    OVERTAKEN = enum.auto()
    """A SAFE came first: the action was not performed, or it was and nobody waited for the answer to it."""
    STILL_ON = enum.auto()
    """An OFF that was not written because another rule needs the output on."""
    DRY_RUN = enum.auto()
    SILENT = enum.auto()
    """The output went to its safe level by itself because the rule loop was silent."""
    LOST = enum.auto()
    """The output was on when its receiver failed, or went to its safe level by itself."""


@dataclass(frozen=True, slots=True)
class ActionResult:
    """Result of one action of a decision: one row of the output log."""

    number: int
    """Number of the decision; -1 for a sync pulse."""
    frame: int | None
    action: Action
    queued_ns: int
    """Time (ns) at which the engine passed the action on."""
    written_ns: int | None
    """Time (ns) at which the last byte went to the operating system; None if it was not written."""
    acknowledged_ns: int | None
    """Time (ns) of the device's answer; None if it gave none."""
    error: str | None
    """Error in words; None if there was none."""
    outcome: Outcome = field(default=Outcome.DONE, compare=False)
    """The same, for programs."""
    ended: tuple[int, ...] = field(default=(), compare=False)
    """Numbers of the decisions that hold the output on no longer: it went off by itself, or never came on."""
