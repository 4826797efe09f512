"""Trigger process: receives poses, evaluates rules, switches outputs, and logs all of it.

::

    endpoint → Subscriber ─┐
    keys, control → orders ┼→ engine ─┬→ outputs, one thread each → <name>_outputs.csv
    time (its deadlines) ──┘          └→ <name>_decisions.csv, and the events: <name>_inputs.jsonl

One thread, the rule loop, handles all events in the order in which they arrive. It hands decisions to the outputs
before it writes a log.
"""

from __future__ import annotations

import gc
import logging
import shutil
import sys
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from realtime_cropzoom.client.subscriber import Subscriber
from realtime_cropzoom.clock import now_ns, unix_offset_ns
from realtime_cropzoom.control import AUTO
from realtime_cropzoom.control.address import check_control, take_address
from realtime_cropzoom.control.protocol import TRIGGER
from realtime_cropzoom.control.server import ControlServer
from realtime_cropzoom.errors import ConfigError, StageError
from realtime_cropzoom.messaging.limits import check_open_files
from realtime_cropzoom.messaging.message import (
    AnimalsMessage,
    EndMessage,
    EventMessage,
    FrameMessage,
    HelloMessage,
    Message,
    PoseMessage,
)
from realtime_cropzoom.messaging.time_sync import ClockOffset
from realtime_cropzoom.runtime.fine_waits import begin_fine_waits
from realtime_cropzoom.runtime.stats import Histogram
from realtime_cropzoom.sessions.folder import file_stem
from realtime_cropzoom.trigger.async_csv import AsyncCsv
from realtime_cropzoom.trigger.engine.events import (
    ActionResult,
    Command,
    Decision,
    Event,
    FrameEvent,
    NewRules,
    Order,
    Outcome,
    Tick,
    Verdict,
    Withheld,
)
from realtime_cropzoom.trigger.engine.factory import build_engine, load_calibration
from realtime_cropzoom.trigger.engine.rule_set import RuleSet
from realtime_cropzoom.trigger.outputs.factory import Outputs, parse_output
from realtime_cropzoom.trigger.outputs.output_log import OutputLog
from realtime_cropzoom.trigger.outputs.sync_line import SyncLine, SyncSettings, open_sync_log, parse_sync
from realtime_cropzoom.trigger.process.commands import KEY, CommandQueue, QueuedCommand, QueuedOrder, QueuedRules
from realtime_cropzoom.trigger.process.decision_log import DecisionLog
from realtime_cropzoom.trigger.process.feed import Feed
from realtime_cropzoom.trigger.process.input_log import InputLog, rules_content
from realtime_cropzoom.trigger.process.message_events import event_from_message
from realtime_cropzoom.trigger.process.open_process import OpenProcess, SessionLogs
from realtime_cropzoom.trigger.process.order_desk import OrderDesk
from realtime_cropzoom.trigger.process.process_state import outputs_state, rules_state
from realtime_cropzoom.trigger.process.rules_desk import RulesDesk
from realtime_cropzoom.trigger.rules.rules import Rules

logger = logging.getLogger(__name__)

_MAX_RECEIVE_S = 0.02
"""Maximum time (s) to wait for a message. An order waits no longer than this."""

_SWITCH_INTERVAL_S = 0.0005
"""Switch interval of Python's threads (s). An output waits up to this time for the rule loop. The default is ten times
longer."""

_YIELD_S = 0.00002
"""Time (s) for which the rule loop sleeps after a hand-over to a thread, so that it writes before other rules and the
logs take the interpreter. A sleep of 0 would be over before its thread is awake."""

_MAX_PENDING = 4096
"""Maximum number of decisions whose results are missing. They serve the statistics only."""


