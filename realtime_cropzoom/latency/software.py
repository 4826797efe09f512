"""Software loop: the animal of the synthetic arena jumps at known times, and a trigger process answers.

Everything is as in an experiment: ``cropzoom run`` and ``cropzoom trigger`` as processes, a rule ``entered``, an output
that is written. Two jumps are measured, each on a quiet and on a busy machine: a short one, after which the animal is
still in its box, and a long one out of the box, which only a new detection sees.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from realtime_cropzoom.errors import ConfigError, StageError
from realtime_cropzoom.files.atomic import MAKE_ROOM, to_json, write_whole
from realtime_cropzoom.latency.report import (
    LatencyReport,
    describe_unanswered,
    format_table,
    methods_paragraph,
    to_dict,
    write_histograms,
)
from realtime_cropzoom.latency.trials import Trials, match, read_fired
from realtime_cropzoom.runtime.machine import cpu_model
from realtime_cropzoom.runtime.tuning import usable_cores
from realtime_cropzoom.sources.arena.source import Arena, parse_arena

JUMP_S = 0.4
"""Time (s) between two jumps. Every second jump is a trial."""
WITHIN_PX, BEYOND_PX = 40, 260
"""Lengths of the jumps (px) in a frame 640 px wide. The box of the shipped models is 240 px wide, the animal 118 px."""
_WARM_UP_S = 2.0
_ZONE_PX = 18
_LOG, _SESSION, _RULES = "trigger", "session", "rules.yaml"
_BUSY = """
import os, sys
while os.getppid() == int(sys.argv[1]):
    for _ in range(1_000_000):
        pass
"""
"""Program that keeps one core busy. It ends when the process that started it, its argument, has ended."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Options of a measurement."""

    out: Path
    """A new folder for the report."""
    trials: int = 100
    """Trials per condition."""
    fps: float = 100.0
    size: tuple[int, int] = (640, 480)
    """Width, height of the frames."""
    busy: int = field(default_factory=usable_cores)
    """Number of processes that keep a core busy in the conditions with load; 0 leaves these conditions out."""
    serial: str | None = None
    """Port of a trigger board; None simulates a board at a pseudo-terminal."""
    run_flags: tuple[str, ...] = ()
    """Further flags of ``cropzoom run``, such as the models."""


def measure(plan: Plan, say: Callable[[str], None]) -> dict[str, Trials]:
    """Measure all conditions, one after another, and return {condition: trials}.

    Args:
        plan: The options.
        say: Prints a line.

    Raises:
        ConfigError: if the options make no sense.
        StageError: if a process fails.
    """
    unit = plan.size[0] / 640
    found: dict[str, Trials] = {}
    for load in (0, plan.busy) if plan.busy else (0,):
        for jump, px in (("within the box", WITHIN_PX), ("out of the box", BEYOND_PX)):
            name = f"{jump}, {'busy' if load else 'quiet'}"
            say(f"{name}: {plan.trials} trials …")
            folder = plan.out / name.replace(", ", "_").replace(" ", "_")
            found[name] = _condition(plan, folder, round(px * unit), load)
    return found


def measure_and_report(plan: Plan, say: Callable[[str], None]) -> LatencyReport:
    """Measure all conditions, write report and figure to ``plan.out``, and return the report. Raises as ``measure``."""
    conditions = measure(plan, say)
    about = describe_machine(plan)
    text = f"{format_table(conditions)}\n\n{methods_paragraph(conditions, about, plan.fps, plan.size)}"
    write_whole(
        plan.out / "report.json",
        to_json({"machine": about, "fps": plan.fps, "conditions": to_dict(conditions)}),
        MAKE_ROOM,
    )
    write_whole(plan.out / "report.txt", f"{text}\n", MAKE_ROOM)
    title = f"{plan.size[0]}x{plan.size[1]} at {plan.fps:g} frames/s, {about['cpu']}, {about['cores']} cores"
    write_histograms(plan.out / "latency.png", conditions, title)
    return LatencyReport(f"{text}\n\nreport and figure: {plan.out}", describe_unanswered(conditions))


