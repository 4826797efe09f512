"""Never in the way: the latency of one run while nobody looks, while somebody does, and when the viewer fails.

All cases take turns in the same run, several times. Each is compared with the quiet times before and after it.
"""

from __future__ import annotations

import multiprocessing
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.guests import read_page, read_previews
from benchmarks.material import SHIPPED, Bench
from benchmarks.results import Row
from realtime_cropzoom.bench.live import Listener, Received, receive_ours
from realtime_cropzoom.bench.material import MemorySource
from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.pipeline.pipeline import Pipeline

TITLE = "Never in the way: a run at 100 frames/s while somebody looks"
_FPS = 100
_ROUNDS = 3
_PHASE_S = 4.0
"""Time (s) for which each case, and the quiet before and after it, is measured in a round."""
_SETTLE_S = 0.7
"""Time (s) between the begin of a case and its measurement."""
_OVER_MS, _RATIO = 0.2, 1.5
"""Aims: by how much the median may grow (ms), and how many times the p99 may be the quiet one."""
_PATIENCE_S = 30.0
_START_S = 0.5

Case = Callable[["_Run"], Any]
"""Returns a context: the case holds inside it."""


def run(bench: Bench) -> Iterator[Row]:
    """Yield by how much the median and the p99 grow in each case, and how many frames did not arrive."""
    measured = _measure(bench)
    quiet = [phase for one in measured for phase in one.quiet]
    p50, p99 = (float(np.median([phase.percentile(q) for phase in quiet])) for q in (50, 99))
    yield Row("nobody looks", f"p50 {p50:.2f}, p99 {p99:.2f} ms", n=_n(quiet), numbers={"p50_ms": p50, "p99_ms": p99})
    apart = [abs(after.percentile(50) - before.percentile(50)) for before, after in (one.quiet for one in measured)]
    ratio = [after.percentile(99) / before.percentile(99) for before, after in (one.quiet for one in measured)]
    beyond = float(np.median([max(one, 1 / one) for one in ratio]))
    value = f"medians {np.median(apart):.2f} ms apart, p99 by a factor of {beyond:.2f}"
    yield Row("two quiet times, seconds apart", value, n=_n(quiet), numbers={"apart_ms": apart, "p99_ratio": ratio})
    for name in CASES:
        yield from _rows(name, [one for one in measured if one.name == name])


@dataclass(frozen=True)
class _Phase:
    """What the listener received within a time."""

    latency_ms: np.ndarray
    """From the hand-over to the decoded message in another process."""
    lost: int
    """Number of frames without a message."""

    def percentile(self, q: float) -> float:
        """Return a percentile of the latency (ms)."""
        return float(np.percentile(self.latency_ms, q)) if len(self.latency_ms) else np.nan


@dataclass(frozen=True)
class _Measured:
    """One case, with the quiet times before and after it."""

    name: str
    phase: _Phase
    quiet: tuple[_Phase, _Phase]

    def quiet_percentile(self, q: float) -> float:
        """Return a percentile of the latency (ms) in both quiet times together."""
        return float(np.percentile(np.concatenate([phase.latency_ms for phase in self.quiet]), q))


def _measure(bench: Bench) -> list[_Measured]:
    seconds, windows, names = 0.5 if bench.quick else _PHASE_S, list[tuple[int, int]](), list[str]()
    with _Run(bench) as live:
        windows.append(_wait(seconds))
        for name, case in [*CASES.items()] * (1 if bench.quick else _ROUNDS):
            with case(live):
                windows.append(_wait(seconds))
            windows.append(_wait(seconds))
            names.append(name)
        received = live.finish()
    phases = [_in_window(received, begin_ns, end_ns) for begin_ns, end_ns in windows]
    return [
        _Measured(name, phases[2 * place + 1], (phases[2 * place], phases[2 * place + 2]))
        for place, name in enumerate(names)
    ]


def _wait(seconds: float) -> tuple[int, int]:
    """Let the last change settle; return begin and end (monotonic, ns) of the ``seconds`` after that."""
    time.sleep(_SETTLE_S)
    begun_ns = now_ns()
    time.sleep(seconds)
    return begun_ns, now_ns()


def _in_window(received: Received, begin_ns: int, end_ns: int) -> _Phase:
    inside = (received.captured_ns >= begin_ns) & (received.captured_ns < end_ns)
    frames = received.frame[inside]
    lost = int(frames[-1] - frames[0] + 1 - len(frames)) if len(frames) else 0
    return _Phase(received.latency_ms[inside], lost)


