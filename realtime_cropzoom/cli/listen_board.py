"""``cropzoom listen``: shows the live pose, its rate, age, gaps and latency in the terminal."""

from __future__ import annotations

import json
import math
import signal
import sys
import textwrap
from pathlib import Path
from typing import Any, TextIO

from realtime_cropzoom.cli import terminal
from realtime_cropzoom.client.base import SubscriberBase
from realtime_cropzoom.client.message_tracker import ENDED, SILENT, SILENT_AFTER_NS
from realtime_cropzoom.client.subscriber import Subscriber
from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import quoted
from realtime_cropzoom.messaging.endpoints import is_local
from realtime_cropzoom.messaging.message import (
    AnimalsMessage,
    EndMessage,
    EventMessage,
    FrameMessage,
    HelloMessage,
    Message,
    PoseMessage,
)
from realtime_cropzoom.messaging.time_sync import SAME_CLOCK
from realtime_cropzoom.pipeline.report import fit
from realtime_cropzoom.runtime.signals import Terminated
from realtime_cropzoom.runtime.stats import Histogram, Rate

_REFRESH_NS = 100_000_000
_LINE_NS = 1_000_000_000
_REASON_AFTER_NS = 3_000_000_000
"""Time (ns) without any message after which a reason is shown. A status message comes each second."""
_ANY_WIDTH = 1000


