"""``cropzoom trigger``: switches outputs by rules, while a run sends poses."""

from __future__ import annotations

import argparse
import contextlib
import secrets
import sys
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime_cropzoom.cli import terminal
from realtime_cropzoom.cli.common import say_next
from realtime_cropzoom.cli.values import a_path, a_session, frame_rate, some_text, whole
from realtime_cropzoom.clock import now_s
from realtime_cropzoom.control import AUTO
from realtime_cropzoom.errors import EXIT_INCOMPLETE, ConfigError, SinkError, pluralize
from realtime_cropzoom.runtime.signals import ignore_suspension, signals_held_back, stop_on_signals
from realtime_cropzoom.sessions.latest import SESSIONS, TRIGGERS, note_session

if TYPE_CHECKING:
    from realtime_cropzoom.trigger.engine.events import Decision
    from realtime_cropzoom.trigger.process.process import TriggerProcess
    from realtime_cropzoom.trigger.rules.rules import Rules

_SEEDS = 1 << 32
_LINES_KEPT = 1000
"""Maximum number of lines that wait for a slow terminal. Older ones are in the log only."""
_SHOWN_WITHIN_S = 1.0
_EXPLAINED = """\
cropzoom trigger RULES.yaml switches outputs by rules, on the poses of a run in another process.

  cropzoom trigger rules.yaml               starts disarmed: press a to arm, d to disarm, q to end
  cropzoom trigger rules.yaml --dry-run     decides and logs, but switches nothing
  cropzoom trigger rules.yaml --test laser  fires one pulse, marked as a test, and ends
  cropzoom trigger rules.yaml --replay sessions/recording_20261122-101500
                                            which triggers would have fired, and where
  cropzoom trigger --replay triggers/rules_20261122-101500
                                            decides a trigger session again, and compares
  cropzoom ctl arm                          arms the rules from another terminal

Step by step: docs/tutorials/closed-loop.md. The language of rules: docs/reference/rules.md.
What can be switched: docs/reference/outputs.md.
"""