def _rows(name: str, measured: list[_Measured]) -> Iterator[Row]:
    over = [one.phase.percentile(50) - one.quiet_percentile(50) for one in measured]
    ratio = [one.phase.percentile(99) / one.quiet_percentile(99) for one in measured]
    lost = [one.phase.lost for one in measured]
    p50, p99 = (float(np.median([one.phase.percentile(q) for one in measured])) for q in (50, 99))
    numbers = {"over_ms": over, "p99_ratio": ratio, "lost": lost, "p50_ms": p50, "p99_ms": p99}
    of_median, of_p99, n = float(np.median(over)), float(np.median(ratio)), _n([one.phase for one in measured])
    value = f"{of_median:+.2f} ms ({p50:.2f})"
    yield Row(f"{name}: median", value, f"≤ +{_OVER_MS} ms", of_median <= _OVER_MS, n, numbers)
    value = f"{of_p99:.2f} times the quiet one ({p99:.2f} ms)"
    yield Row(f"{name}: p99", value, f"≤ {_RATIO}", of_p99 <= _RATIO, n)
    yield Row(f"{name}: frames lost", ", ".join(map(str, lost)), "0", not any(lost), n)


def _n(phases: list[_Phase]) -> str:
    return f"{sum(len(phase.latency_ms) for phase in phases)} frames, {len(phases)} times"


class _Run:
    """A run in a process of its own, with a listener in another one, until ``finish``."""

    def __init__(self, bench: Bench) -> None:
        frames = bench.scratch / "view_frames.npy"
        np.save(frames, np.stack(bench.frames))
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        settings = bench.settings(SHIPPED, publish="tcp://127.0.0.1:*", publish_latest="tcp://127.0.0.1:*")
        self._process = context.Process(target=_track, args=(theirs, frames, settings), daemon=True)
        self._listener = Listener(receive_ours)
        self._process.start()
        theirs.close()
        self.endpoint: str = self._pipe.recv()
        """The endpoint of its messages."""
        self._listener.connect(self.endpoint)
        self._listener.wait_ready()
        time.sleep(_START_S)

    def finish(self) -> Received:
        """End the run; return what the listener received."""
        self._pipe.send("stop")
        return self._listener.result()

    def __enter__(self) -> _Run:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._listener.__exit__()


def _track(pipe: Connection, frames: Path, settings: Any) -> None:
    images = list(np.load(frames))
    source = MemorySource(images, _FPS, 1 << 30)
    pipeline = Pipeline(settings, source=lambda: source)
    pipeline.start()
    pipe.send(pipeline.endpoints[0])
    pipe.recv()
    pipeline.stop("finished")
    pipeline.join()


@contextmanager
def _watched(live: _Run) -> Iterator[None]:
    with _guest(read_previews, live.endpoint):
        yield


@contextmanager
def _guest(target: Callable[..., None], *arguments: Any) -> Iterator[None]:
    """Run a guest in a process of its own; it says when the first picture is there."""
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=target, args=(*arguments, ready), daemon=True)
    process.start()
    try:
        if not ready.wait(_PATIENCE_S):
            raise TimeoutError(f"{target.__name__}: no picture came")
        yield
    finally:
        process.kill()
        process.join()


@contextmanager
def _server(live: _Run) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run ``cropzoom view``; yield its process and the address of its page."""
    command = [sys.executable, "-m", "realtime_cropzoom", "view", live.endpoint, "--no-browser", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            address = re.search(r"http://\S+", line)
            if address is None:
                raise RuntimeError(f"cropzoom view printed {line!r}")
            yield process, address[0]
        finally:
            process.kill()


@contextmanager
def _pages(live: _Run, number: int, end: int | None = None) -> Iterator[None]:
    """Open pages; ``end`` is a signal that the server gets then."""
    with ExitStack() as stack:
        process, address = stack.enter_context(_server(live))
        stack.enter_context(_guest(read_page, address, number))
        if end is not None:
            process.send_signal(end)
        yield


@contextmanager
def _closed(live: _Run) -> Iterator[None]:
    with _server(live) as (_, address):
        with _guest(read_page, address, 1):
            pass
        yield


CASES: dict[str, Case] = {
    "one subscriber to previews": _watched,
    "one page open": lambda live: _pages(live, 1),
    "the page closed, its server on": _closed,
    "server suspended": lambda live: _pages(live, 1, signal.SIGSTOP),
    "server killed": lambda live: _pages(live, 1, signal.SIGKILL),
    "five pages open": lambda live: _pages(live, 5),
}
