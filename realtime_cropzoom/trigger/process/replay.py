"""Replay of rules: on the inputs of a trigger session, or on the files of any session.

From the inputs of a trigger session, the decisions are the same as live, byte for byte. From the files of a session,
events are built from poses and times, with ticks at the deadlines of the engine. This shows which rules would have
fired, and on which frame, so that rules can be tried on an earlier recording.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from realtime_cropzoom.errors import DataError, error_text
from realtime_cropzoom.files.csv_text import Records
from realtime_cropzoom.sessions.table import SessionTables, read_session
from realtime_cropzoom.trigger.engine.engine import Engine
from realtime_cropzoom.trigger.engine.events import (
    Command,
    Decision,
    EndEvent,
    Event,
    Order,
    PoseEvent,
    StreamEvent,
    Tick,
)
from realtime_cropzoom.trigger.engine.factory import build_smoother
from realtime_cropzoom.trigger.process.input_log import read_inputs
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


def session_events(
    path: Path,
    *,
    latency_ms: float = 5.0,
    fps: float | None = None,
    arm: bool = True,
    tables: SessionTables | None = None,
) -> Iterator[Event]:
    """Yield the events that a trigger process would have received live, from the files of the run.

    Args:
        path: A session folder or a pose file. Published poses of a live run come at the times of their publication.
            Others (after ``--pace fast``, or predictions of Lightning Pose) come ``latency_ms`` after their frame time.
        latency_ms: Time (ms) from capture to publication, for poses that were not published.
        fps: Frame rate, for pose files without times.
        arm: Arm all rules at the start.
        tables: Tables of ``path``, if they have been read.

    Raises:
        DataError: if there are no times.
    """
    tables = read_session(path, fps=fps) if tables is None else tables
    moments = _moments(tables, latency_ms)
    first = next((moment for moment in moments if moment is not None), None)
    if first is None:
        raise DataError(f"{path} has no times, so that nothing can be replayed; give the frame rate with --fps")
    if arm:
        yield Command(first.captured_ns, Order.ARM, "start")
    session = tables.session
    run, camera = str(session.summary.get("run", "")), str(session.settings.get("camera") or "")
    last_ns = 0
    for frame, moment in enumerate(moments):
        if moment is not None:
            last_ns = max(last_ns, moment.published_ns)
            yield _pose_event(tables, frame, moment, run, camera)
    yield StreamEvent(last_ns + 1, run, camera, stream=StreamState.ENDED)
    yield EndEvent(last_ns + 1, run, camera, reason="finished")


def _pose_event(tables: SessionTables, frame: int, moment: _Moment, run: str, camera: str) -> PoseEvent:
    points: Any = (tuple(v if math.isfinite(v) else None for v in row) for row in tables.poses[frame].tolist())
    return PoseEvent(
        moment.published_ns,
        run,
        camera,
        seq=moment.seq,
        frame=frame,
        state=tables.states[frame] or "tracking",
        stream=StreamState.LIVE,
        captured_ns=moment.captured_ns,
        published_ns=moment.published_ns,
        segment=moment.segment,
        keypoints=dict(zip(tables.keypoint_names, points, strict=True)),
        plausible=moment.plausible == "yes" if moment.plausible else None,
        doubt=None if moment.plausible in ("", "yes") else moment.plausible,
        region=tables.session.region,
    )


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
