"""A finished session, as its review needs it: facts, rows of frames, and a timeline in bins.

All is read once. Of an hour at 100 frames/s, the page gets the timeline in bins, and the rows only where it looks.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.files.csv_text import complete_lines
from realtime_cropzoom.files.paths import as_text
from realtime_cropzoom.sessions.files import Session
from realtime_cropzoom.sessions.table import SessionTables, read_session
from realtime_cropzoom.sources.base import without_password
from realtime_cropzoom.types import Float64, Int64, State, UInt8

STATES = ("", State.TRACKING.value, State.COASTING.value, State.SEARCHING.value, State.LOST.value)
"""States by their code, the worst last: a bin of the timeline has the worst of its frames. 0: the frame has none."""
OUTCOMES = ("", "processed", "skipped", "failed")
"""Outcomes by their code, the worst last. 0: unknown, as in files of predictions."""
MAX_ROWS = 4096
"""Maximum number of rows in one answer."""
MAX_BINS = 8192
"""Maximum number of bins of a timeline."""
MOST_JUMPS = 50
"""Maximum number of jumps that count as the largest."""
_JUMP_FACTOR = 6.0
"""How many times as far as the median step a keypoint must move for a jump. The largest step counts in any case."""
_SURE = 0.5
"""Minimum likelihood of a keypoint whose position counts for speed and jumps."""


@dataclass(frozen=True)
class Jump:
    """A keypoint that is far from where it was a frame before."""

    frame: int
    keypoint: str
    px: float
    """Distance (frame pixels)."""


class ReviewSession:
    """The numbers of a session, frame by frame. Nothing changes after it was read."""

    def __init__(self, path: Path) -> None:
        """Read a session.

        Args:
            path: A session folder, a pose file, or a path with ``latest`` in it.

        Raises:
            DataError: if it cannot be read.
        """
        self.session = Session.open(path)
        self.tables: SessionTables = read_session(self.session.poses, filter="none")
        self.count = len(self.tables.poses)
        if not self.count:
            raise DataError(f"{self.session.poses} has no frames; there is nothing to show")
        frames = self.tables.frames
        self.states = _codes(frames["state"], STATES)
        """(n,) code of the state of each frame."""
        self.outcomes = _codes(frames["outcome"], OUTCOMES)
        """(n,) code of the outcome of each frame."""
        self.timing = _read_timing(self.session, self.count)
        """n rows: ``captured_ns``, ``device_ns`` and ``segment``; NaN where unknown."""

    @property
    def folder(self) -> Path:
        """Folder of the session."""
        return self.session.folder

    @property
    def run(self) -> str | None:
        """Id of the run; None of predictions, or if a killed run left no summary."""
        run = self.session.summary.get("run")
        return None if run is None else str(run)

    @cached_property
    def keypoint_speed(self) -> Float64:
        """(n, K) distance (frame pixels) of each keypoint from its place a frame before; NaN unless both are sure."""
        poses = self.tables.poses
        xy = np.where(~(poses[:, :, 2:] < _SURE), poses[:, :, :2], np.nan)
        steps = np.full(poses.shape[:2], np.nan)
        if self.count > 1:
            steps[1:] = np.hypot(*np.moveaxis(np.diff(xy, axis=0), 2, 0))
        return steps

    @cached_property
    def speed(self) -> Float64:
        """(n,) speed of the animal: the median step of its keypoints, in px/s, or px per frame without frame times."""
        step = _quiet(np.nanmedian, self.keypoint_speed)
        seconds = np.diff(self.tables.seconds, prepend=np.nan)
        return step / seconds if np.isfinite(seconds).any() else step

    @cached_property
    def likelihood(self) -> Float64:
        """(n,) mean likelihood of the keypoints; NaN without a pose, or if the model gives none."""
        return _quiet(np.nanmean, self.tables.poses[:, :, 2])

    def jumps(self) -> list[Jump]:
        """Return the jumps that stand out, the largest first; at most ``MOST_JUMPS``, and always the largest step."""
        far = np.nan_to_num(self.keypoint_speed, nan=-1.0)
        keypoint = far.argmax(axis=1) if far.shape[1] else np.zeros(self.count, np.int64)
        largest = far.max(axis=1, initial=-1.0)
        order = np.argsort(-largest, kind="stable")[:MOST_JUMPS]
        usual = float(np.median(far[far >= 0])) if (far >= 0).any() else 0.0
        least, names = _JUMP_FACTOR * usual, self.tables.keypoint_names
        return [
            Jump(int(i), names[keypoint[i]], float(largest[i]))
            for place, i in enumerate(order)
            if largest[i] > (least if place else 0)
        ]

    def facts(self) -> dict[str, Any]:
        """Return what the page shows about the session as a whole."""
        tables, summary, settings = self.tables, self.session.summary, self.session.settings
        source = tables.source
        seconds, known = tables.seconds, np.flatnonzero(np.isfinite(tables.seconds))
        return {
            "name": as_text(self.folder.name if self.session.live else self.session.poses.name),
            "folder": as_text(str(self.folder.absolute())),
            "camera": settings.get("camera"),
            "live": self.session.live,
            "run": self.run,
            "version": summary.get("version"),
            "source": None if source is None else as_text(without_password(source)),
            "animal": self.session.animal,
            "keypoint_names": list(tables.keypoint_names),
            "skeleton": summary.get("skeleton") or [],
            "count": self.count,
            "fps": _frame_rate(seconds),
            "seconds": float(seconds[known[-1]] - seconds[known[0]]) if len(known) else None,
            "started_unix_s": summary.get("started_unix_s"),
            "reason": summary.get("reason"),
            "problems": [as_text(str(problem)) for problem in summary.get("problems") or []],
            "states": STATES,
            "outcomes": OUTCOMES,
            "state_counts": _count(self.states, STATES),
            "outcome_counts": _count(self.outcomes, OUTCOMES),
            "latency_ms": summary.get("latency_ms") or {},
            "arena_unit": None if tables.calibration is None else tables.calibration.unit,
            "speed_unit": "px/s" if len(known) > 1 else "px per frame",
            "extent": self._extent(),
            "has_likelihood": bool(np.isfinite(self.likelihood).any()),
            "has_states": bool(self.states.any()),
        }

    def rows(self, first: int, count: int) -> dict[str, Any]:
        """Return the rows of frames, in lists as in the messages of the live page.

        Args:
            first: The first frame.
            count: Number of frames; at most ``MAX_ROWS`` are returned, and none beyond the last.
        """
        first = max(0, min(first, self.count))
        part = slice(first, min(self.count, first + max(0, min(count, MAX_ROWS))))
        frames = self.tables.frames.iloc[part]
        poses, boxes = self.tables.poses[part], self.tables.boxes[part]
        unix_ms, ages, latencies = (
            frames[name].to_numpy(np.float64, na_value=np.nan) * factor
            for name, factor in (("captured_unix_s", 1e3), ("box_age_ms", 1), ("latency_pose_ms", 1))
        )
        several = self._several(part)
        plausible = [None if value is pd.NA else bool(value) for value in frames["plausible"]]
        rows = [
            (
                first + i,
                _number(unix_ms[i], 1),
                STATES[self.states[first + i]],
                _numbers(boxes[i], 2) if np.isfinite(boxes[i]).all() else None,
                _number(ages[i], 1),
                [_keypoint(point) for point in poses[i]],
                _number(latencies[i], 2),
                plausible[i],
                *several[i],
            )
            for i in range(len(poses))
        ]
        return {
            "first": first,
            "rows": rows,
            "seconds": [_number(s, 6) for s in self.tables.seconds[part]],
            "outcomes": self.outcomes[part].tolist(),
            "doubts": [None if doubt is pd.NA else doubt for doubt in frames["doubt"]],
            "speeds": [_number(s, 2) for s in self.speed[part]],
        }

    def _several(self, part: slice) -> list[tuple[int, bool, int]] | list[tuple[()]]:
        """Return what the rows of one of several animals have beyond the others: place, uncertain, meetings."""
        animal, frames = self.session.animal, self.tables.frames.iloc[part]
        if animal is None or "meetings" not in frames:
            return [()] * len(frames)
        meetings = frames["meetings"].fillna(0).astype(int)
        return [(animal - 1, bool(u), int(m)) for u, m in zip(self.tables.uncertain[part], meetings, strict=True)]

    def timeline(self, first: int, count: int, bins: int) -> dict[str, Any]:
        """Return a stretch of frames in bins: of each the worst state and outcome, and ranges of the numbers.

        Args:
            first: The first frame.
            count: Number of frames; none beyond the last are returned.
            bins: Number of bins; fewer if there are fewer frames.

        Returns:
            For each bin its first frame (``edges``, and the frame after the last) with its time (``seconds``),
            ``states`` and ``outcomes`` (codes), ``likelihood`` ([lowest, mean]) and ``speed`` ([mean, highest]); null
            where there is none.
        """
        first = max(0, min(first, self.count - 1))
        last = max(first + 1, min(self.count, first + count))
        bins = max(1, min(bins, MAX_BINS, last - first))
        edges = np.linspace(first, last, bins + 1).astype(np.int64)
        at, part = edges[:-1] - first, slice(first, last)
        likelihood, speed = self.likelihood[part], self.speed[part]
        return {
            "first": first,
            "count": last - first,
            "edges": edges.tolist(),
            "seconds": _rounded(self.tables.seconds[edges.clip(max=self.count - 1)], 4),
            "states": np.maximum.reduceat(self.states[part], at).tolist(),
            "outcomes": np.maximum.reduceat(self.outcomes[part], at).tolist(),
            "likelihood": [_rounded(np.fmin.reduceat(likelihood, at), 3), _rounded(_means(likelihood, at), 3)],
            "speed": [_rounded(_means(speed, at), 1), _rounded(np.fmax.reduceat(speed, at), 1)],
        }

    def nearest_frame(self, captured_ns: int) -> int | None:
        """Return the last frame that was captured until ``captured_ns`` (monotonic, ns); None if it is of another time.

        A second before the first frame and after the last still belongs to the run.
        """
        times = self.timing["captured_ns"].to_numpy(np.float64)
        known = np.flatnonzero(times > 0)
        if not len(known):
            return None
        margin_ns = 1_000_000_000
        if not times[known[0]] - margin_ns <= captured_ns <= times[known[-1]] + margin_ns:
            return None
        at = int(np.searchsorted(times[known], captured_ns, side="right")) - 1
        return int(known[max(0, at)])

    def _extent(self) -> list[int]:
        """Return the width and height (pixels) of the area in which keypoints and boxes lie: the frame, if unknown."""
        poses, boxes = self.tables.poses, self.tables.boxes
        ends = np.concatenate([poses[:, :, :2].reshape(-1, 2), boxes[:, :2] + boxes[:, 2:]])
        far = _quiet(np.nanpercentile, ends.T, 99.9) if len(ends) else np.array([np.nan, np.nan])
        return [max(64, int(np.ceil(v))) if np.isfinite(v) else 640 for v in far]


def _read_timing(session: Session, count: int) -> pd.DataFrame:
    """Return the times of the frames that ``SessionTables`` lacks, one row per frame."""
    names = ["captured_ns", "device_ns", "segment"]
    if session.timing is None:
        return pd.DataFrame(np.nan, index=pd.RangeIndex(count), columns=names)
    table = pd.read_csv(complete_lines(session.timing), usecols=lambda name: name in ("frame", *names))
    table = table.set_index("frame").reindex(columns=names).astype(np.float64)
    return table[~table.index.duplicated()].reindex(pd.RangeIndex(count))


def _codes(column: pd.Series[Any], names: tuple[str, ...]) -> UInt8:
    codes = {name: code for code, name in enumerate(names)}
    return np.asarray(column.map(codes).fillna(0), np.uint8)


def _count(codes: UInt8, names: tuple[str, ...]) -> dict[str, int]:
    counts = Counter(codes.tolist())
    return {names[code]: counts[code] for code in range(1, len(names)) if counts[code]}


def _frame_rate(seconds: Float64) -> float | None:
    """Return the usual frame rate (frames per second) by the frame times; None if they are unknown."""
    steps = np.diff(seconds)
    steps = steps[np.isfinite(steps) & (steps > 0)]
    return round(float(1 / np.median(steps)), 3) if len(steps) else None


def _quiet(of: Any, values: Float64, *arguments: Any) -> Float64:
    """Return a statistic along the last axis; NaN, and no warning, where all values are."""
    some = np.isfinite(values).any(axis=-1)
    result = np.full(values.shape[:-1], np.nan)
    if some.any():
        result[some] = of(values[some], *arguments, axis=-1)
    return result


def _means(values: Float64, at: Int64) -> Float64:
    known = np.isfinite(values)
    counts = np.add.reduceat(known.astype(np.int64), at)
    sums = np.add.reduceat(np.where(known, values, 0.0), at)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _rounded(values: Float64, digits: int) -> list[float]:
    return np.round(values, digits).tolist()  # type: ignore[no-any-return]


def _number(value: float, digits: int) -> float | None:
    return round(float(value), digits) if np.isfinite(value) else None


def _numbers(values: Float64, digits: int) -> list[float]:
    return [round(float(value), digits) for value in values]


def _keypoint(point: Float64) -> tuple[float, float, float | None] | None:
    x, y, likelihood = point.tolist()
    if not (np.isfinite(x) and np.isfinite(y)):
        return None
    return round(x, 2), round(y, 2), _number(likelihood, 3)
