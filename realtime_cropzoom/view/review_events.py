"""What happened in a finished session, by frame: triggers, markers, lost stretches, missing frames, jumps.

Decisions of triggers are in the folders of trigger processes. Those of this run are found by the id of the run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from realtime_cropzoom.errors import ConfigError, DataError
from realtime_cropzoom.files.csv_text import Records
from realtime_cropzoom.files.paths import as_text
from realtime_cropzoom.sessions.latest import TRIGGERS
from realtime_cropzoom.sessions.review_session import OUTCOMES, ReviewSession
from realtime_cropzoom.sources.recording_table import recording_tables
from realtime_cropzoom.trigger.engine.events import Decision
from realtime_cropzoom.trigger.process.decision_log import read_decisions
from realtime_cropzoom.types import State
from realtime_cropzoom.yaml_file import read_yaml

MOST_OF_A_KIND = 5000
"""Maximum number of events of one kind. Further ones are counted in ``Events.left_out``."""
_DECISIONS = "_decisions.csv"
_EVENTS = "_events.csv"


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that happened at a frame, or lasted from one frame to another."""

    frame: int
    kind: str
    """``lost``, ``skipped``, ``failed``, ``unrecorded``, ``implausible``, ``uncertain``, ``reconnected``, ``jump``; the
    kind of an event of the run, such as ``marker``; or the verdict of a decision, such as ``fired``."""
    text: str
    last: int | None = None
    """The last frame of something that lasted; None if it has one frame."""
    px: float | None = None
    """Of a jump: its distance (frame pixels)."""
    rule: str | None = None
    """Of a decision: the rule."""


@dataclass
class Events:
    """All events of a session, in the order of frames, and what could not be read or shown."""

    events: list[Event] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    triggers: list[str] = field(default_factory=list)
    """Folders of the trigger processes whose decisions are among the events."""
    zones: dict[str, Any] = field(default_factory=dict)
    """Zones of their rules, in the form of the rules file, by name."""
    zones_of_rules: dict[str, list[str]] = field(default_factory=dict)
    """Names of the zones on which each rule depends."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Number of events beyond ``MOST_OF_A_KIND``, by kind."""


def collect_events(review: ReviewSession, triggers: Path | None = None) -> Events:
    """Return what happened in a session.

    Args:
        review: The session.
        triggers: Folder of a trigger process, or of several; None looks for ``triggers`` beside the session.
    """
    found = Events()
    found.events += _stretches(review)
    found.events += [
        Event(jump.frame, "jump", f"{jump.keypoint} jumped {jump.px:.0f} px", px=round(jump.px, 1))
        for jump in review.jumps()
    ]
    found.events += _of_run(review, found.problems)
    found.events += _of_triggers(review, triggers, found)
    found.events, found.left_out = _limited(sorted(found.events, key=lambda event: event.frame))
    return found


def _limited(events: Iterable[Event]) -> tuple[list[Event], dict[str, int]]:
    counts: Counter[str] = Counter()
    kept = []
    for event in events:
        counts[event.kind] += 1
        if counts[event.kind] <= MOST_OF_A_KIND:
            kept.append(event)
    return kept, {kind: n - MOST_OF_A_KIND for kind, n in counts.items() if n > MOST_OF_A_KIND}


def _stretches(review: ReviewSession) -> Iterator[Event]:
    """Yield what the files of the run say of stretches of frames."""
    for state, first, end in review.tables.state_spans():
        if state == State.LOST:
            yield _span("lost", first, end, f"lost{_lasting(review, first, end)}")
    for kind in ("skipped", "failed"):
        for first, end in _runs(review.outcomes == OUTCOMES.index(kind)):
            yield _span(kind, first, end, f"{_frames(end - first)} {kind}")
    doubts = review.tables.frames["doubt"].fillna("").to_numpy(str)
    for first, end in _runs(doubts != ""):
        why = Counter(doubts[first:end].tolist()).most_common(1)[0][0]
        yield _span("implausible", first, end, f"{_frames(end - first)} implausible: {why}")
    for first, end in _runs(review.tables.uncertain):
        yield _span("uncertain", first, end, f"{_frames(end - first)} uncertain: it may be another animal from here on")
    segments = review.timing["segment"].to_numpy(np.float64)
    for frame in np.flatnonzero(np.diff(segments) > 0) + 1:
        yield Event(int(frame), "reconnected", "the source came back after it had broken off")
    yield from _unrecorded(review)


def _unrecorded(review: ReviewSession) -> Iterator[Event]:
    """Yield the frames that a recording of the session should have and lacks."""
    lacking: dict[int, str] = {}
    recorded: set[int] = set()
    for path in recording_tables(review.session.poses):
        try:
            for row in Records(path, complete_only=True):
                if row["recorded"]:
                    recorded.add(int(row["frame"]))
                elif row["dropped"]:
                    lacking[int(row["frame"])] = row["dropped"]
        except (DataError, KeyError, TypeError, ValueError):
            continue
    missing = np.zeros(review.count, bool)
    missing[[frame for frame in lacking if frame not in recorded and frame < review.count]] = True
    for first, end in _runs(missing):
        why = lacking[first].replace("_", " ")
        yield _span("unrecorded", first, end, f"{_frames(end - first)} not in the recording: {why}")


