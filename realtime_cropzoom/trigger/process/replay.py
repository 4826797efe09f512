"""Replay of rules: on the inputs of a trigger session, or on the files of any session.

From the inputs of a trigger session, the decisions are the same as live, byte for byte. From the files of a session,
events are built from poses and times, with ticks at the deadlines of the engine. This shows which rules would have
fired, and on which frame, so that rules can be tried on an earlier recording.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from realtime_cropzoom.errors import DataError, error_text
from realtime_cropzoom.files.csv_text import Records
from realtime_cropzoom.sessions.files import region_files
from realtime_cropzoom.sessions.latest import find_session
from realtime_cropzoom.sessions.table import SessionTables, read_session
from realtime_cropzoom.trigger.engine.engine import Engine
from realtime_cropzoom.trigger.engine.events import (
    AnimalPose,
    AnimalsEvent,
    Command,
    Decision,
    EndEvent,
    Event,
    FrameEvent,
    Order,
    PoseEvent,
    StreamEvent,
    Tick,
)
from realtime_cropzoom.trigger.engine.factory import build_smoother
from realtime_cropzoom.trigger.process.input_log import read_inputs
from realtime_cropzoom.trigger.process.message_events import FrameFields
from realtime_cropzoom.types import StreamState

_FIRST_NS = 1_000_000_000
"""Time (ns) of the first frame, for files that have frame times only."""


def replay_inputs(path: Path) -> Iterator[Decision]:
    """Yield the decisions of a trigger session again, from its input log.

    Raises:
        DataError: if the log cannot be read.
    """
    inputs = read_inputs(path)
    engine = Engine(inputs.rules, inputs.seed, inputs.calibration, build_smoother(inputs.rules))
    for event in inputs.events:
        yield from engine.take(event)


def replay(engine: Engine, events: Iterable[Event]) -> Iterator[Decision]:
    """Yield the decisions on events without ticks; ticks are added at the deadlines of the engine."""
    for event in events:
        while (due_ns := engine.deadline_ns) is not None and due_ns < event.at_ns:
            yield from engine.take(Tick(due_ns))
        yield from engine.take(event)


def read_parts(path: Path, fps: float | None = None) -> list[SessionTables]:
    """Read the tables of a session: one, or those of all regions, or of all animals that share an arena.

    Args:
        path: A session folder or a pose file. A file of one region is this region alone; a file of one of several
            animals stands for all of them, as a rule may ask for any.
        fps: Frame rate, for pose files without times.

    Raises:
        DataError: if a file cannot be read, or files of animals are missing.
    """
    found = find_session(path)
    parts = region_files(found) if found.is_dir() else []
    if parts:
        return [read_session(part, fps=fps) for part in parts]
    tables = read_session(path, fps=fps)
    if tables.session.animals == 1:
        return [tables]
    files = region_files(tables.session.folder)
    if len(files) < tables.session.animals:
        raise DataError(
            f"{path} is of a run with {tables.session.animals} animals, but {tables.session.folder} has the files of "
            f"{len(files)}; give the folder of the session, with all files of the run"
        )
    return [read_session(part, fps=fps) for part in files]


def session_events(
    path: Path,
    *,
    latency_ms: float = 5.0,
    fps: float | None = None,
    arm: bool = True,
    parts: Sequence[SessionTables] | None = None,
) -> Iterator[Event]:
    """Yield the events that a trigger process would have received live, from the files of the run.

    Args:
        path: A session folder or a pose file. Published poses of a live run come at the times of their publication.
            Others (after ``--pace fast``, or predictions of Lightning Pose) come ``latency_ms`` after their frame time.
        latency_ms: Time (ms) from capture to publication, for poses that were not published.
        fps: Frame rate, for pose files without times.
        arm: Arm all rules at the start.
        parts: What ``read_parts`` gives for ``path``, if it has been read.

    Raises:
        DataError: if there are no times.
    """
    parts = read_parts(path, fps) if parts is None else parts
    tracks = [_Track(tables, tables.states, _moments(tables, latency_ms)) for tables in parts]
    begins_ns = [moment.captured_ns for track in tracks for moment in track.moments if moment is not None]
    if not begins_ns:
        raise DataError(f"{path} has no times, so that nothing can be replayed; give the frame rate with --fps")
    if arm:
        yield Command(min(begins_ns), Order.ARM, "start")
    session = parts[0].session
    run, camera = str(session.summary.get("run", "")), str(session.settings.get("camera") or "")
    if session.animals > 1:
        frames: Iterable[FrameEvent] = _animals_events(tracks, run, camera)
    else:
        frames = heapq.merge(*(_pose_events(track, run, camera) for track in tracks), key=lambda event: event.at_ns)
    last_ns = 0
    for event in frames:
        last_ns = max(last_ns, event.at_ns)
        yield event
    yield StreamEvent(last_ns + 1, run, camera, stream=StreamState.ENDED)
    yield EndEvent(last_ns + 1, run, camera, reason="finished")


class _Track(NamedTuple):
    """What the files say of one animal, frame by frame."""

    tables: SessionTables
    states: tuple[str, ...]
    moments: list[_Moment | None]
    """None for a frame without a message."""


def _pose_events(track: _Track, run: str, camera: str) -> Iterator[PoseEvent]:
    """Yield the poses of the animal of the whole frame, or of one region."""
    for frame, moment in enumerate(track.moments):
        if moment is not None:
            yield PoseEvent(
                moment.published_ns,
                run,
                camera,
                **_of_frame(frame, moment),
                **_of_animal(track, frame, moment),
                region=track.tables.session.region,
            )


def _animals_events(tracks: Sequence[_Track], run: str, camera: str) -> Iterator[AnimalsEvent]:
    """Yield the frames of several animals that the files of all have: a killed run may have lost the last ones."""
    identities = [_identities(track.tables) for track in tracks]
    for frame, moments in enumerate(zip(*(track.moments for track in tracks), strict=False)):
        here = [moment for moment in moments if moment is not None]
        if len(here) == len(tracks):
            shown = zip(tracks, here, identities, strict=True)
            yield AnimalsEvent(
                here[0].published_ns,
                run,
                camera,
                **_of_frame(frame, here[0]),
                animals=[
                    AnimalPose(number=number, **_of_animal(track, frame, moment), **identity[frame])
                    for number, (track, moment, identity) in enumerate(shown, start=1)
                ],
            )


def _of_frame(frame: int, moment: _Moment) -> FrameFields:
    return FrameFields(
        seq=moment.seq,
        frame=frame,
        stream=StreamState.LIVE,
        captured_ns=moment.captured_ns,
        published_ns=moment.published_ns,
        segment=moment.segment,
    )


class _OfAnimal(TypedDict):
    state: str
    keypoints: dict[str, tuple[float | None, float | None, float | None]]
    plausible: bool | None
    doubt: str | None


def _of_animal(track: _Track, frame: int, moment: _Moment) -> _OfAnimal:
    tables = track.tables
    points: Any = (tuple(v if math.isfinite(v) else None for v in row) for row in tables.poses[frame].tolist())
    return _OfAnimal(
        state=track.states[frame] or "tracking",
        keypoints=dict(zip(tables.keypoint_names, points, strict=True)),
        plausible=moment.plausible == "yes" if moment.plausible else None,
        doubt=None if moment.plausible in ("", "yes") else moment.plausible,
    )


class _Identity(TypedDict):
    uncertain: bool
    meetings: int


def _identities(tables: SessionTables) -> list[_Identity]:
    """Return for each frame whether the animal may be another one, and how often it met one."""
    if "uncertain" not in tables.frames:
        raise DataError(f"{tables.session.boxes} does not say when the animal was uncertain; expected that column")
    uncertain, meetings = tables.frames["uncertain"].fillna(True), tables.frames["meetings"].fillna(0)
    return [_Identity(uncertain=bool(u), meetings=int(m)) for u, m in zip(uncertain, meetings, strict=True)]


class _Moment(NamedTuple):
    """Times of a frame and of its message, with the number and the plausibility of the message."""

    captured_ns: int
    published_ns: int
    seq: int
    segment: int
    plausible: str = ""
    """As in the timing table: ``yes``, or the reason against it; empty if unchecked."""


def _moments(tables: SessionTables, latency_ms: float) -> list[_Moment | None]:
    """Return the moment of each frame; None if it had no message."""
    timing = tables.session.timing
    if timing is not None and tables.session.settings.get("pace") != "fast":
        published = _published(timing, len(tables.poses))
        if any(published):
            return published
    later_ns = round(latency_ms * 1e6)
    made = tables.frames["outcome"].fillna("processed") == "processed"
    times_ns = [None if math.isnan(s) else _FIRST_NS + round(s * 1e9) for s in tables.seconds]
    return [
        _Moment(at_ns, at_ns + later_ns, frame, 0) if at_ns is not None and ok else None
        for frame, (at_ns, ok) in enumerate(zip(times_ns, made, strict=True))
    ]


def _published(timing: Path, count: int) -> list[_Moment | None]:
    """Read the times as whole ns, which a table of floats does not hold exactly."""
    moments: list[_Moment | None] = [None] * count
    try:
        for row in Records(timing, complete_only=True):
            frame = int(row["frame"])
            if row["published_ns"] and frame < count:
                captured_ns, published_ns, seq = (int(row[name]) for name in ("captured_ns", "published_ns", "seq"))
                plausible = row.get("plausible") or ""
                moments[frame] = _Moment(captured_ns, published_ns, seq, int(row.get("segment") or 0), plausible)
    except (ValueError, KeyError) as error:
        raise DataError(f"cannot read {timing}: {error_text(error)}") from None
    return moments
