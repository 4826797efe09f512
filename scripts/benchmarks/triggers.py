"""The closed loop: the time of the rules, and from a received pose to a written output."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np
import yaml

from benchmarks.material import Bench
from benchmarks.posing import PosePublisher, arena_poses
from benchmarks.receivers import RECEIVERS
from benchmarks.results import Row, percentiles
from realtime_cropzoom.errors import EXIT_INCOMPLETE
from realtime_cropzoom.messaging.message import Counts, PoseMessage, TimeField
from realtime_cropzoom.sources.arena.source import Arena
from realtime_cropzoom.trigger.engine.engine import Engine
from realtime_cropzoom.trigger.engine.events import Command, Event, Order
from realtime_cropzoom.trigger.process.message_events import event_from_message
from realtime_cropzoom.trigger.rules.rules import parse_rules

TITLE = "The closed loop: rules on poses of four keypoints, 500 a second"
_FPS = 500
_AIMED_AT = 20
_NUMBERS = (1, 5, _AIMED_AT, 100)
"""Number of rules."""
_ALONE_US = 100.0
_RULES_US = 120.0
_WRITTEN_MS = {"p50": 0.4, "p99": 1.5}
_POSES = 6000
_ROUNDS = 3
_PATIENCE_S = 30.0
_AGE_NS = 3_000_000
"""Time from capture to reception (ns) without a socket."""
_MIXED = Path(__file__).with_name("mixed_rules.yaml")
_HEADS = ("snout", "rightear")
"""Keypoints used in turn. Equal conditions are computed once, so twenty rules must not be ten rules twice."""


def run(bench: Bench) -> Iterator[Row]:
    """Yield the engine alone, then the whole trigger process with two kinds of outputs."""
    alone = {}
    for number in _NUMBERS:
        alone[number] = _time_engine(number, bench.count(_POSES))
        yield _engine_row(number, alone)
    sessions: dict[str, list[_Session]] = {kind: [] for kind in RECEIVERS}
    for lap in range(1 if bench.quick else _ROUNDS):
        for kind in RECEIVERS:
            sessions[kind].append(_run_session(bench, kind, lap))
    for kind in RECEIVERS:
        yield from _session_rows(kind, sessions[kind], alone[_AIMED_AT])


def mixed_rules(number: int, outputs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return a rules file of ``count`` rules, with each kind and each output in turn."""
    content = yaml.safe_load(_MIXED.read_text(encoding="utf-8"))
    kinds, names, rules = list(content["rules"].items()), list(outputs), {}
    for i in range(number):
        lap, place = divmod(i, len(kinds))
        name, rule = kinds[place]
        about = json.dumps(rule).replace('"snout"', f'"{_HEADS[lap % len(_HEADS)]}"')
        rules[f"{name}_{lap}"] = {**json.loads(about), "fire": names[i % len(names)]}
    return {**content, "outputs": outputs, "rules": rules}


def _time_engine(number: int, count: int) -> dict[str, float]:
    """Return the time (ms) of each of ``count`` poses, in a loop that does nothing else."""
    engine = Engine(parse_rules(mixed_rules(number, {"out": {"serial": "none"}})), seed=1)
    engine.take(Command(0, Order.ARM, "benchmark"))
    took_ns = np.empty(count)
    for place, event in enumerate(_events(count)):
        begun = perf_counter_ns()
        engine.take(event)
        took_ns[place] = perf_counter_ns() - begun
    return percentiles(took_ns / 1e6)


def _events(count: int) -> Iterator[Event]:
    names, counts = Arena.keypoint_names, Counts(0, 0, 0, 0, 0)
    for i, pose in enumerate(arena_poses(_FPS, count)):
        at_ns = 10**9 + round(i * 1e9 / _FPS)
        rows = zip(names, pose.xy.tolist(), pose.likelihood.tolist(), strict=True)
        points = {name: (x, y, likelihood) for name, (x, y), likelihood in rows}
        times = TimeField(None, at_ns, None, None, at_ns, at_ns, 0)
        message = PoseMessage(1, "run", "cam0", i, i, "tracking", "live", points, None, times, counts)
        yield event_from_message(message, at_ns + _AGE_NS)