def register(commands: Any) -> None:
    """Add the commands to the parser."""
    trigger = commands.add_parser(
        "trigger",
        help="switch outputs by rules, on the poses of a run",
        description=_EXPLAINED,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    trigger.add_argument(
        "rules", nargs="?", type=a_path, metavar="RULES.yaml", help="zones, outputs and rules: docs/reference/rules.md"
    )
    trigger.add_argument("--endpoint", help="endpoint of the poses, in place of that in the rules")
    trigger.add_argument("--camera", help="only this camera, in place of that in the rules")
    trigger.add_argument("--keys", type=a_path, metavar="FILE", help="key file of this client, if the run has keys")
    trigger.add_argument("--arm", action="store_true", help="arm all rules with the first pose")
    trigger.add_argument("--dry-run", action="store_true", help="decide and log, but switch nothing")
    trigger.add_argument("--follow", action="store_true", help="continue with the next run when one has ended")
    trigger.add_argument(
        "--seed", type=whole(0, (1 << 63) - 1), help="seed of the sham trials, in place of that in the rules"
    )
    trigger.add_argument(
        "--control",
        default=AUTO,
        metavar="NAME",
        help="name or endpoint of the socket for orders, or none (default: the name of the rules)",
    )
    trigger.add_argument(
        "--control-keys",
        type=a_path,
        metavar="FOLDER",
        help="folder of keys for a tcp:// endpoint",
    )
    trigger.add_argument(
        "--out",
        type=a_path,
        default=Path("triggers"),
        help="folder in which the folder of the log is made (default: triggers)",
    )
    trigger.add_argument("--log", type=a_path, help="this new folder for the log, in place of --out")
    trigger.add_argument("--quiet", action="store_true", help="print errors only, no progress and no report")
    trigger.add_argument("--test", metavar="OUTPUT", help="fire one marked test pulse on this output, then end")
    trigger.add_argument(
        "--replay",
        type=some_text,
        metavar="SESSION",
        help="replay the folder of a run or of a trigger session, or 'latest'",
    )
    trigger.add_argument("--fps", type=frame_rate, help="frames per second, to replay poses that have no times")
    trigger.set_defaults(command=_trigger)


def _trigger(arguments: argparse.Namespace) -> int:
    if arguments.replay is not None:
        arguments.replay = a_session(arguments.replay, TRIGGERS if arguments.rules is None else SESSIONS)
    if arguments.rules is None and arguments.replay is not None:
        return _replay_exactly(arguments)
    if arguments.rules is None:
        raise ConfigError(
            "no rules file is given; give one such as configs/triggers.yaml, see 'cropzoom trigger --help'"
        )
    with signals_held_back():
        from realtime_cropzoom.trigger.rules.rules import load_rules

    rules = load_rules(arguments.rules)
    given = {"endpoint": arguments.endpoint, "camera": arguments.camera, "seed": arguments.seed}
    given = {name: value for name, value in given.items() if value is not None}
    rules = rules.model_copy(update=given)
    if arguments.test is not None:
        return _test(rules, arguments)
    if arguments.replay is not None:
        return _replay(rules, arguments)
    return _run(rules, given, arguments)


def _run(rules: Rules, given: dict[str, Any], arguments: argparse.Namespace) -> int:
    with signals_held_back():
        from realtime_cropzoom.files.atomic import to_json, try_write_whole
        from realtime_cropzoom.trigger.process.commands import KEYS_EXPLAINED, keyboard
        from realtime_cropzoom.trigger.process.process import TriggerOptions, TriggerProcess

    control = None if arguments.control == "none" else arguments.control
    options = TriggerOptions(
        arguments.keys, control, arguments.arm, arguments.dry_run, arguments.follow, arguments.control_keys, given
    )
    seed = secrets.randbelow(_SEEDS) if rules.seed is None else rules.seed
    process = TriggerProcess(rules, arguments.rules, seed, options)
    stopped_by = stop_on_signals(process.stop)
    ignore_suspension()
    show = _Board(process, quiet=arguments.quiet)
    if not process.open(_log_folder(arguments, arguments.rules.stem)):
        print("cropzoom: stopped", file=sys.stderr)
        return 128 + stopped_by[0]
    note_session(process.folder, TRIGGERS)
    problems: list[str] = []
    try:
        problem = try_write_whole(process.folder / "rules.yaml", arguments.rules.read_text(encoding="utf-8"))
        problems += [problem] if problem else []
        with keyboard(process.orders) as has_keys:
            show.begin(seed, KEYS_EXPLAINED if has_keys else "")
            while not process.over:
                show.step(process.step())
    finally:
        problems += process.close()
        summary = {"seed": seed, **process.summary(), "problems": problems}
        problem = try_write_whole(process.folder / "summary.json", to_json(summary))
        problems += [problem] if problem else []
    show.end(summary)
    for problem in dict.fromkeys(problems):  # a missing folder is reported once
        print(f"cropzoom: {problem}", file=sys.stderr)
    if stopped_by:
        return 128 + stopped_by[0]
    return EXIT_INCOMPLETE if problems or any(summary["output_errors"].values()) else 0


def _log_folder(arguments: argparse.Namespace, name: str) -> Path:
    from realtime_cropzoom.runtime.started import in_time
    from realtime_cropzoom.sessions.folder import make_given_folder, make_session_folder

    if arguments.log:
        return in_time(f"the folder {arguments.log}", lambda: make_given_folder(arguments.log))
    return in_time(f"the folder {arguments.out}", lambda: make_session_folder(arguments.out, name))


class _Board:
    """Terminal output while rules run: each decision, and once per second the state.

    It has a thread of its own, so that a slow or stopped terminal (Ctrl-S) does not delay the rules.
    """

    def __init__(self, process: TriggerProcess, *, quiet: bool) -> None:
        self._process, self._quiet = process, quiet
        self._lines: deque[str] = deque(maxlen=_LINES_KEPT)
        self._state = ""
        self._next_s = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._show, name="cropzoom-board", daemon=True)

    def begin(self, seed: int, keys: str) -> None:
        """Print what runs, and how to stop it."""
        if self._quiet:
            return
        rules, options = self._process.rules, self._process.options
        dry = "; DRY RUN, nothing is switched" if options.dry_run else ""
        self._lines.append(
            f"{pluralize(len(rules.rules), 'rule')} on {rules.endpoint}, {pluralize(len(rules.outputs), 'output')}, "
            f"seed {seed}{dry}"
        )
        self._lines.append(f"log: {self._process.folder}")
        orders = self._process.endpoint
        self._lines.append("; ".join(part for part in (keys, f"orders at {orders}" if orders else "") if part))
        self._thread.start()

    def step(self, decisions: list[Decision]) -> None:
        """Add decisions, and once per second the state; returns at once."""
        if self._quiet:
            return
        self._lines.extend(_decision_text(decision, terminal.columns()) for decision in decisions)
        if now_s() >= self._next_s:
            self._next_s = now_s() + 1.0
            self._state = self._state_line()

    def end(self, summary: dict[str, Any]) -> None:
        """Print the summary."""
        if self._quiet:
            return
        self._over.set()
        self._thread.join(_SHOWN_WITHIN_S)
        decided = ", ".join(f"{n} {verdict}" for verdict, n in summary["decisions"].items()) or "nothing decided"
        print(f"{pluralize(summary['poses'], 'pose')}, {summary['missed']} missed: {decided}; {summary['ended']}")
        timed = {"received_to_written_ms": "message received → output written, ms", "rules_us": "rules, µs"}
        for name, what in timed.items():
            figures = summary[name]
            if figures["p50"] is not None:
                print(f"{what}: p50 {figures['p50']:.2f}  p99 {figures['p99']:.2f}  max {figures['max']:.2f}")
        print(self._process.folder)
        say_next("trigger", "--replay", self._process.folder)

    def _state_line(self) -> str:
        process = self._process
        armed, count = process.engine.armed, len(process.rules.rules)
        waits = "DISARMED, will arm with the first pose" if process.arms_by else ""
        if process.last is None and process.unreadable:
            came = f"{pluralize(process.unreadable, 'message')} from {process.rules.endpoint}"
            return f"{came} cannot be read as poses: give the endpoint that 'cropzoom run' names at start"
        if process.last is None and process.without_time:
            came = pluralize(process.without_time, "message")
            return f"{came} not used: the offset of the publisher's clock is unknown; does the run have --publish-echo?"
        if waits:
            return waits
        rules = "armed" if len(armed) == count else f"{len(armed)} armed" if armed else "DISARMED"
        age = process.age_ms()
        shown = "no pose yet" if process.last is None else f"age {age:.1f} ms  {process.last.state}/{process.stream}"
        fired, holding = process.decided["fired"], ", ".join(process.engine.holding) or "-"
        return f"{rules}  {pluralize(process.poses, 'pose')}  {shown}  fired {fired}  holding {holding}"

    def _show(self) -> None:
        with contextlib.suppress(OSError):  # the terminal is gone; the rules still run
            while not self._over.wait(0.1):
                self._show_news()
            self._show_news()
            terminal.keep()

    def _show_news(self) -> None:
        while self._lines:
            self._say(self._lines.popleft())
        state, self._state = self._state, ""
        if state:
            terminal.show([state])

    def _say(self, line: str) -> None:
        terminal.say(line)