@dataclass(frozen=True, slots=True)
class TriggerOptions:
    """Options of a trigger process."""

    keys: Path | None = None
    """Key file of this client; None if the run has no keys."""
    control: str | None = AUTO
    """Socket for orders: AUTO, a name, or an endpoint; None: no socket."""
    armed: bool = False
    """Arm all rules with the first pose, whatever the rules file says."""
    dry_run: bool = False
    """Decide and log, but switch nothing."""
    follow: bool = False
    """Continue with the next run when one has ended."""
    control_keys: Path | None = None
    """Folder of keys; needed if orders are received at a TCP endpoint."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """Settings that were given in place of those of the rules file, and apply to new rules, too."""


class SessionEnd(NamedTuple):
    """Why a trigger session ends."""

    reason: str
    by: str
    """Origin of the order, see ``Command``."""


class _Withheld(NamedTuple):
    """What the thread of an output has to tell the engine, see ``Withheld``."""

    number: int
    output: str
    reason: str
    ended: bool = False
    lost: bool = False


class TriggerProcess:
    """One trigger session: ``open`` it, call ``step`` until it is ``over``, then ``close`` it."""

    def __init__(self, rules: Rules, rules_path: Path, seed: int, options: TriggerOptions) -> None:
        """Check everything that needs no device.

        Args:
            rules: The rules.
            rules_path: Their file.
            seed: Seed of the random draws.
            options: Options of the process.

        Raises:
            ConfigError: if something in the rules or the options is wrong.
        """
        self.options = options
        if options.control is not None:
            check_control(options.control, options.control_keys)
        self._rules_path = rules_path
        self._seed, self._calibration = seed, load_calibration(rules, rules_path)
        self.engine = build_engine(rules, seed, self._calibration, self._publisher_ns, self._hand_over)
        self.orders = CommandQueue()
        self.decided: Counter[str] = Counter()
        """Decisions by verdict."""
        self.poses = 0
        self.without_time = 0
        """Messages that no rule saw, because the offset of the publisher's clock was unknown."""
        self.last: FrameMessage | None = None
        """The newest pose."""
        self._end: SessionEnd | None = None
        self.rule_us = Histogram()
        """Time (µs) from a pose to the decisions of all rules."""
        self.written_ms = Histogram()
        """Time (ms) from the arrival of a message to the write of its output."""
        self._name = file_stem(rules_path.stem)
        self._settings = {name: parse_output(name, mapping) for name, mapping in rules.outputs.items()}
        self._sync_settings: SyncSettings | None = None
        if rules.sync is not None:
            self._sync_settings = parse_sync(rules.sync, set(rules.outputs))
            _check_sync_line(rules, self._sync_settings.output)
        self._outputs = Outputs(
            self._settings, self._take_result, dry_run=options.dry_run, silent_after_ms=self.engine.hold_max_age_ms
        )
        self._opened: OpenProcess | None = None
        self._received: OrderedDict[int, int] = OrderedDict()
        self._offset_ns = 0
        """The publisher's clock minus this machine's (ns)."""
        self._withheld: deque[_Withheld] = deque()
        """What outputs did not perform, or ended by themselves. None is dropped, as the engine must know each output
        that went off. The loop that takes them also submits the actions, so they cannot pile up.
        """
        self.arms_by = "start" if options.armed or rules.armed else None
        """Origin of the order to arm the rules with the first pose; None without one, or once the pose has come."""
        self._submitted = False
        """Whether decisions of this event went to the outputs."""
        self._clock: str | None = None
        self._unix_offset_ns = unix_offset_ns()
        self._hello: HelloMessage | None = None
        self._feed: Feed | None = None
        self._control_name = self._name
        self._rules_number = 1
        """Counts the rules of the session, see ``NewRules``."""
        self._event_ns = 0
        """Time of the last event (ns of the publisher's clock)."""

    def open(self, folder: Path) -> bool:
        """Open the logs, the outputs, the socket for orders and the subscription, in this order.

        Args:
            folder: The new folder of the logs. It is removed if not all could be opened.

        Returns:
            False if the process was stopped before all were open.

        Raises:
            SinkError: if an output or a log cannot be opened.
            ConfigError: if the socket for orders cannot be opened.
        """
        try:
            check_open_files()
            self._opened = self._open_all(folder)
        finally:
            if self._opened is None:
                shutil.rmtree(folder, ignore_errors=True)  # it is new and holds empty logs only
        if self._opened is None:
            return False
        if self._opened.sync is not None:
            self._opened.sync.start()
        gc.freeze()  # objects from before the loop stay, so that collections need not look at them
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        return True

    def _open_all(self, folder: Path) -> OpenProcess | None:
        with ExitStack() as stack:
            stack.callback(begin_fine_waits())  # the end of a pulse is a wait
            logs = self._open_logs(folder, stack)
            if not self._outputs.open(lambda: self.over):
                return None
            stack.callback(self._close_outputs)
            sync = self._build_sync(logs.sync)
            if sync is not None:
                stack.callback(sync.close)
            control = self._start_control(folder, stack)
            subscriber = Subscriber(self.rules.endpoint, self.rules.camera, keys=self.options.keys)
            stack.callback(subscriber.close)
            return OpenProcess(folder, logs, sync, control, subscriber, sys.getswitchinterval(), stack.pop_all())

    def _open_logs(self, folder: Path, stack: ExitStack) -> SessionLogs:
        decisions = DecisionLog(folder, self._name)
        stack.callback(decisions.close)
        inputs = InputLog(folder, self._name, self.rules, self._seed, self._calibration)
        stack.callback(inputs.close)
        actions = OutputLog(folder, self._name)
        stack.callback(actions.close)
        sync = None if self._sync_settings is None else open_sync_log(folder, self._name)
        if sync is not None:
            stack.callback(sync.close)
        return SessionLogs(decisions, inputs, actions, sync)

    def _build_sync(self, log: AsyncCsv | None) -> SyncLine | None:
        if self._sync_settings is None:
            return None
        holds_level = self._outputs.holds_level(self._sync_settings.output)
        return SyncLine(self._sync_settings, self._outputs.submit_job, log, holds_level=holds_level)

    def _start_control(self, folder: Path, stack: ExitStack) -> ControlServer | None:
        if self.options.control is None:
            return None
        rules = RulesDesk(self._rules_path, self.options.given, lambda: self.rules)
        address = take_address(self.options.control, self._name, self.options.control_keys)
        self._control_name = address.name or self._name
        self._feed = Feed(address.endpoint, address.keys, self._control_name, self.state, self._changes)
        desk = OrderDesk(self, rules, self._feed, folder)
        control = ControlServer(address, desk.obey)
        stack.callback(self._feed.close)
        stack.callback(control.close)
        stack.callback(desk.close)
        self._feed.start()
        control.start()
        return control

    @property
    def _open(self) -> OpenProcess:
        if self._opened is None:
            raise RuntimeError("the trigger process is not open; call open() first")
        return self._opened

    def close(self) -> list[str]:
        """Take all outputs to their safe level and close everything.

        Returns:
            A line for each thing that is missing in the files; empty if they are whole.
        """
        end = self._end or SessionEnd("stopped by an error", "error")
        try:
            self._take(Command(self._event_ns, Order.STOP, end.by, reason=end.reason))
        finally:  # the outputs go to their safe level even if the engine fails
            self._open.resources.close()
            gc.unfreeze()
            sys.setswitchinterval(self._open.switch_interval_s)
        return self._open.logs.problems()

    @property
    def rules(self) -> Rules:
        """The rules that run."""
        return self.engine.rules

    @property
    def folder(self) -> Path:
        """Folder of the logs, once open."""
        return self._open.folder

    @property
    def over(self) -> bool:
        """Whether the session has ended, so that it must be closed."""
        return self._end is not None

    def stop(self, reason: str, by: str = "signal") -> None:
        """End with the next step; may be called from a signal handler. Later calls have no effect.

        Args:
            reason: Why the session ends, in words.
            by: Origin of the order, see ``Command``.
        """
        self._end = self._end or SessionEnd(reason, by)

    def summary(self) -> dict[str, Any]:
        """Return the summary of the session, for ``summary.json``."""
        subscriber = self._open.subscriber
        return {
            "ended": "" if self._end is None else self._end.reason,
            "poses": self.poses,
            "missed": subscriber.missed,
            "malformed": subscriber.malformed + subscriber.oversize,
            "ignored": self.engine.ignored,
            "without_time": self.without_time,
            "decisions": dict(self.decided),
            "rules_us": self.rule_us.summary(),
            "received_to_written_ms": self.written_ms.summary(),
            "output_errors": self._outputs.errors,
            "dry_run": self.options.dry_run,
        }

    @property
    def stream(self) -> str:
        """State of the stream of poses."""
        return self._open.subscriber.stream

    @property
    def unreadable(self) -> int:
        """Number of messages that could not be read."""
        return self._open.subscriber.malformed + self._open.subscriber.oversize

    def age_ms(self) -> float | None:
        """Return the age of the newest pose (ms); None before the first one."""
        return None if self.last is None else self._open.subscriber.age_ms(self.last)

    @property
    def endpoint(self) -> str | None:
        """Endpoint of the socket for orders, once open; None if there is none."""
        control = self._open.control
        return None if control is None else control.endpoint

    def step(self) -> list[Decision]:
        """Wait for the next message for a short time, take orders, and return the decisions."""
        decisions: list[Decision] = []
        message = self._open.subscriber.receive(self._receive_timeout_s())
        received_ns = now_ns()
        if message is not None:
            self._open.subscriber.select_camera(message.camera)  # ignore other cameras at this endpoint
        if isinstance(message, HelloMessage):
            self._check_hello(message)
        offset = self._open.subscriber.clock
        if offset is not None:
            self._offset_ns = offset.offset_ns
            at_ns = received_ns + offset.offset_ns
            decisions += self._take_withheld()
            if message is not None and not isinstance(message, EventMessage):  # no rule asks what people did
                decisions += self._take(event_from_message(message, at_ns, offset.uncertainty_at_ns(received_ns)))
                self._count_pose(message, offset, received_ns)
            elif self._is_due(at_ns):
                decisions += self._take(Tick(at_ns))
            if self.arms_by and isinstance(message, FrameMessage):
                by, self.arms_by = self.arms_by, None
                decisions += self._take(Command(at_ns, Order.ARM, by))
        elif message is not None:
            self.without_time += 1
        decisions += self._take_orders(offset)
        self._outputs.alive()
        if isinstance(message, EndMessage) and not self.options.follow:
            self.stop(f"the run has ended: {message.reason}", "run")
        return decisions

    def _receive_timeout_s(self) -> float:
        deadline_ns, offset = self.engine.deadline_ns, self._open.subscriber.clock
        if deadline_ns is None or offset is None:
            return _MAX_RECEIVE_S
        return min(_MAX_RECEIVE_S, max(0.0, (deadline_ns - offset.offset_ns - now_ns()) / 1e9))

    def _is_due(self, at_ns: int) -> bool:
        return self.engine.deadline_ns is not None and at_ns >= self.engine.deadline_ns

    def _take(self, event: Event) -> list[Decision]:
        """Let the engine decide and hand its decisions to the outputs; then write the logs."""
        begun_ns = now_ns()
        try:
            decisions = self.engine.take(event)
        finally:
            if self._submitted:
                self._submitted = False
                self._outputs.settle()
        if isinstance(event, FrameEvent):
            if self.engine.asked_ns:
                event = msgspec.structs.replace(event, asked_ns=self.engine.asked_ns)
            self.rule_us.add((now_ns() - begun_ns) / 1e3)
        self._event_ns = max(self._event_ns, event.at_ns)
        self._open.logs.inputs.add(event)
        for decision in decisions:
            self.decided[decision.verdict.value] += 1
            self._open.logs.decisions.add(decision)
            if self._feed is not None:
                self._feed.add_decision(decision, self._to_unix_ns())
        return decisions

    def _hand_over(self, decision: Decision) -> None:
        """Submit a decision to the outputs; the engine calls this as soon as it has made one."""
        if decision.actions:
            self._note_received(decision)
            self._submitted = True
            if not self._outputs.submit(decision, self._offset_ns):
                time.sleep(_YIELD_S)

    def _publisher_ns(self) -> int:
        """Return now, in the publisher's clock (ns)."""
        return now_ns() + self._offset_ns

    def _to_unix_ns(self) -> int:
        """Return Unix time minus the publisher's clock (ns)."""
        return self._unix_offset_ns - self._offset_ns if self.last is None else self.last.time.unix_offset_ns

    def _take_withheld(self) -> list[Decision]:
        decisions: list[Decision] = []
        while self._withheld:
            decisions += self._take(Withheld(self._publisher_ns(), **self._withheld.popleft()._asdict()))
        return decisions

    def _count_pose(self, message: Message, offset: ClockOffset, received_ns: int) -> None:
        if isinstance(message, FrameMessage):
            self.poses += 1
            self.last = message
            if self._open.sync is not None:
                self._open.sync.frame(message.frame, message.time.captured_ns, offset.offset_ns)

    def _check_hello(self, hello: HelloMessage) -> None:
        """Check the rules against the publisher's hello message, which describes the run.

        Raises:
            ConfigError: if the rules do not fit the stream.
            StageError: if the publisher has another clock now.
        """
        self.rules.check_stream(hello.keypoint_names, hello.fps, hello.regions, hello.animals)
        if self._clock not in (None, hello.clock):
            raise StageError(
                "the poses come from a machine with another clock now (it was restarted, or is another machine): "
                "their ages cannot be compared; start the triggers again"
            )
        self._clock, self._hello = hello.clock, hello

    def _take_orders(self, offset: ClockOffset | None) -> list[Decision]:
        decisions: list[Decision] = []
        for asked in self.orders.take():
            follows = self._obey(asked, offset)
            asked.done("; ".join(d.reason for d in follows if d.verdict is Verdict.REFUSED) or None)
            if asked.by == KEY and isinstance(asked, QueuedCommand) and self._feed is not None:
                self._feed.add_order(asked.order, None, KEY, None)
            decisions += follows
        return decisions

    def _obey(self, asked: QueuedOrder, offset: ClockOffset | None) -> list[Decision]:
        if isinstance(asked, QueuedRules):
            return self._replace_rules(asked)
        assert isinstance(asked, QueuedCommand)
        if asked.order is Order.STOP:
            self.stop(f"stopped by {asked.by}", asked.by)
        elif offset is None:  # no pose has come yet, so that the time is unknown
            self.arms_by = asked.by if asked.order is Order.ARM else None
        else:
            self.arms_by = None
            return self._take(Command(now_ns() + offset.offset_ns, asked.order, asked.by, asked.target))
        return []

    def _replace_rules(self, asked: QueuedRules) -> list[Decision]:
        self.arms_by, new = None, asked.proposal
        content, at_ns = rules_content(new.rules), self._publisher_ns()
        event = NewRules(at_ns, rules=content, by=asked.by, number=new.number, keep_armed=new.keep_armed)
        decisions = self._take(event)
        self._rules_number = new.number
        self._outputs.set_silent_after(self.engine.hold_max_age_ms)
        return decisions

    def refusal(self, order: Order, target: str | None) -> str | None:
        """Return what is wrong with an order, None if nothing is; called by the control thread."""
        if order is Order.TEST:
            if target not in self.rules.outputs:
                return f"there is no output {target}; there are {', '.join(self.rules.outputs)}"
            return self.needs_pose("'cropzoom trigger RULES --test' needs none")
        if order in (Order.ARM, Order.DISARM) and target is not None:
            if target not in self.rules.rules:
                return f"there is no rule {target}; there are {', '.join(self.rules.rules)}"
            return self.needs_pose("leave the rule out to arm all with the first")
        return None

    def needs_pose(self, advice: str) -> str | None:
        """Return why an order needs a pose to have come, with an advice; None if one has."""
        return None if self.last is not None else f"no pose has come yet; {advice}"

    def check_new_rules(self, rules: Rules) -> None:
        """Check that new rules fit the stream and the sync line; called by the control thread.

        Raises:
            ConfigError: if not.
        """
        if self._sync_settings is not None:
            _check_sync_line(rules, self._sync_settings.output)
        if self._hello is not None:
            hello = self._hello
            rules.check_stream(hello.keypoint_names, hello.fps, hello.regions, hello.animals)
        elif isinstance(self.last, PoseMessage):
            rules.check_stream(list(self.last.keypoints), None)
        elif isinstance(self.last, AnimalsMessage) and self.last.animals:
            rules.check_stream(list(self.last.animals[0].keypoints), None, (), len(self.last.animals))
        RuleSet(rules, self._seed, self._calibration)  # what can be built here can be built in the rule loop

    def state(self) -> dict[str, Any]:
        """Return the state that every answer to an order has; called by the threads of the orders and of the feed."""
        waits = {"pending": "will arm with the first pose"} if self.arms_by else {}
        return {
            "kind": TRIGGER,
            "name": self._control_name,
            "rules_file": str(self._rules_path.absolute()),
            "rules_number": self._rules_number,
            "endpoint": self.rules.endpoint,
            "camera": self.rules.camera if self.last is None else self.last.camera,
            "armed": list(self.engine.armed),
            **waits,
            **rules_state(self.engine),
            "outputs": outputs_state(self.rules, self._outputs.levels),
            "dry_run": self.options.dry_run,
            "feed": None if self._feed is None else self._feed.endpoint,
            "folder": None if self._opened is None else str(self._opened.folder.absolute()),
            "poses": self.poses,
            "fired": self.decided[Verdict.FIRED.value],
            "ended": None if self._end is None else self._end.reason,
        }

    def _changes(self) -> object:
        """Return what the feed must show at once when it changes."""
        engine = self.engine
        rules = (engine.armed, engine.holding, engine.live, self._rules_number)
        return rules, self.arms_by, self._end, self._outputs.levels

    def _note_received(self, decision: Decision) -> None:
        if decision.frame is not None:
            self._received[decision.number] = decision.now_ns
            if len(self._received) > _MAX_PENDING:
                self._received.popitem(last=False)

    def _take_result(self, done: ActionResult) -> None:
        """Log the result of an action; called by the threads of the outputs."""
        opened = self._opened
        if opened is None or (opened.sync is not None and opened.sync.take(done)):
            return  # not open: the logs go away with their folder
        opened.logs.actions.add(done)
        self._withheld.extend(_withheld_by(done))
        received_ns = self._received.pop(done.number, None)
        if received_ns is not None and done.written_ns is not None:
            self.written_ms.add((done.written_ns - received_ns) / 1e6)

    def _close_outputs(self) -> None:
        for name in self._outputs.close():
            logger.error("output %s hangs and was left behind; look at the device", name)


def _withheld_by(done: ActionResult) -> list[_Withheld]:
    """Return what the engine must know of the result of an action."""
    reason = done.error or "the rule loop was silent, so that the output went to its safe level"
    if done.outcome is Outcome.LATE:
        return [_Withheld(done.number, done.action.output, reason)]
    lost = done.outcome is not Outcome.SILENT
    return [_Withheld(number, done.action.output, reason, ended=True, lost=lost) for number in done.ended]


def _check_sync_line(rules: Rules, output: str) -> None:
    """Raise ConfigError if a rule fires the sync line: its pulses could not be distinguished from the others."""
    firing = [name for name, rule in rules.rules.items() if output in rule.fire]
    if firing:
        raise ConfigError(f"the sync line {output} is fired by {firing[0]}, too; give one of them another output")
