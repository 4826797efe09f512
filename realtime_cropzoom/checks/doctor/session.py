"""Session side: what the files of a run say, its settings, and which of its frames to look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from realtime_cropzoom.checks.doctor.facts import SessionFacts
from realtime_cropzoom.checks.doctor.samples import FOLLOWING, MOMENTS
from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.errors import DataError, advise
from realtime_cropzoom.pipeline.regions import Region, make_region
from realtime_cropzoom.project.folder import is_project
from realtime_cropzoom.sessions.files import find_video
from realtime_cropzoom.sessions.table import SessionTables, read_session
from realtime_cropzoom.sources.recording_table import is_recording_of, read_captured_frames
from realtime_cropzoom.types import Bool, Int64, State

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
    animals: int
    """Number of animals of the run in one arena."""
    region: Region | None
    """The region of the run to look at; None for the whole frame."""
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
    session, wanted = tables.session, tuple(_wanted(tables, video).tolist())
    animals = 1 if session.animal is None else len(session.regions)
    region = make_region(str(session.region), session.outline) if session.outline else None
    return OfSession(_facts(tables), video, wanted, settings, animals, region, models)


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
    return choose_places((states != State.TRACKING.value) & (states != ""))


def choose_places(lost: Bool) -> Int64:
    """Return which frames to look at, spread over the session: half of them or more are lost ones, if so many are.

    Args:
        lost: (n,) whether the animal is lost in each frame.

    Returns:
        At most ``MOMENTS`` numbers of frames, in order, and no neighbours unless the session is very short.
    """
    every = np.arange(len(lost))
    apart = min(FOLLOWING + 1, max(1, len(lost) // MOMENTS))
    if 2 * int(lost.sum()) >= len(lost):
        return _spread(every, MOMENTS, apart)
    few = 2 * int(lost.sum()) < apart * MOMENTS  # they are nearer to each other, so that half of all can be lost ones
    some = _spread(every[lost], MOMENTS // 2, min(apart, 2) if few else apart)
    gap = max(apart, len(lost) // (3 * MOMENTS))
    far = [place for place in every.tolist() if not len(some) or np.abs(some - place).min() >= gap]
    return np.union1d(some, _spread(np.array(far, np.int64), MOMENTS - len(some), apart))


def _spread(places: Int64, count: int, apart: int) -> Int64:
    """Return at most ``count`` of the places, evenly spread over them, each at least ``apart`` after the last."""
    count, chosen = min(count, -(-len(places) // apart)), list[int]()
    for k in np.linspace(0, len(places) - 1, count).round().astype(int) if len(places) else ():
        if not chosen or places[k] - chosen[-1] >= apart:
            chosen.append(int(places[k]))
    return np.array(chosen, np.int64)
