"""The publisher alone, under load: fast subscribers, one that hangs, one that dies, one that comes and goes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import psutil
from benchmarks.posing import ANY_PORT, Phase, PosePublisher
from benchmarks.results import Row

from realtime_cropzoom.client.subscriber import Subscriber
from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.messaging.message import PoseMessage
from soaking.growth import Aim, Samples
from soaking.guests import READ_EVERY_S, Fast, Guest, ages, be_fast, be_ordinary, be_restless, be_slow

FPS = 500
FAST = 20
RATIO = 1.5
RESTARTS = 3
AIMS = (
    Aim("memory", "MB", 5.0),
    Aim("threads", "", 0.5),
    Aim("open files", "", 2.0),
    Aim("age of the newest", "ms", 2.0),
)
_SETTLE_S = 1.0
_PATIENCE_S = 30.0


@dataclass(frozen=True)
class _Loaded:
    """What the subscribers received while all of them were connected."""

    samples: Samples
    fast: list[Fast]
    oldest_ms: float
    """Age (ms) of the oldest pose that the reader of the conflating endpoint got."""
    repeated: int


def soak(minutes: float) -> bool:
    """Publish with all subscribers, and print the results; return whether all aims are met."""
    loaded_s = minutes * 30
    quiet_s = loaded_s / 10
    print(f"{FPS} messages/s: {quiet_s:.0f} s with one subscriber, {loaded_s:.0f} s of load, {quiet_s:.0f} s with one")
    with PosePublisher(FPS, latest=ANY_PORT) as publisher:
        publisher.begin()
        _be_quiet(publisher, quiet_s)
        loaded = _be_loaded(publisher, loaded_s)
        _be_quiet(publisher, quiet_s)
        phases = publisher.finish()
    met = loaded.samples.judge()
    print()
    for row in [*_rows(phases, loaded), *_restarts()]:
        print(f"  {row.line()}", flush=True)
        met &= row.met is not False
    return met


def _be_quiet(publisher: PosePublisher, seconds: float) -> None:
    with Guest(be_fast, publisher.endpoints[0], 1):
        time.sleep(_SETTLE_S)
        publisher.begin("quiet")
        time.sleep(seconds)
        publisher.begin()


def _be_loaded(publisher: PosePublisher, seconds: float) -> _Loaded:
    endpoint, latest = publisher.endpoints
    with ExitStack() as stack:
        fast = stack.enter_context(Guest(be_fast, endpoint, FAST))
        slow = stack.enter_context(Guest(be_slow, latest))
        stopped, killed = (stack.enter_context(Guest(be_ordinary, endpoint)) for _ in range(2))
        stack.enter_context(Guest(be_restless, endpoint))
        time.sleep(_SETTLE_S)
        publisher.begin("loaded")
        process, samples, begun = psutil.Process(publisher.pid), Samples(AIMS), time.monotonic()
        oldest_ms = 0.0
        while (second := time.monotonic() - begun) < seconds:
            if second > seconds / 10:
                os.kill(stopped.pid, signal.SIGSTOP)
                killed.kill()
            median_ms, largest_ms = ages(newest := slow.ask())
            oldest_ms = max(oldest_ms, largest_ms)
            memory_mb = process.memory_info().rss / 1e6
            samples.add(second, memory_mb, process.num_threads(), process.num_fds(), median_ms)
            if len(samples.seconds) % 30 == 0:
                print("  " + samples.describe(), flush=True)
            time.sleep(1.0)
        publisher.begin()
        return _Loaded(samples, fast.ask(), oldest_ms, newest.repeated)


def _rows(phases: dict[str, Phase], loaded: _Loaded) -> Iterator[Row]:
    quiet, busy = phases["quiet"], phases["loaded"]
    for name, phase in phases.items():
        value = f"p50 {phase.p50_ms:.3f} ms, p99 {phase.p99_ms:.3f} ms"
        yield Row(f"handed over → published, {name}", value, n=f"{phase.n} messages")
    ratio = busy.p99_ms / quiet.p99_ms
    yield Row("handed over → published: p99 loaded / quiet", f"{ratio:.2f}", f"≤ {RATIO}", ratio <= RATIO)
    missed, least = sum(guest.missed for guest in loaded.fast), min(guest.received for guest in loaded.fast)
    whole = missed == 0 and least >= busy.n
    yield Row(f"missed by {len(loaded.fast)} fast subscribers", f"{missed}; each had {least} or more", "0", whole)
    most_ms = READ_EVERY_S * 1000
    value = f"{loaded.oldest_ms:.1f} ms; {loaded.repeated} no newer than the one before"
    met = loaded.oldest_ms < most_ms and loaded.repeated == 0
    yield Row(f"oldest pose at the conflating endpoint, read every {most_ms:g} ms", value, f"< {most_ms:g} ms; 0", met)


def _restarts() -> Iterator[Row]:
    """Kill the publisher and start another one at the same endpoint, several times."""
    with ExitStack() as stack:
        publisher = stack.enter_context(PosePublisher(FPS))
        endpoint = publisher.endpoints[0]
        fast = stack.enter_context(Guest(be_fast, endpoint, FAST))
        subscriber = stack.enter_context(Subscriber(endpoint))
        publisher.begin()
        _all_have(fast, 1)
        runs, took_s = {_next_run(subscriber, set())}, []
        for restart in range(1, RESTARTS + 1):
            publisher.kill()
            publisher = stack.enter_context(PosePublisher(FPS, endpoint))
            begun_ns = now_ns()
            publisher.begin()
            runs.add(_next_run(subscriber, runs))
            took_s.append((_all_have(fast, restart + 1) - begun_ns) / 1e9)
        name = f"publisher killed and started again, {RESTARTS} times: {FAST} of {FAST} have poses again"
        yield Row(name, f"after {max(took_s):.2f} s at most", f"within {_PATIENCE_S:g} s", True)
        seen = subscriber.restarts
        value = f"{seen} restarts counted, {len(runs) - 1} new sessions"
        yield Row("the same, seen by a Subscriber", value, f"{RESTARTS}", seen == len(runs) - 1 == RESTARTS)


def _next_run(subscriber: Subscriber, known: set[str]) -> str:
    """Receive until a pose of a new run arrives. Raises TimeoutError."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        message = subscriber.receive(1.0)
        if isinstance(message, PoseMessage) and message.run not in known:
            return message.run
    raise TimeoutError("the subscriber received no pose of a new run")


def _all_have(fast: Guest, runs: int) -> int:
    """Return the time (ns) at which the last subscriber got its first pose of the newest run. Raises TimeoutError."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        guests: list[Fast] = fast.ask()
        if all(guest.runs == runs for guest in guests):
            return max(guest.run_began_ns for guest in guests)
        time.sleep(0.02)
    raise TimeoutError(f"{sum(guest.runs == runs for guest in guests)} of {len(guests)} have poses again")
