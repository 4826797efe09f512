"""Run for long with subscribers that come, go and hang, and print what grows.

    python scripts/soak.py [--minutes 10|60|…] [--source VIDEO] [--out FOLDER]

The arena (or a recording, looped) plays at four times its speed, a hundred thousand frames in ten
minutes, tracked with the shipped models. Twenty subscribers: seventeen that listen, one that is
stopped (SIGSTOP), one that is killed, and one that joins anew every second. Once a second the run's
memory, threads and open files are read, and the latency of the poses that arrive; after the first
fifth, each should lie on a level line. Ends with 1 if one does not.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import zmq

from realtime_cropzoom.client import Subscriber
from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.message import EndMessage, PoseMessage

SPEED = 4
FPS = 42
"""100 800 frames in ten minutes."""
LISTENERS = 17
WARM_UP = 0.2
"""Part of the run that is left out: buffers fill up, and the ring's memory of frame times (16 384 of them)."""
_SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Aim:
    """What a measurement may change by from the end of the warm-up to the end, along its line."""

    name: str
    unit: str
    within: float


AIMS = (
    Aim("memory", "MB", 5.0),
    Aim("threads", "", 0.5),
    Aim("open files", "", 2.0),
    Aim("captured → received", "ms", 2.0),
)


@dataclass
class Samples:
    """One reading a second."""

    seconds: list[float] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=lambda: {aim.name: [] for aim in AIMS})

    def add(self, second: float, *values: float) -> None:
        """Keep the readings of a second, in the order of ``AIMS``."""
        self.seconds.append(second)
        for aim, value in zip(AIMS, values, strict=True):
            self.values[aim.name].append(value)


# -- subscribers, each kind in a process of its own -----------------------------------------------------


def listen(endpoint: str, count: int, heard: Queue[tuple[float, float]] | None) -> None:
    """Receive everything with ``count`` sockets; tell the median latency of each second of the first one."""
    with ExitStack() as stack:
        subscribers = [stack.enter_context(Subscriber(endpoint)) for _ in range(count)]
        poller = zmq.Poller()
        for subscriber in subscribers:
            poller.register(subscriber._socket, zmq.POLLIN)
        latencies, tell_ns = list[float](), now_ns() + 10**9
        while True:
            poller.poll(1000)
            for place, subscriber in enumerate(subscribers):
                while (message := subscriber.receive(0)) is not None:
                    if isinstance(message, EndMessage):
                        return
                    if place == 0 and isinstance(message, PoseMessage):
                        age_ms = subscriber.age_ms(message)
                        latencies += [age_ms] if math.isfinite(age_ms) else []  # infinite before the hello
            if heard is not None and latencies and now_ns() > tell_ns:
                heard.put((float(np.median(latencies)), float(np.max(latencies))))
                latencies, tell_ns = [], now_ns() + 10**9


def join_every_second(endpoint: str) -> None:
    """Subscribe, hear the hello and some poses, and go; for ever."""
    while True:
        with Subscriber(endpoint) as subscriber:
            deadline = time.monotonic() + 1.0
            while time.monotonic() < deadline:
                subscriber.receive(0.1)


@contextmanager
def subscriber_processes(endpoint: str, heard: Queue[tuple[float, float]]) -> Iterator[dict[str, Any]]:
    """Start all twenty."""
    targets: dict[str, tuple[Callable[..., None], tuple[Any, ...]]] = {
        "listeners": (listen, (endpoint, LISTENERS, heard)),
        "stopped": (listen, (endpoint, 1, None)),
        "killed": (listen, (endpoint, 1, None)),
        "joining": (join_every_second, (endpoint,)),
    }
    processes = {n: _SPAWN.Process(target=t, args=a, daemon=True, name=n) for n, (t, a) in targets.items()}
    for process in processes.values():
        process.start()
    try:
        yield processes
    finally:
        for process in processes.values():
            process.kill()
            process.join()


# -- the run -------------------------------------------------------------------------------------------


