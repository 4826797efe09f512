"""What the tests of triggers share: rules from text, streams of poses, and an engine that is fed them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from realtime_cropzoom.messaging.message import Counts, EndMessage, HelloMessage, PoseMessage, StatusMessage, TimeField
from realtime_cropzoom.trigger.engine.engine import Engine
from realtime_cropzoom.trigger.engine.events import (
    AnimalPose,
    AnimalsEvent,
    Command,
    Decision,
    Event,
    Order,
    PoseEvent,
    PublisherEvent,
    Tick,
    Verdict,
)
from realtime_cropzoom.trigger.process.message_events import event_from_message
from realtime_cropzoom.trigger.rules.rules import Rules, parse_rules

MS = 1_000_000
START_NS = 1_000_000_000
"""When frame 0 was captured."""
LATENCY_NS = 5 * MS
"""From captured to received."""
COUNTS = Counts(0, 0, 0, 0, 0)
Place = tuple[float | None, float | None, float | None]


def rules(text: str, **settings: Any) -> Rules:
    """Rules with two zones and two outputs; ``text`` has the rules alone, as YAML."""
    return parse_rules(
        {
            "zones": {
                "left_half": {"rectangle_px": [0, 0, 320, 480]},
                "disc": {"circle_px": [320, 240, 60]},
            },
            "outputs": {"laser": {"serial": "x"}, "marks": {"zmq_publish": "x"}},
            "bridge_ms": 100,
            **settings,
            "rules": yaml.safe_load(text),
        }
    )


def one_rule(when: str, **settings: Any) -> Rules:
    """Rules of one rule, ``r``, that pulses the laser for 10 ms; ``settings`` may be the rule's or the file's."""
    own = {k: v for k, v in settings.items() if k in _OF_A_RULE}
    of_all = {k: v for k, v in settings.items() if k not in _OF_A_RULE}
    action = {} if own.get("hold") else {"pulse_ms": 10}
    built = rules("{r: {when: {state: tracking}, fire: laser, pulse_ms: 10}}", **of_all).model_dump(
        by_alias=True, exclude_unset=True
    )
    built["rules"] = {"r": {"when": yaml.safe_load(when), "fire": "laser", **action, **own}}
    return parse_rules(_plain(built))


_OF_A_RULE = {
    *("for_ms", "fire", "pulse_ms", "hold", "repeat", "refractory_ms", "probability", "max_per_minute", "max_fired"),
    *("max_on_s", "minutes", "max_age_ms", "min_likelihood", "states", "animal", "uncertain"),
}


def _plain(value: Any) -> Any:
    """Tuples as lists, as YAML has them."""
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def pose(
    frame: int,
    at_ms: float,
    keypoints: Mapping[str, Place],
    *,
    state: str = "tracking",
    stream: str = "live",
    run: str = "run",
    camera: str = "cam0",
    segment: int = 0,
    seq: int | None = None,
) -> PoseMessage:
    """A pose captured ``at_ms`` after the start."""
    captured_ns = START_NS + round(at_ms * MS)
    times = TimeField(
        device_ns=None,
        captured_ns=captured_ns,
        detected_ns=None,
        cropped_ns=None,
        inferred_ns=captured_ns + 3 * MS,
        published_ns=captured_ns + 4 * MS,
        unix_offset_ns=0,
    )
    return PoseMessage(
        schema=1,
        run=run,
        camera=camera,
        seq=frame if seq is None else seq,
        frame=frame,
        state=state,
        stream=stream,
        keypoints=dict(keypoints),
        box=None,
        time=times,
        counts=COUNTS,
        segment=segment,
    )


def animal(
    number: int,
    x: float | None,
    y: float | None = 100.0,
    p: float | None = 0.9,
    *,
    state: str = "tracking",
    uncertain: bool = False,
    meetings: int = 0,
    **others: Place,
) -> AnimalPose:
    """One of several animals, with a snout at x, y; further keypoints by name."""
    keypoints = {"snout": (x, y, p), **others}
    return AnimalPose(
        number=number, state=state, keypoints=keypoints, plausible=True, uncertain=uncertain, meetings=meetings
    )


def animals(frame: int, at_ms: float, *seen: AnimalPose, run: str = "run") -> AnimalsEvent:
    """A frame with several animals, captured ``at_ms`` after the start and received as ``received`` does it."""
    captured_ns = START_NS + round(at_ms * MS)
    return AnimalsEvent(
        captured_ns + LATENCY_NS,
        run,
        "cam0",
        seq=frame,
        frame=frame,
        stream="live",
        captured_ns=captured_ns,
        published_ns=captured_ns + 4 * MS,
        animals=list(seen),
    )


def received(message: PoseMessage, latency_ms: float = LATENCY_NS / MS) -> PoseEvent:
    event = event_from_message(message, message.time.captured_ns + round(latency_ms * MS))
    assert isinstance(event, PoseEvent)
    return event


def status(stream: str, at_ms: float, run: str = "run") -> PublisherEvent:
    at_ns = START_NS + round(at_ms * MS)
    return event_from_message(status_message(stream, at_ns, run), at_ns)


def status_message(stream: str, at_ns: int, run: str = "run") -> StatusMessage:
    return StatusMessage(
        schema=1,
        run=run,
        camera="cam0",
        state="tracking",
        stream=stream,
        counts=COUNTS,
        backlog=0,
        fps=0.0,
        detector_fps=0.0,
        latency_ms={},
        time_ns=at_ns,
        unix_offset_ns=0,
    )


def end(at_ms: float, run: str = "run") -> PublisherEvent:
    at_ns = START_NS + round(at_ms * MS)
    return event_from_message(end_message(at_ns, run), at_ns)


def end_message(at_ns: int, run: str = "run") -> EndMessage:
    return EndMessage(schema=1, run=run, camera="cam0", reason="finished", counts=COUNTS, time_ns=at_ns)


def hello(names: list[str], at_ms: float = 0.0, run: str = "run") -> PublisherEvent:
    at_ns = START_NS + round(at_ms * MS)
    return event_from_message(hello_message(names, run), at_ns)


def hello_message(names: list[str], run: str = "run") -> HelloMessage:
    return HelloMessage(
        schema=1,
        run=run,
        camera="cam0",
        source="film",
        keypoint_names=names,
        width=640,
        height=480,
        fps=30.0,
        detector_sha256=None,
        pose_sha256="",
        config_sha256="",
        version="",
        unix_offset_ns=0,
    )


def order(what: str, at_ms: float = 0.0, target: str | None = None) -> Command:
    return Command(START_NS + round(at_ms * MS), Order(what), "key", target)


def tick(at_ms: float) -> Tick:
    return Tick(START_NS + round(at_ms * MS))


class Bench:
    """An engine and a clock in ms: feeds it poses of one keypoint or more, every ``step_ms``."""

    def __init__(self, built: Rules, *, armed: bool = True, step_ms: float = 10.0, seed: int = 1, **parts: Any) -> None:
        self.engine = Engine(built, seed, **parts)
        self.decisions: list[Decision] = []
        self.step_ms = step_ms
        self.at_ms = 0.0
        self.frame = 0
        if armed:
            self.take(order("arm"))
            self.decisions.clear()

    def take(self, *events: Event) -> list[Decision]:
        new = [decision for event in events for decision in self.engine.take(event)]
        self.decisions += new
        return new

    def see(self, x: float | None, y: float | None = 100.0, p: float | None = 0.9, **others: Any) -> list[Decision]:
        """One pose with a snout at x, y; further keypoints and message fields by name."""
        latency_ms = others.pop("latency_ms", LATENCY_NS / MS)
        more = {k: others.pop(k) for k in list(others) if isinstance(others[k], tuple)}
        message = pose(self.frame, self.at_ms, {"snout": (x, y, p), **more}, **others)
        self.frame += 1
        self.at_ms += self.step_ms
        return self.take(received(message, latency_ms))

    def see_all(self, xs: Iterable[float | None], **others: Any) -> list[Decision]:
        return [decision for x in xs for decision in self.see(x, **others)]

    def wait(self, ms: float) -> list[Decision]:
        """Let time go by without a message, with the ticks that a live loop would make."""
        until_ns = START_NS + round((self.at_ms + ms) * MS)
        new = []
        while (due_ns := self.engine.deadline_ns) is not None and due_ns <= until_ns:
            new += self.take(Tick(due_ns))
        self.at_ms += ms
        return new + self.take(Tick(until_ns))


def verdicts(decisions: Iterable[Decision], *which: Verdict | str) -> list[str]:
    wanted = {str(w) for w in which}
    return [str(d.verdict) for d in decisions if not wanted or str(d.verdict) in wanted]


def fired_frames(decisions: Iterable[Decision]) -> list[int | None]:
    return [d.frame for d in decisions if d.verdict is Verdict.FIRED]