class Listener:
    """Counts the messages of an endpoint; formats the display."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.received = self.implausible = 0
        self.first_frame: int | None = None
        self.latency = Histogram()
        self.rate = Rate()
        self.newest: FrameMessage | None = None
        self._regions: dict[str, PoseMessage] = {}
        """Newest pose of each region; empty without regions."""
        self._newest_ns = 0
        self.end: EndMessage | None = None
        self._began_ns = now_ns()

    def count_pose(self, message: FrameMessage, received_ns: int, age_ms: float) -> None:
        """Count one pose, or one frame with several animals.

        Args:
            message: The pose, or the frame.
            received_ns: Time (monotonic, ns) of its arrival.
            age_ms: Age (ms) of its frame at that time; infinite if unknown.
        """
        self.received += 1
        if self.first_frame is None:
            self.first_frame = message.frame
        self.newest, self._newest_ns = message, received_ns
        if isinstance(message, AnimalsMessage):
            self.implausible += sum(animal.plausible is False for animal in message.animals)
        else:
            if message.region is not None:
                self._regions[message.region] = message
            self.implausible += message.plausible is False
        if math.isfinite(age_ms):
            self.latency.add(age_ms)
        self.rate.add(received_ns)

    def handle(self, message: Message | None, subscriber: SubscriberBase) -> None:
        """Handle a message of any kind; None for no message."""
        if isinstance(message, FrameMessage):
            self.count_pose(message, now_ns(), self._age_ms(subscriber, message))
        elif isinstance(message, EndMessage):
            self.end = message

    def final_line(self, subscriber: SubscriberBase) -> str:
        """Return the last line: the counts, and the reason of the end if the run sent one."""
        ended = f"; the run ended: {self.end.reason}" if self.end else ""
        doubtful = f", implausible {self.implausible}" if self.implausible else ""
        return f"{self.received} poses received{doubtful}, {', '.join(_losses(subscriber))}{ended}"

    def summary(self, subscriber: SubscriberBase) -> dict[str, Any]:
        """Return all counts, for ``--json``."""
        clock = subscriber.clock
        return {
            "endpoint": self.endpoint,
            "received": self.received,
            "first_frame": self.first_frame,
            "implausible": self.implausible,
            **_counters(subscriber),
            "clock": clock and {"offset_ns": clock.offset_ns, "uncertainty_ns": clock.uncertainty_at_ns(now_ns())},
            "latency_ms": self.latency.summary(),
            "end": None if self.end is None else self.end.reason,
        }

    def lines(self, subscriber: SubscriberBase, columns: int) -> list[str]:
        """Return the current display, no wider than ``columns``: figures, then one line per keypoint."""
        message = self.newest
        if message is None:
            return textwrap.wrap(self._waiting(subscriber), columns - 1)
        if subscriber.stream == SILENT and now_ns() - self._newest_ns > SILENT_AFTER_NS:
            return textwrap.wrap(self._silence(message), columns - 1)
        if isinstance(message, AnimalsMessage):
            return self._animal_lines(message, subscriber, columns)
        head = [
            f"{_place(message, one=len(self._regions) < 2)}  frame {message.frame}",
            self._state(message) if subscriber.stream == "live" else subscriber.stream,
            "publishing is paused" if subscriber.last_status and not subscriber.last_status.publishing else "",
            "" if message.doubt is None or len(self._regions) > 1 else f"implausible: {message.doubt}",
            f"{self.rate.per_second(now_ns()):.0f} poses/s",
            "" if subscriber.stream == ENDED else self._age(subscriber, message),
            *_losses(subscriber),
        ]
        if len(self._regions) > 1:
            return [fit([part for part in head if part], columns), *self._region_lines(columns)]
        more = [
            f"  captured → received {self._latency()}",
            "no box" if message.box is None else f"box age {message.box.age_ms:.0f} ms",
        ]
        return [
            fit([part for part in head if part], columns),
            fit(more, columns),
            *(
                fit([f"  {quoted(name):>12}", *_keypoint(*values)], columns)
                for name, values in message.keypoints.items()
            ),
        ]

    def _animal_lines(self, message: AnimalsMessage, subscriber: SubscriberBase, columns: int) -> list[str]:
        """Return the display of several animals: figures, then one line for each."""
        tracked = sum(animal.state == "tracking" for animal in message.animals)
        head = [
            f"{message.camera}  frame {message.frame}",
            f"tracking {tracked} of {len(message.animals)}" if subscriber.stream == "live" else subscriber.stream,
            "publishing is paused" if subscriber.last_status and not subscriber.last_status.publishing else "",
            f"{self.rate.per_second(now_ns()):.0f} frames/s",
            "" if subscriber.stream == ENDED else self._age(subscriber, message),
            *_losses(subscriber),
        ]
        latency = f"  captured → received {self._latency()}"
        lines = [fit([part for part in head if part], columns), fit([latency], columns)]
        for animal in message.animals:
            name, point = next(iter(animal.keypoints.items()), ("", (None, None, None)))
            state = animal.state if animal.doubt is None else f"{animal.state} ({animal.doubt})"
            met = f"{'uncertain' if animal.uncertain else 'certain'}, meetings {animal.meetings}"
            where = "missing" if animal.box is None else f"{quoted(name)} {_keypoint(*point)[0]}"
            lines.append(fit([f"  animal {animal.number}  {state}", met, where], columns))
        return lines

    def _state(self, message: PoseMessage) -> str:
        """Return the state of the animal; of several regions, how many animals are tracked."""
        if len(self._regions) < 2:
            return message.state
        tracked = sum(pose.state == "tracking" for pose in self._regions.values())
        return f"tracking {tracked} of {len(self._regions)}"

    def _region_lines(self, columns: int) -> list[str]:
        """Return a line for each region: state, age of the box, and the first keypoint."""
        lines = []
        for region, pose in self._regions.items():
            name, point = next(iter(pose.keypoints.items()), ("", (None, None, None)))
            state = pose.state if pose.doubt is None else f"{pose.state} ({pose.doubt})"
            box = "no box" if pose.box is None else f"box age {pose.box.age_ms:.0f} ms"
            lines.append(fit([f"  {region:>12}  {state}", box, f"{quoted(name)} {_keypoint(*point)[0]}"], columns))
        return lines

    def line(self, subscriber: SubscriberBase) -> str:
        """Return the display without its keypoints, as one line for a log file."""
        head, *more = self.lines(subscriber, _ANY_WIDTH)
        if len(self._regions) > 1 and more:
            return "  ".join([head, *(f"{region} {pose.state}" for region, pose in self._regions.items())])
        return "  ".join(line.strip() for line in (head, *more[:1]))

    def _silence(self, last: FrameMessage) -> str:
        """Return the line for a run that sends nothing any more, such as one that was killed."""
        return (
            f"nothing comes from {self.endpoint} since frame {last.frame} of {last.camera}: the run was killed, or its "
            "machine is not reached. Waiting for the next run. Ctrl-C ends."
        )

    def _waiting(self, subscriber: SubscriberBase) -> str:
        """Return why there is no pose yet, as far as known, and what to do."""
        if subscriber.others:
            heard = ", ".join(subscriber.others)
            return f"no pose of camera {subscriber.camera}; {self.endpoint} has {heard}: give one of them to --camera"
        if subscriber.malformed or subscriber.oversize:
            return f"{self.endpoint} sends something else than poses: give the endpoint that 'cropzoom run' prints"
        if subscriber.hello is not None or subscriber.last_status is not None:
            return f"the run at {self.endpoint} has not sent a pose yet"
        if now_ns() - self._began_ns < _REASON_AFTER_NS:
            return f"waiting for poses at {self.endpoint}"
        if subscriber.connected:
            return f"{self.endpoint} is open, but sends nothing. Is it the endpoint that 'cropzoom run' prints?"
        return f"nothing publishes at {self.endpoint}: start 'cropzoom run SOURCE', or give the endpoint that it prints"

    def _latency(self) -> str:
        """Return the measured latency as text; a dash if no age is known yet."""
        p50, p99 = self.latency.percentile(50), self.latency.percentile(99)
        return "–" if p50 is None or p99 is None else f"{p50:.1f} ms (p99 {p99:.1f})"

    def _age(self, subscriber: SubscriberBase, message: FrameMessage) -> str:
        """Return the age of a pose as text, with its uncertainty on another machine; empty if unknown."""
        age_ms, clock = self._age_ms(subscriber, message), subscriber.clock or SAME_CLOCK
        if subscriber.hello is not None and subscriber.clock is None:
            return "age unknown yet: measuring the other clock"
        if not math.isfinite(age_ms):
            return ""
        uncertain_ms = clock.uncertainty_at_ns(now_ns()) / 1e6
        return f"age {age_ms:.1f} ms" + (f" (clock ± {uncertain_ms:.1f})" if uncertain_ms else "")

    def _age_ms(self, subscriber: SubscriberBase, message: FrameMessage) -> float:
        """Return the age (ms) of a pose; infinite if unknown.

        Without a hello message, the age at a local endpoint uses this machine's clock. The endpoint that keeps
        only the newest pose sends no hello message.
        """
        if subscriber.hello is None and is_local(self.endpoint):
            return (now_ns() - message.time.captured_ns) / 1e6
        return subscriber.age_ms(message)


def listen(
    endpoint: str,
    *,
    camera: str | None,
    region: str | None = None,
    follow: bool,
    as_json: bool,
    keys: Path | None = None,
    out: TextIO | None = None,
) -> None:
    """Show the poses of an endpoint until the run ends, ``out`` is closed, or Ctrl-C is pressed.

    Args:
        endpoint: Endpoint of the poses, or of the newest pose.
        camera: Show only this camera; None for the first one.
        region: Show only this region; None for all.
        follow: Whether to wait for the next run.
        as_json: Whether to print only a summary, as JSON.
        keys: Key file of this client; None without keys.
        out: Stream to print to; None for stdout.

    Raises:
        Terminated: if another signal than Ctrl-C arrives, after the summary is printed.
    """
    out = sys.stdout if out is None else out
    listener = Listener(endpoint)
    stopped: KeyboardInterrupt | None = None
    with Subscriber(endpoint, camera, keys=keys, region=region) as subscriber:
        try:
            _show_poses(listener, subscriber, out, follow=follow, as_json=as_json)
        except KeyboardInterrupt as interrupt:
            stopped = interrupt
        terminal.keep(out)
        last = json.dumps(listener.summary(subscriber)) if as_json else listener.final_line(subscriber)
        print(last if as_json else terminal.fold(last, terminal.columns(out)), file=out)
    if isinstance(stopped, Terminated) and stopped.number != signal.SIGINT:  # Ctrl-C is the usual end
        raise stopped


def _show_poses(listener: Listener, subscriber: Subscriber, out: TextIO, *, follow: bool, as_json: bool) -> None:
    """Count messages, and show the display if ``as_json`` is False, until the run ends or ``out`` is closed."""
    live = out.isatty() and not as_json
    next_ns = 0
    before: list[str] = []
    while not terminal.reader_gone(out):
        message = subscriber.receive(0.1)
        listener.handle(message, subscriber)
        if isinstance(message, HelloMessage) and not as_json and not live:
            print(f"{message.camera}: {message.source}, {message.width}x{message.height}", file=out)
        if isinstance(message, EventMessage) and not as_json:
            terminal.keep(out)  # the event stays above the display
            print(terminal.fold(event_line(message), terminal.columns(out)), file=out)
            before = []
        if not as_json and now_ns() >= next_ns:
            shown = listener.lines(subscriber, terminal.columns(out)) if live else [listener.line(subscriber)]
            if shown != before:  # in a log file, a line that says why nothing comes is enough once
                terminal.show(shown, out)
            before = shown
            next_ns = now_ns() + (_REFRESH_NS if live else _LINE_NS)
        if isinstance(message, EndMessage) and not follow:
            return


def _place(message: PoseMessage, *, one: bool) -> str:
    """Return the name of the camera, and of the region if there is one."""
    return f"{message.camera}/{message.region}" if one and message.region is not None else message.camera


def event_line(event: EventMessage) -> str:
    """Return an event as one line."""
    what = " ".join(filter(None, (event.kind.replace("_", " "), event.text)))
    where = "" if event.frame is None else f" at frame {event.frame}"
    return f"{event.camera}{where}: {what}" + (f", by {event.by}" if event.by else "")


def _keypoint(x: float | None, y: float | None, likelihood: float | None) -> list[str]:
    if x is None or y is None:
        return ["-"]
    return [f"x {x:7.1f}  y {y:7.1f}", "" if likelihood is None else f"likelihood {likelihood:.2f}"]


def _counters(subscriber: SubscriberBase) -> dict[str, int]:
    names = ("missed", "late", "restarts", "malformed", "oversize")
    return {name: getattr(subscriber, name) for name in names}


def _losses(subscriber: SubscriberBase) -> list[str]:
    """Return the number of missed messages, and each other count of lost or wrong messages that is above 0."""
    counted = _counters(subscriber)
    if (status := subscriber.last_status) is not None:  # frames that the run skipped, or did not receive
        counted |= {"skipped": status.counts.skipped, "frames lost": status.lost, "frames old": status.stale}
    return [f"{name} {n}" for name, n in counted.items() if n or name == "missed"]