def _engine_row(number: int, alone: dict[int, dict[str, float]]) -> Row:
    times, one, aimed = alone[number], alone[_NUMBERS[0]], number == _AIMED_AT
    p50_us, p99_us = times["p50"] * 1000, times["p99"] * 1000
    value = f"{p50_us:.0f} µs median, {p99_us:.0f} µs p99; {times['p50'] / one['p50']:.1f}× one rule"
    name = f"engine alone, {number} rule{'s' if number > 1 else ''}"
    aim, met = (f"≤ {_ALONE_US:g} µs median", p50_us <= _ALONE_US) if aimed else ("", None)
    return Row(name, value, aim, met, f"{times['n']} poses", times)


@dataclass(frozen=True)
class _Session:
    """The summary of a trigger process."""

    summary: dict[str, Any]
    written: int
    """Number of actions of an output."""
    heard: int
    """Number of changes or messages at the receiver."""

    @property
    def errors(self) -> int:
        """Number of failed jobs, and of missing poses."""
        return int(sum(self.summary["output_errors"].values()) + self.summary["missed"])


def _run_session(bench: Bench, kind: str, lap: int) -> _Session:
    """Publish poses to ``cropzoom trigger``, which ends with the run."""
    folder = bench.scratch / f"triggers_{kind}_{lap}"
    folder.mkdir()
    rules, log = folder / "rules.yaml", folder / "log"
    with RECEIVERS[kind](folder) as receiver, PosePublisher(_FPS) as publisher:
        content = {**mixed_rules(_AIMED_AT, receiver.outputs), "endpoint": publisher.endpoints[0]}
        rules.write_text(yaml.safe_dump(content), encoding="utf-8")
        with _trigger(rules, log) as trigger:
            publisher.begin()
            receiver.attend(bench.count(_POSES) / _FPS)
            publisher.finish()
            if trigger.wait(_PATIENCE_S) not in (0, EXIT_INCOMPLETE):
                raise RuntimeError(f"cropzoom trigger ended with exit code {trigger.returncode}")
        heard = receiver.heard()
    with (log / "rules_outputs.csv").open(encoding="utf-8") as file:
        written = sum(row["written_ns"] != "" for row in csv.DictReader(file))
    return _Session(json.loads((log / "summary.json").read_text(encoding="utf-8")), written, heard)


@contextmanager
def _trigger(rules: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start the process as a user does, and wait until it subscribes."""
    command = [sys.executable, "-m", "realtime_cropzoom", "trigger", rules, "--arm", "--quiet", "--control", "none"]
    process = subprocess.Popen([str(part) for part in [*command, "--seed", 1, "--log", log]])
    try:
        deadline = time.monotonic() + _PATIENCE_S
        while not (log / "rules_outputs.csv").exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("cropzoom trigger does not start")
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait()


def _session_rows(kind: str, sessions: list[_Session], alone: dict[str, float]) -> Iterator[Row]:
    poses = sum(session.summary["poses"] for session in sessions)
    written, heard = (sum(getattr(session, what) for session in sessions) for what in ("written", "heard"))
    errors = sum(session.errors for session in sessions)
    rules_us = {q: _median(sessions, "rules_us", q) for q in ("p50", "p99")}
    value = f"{rules_us['p50']:.0f} µs median, {rules_us['p99']:.0f} µs p99; "
    value += f"{rules_us['p50'] / 1000 / alone['p50']:.1f}× the engine alone"
    met, aim = rules_us["p50"] <= _RULES_US, f"≤ {_RULES_US:g} µs median"
    runs = [session.summary for session in sessions]
    yield Row(f"{kind}, {_AIMED_AT} rules: decided", value, aim, met, f"{poses} poses", {"runs": runs})
    for q, label in (("p50", "median"), ("p99", "p99")):
        ms, most = _median(sessions, "received_to_written_ms", q), _WRITTEN_MS[q]
        value = f"{ms:.2f} ms; {ms / most:.1f}× the aim"
        name = f"{kind}, {_AIMED_AT} rules: received → written, {label}"
        yield Row(name, value, f"≤ {most:g} ms", ms <= most, f"{written} actions", {"ms": ms})
    value = f"{errors} of {poses} poses and {written} actions; {heard} {RECEIVERS[kind].what}"
    yield Row(f"{kind}: missed, late or failed", value, "0", errors == 0, numbers={"errors": errors, "heard": heard})


def _median(sessions: list[_Session], what: str, q: str) -> float:
    """Return the median of the runs; NaN without a value."""
    return float(np.median([session.summary[what][q] or np.nan for session in sessions]))
