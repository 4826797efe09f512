"""Session table: reads a session into one table. ``load_session`` is for users, ``read_session`` for plots and exports.

Row i is always frame i of the video. A frame that is not in the files has a row of missing values.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from realtime_cropzoom.calibration.calibration import Calibration, read_calibration
from realtime_cropzoom.errors import DataError
from realtime_cropzoom.filters import PoseFilter, build_filter
from realtime_cropzoom.sessions.dlc_csv import Predictions, read_predictions
from realtime_cropzoom.sessions.files import Session, frame_index, frame_times, read_recordings, read_rows
from realtime_cropzoom.sessions.folder import CALIBRATION
from realtime_cropzoom.sources.recording_table import is_recording_of
from realtime_cropzoom.types import Bool, Float64

_BOX = ("x", "y", "w", "h")
FILTERED = ("x_filtered", "y_filtered", "vx", "vy", "sigma")
"""Columns of the filtered pose: positions and ``sigma`` in pixels, velocities in pixels per second."""


@dataclass(frozen=True, slots=True)
class SessionTables:
    """The numbers of a session, frame by frame."""

    session: Session
    """The files, the settings and the summary of the session."""
    source: str | None
    """The video or other source; None if unknown."""
    scorer: str
    keypoint_names: tuple[str, ...]
    poses: Float64
    """(n, K, 3): x, y (frame pixels), likelihood; NaN without a pose."""
    frames: pd.DataFrame
    """n rows, one per frame: the columns of ``load_session`` that do not depend on the keypoint."""
    filtered: Float64 | None = None
    """(n, K, 5): x, y, vx, vy, sigma, equal to those published; None without a filter."""
    calibration: Calibration | None = None
    """Calibration of the run, or the one given; None without one."""

    @property
    def path(self) -> Path:
        """The file of the poses."""
        return self.session.poses

    @property
    def live(self) -> bool:
        """Whether a live run wrote the session."""
        return self.session.live

    @property
    def boxes(self) -> Float64:
        """(n, 4): x, y, w, h (frame pixels); NaN without a box."""
        return self.frames[[f"box_{side}" for side in _BOX]].to_numpy(np.float64)

    @property
    def states(self) -> tuple[str, ...]:
        """The state of each frame; empty for a frame without one."""
        return tuple(self.frames["state"].fillna(""))

    @property
    def uncertain(self) -> Bool:
        """(n,) whether the track is uncertain; False of an animal that is alone."""
        if "uncertain" not in self.frames:
            return np.zeros(len(self.frames), np.bool_)
        return self.frames["uncertain"].to_numpy(np.bool_, na_value=False)

    @property
    def seconds(self) -> Float64:
        """(n,) frame times (s); NaN if unknown."""
        return self.frames["time_s"].to_numpy(np.float64)

    def state_spans(self) -> list[tuple[str, int, int]]:
        """Return (state, first frame, frame after the last) of each period; skipped frames do not end a period."""
        changes = _state_changes(self.frames["state"])
        ends = [*changes.index, len(self.frames)][1:]
        return [(str(state), int(a), int(b)) for state, a, b in zip(changes, changes.index, ends, strict=True)]


def load_session(
    path: str | Path, *, video: str | Path | None = None, fps: float | None = None, filter: str | None = None
) -> pd.DataFrame:
    """Return a session as a tidy table: one row per captured frame and keypoint.

    docs/reference/files.md explains the columns. A value that does not exist is missing.

    Args:
        path: The folder of a run, or a file of predictions.
        video: The video, which gives frame times to files without them. The table then has rows for all its frames.
        fps: Frame rate (Hz) for files without frame times, instead of ``video``.
        filter: ``kalman``, ``one_euro`` or ``none``, with the run's other settings; None for the run's filter.

    Raises:
        DataError: if ``path`` is not a session, or does not fit the video.
        SourceError: if the video cannot be read.
        ConfigError: if the filter does not exist.
    """
    return tidy(read_session(Path(path), video=video, fps=fps, filter=filter))


def tidy(tables: SessionTables) -> pd.DataFrame:
    """Return arrays of a session as the table of ``load_session``."""
    names = tables.keypoint_names
    table = tables.frames.loc[tables.frames.index.repeat(len(names))].reset_index(drop=True)
    where = table.columns.tolist().index("event") + 1
    table.insert(where, "keypoint", pd.Series(list(names) * len(tables.frames), dtype="string"))
    for k, name in enumerate(("x", "y", "likelihood")):
        table.insert(where + 1 + k, name, tables.poses[:, :, k].ravel())
    further: dict[str, Float64] = {}
    if tables.calibration is not None:
        xy, unit = tables.calibration.to_arena(tables.poses[:, :, :2]), tables.calibration.unit
        further |= {f"x_{unit}": xy[:, :, 0], f"y_{unit}": xy[:, :, 1]}
    if tables.filtered is not None:
        further |= {name: tables.filtered[:, :, k] for k, name in enumerate(FILTERED)}
    for k, (name, values) in enumerate(further.items()):
        table.insert(where + 4 + k, name, values.ravel())
    return table


def read_session(
    path: Path,
    *,
    video: str | Path | None = None,
    fps: float | None = None,
    filter: str | None = None,
    calibration: Path | None = None,
) -> SessionTables:
    """Read a session into arrays. Arguments and errors are as in ``load_session``.

    Args:
        path: See ``load_session``.
        video: See ``load_session``.
        fps: See ``load_session``.
        filter: See ``load_session``.
        calibration: File of a calibration; None for the one of the run, if it has one.
    """
    session = Session.open(path)
    if session.live and fps is not None:
        raise DataError(f"{path} has the frame times of the run; leave out fps")
    predictions = read_predictions(session.poses, live=session.live)
    numbers = frame_index(predictions)
    boxes, timing = (read_rows(p, live=session.live) if p else pd.DataFrame() for p in (session.boxes, session.timing))
    recording = read_recordings(session.recordings)
    complete = _frames_in_all(numbers, boxes, timing) if session.live else numbers
    count = int(complete.max()) + 1 if len(complete) else 0
    own = video is not None and is_recording_of(video, session.poses)  # it may lack frames; the run knows all times
    seconds = None if own else _given_times(session.poses, count, video, fps)
    count = count if seconds is None else len(seconds)
    frames = _frame_table(
        _every_frame(boxes, complete, count),
        _every_frame(timing, complete, count),
        recording.reindex(pd.RangeIndex(count)),  # after a kill it may end before the other files
        session.summary.get("unix_offset_ns"),
    )
    frames = frames if seconds is None else frames.assign(time_s=seconds)
    poses = _poses_by_frame(predictions, numbers, complete, count)
    settings = session.settings if filter is None else {**session.settings, "filter": filter}
    pose_filter = build_filter(settings, poses.shape[1])
    own_calibration = session.folder / CALIBRATION
    if calibration is None and session.live and own_calibration.exists():
        calibration = own_calibration
    return SessionTables(
        session=session,
        source=session.source if video is None else str(video),
        scorer=predictions.scorer,
        keypoint_names=predictions.keypoint_names,
        poses=poses,
        frames=frames,
        filtered=None if pose_filter is None else _filtered(session.poses, poses, frames, timing, pose_filter),
        calibration=None if calibration is None else read_calibration(calibration),
    )


def _frames_in_all(numbers: pd.Index[int], *tables: pd.DataFrame) -> pd.Index[int]:
    """Return the frames that all files have: a killed run may have written more rows to one than to another."""
    for table in tables:
        numbers = numbers.intersection(table.index) if len(table.columns) else numbers
    return numbers


def _given_times(poses: Path, count: int, video: str | Path | None, fps: float | None) -> Float64 | None:
    """Return frame times (s) from ``fps``, or from ``video``, one per frame; None if neither is given."""
    if fps is not None:
        if video is not None or not fps > 0:
            raise DataError(f"fps is {fps:g}; expected a number above 0, and no video with it")
        return np.arange(count) / fps
    if video is None:
        return None
    seconds = frame_times(str(video))
    if len(seconds) < count:
        raise DataError(f"{poses} has {count} frames, but {video} has {len(seconds)}; give the video of these poses")
    return seconds


def _every_frame(table: pd.DataFrame, complete: pd.Index[int], count: int) -> pd.DataFrame:
    return table.reindex(complete).reindex(pd.RangeIndex(count))


def _poses_by_frame(predictions: Predictions, numbers: pd.Index[int], complete: pd.Index[int], count: int) -> Float64:
    poses = np.full((count, len(predictions.keypoint_names), 3), np.nan)
    kept = numbers.isin(complete)
    poses[numbers[kept], :, :2] = predictions.xy[kept]
    poses[numbers[kept], :, 2] = predictions.likelihood[kept]
    return poses


def _filtered(
    path: Path, poses: Float64, frames: pd.DataFrame, timing: pd.DataFrame, pose_filter: PoseFilter
) -> Float64:
    """Return the filtered poses, (n, K, 5): the numbers that a run with this filter publishes."""
    seconds, filtered = frames["time_s"].to_numpy(np.float64), np.full((*poses.shape[:2], 5), np.nan)
    processed = (frames["outcome"].isna() if timing.empty else frames["outcome"] == "processed").to_numpy(
        bool, na_value=False
    )
    if np.isnan(seconds[processed]).any():
        raise DataError(f"{path} has no frame times, which a filter needs; give the video, or fps")
    segments = _column(timing, "segment").reindex(frames.index).fillna(0).to_numpy(np.int64)
    found = poses.astype(np.float32)  # the type of the model's output
    for i in np.flatnonzero(processed):
        pose = pose_filter.update(round(seconds[i] * 1e9), found[i, :, :2], found[i, :, 2], int(segments[i]))
        filtered[i] = pose.points
    return filtered


def _frame_table(
    boxes: pd.DataFrame, timing: pd.DataFrame, recording: pd.DataFrame, unix_offset_ns: float | None
) -> pd.DataFrame:
    """Return one row per frame. The tables have all frames, but may lack columns."""
    captured_ns = _column(timing, "captured_ns").replace(0, np.nan)  # 0: the run no longer had the times of the frame
    box_frame, state = _column(boxes, "box_frame"), _column(boxes, "state", "string")
    box_captured_ns = captured_ns.reindex(box_frame).set_axis(timing.index)

    def since_ms(event: str, begin_ns: pd.Series[float]) -> pd.Series[float]:
        return (_column(timing, event) - begin_ns) / 1e6

    return pd.DataFrame(
        {
            "frame": np.arange(len(timing)),
            "time_s": _column(timing, "pts_ns").where(captured_ns.notna()) / 1e9,
            "captured_unix_s": (captured_ns + (np.nan if unix_offset_ns is None else unix_offset_ns)) / 1e9,
            "outcome": _column(timing, "outcome", "string"),
            "state": state,
            **_plausible(timing),
            "event": _state_changes(state).reindex(state.index),
            **{f"box_{side}": _column(boxes, side) for side in _BOX},
            "box_frame": box_frame.astype("Int64"),
            "box_age_ms": _column(boxes, "box_age_ms"),
            **_meetings(boxes),
            "seq": _column(timing, "seq").astype("Int64"),
            "recorded": _column(recording, "recorded").astype("Int64"),
            "recording": _column(recording, "recording", "string").astype("string"),
            "latency_detect_ms": since_ms("detected_ns", box_captured_ns),
            "latency_crop_ms": since_ms("cropped_ns", captured_ns),
            "latency_pose_ms": since_ms("inferred_ns", captured_ns),
            "latency_publish_ms": since_ms("published_ns", captured_ns),
        }
    )


def _plausible(timing: pd.DataFrame) -> dict[str, pd.Series[Any]]:
    """Return, as in the messages, whether the pose of each frame is plausible, and the reason if it is not."""
    written = _column(timing, "plausible", "string").astype("string")  # missing rows turned the column into objects
    return {"plausible": written.eq("yes").astype("boolean"), "doubt": written.where(written.ne("yes"))}


def _meetings(boxes: pd.DataFrame) -> dict[str, pd.Series[Any]]:
    """Return, of one of several animals, whether its track is uncertain and how often it became so; else nothing."""
    if "uncertain" not in boxes.columns:
        return {}
    written = boxes["uncertain"].astype("string")
    return {"uncertain": written.eq("yes").astype("boolean"), "meetings": boxes["meetings"].astype("Int64")}


def _column(table: pd.DataFrame, name: str, dtype: str = "float64") -> pd.Series[Any]:
    """Return a column; all values are missing if the table does not have it."""
    if name not in table.columns:
        return pd.Series(pd.NA if dtype == "string" else np.nan, index=table.index, dtype=dtype)
    return table[name]


def _state_changes(state: pd.Series[Any]) -> pd.Series[Any]:
    """Return each new state, with the frame at which it begins as index."""
    given = state.dropna()
    return given[given.ne(given.shift()).fillna(True)]