def _of_run(review: ReviewSession, problems: list[str]) -> Iterator[Event]:
    """Yield the events that the run itself wrote down: markers, changed settings, starts of recordings."""
    path = review.session.poses.with_name(f"{review.session.poses.stem}{_EVENTS}")
    if not path.is_file():
        return
    try:
        for row in Records(path, complete_only=True):
            frame = int(row["frame"]) if row.get("frame") else 0
            if row["kind"] not in ("lost", "found"):  # the states of the frames say it
                by = f" ({row['by']})" if row.get("by") else ""
                text = row["text"] or row["kind"].replace("_", " ")
                yield Event(min(frame, review.count - 1), row["kind"], as_text(text + by))
    except (DataError, KeyError, TypeError, ValueError) as error:
        problems.append(f"{path.name} cannot be read: {error}")


def _of_triggers(review: ReviewSession, given: Path | None, found: Events) -> Iterator[Event]:
    for log in _decision_logs(review, given):
        try:
            decisions = read_decisions(log) if _may_be_of(log, review, given) else []
        except (DataError, OSError) as error:
            found.problems.append(f"{log.parent.name}: {error}")
            continue
        events = [event for decision in decisions if (event := _of_decision(decision, review)) is not None]
        if any(decision.run == review.run for decision in decisions) or (given is not None and events):
            found.triggers.append(as_text(log.parent.name))
            _read_zones(log, found)
            yield from events


def _read_zones(log: Path, found: Events) -> None:
    """Read the zones of the rules that a trigger process kept beside its log; none if they cannot be read."""
    try:
        rules = read_yaml(log.with_name(log.name.removesuffix(_DECISIONS) + ".yaml"))
    except ConfigError:
        return
    zones = rules.get("zones") if isinstance(rules, dict) else None
    if not isinstance(zones, dict):
        return
    found.zones.update(zones)
    for rule, spec in (rules.get("rules") or {}).items():
        when = spec.get("when") if isinstance(spec, dict) else None
        found.zones_of_rules[str(rule)] = sorted(set(_texts_in(when)) & set(zones))


def _texts_in(node: Any) -> Iterator[str]:
    """Yield the texts among the values of nested lists and mappings."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, list | dict):
        for inner in node.values() if isinstance(node, dict) else node:
            yield from _texts_in(inner)


def _decision_logs(review: ReviewSession, given: Path | None) -> list[Path]:
    """Return the logs of the trigger processes that may belong to the session.

    Raises:
        DataError: if the folder that was given has none.
    """
    if given is not None:
        logs = _logs_in(given)
        if not logs:
            raise DataError(
                f"{given} has no {_DECISIONS[1:]} of a trigger process; expected the folder of one, or of several"
            )
        return logs
    folder = review.folder.absolute()
    places = dict.fromkeys((folder / TRIGGERS, folder.parent / TRIGGERS, folder.parent.parent / TRIGGERS))
    return [log for place in places for log in _logs_in(place)] if review.run is not None else []


def _logs_in(folder: Path) -> list[Path]:
    return sorted({*folder.glob(f"*{_DECISIONS}"), *folder.glob(f"*/*{_DECISIONS}")})


def _may_be_of(log: Path, review: ReviewSession, given: Path | None) -> bool:
    """Return whether a log names the run anywhere, which is quicker to see than to read all of its decisions."""
    return given is not None or (review.run is not None and review.run.encode() in log.read_bytes())


def _of_decision(decision: Decision, review: ReviewSession) -> Event | None:
    """Return the event of a decision; None if it was made on another run, or at another time."""
    if decision.run not in (None, review.run):
        return None
    frame = decision.frame if decision.run is not None else None
    frame = review.nearest_frame(decision.now_ns) if frame is None else frame
    if frame is None or not 0 <= frame < review.count:
        return None
    outputs = ", ".join(f"{action.output} {action.act}" for action in decision.actions)
    text = ": ".join(part for part in (decision.rule, decision.reason) if part)
    return Event(
        frame,
        str(decision.verdict),
        as_text(f"{text} → {outputs}" if outputs else text),
        rule=as_text(decision.rule) if decision.rule else None,
    )


def _runs(mask: Any) -> list[tuple[int, int]]:
    """Return first and end of each stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _span(kind: str, first: int, end: int, text: str) -> Event:
    return Event(first, kind, text, last=end - 1 if end - 1 > first else None)


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"


def _lasting(review: ReviewSession, first: int, end: int) -> str:
    seconds = review.tables.seconds
    lasted = seconds[min(end, review.count - 1)] - seconds[first]
    return f" for {lasted:.2f} s" if np.isfinite(lasted) else f" for {_frames(end - first)}"
