"""``cropzoom listen``: the live pose, its rate, age, gaps and latency in the terminal."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any, TextIO

from realtime_cropzoom.client import Subscriber
from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.message import EndMessage, HelloMessage, PoseMessage
from realtime_cropzoom.reception import Reception
from realtime_cropzoom.stats import Histogram, Rate

_REFRESH_NS = 100_000_000
_LINE_NS = 1_000_000_000


class Listener:
    """Counts what arrives and says it."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.received = 0
        self.first_frame: int | None = None
        self.latency = Histogram()
        self.rate = Rate()
        self.newest: PoseMessage | None = None
        self.end: EndMessage | None = None

    def take(self, message: PoseMessage, received_ns: int, age_ms: float) -> None:
        """Count one pose, as old as ``age_ms`` when it came; infinite where that cannot be told."""
        self.received += 1
        if self.first_frame is None:
            self.first_frame = message.frame
        self.newest = message
        if math.isfinite(age_ms):
            self.latency.add(age_ms)
        self.rate.add(received_ns)

    def summary(self, subscriber: Reception) -> dict[str, Any]:
        """Return what was seen, for ``--json``."""
        clock = subscriber.clock
        return {
            "endpoint": self.endpoint,
            "received": self.received,
            "first_frame": self.first_frame,
            **_counters(subscriber),
            "clock": clock and {"offset_ns": clock.offset_ns, "uncertainty_ns": clock.uncertainty_at_ns(now_ns())},
            "latency_ms": self.latency.summary(),
            "end": None if self.end is None else self.end.reason,
        }

    def lines(self, subscriber: Reception) -> list[str]:
        """Return the picture of now: one line of figures, then a line a keypoint."""
        message = self.newest
        if message is None:
            return [f"waiting for poses at {self.endpoint}{_losses(subscriber)}"]
        p50, p99 = self.latency.percentile(50) or 0.0, self.latency.percentile(99) or 0.0
        box_age = "no box" if message.box is None else f"box age {message.box.age_ms:.0f} ms"
        head = (
            f"{message.camera}  frame {message.frame}  {message.state}/{subscriber.stream}  "
            f"{self.rate.per_second(now_ns()):.0f} poses/s  {_age(subscriber, message)}  {box_age}  "
            f"captured→received {p50:.2f} ms (p99 {p99:.2f}){_losses(subscriber)}"
        )
        return [head, *(f"  {name:>12}  {_keypoint(*values)}" for name, values in message.keypoints.items())]


def listen(
    endpoint: str,
    *,
    camera: str | None,
    follow: bool,
    as_json: bool,
    keys: Path | None = None,
    out: TextIO = sys.stdout,
) -> None:
    """Show the poses of ``endpoint`` until its run ends (with ``follow``, until Ctrl-C)."""
    listener = Listener(endpoint)
    live = out.isatty() and not as_json
    shown, next_ns = 0, 0
    with Subscriber(endpoint, camera, keys=keys) as subscriber:
        try:
            while True:
                message = subscriber.receive(0.1)
                if isinstance(message, PoseMessage):
                    listener.take(message, now_ns(), subscriber.age_ms(message))
                elif isinstance(message, HelloMessage) and not as_json and not live:
                    print(f"{message.camera}: {message.source}, {message.width}x{message.height}", file=out)
                elif isinstance(message, EndMessage):
                    listener.end = message
                if not as_json and now_ns() >= next_ns:
                    lines = listener.lines(subscriber)
                    shown = _show(lines if live else lines[:1], shown if live else 0, out)
                    next_ns = now_ns() + (_REFRESH_NS if live else _LINE_NS)
                if isinstance(message, EndMessage) and not follow:
                    break
        except KeyboardInterrupt:
            pass
        if as_json:
            print(json.dumps(listener.summary(subscriber)), file=out)
        else:
            _say_goodbye(listener, subscriber, out)


def _keypoint(x: float | None, y: float | None, likelihood: float | None) -> str:
    if x is None or y is None:
        return "-"
    return f"x {x:7.1f}  y {y:7.1f}" + ("" if likelihood is None else f"  likelihood {likelihood:.2f}")


def _show(lines: list[str], replace: int, out: TextIO) -> int:
    if replace:
        out.write(f"\x1b[{replace}F")
    out.write("".join(f"{line}\x1b[K\n" if out.isatty() else f"{line}\n" for line in lines))
    out.flush()
    return len(lines)


def _say_goodbye(listener: Listener, subscriber: Reception, out: TextIO) -> None:
    ended = f"; the run ended: {listener.end.reason}" if listener.end else ""
    losses = _losses(subscriber).strip().replace("  ", ", ")
    print(f"{listener.received} poses received, {losses}{ended}", file=out)


def _counters(subscriber: Reception) -> dict[str, int]:
    names = ("missed", "late", "restarts", "malformed", "oversize")
    return {name: getattr(subscriber, name) for name in names}


def _losses(subscriber: Reception) -> str:
    """What has not arrived, or not as it should; all but the missed ones only where there are any."""
    return "".join(f"  {name} {n}" for name, n in _counters(subscriber).items() if n or name == "missed")


def _age(subscriber: Reception, message: PoseMessage) -> str:
    """How old a pose is, and how sure that is on another machine."""
    age_ms, clock = subscriber.age_ms(message), subscriber.clock
    if not math.isfinite(age_ms) or clock is None:
        return "age unknown: this clock is not measured"
    uncertain_ms = clock.uncertainty_at_ns(now_ns()) / 1e6
    return f"age {age_ms:.1f} ms" + (f" (clock ± {uncertain_ms:.1f})" if uncertain_ms else "")