def _decision_text(decision: Decision, columns: int) -> str:
    """Return a decision as text: one line, or two with the reason below if it is wider than ``columns``."""
    where = "" if decision.frame is None else f"  frame {decision.frame}"
    age = "" if decision.age_ms is None else f"  age {decision.age_ms:.1f} ms"
    outputs = ", ".join(f"{a.output} {a.act}" for a in decision.actions)
    line = f"{decision.verdict:<9}{decision.rule:<20}{outputs:<20}{where}{age}  {decision.reason}"
    if len(line) < columns:
        return line
    parts = (decision.rule, outputs, f"{where}{age}".strip())
    return f"{decision.verdict:<9}{'  '.join(filter(None, parts))}\n{'':<9}{decision.reason}"


def _test(rules: Rules, arguments: argparse.Namespace) -> int:
    from realtime_cropzoom.trigger.process.pulse_test import fire_test_pulse

    stopped_by = stop_on_signals(lambda why: None)
    ignore_suspension()
    done = fire_test_pulse(rules, arguments.test, lambda: bool(stopped_by))
    if stopped_by:
        print("cropzoom: stopped", file=sys.stderr)
        return 128 + stopped_by[0]
    assert done is not None
    if done.error or done.written_ns is None:
        raise SinkError(f"output {arguments.test}: {done.error or 'nothing was written'}")
    waited = (done.written_ns - done.queued_ns) / 1e6
    answered = ""
    if done.acknowledged_ns is not None:
        answered = f", answered {(done.acknowledged_ns - done.written_ns) / 1e6:.2f} ms later"
    print(f"{arguments.test}: test pulse of {rules.test_pulse_ms:g} ms, written after {waited:.2f} ms{answered}")
    return 0


def _replay_exactly(arguments: argparse.Namespace) -> int:
    from realtime_cropzoom.trigger.process.replay_report import find_inputs, replay_exactly

    inputs = find_inputs(arguments.replay)
    if inputs is None:
        raise ConfigError(f"{arguments.replay} is not a log of triggers; to replay a session, also give the rules")
    rehearsal, same = replay_exactly(inputs)
    print(rehearsal.report())
    print(f"{pluralize(len(rehearsal.decisions), 'decision')}, {'the same' if same else 'OTHERS'} as in the log")
    return 0 if same else EXIT_INCOMPLETE


def _replay(rules: Rules, arguments: argparse.Namespace) -> int:
    from realtime_cropzoom.trigger.process.replay_report import replay_rules, write_report

    rehearsal = replay_rules(rules, arguments.rules, arguments.replay, rules.seed or 0, arguments.fps)
    folder = _log_folder(arguments, f"{arguments.rules.stem}_replay")
    for problem in write_report(folder, rehearsal, rules, arguments.rules):
        print(f"WARNING: {problem}", file=sys.stderr)
    print(rehearsal.report())
    if (folder / "zones.png").exists():
        print(f"where they would have fired: {folder / 'zones.png'}")
    print(folder)
    say_next("trigger", arguments.rules, "--dry-run")
    return 0
