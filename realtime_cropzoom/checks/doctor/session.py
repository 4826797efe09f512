"""Session side: what the files of a run say, its settings, and which of its frames to look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from realtime_cropzoom.checks.doctor.facts import SessionFacts
from realtime_cropzoom.checks.doctor.samples import MOMENTS
from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.errors import DataError, advise
from realtime_cropzoom.project.folder import is_project
from realtime_cropzoom.sessions.files import find_video
from realtime_cropzoom.sessions.table import SessionTables, read_session
from realtime_cropzoom.sources.recording_table import is_recording_of, read_captured_frames
from realtime_cropzoom.types import Int64, State

_OF_MODELS = (
    *("project", "detector", "pose", "precision", "provider", "decoder", "crop_size", "crop_ratio", "anchor_keypoints"),
    *("min_likelihood", "min_box", "edge", "detector_min_sharpness", "pose_min_sharpness", "pose_min_likelihood"),
    "shape_tolerance",
)
"""Settings of a run that say what its models see."""


@dataclass(frozen=True, slots=True)
class OfSession:
    """What a session says, and where its frames are."""

    facts: SessionFacts
    video: str
    """The source that was played, or the recording of the run."""
    wanted: tuple[int, ...]
    """Numbers of the frames of ``video`` to look at."""
    settings: dict[str, Any]
    """The settings of the run that say what its models see; empty if it left none."""
    models: dict[str, Any]
    """The models of the run, by role, with ``path``, ``sha256`` and ``shipped``; empty if it does not say."""


def read_of_session(path: Path, source: str | None = None) -> OfSession:
    """Read what a session says.

    Args:
        path: The folder of a run, or a pose file.
        source: Its recording; None for the one it was tracked from.

    Raises:
        DataError: if it is no session, has no frame, or its recording is not found.
    """
    tables = read_session(path)
    video = source or find_video(tables.source, tables.path)
    if video is None:
        raise DataError(
            f"{path}: its frames were not recorded, or the recording is not where it was"
            + advise("; give it with --source")
        )
    known = {name: value for name, value in tables.session.settings.items() if name in _OF_MODELS}
    settings = {name: value for name, value in known.items() if name in Settings.model_fields}
    if settings.get("project") is not None and not is_project(Path(str(settings["project"]))):
        del settings["project"]  # it is gone; the models may still be there
    models = tables.session.summary.get("models") or {}
    return OfSession(_facts(tables), video, tuple(_wanted(tables, video).tolist()), settings, models)


def _facts(tables: SessionTables) -> SessionFacts:
    states = np.array(tables.states)
    known = states != ""
    if not known.any():
        raise DataError(f"{tables.path} has no frame with a state; expected a session with frames")
    animal = tables.session.summary.get("animal") or {}
    counts = tables.session.summary.get("counts") or {}
    captured = counts.get("captured") or 0
    return SessionFacts(
        frames=int(known.sum()),
        tracked=float((states[known] == State.TRACKING.value).mean()),
        longest_lost=_longest(known & (states != State.TRACKING.value)),
        jumps=animal.get("jumps"),
        skipped=(counts.get("skipped") or 0) / captured if captured else 0.0,
    )


def _longest(lost: np.ndarray) -> tuple[int, int] | None:
    """Return the longest stretch of True: its begin, and the place after its end."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], lost, [False])).astype(np.int8)))
    begins, ends = edges[::2], edges[1::2]
    if not len(begins):
        return None
    k = int(np.argmax(ends - begins))
    return int(begins[k]), int(ends[k])


def _wanted(tables: SessionTables, video: str) -> Int64:
    """Return which frames of the video to look at: half of them lost ones, if there are some, and all in order."""
    every = np.arange(len(tables.poses))
    captured = read_captured_frames(video) if is_recording_of(video, tables.path) else None
    if captured is not None:
        every = np.array(captured, np.int64)
    states = np.array(tables.states)[every[every < len(tables.poses)]]
    places = np.arange(len(states))
    lost = places[(states != State.TRACKING.value) & (states != "")]
    some = _spread(lost, MOMENTS // 2)
    rest = _spread(np.setdiff1d(places, some), MOMENTS - len(some))
    return np.union1d(some, rest).astype(np.int64)


def _spread(places: Int64, count: int) -> Int64:
    if not len(places) or count < 1:
        return places[:0]
    return np.asarray(places[np.unique(np.linspace(0, len(places) - 1, count).round().astype(int))], np.int64)
