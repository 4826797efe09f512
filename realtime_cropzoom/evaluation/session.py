"""A session, judged: what ran live beside the labels of its frames, and what can be said without any label."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from realtime_cropzoom.errors import DataError, listed
from realtime_cropzoom.evaluation.judgement import SURE
from realtime_cropzoom.evaluation.results import Results
from realtime_cropzoom.evaluation.truth import Truth
from realtime_cropzoom.files.paths import user_path
from realtime_cropzoom.inference.pose_quality import pose_lengths
from realtime_cropzoom.labelling.frame_table import FrameRow
from realtime_cropzoom.sessions.table import SessionTables, read_session
from realtime_cropzoom.sources.image_file import read_image
from realtime_cropzoom.sources.recording_table import read_captured_frames, recorded_videos
from realtime_cropzoom.types import Float64, State

JUMP_OF_BODY = 0.5
"""Distance from one frame to the next from which a keypoint has jumped, as a share of the animal's length."""


class Stretch(NamedTuple):
    """Frames in a row in which the animal was not tracked."""

    first: int
    """First frame."""
    frames: int
    """Number of frames."""
    seconds: float
    """How long it lasted; NaN without frame times."""


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What can be said of a session without labels."""

    name: str
    frames: int
    """Number of frames with a result."""
    states: tuple[str, ...]
    """State of each frame; empty where it has none."""
    seconds: float
    """Its length; NaN without frame times."""
    likelihood: dict[str, tuple[float, float]]
    """Median likelihood of each keypoint, and the share of frames in which rules would trust it; NaN if unknown."""
    lost: tuple[Stretch, ...]
    """Stretches between frames that were tracked, the longest first."""
    jumps: int
    """Number of frames in which a trusted keypoint is more than ``JUMP_OF_BODY`` from where it was a frame before."""
    length_px: tuple[float, float, float]
    """Length of the animal in the tracked frames: 5 %, median, 95 %; NaN if unknown."""
    trained_px: float
    """Its length in the labels of the project; NaN if unknown."""
    other_models: bool = False
    """Whether other models ran than those of the project."""

    @property
    def tracked(self) -> float:
        """Share of frames that were tracked; NaN without frames."""
        tracked = sum(state == State.TRACKING for state in self.states)
        return tracked / self.frames if self.frames else float("nan")


def open_session(path: Path, keypoints: tuple[str, ...]) -> SessionTables:
    """Read a session. Raises DataError if it is not one, has no frames, or has other keypoints than the project."""
    tables = read_session(path)
    missing = [name for name in keypoints if name not in tables.keypoint_names]
    if missing:
        raise DataError(
            f"{path} has the keypoints {listed(tables.keypoint_names)}; expected {listed(keypoints)}. It is a session "
            "of another project: give one of this project's models"
        )
    if not len(tables.poses):
        raise DataError(f"{path} has no frame; there is nothing to judge")
    if not any(tables.states):
        raise DataError(
            f"{path} does not say in which frames the animal was tracked; expected the run's file *_bbox.csv beside "
            "its poses. Copy the whole folder of the session"
        )
    return tables


def session_facts(tables: SessionTables, keypoints: tuple[str, ...], trained_px: float, name: str) -> SessionFacts:
    """Return what can be said of a session without labels.

    Args:
        tables: The session.
        keypoints: Names of the keypoints, in the order of the result.
        trained_px: Length of the animal in the labels; NaN if unknown.
        name: Name of the session.
    """
    poses = tables.poses[:, [tables.keypoint_names.index(each) for each in keypoints]]
    states = tables.states
    tracking = np.array([state == State.TRACKING for state in states], bool)
    processed = tables.frames["outcome"].fillna("processed").ne("skipped").to_numpy(bool) & np.array(states, bool)
    seconds = tables.seconds
    known = seconds[np.isfinite(seconds)]
    return SessionFacts(
        name,
        int(processed.sum()),
        states,
        float(known[-1] - known[0]) if len(known) else float("nan"),
        {each: _likelihoods(poses[processed, k, 2]) for k, each in enumerate(keypoints)},
        tuple(sorted(_lost(tracking, processed, seconds), key=lambda stretch: -stretch.frames)),
        _jumps(poses, tracking, trained_px),
        _lengths(poses[tracking, :, :2]),
        trained_px,
    )


def _likelihoods(values: Float64) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    if not len(known):
        return float("nan"), float("nan")
    return float(np.median(known)), float((known >= SURE).sum() / len(values))


def _lost(tracking: np.ndarray, processed: np.ndarray, seconds: Float64) -> Iterator[Stretch]:
    """Yield the stretches without tracking between two frames that were tracked; skipped frames do not count."""
    rows = np.flatnonzero(processed)
    good = np.flatnonzero(tracking[rows])
    for before, after in pairwise(good):
        if after - before > 1:
            first = int(rows[before + 1])
            yield Stretch(first, int(after - before - 1), float(seconds[rows[after]] - seconds[first]))


def _jumps(poses: Float64, tracking: np.ndarray, body_px: float) -> int:
    if not body_px > 0:
        return 0
    trusted = tracking[:, None] & ~(poses[:, :, 2] < SURE)
    steps = np.linalg.norm(np.diff(poses[:, :, :2], axis=0), axis=2)
    far = (steps > JUMP_OF_BODY * body_px) & trusted[1:] & trusted[:-1]
    return int(far.any(axis=1).sum())


def _lengths(xy: Float64) -> tuple[float, float, float]:
    complete = xy[np.isfinite(xy).all(axis=(1, 2))]
    if not len(complete) or xy.shape[1] < 2:
        return (float("nan"),) * 3
    low, middle, high = (float(value) for value in np.percentile(pose_lengths(complete), (5, 50, 95)))
    return low, middle, high


def labelled_frames(tables: SessionTables, rows: tuple[FrameRow, ...]) -> dict[str, int]:
    """Return {image of the project: frame of the session} for the pictures that come from the session's recording.

    Args:
        tables: The session.
        rows: The pictures of the project.
    """
    frames: dict[str, dict[int, int] | None] = {}
    if tables.source is not None:
        frames[_resolved(tables.source)] = None  # a frame of what was played has its own number
    for video in recorded_videos(tables.path):
        captured = read_captured_frames(video) or []
        frames[_resolved(str(video))] = dict(enumerate(captured))
    found = {}
    for row in rows:
        numbers = frames.get(_resolved(row.recording), {})
        number = row.frame if numbers is None else numbers.get(row.frame)
        if number is not None and number < len(tables.poses):
            found[row.image] = number
    return found


def _resolved(path: str) -> str:
    return str(user_path(path).resolve())


def live_results(tables: SessionTables, truth: Truth, frames: dict[str, int]) -> Results:
    """Return what ran live in the frames of ``truth``. Raises DataError if an image cannot be read.

    Args:
        tables: The session.
        truth: Labelled frames, all of them in ``frames``.
        frames: The frame of the session for each image.
    """
    rows = [frames[image] for image in truth.images]
    poses = tables.poses[rows][:, [tables.keypoint_names.index(name) for name in truth.keypoint_names]]
    images = [read_image(path) for path in truth.paths]
    states = np.array(tables.states)[rows]
    return Results(
        truth,
        poses[:, :, :2],
        poses[:, :, 2],
        states == State.TRACKING,
        tables.boxes[rows],
        np.full(truth.labels.shape, np.nan),
        np.array([float(image.mean()) for image in images]),
        np.array([(image.shape[1], image.shape[0]) for image in images], np.float64),
    )