def start_run(source: str, minutes: float, endpoint: str, out: Path) -> subprocess.Popen[str]:
    """Start ``cropzoom run`` as a user would."""
    frames = round(minutes * 60 * FPS * SPEED)
    command = [sys.executable, "-m", "realtime_cropzoom", "run", source, "--loop", "--speed", SPEED, "--quiet"]
    command += ["--frames", frames, "--publish", endpoint, "--publish-latest", "none", "--out", out]
    return subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE, text=True)


def watch(run: subprocess.Popen[str], heard: Queue[tuple[float, float]], processes: dict[str, Any]) -> Samples:
    """Read the run once a second until it ends; stop one subscriber and kill another on the way."""
    process, samples, begun = psutil.Process(run.pid), Samples(), time.monotonic()
    latency = float("nan")
    while run.poll() is None:
        time.sleep(1.0)
        second = time.monotonic() - begun
        if second > 5 and processes["killed"].is_alive():
            os.kill(processes["stopped"].pid, signal.SIGSTOP)
            processes["killed"].kill()
        while not heard.empty():
            latency, _ = heard.get()
        try:
            readings = (process.memory_info().rss / 1e6, process.num_threads(), process.num_fds())
        except psutil.Error:
            break
        samples.add(second, *readings, latency)
        if len(samples.seconds) % 30 == 0:
            print("  " + describe(samples, -1), flush=True)
    return samples


def summary_of(out: Path) -> dict[str, Any]:
    """Return what the newest run below ``out`` says of itself."""
    newest = max(out.glob("*/summary.json"), key=lambda path: path.stat().st_mtime)
    summary: dict[str, Any] = json.loads(newest.read_text(encoding="utf-8"))
    return summary


def describe(samples: Samples, place: int) -> str:
    """Return the readings of one moment in a line."""
    values = ", ".join(f"{aim.name} {samples.values[aim.name][place]:.1f} {aim.unit}".rstrip() for aim in AIMS)
    return f"{samples.seconds[place]:5.0f} s: {values}"


def judge(samples: Samples) -> bool:
    """Print the slope of each measurement; return whether all are level."""
    seconds = np.array(samples.seconds)
    steady = seconds > WARM_UP * seconds[-1]
    steady[-2:] = False  # the run may be ending
    print(f"\n{'':<22}{'median':>10}{'slope an hour':>16}{'along the run':>16}{'aim':>8}")
    level = True
    for aim in AIMS:
        values = np.array(samples.values[aim.name])
        known = steady & np.isfinite(values)
        if known.sum() < 10:
            print(f"{aim.name:<22}too few readings")
            level = False
            continue
        per_second = float(np.polyfit(seconds[known], values[known], 1)[0])
        change = per_second * float(np.ptp(seconds[known]))
        met = change <= aim.within
        level &= met
        print(
            f"{aim.name:<22}{np.median(values[known]):>7.1f} {aim.unit:<2}{per_second * 3600:>+13.2f} {aim.unit:<2}"
            f"{change:>+13.2f} {aim.unit:<2}{'≤ ' + format(aim.within, 'g'):>8}  {'level' if met else 'GROWS'}"
        )
    return level


def main() -> int:
    """Soak, print, and say with the exit status whether anything grew."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="10 for a hundred thousand frames; 60 to be sure")
    parser.add_argument("--source", default=f"synthetic:arena,fps={FPS},seconds=endless", help="or a recording")
    parser.add_argument("--out", type=Path, help="folder for the session; a temporary one if not given")
    parser.add_argument("--port", type=int, default=5670)
    args = parser.parse_args()
    endpoint = f"tcp://127.0.0.1:{args.port}"
    heard: Queue[tuple[float, float]] = _SPAWN.Queue()
    with tempfile.TemporaryDirectory(prefix="cropzoom-soak-") as scratch:
        run = start_run(args.source, args.minutes, endpoint, args.out or Path(scratch))
        try:
            with subscriber_processes(endpoint, heard) as processes:
                samples = watch(run, heard, processes)
                _, problems = run.communicate()
            summary = summary_of(args.out or Path(scratch))
        finally:
            if run.poll() is None:
                run.kill()
                run.wait()
    print(problems, end="", file=sys.stderr)
    level = judge(samples)
    print(f"\n{summary['counts']} in {summary['seconds']:.0f} s; the run ended with exit code {run.returncode}")
    return 0 if level and run.returncode == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