def _condition(plan: Plan, folder: Path, jump_px: int, load: int) -> Trials:
    seconds = _WARM_UP_S + JUMP_S * (2 * plan.trials + 2)
    source = (
        f"synthetic:arena,size={plan.size[0]}x{plan.size[1]},fps={plan.fps:g},seconds={seconds:g},"
        f"jump_s={JUMP_S},jump_px={jump_px}"
    )
    arena = Arena(parse_arena(source))
    arrivals = [frame for frame in arena.arrivals() if frame >= _WARM_UP_S * plan.fps][: plan.trials]
    folder.mkdir(parents=True)
    endpoint = f"tcp://127.0.0.1:{_free_port()}"
    with ExitStack() as stack:
        port = plan.serial or stack.enter_context(_simulated_board())
        write_whole(
            folder / _RULES, yaml.safe_dump(_rules(arena, arrivals[0], endpoint, port), sort_keys=False), MAKE_ROOM
        )
        trigger = stack.enter_context(_process(folder, "trigger", *_trigger_arguments(folder)))
        run = stack.enter_context(_process(folder, "run", *_run_arguments(plan, folder, source, endpoint)))
        for _ in range(load):
            stack.enter_context(_ended([sys.executable, "-c", _BUSY, str(os.getpid())]))
        for process, name in ((run, "run"), (trigger, "trigger")):
            _wait(process, folder, name, 2 * seconds + 60)
    timing = _timing(folder / _SESSION)
    return match(arrivals, timing, read_fired(folder / _LOG))


def _rules(arena: Arena, arrival: int, endpoint: str, port: str) -> dict[str, Any]:
    x, y = (round(float(v), 1) for v in arena.truth(arrival)[arena.keypoint_names.index("snout")])
    return {
        "endpoint": endpoint,
        "armed": True,
        "max_age_ms": 1000,  # late answers count, too
        "hold_max_age_ms": 1000,
        "implausible": "allow",  # the jumps of the arena are faster than an animal
        "limits": {"max_fired": 1_000_000, "max_on_s": 600_000},
        "zones": {"there": {"circle_px": [x, y, _ZONE_PX]}},
        "outputs": {"board": {"serial": port}},
        "rules": {"arrived": {"when": {"entered": "there", "keypoint": "snout"}, "fire": "board", "pulse_ms": 5}},
    }


def _trigger_arguments(folder: Path) -> Sequence[str | Path]:
    return ["trigger", folder / _RULES, "--log", folder / _LOG, "--control", "none", "--quiet"]


def _run_arguments(plan: Plan, folder: Path, source: str, endpoint: str) -> Sequence[str | Path]:
    publish = ["--publish", endpoint, "--publish-latest", "none", "--publish-echo", "none"]
    return ["run", source, *publish, "--out", folder / _SESSION, "--quiet", *plan.run_flags]


@contextmanager
def _process(folder: Path, name: str, *arguments: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``cropzoom ARGUMENTS`` as a process. Its output goes to ``NAME.log``. It does not change ``latest``."""
    environment = {**os.environ, "XDG_STATE_HOME": os.devnull}
    with (folder / f"{name}.log").open("wb") as log:
        command = [sys.executable, "-m", "realtime_cropzoom", *map(str, arguments)]
        with _ended(command, stdout=log, stderr=subprocess.STDOUT, env=environment) as process:
            yield process


@contextmanager
def _ended(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def _simulated_board() -> Iterator[str]:
    if sys.platform == "win32":
        raise ConfigError("a board can be simulated on Linux and macOS only; give the port of a real one with --serial")
    command = [sys.executable, "-m", "realtime_cropzoom.trigger.outputs.simulated_board"]
    with _ended(command, stdout=subprocess.PIPE) as board:
        assert board.stdout is not None
        yield board.stdout.readline().decode().strip()


def _wait(process: subprocess.Popen[bytes], folder: Path, name: str, timeout_s: float) -> None:
    try:
        code = process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        raise StageError(f"cropzoom {name} did not end within {timeout_s:g} s; see {folder / name}.log") from None
    if code not in (0, 3):  # 3: some frame failed or was lost, and the report says so
        said = (folder / f"{name}.log").read_text(errors="replace").strip().splitlines()
        raise StageError(f"cropzoom {name} failed: {said[-1] if said else f'exit code {code}'}")


def _timing(out: Path) -> pd.DataFrame:
    (path,) = out.glob("*/*_timing.csv")
    table = pd.read_csv(path, index_col="frame")
    return table.filter(like="_ns").astype(np.float64)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def describe_machine(plan: Plan) -> dict[str, Any]:
    """Return processor, system and Python of this machine, and the models with their providers."""
    summaries = sorted(plan.out.glob(f"*/{_SESSION}/*/summary.json"))
    models: Mapping[str, Any] = json.loads(summaries[0].read_text())["models"] if summaries else {}
    return {
        "cpu": cpu_model(),
        "cores": usable_cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "models": {role: {k: m[k] for k in ("sha256", "provider")} for role, m in models.items()},
    }
