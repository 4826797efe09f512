"""A whole run, tracked with the shipped models, with subscribers that come, go and hang."""

from __future__ import annotations

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
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import zmq

from realtime_cropzoom.client.subscriber import Subscriber
from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.messaging.message import EndMessage, PoseMessage
from soaking.growth import Aim, Samples
from soaking.guests import join_every_second

SPEED = 4
FPS = 42
"""100 800 frames in ten minutes."""
SOURCE = f"synthetic:arena,fps={FPS},seconds=endless"
LISTENERS = 17
AIMS = (
    Aim("memory", "MB", 5.0),
    Aim("threads", "", 0.5),
    Aim("open files", "", 2.0),
    Aim("captured → received", "ms", 2.0),
)
_SPAWN = multiprocessing.get_context("spawn")


def soak(minutes: float, source: str, out: Path | None, port: int) -> bool:
    """Track for the given time, and print what grows; return whether nothing grows."""
    endpoint = f"tcp://127.0.0.1:{port}"
    heard: Queue[tuple[float, float]] = _SPAWN.Queue()
    with tempfile.TemporaryDirectory(prefix="cropzoom-soak-") as scratch:
        out = out or Path(scratch)
        run = start_run(source, minutes, endpoint, out)
        try:
            with subscriber_processes(endpoint, heard) as processes:
                samples = watch(run, heard, processes)
                _, problems = run.communicate()
            summary = summary_of(out)
        finally:
            if run.poll() is None:
                run.kill()
                run.wait()
    print(problems, end="", file=sys.stderr)
    level = samples.judge()
    print(f"\n{summary['counts']} in {summary['seconds']:.0f} s; the run ended with exit code {run.returncode}")
    return level and run.returncode == 0


def listen(endpoint: str, count: int, heard: Queue[tuple[float, float]] | None) -> None:
    """Receive everything with ``count`` sockets; report the median latency of each second of the first one."""
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


@contextmanager
def subscriber_processes(endpoint: str, heard: Queue[tuple[float, float]]) -> Iterator[dict[str, Any]]:
    """Start all subscribers."""
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


def start_run(source: str, minutes: float, endpoint: str, out: Path) -> subprocess.Popen[str]:
    """Start ``cropzoom run`` as a user does."""
    frames = round(minutes * 60 * FPS * SPEED)
    command = [sys.executable, "-m", "realtime_cropzoom", "run", source, "--loop", "--speed", SPEED, "--quiet"]
    command += ["--frames", frames, "--publish", endpoint, "--publish-latest", "none", "--out", out]
    return subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE, text=True)


def watch(run: subprocess.Popen[str], heard: Queue[tuple[float, float]], processes: dict[str, Any]) -> Samples:
    """Read the run once per second until it ends; stop one subscriber and kill another meanwhile."""
    process, samples, begun = psutil.Process(run.pid), Samples(AIMS), time.monotonic()
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
            print("  " + samples.describe(), flush=True)
    return samples


def summary_of(out: Path) -> dict[str, Any]:
    """Return the summary of the newest run below ``out``."""
    newest = max(out.glob("*/summary.json"), key=lambda path: path.stat().st_mtime)
    summary: dict[str, Any] = json.loads(newest.read_text(encoding="utf-8"))
    return summary
