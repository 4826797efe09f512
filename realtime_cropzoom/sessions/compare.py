"""Comparison of two sessions of the same frames, or of one with the predictions of another program.

Frames are aligned by their capture number, so that the replay of a recording with dropped frames is
compared with the right frames of the live run. Keypoints are aligned by their names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from realtime_cropzoom.errors import DataError, listed, pluralize, quoted
from realtime_cropzoom.sessions.foreign import read_poses
from realtime_cropzoom.sessions.table import read_session
from realtime_cropzoom.sources.recording_table import read_captured_frames
from realtime_cropzoom.types import Float64

_QUANTILES = {"median": 0.5, "p95": 0.95, "p99": 0.99}
_LISTED_FRAMES = 5
_TITLES = ("frames", "median", "  95 %", "  99 %", "   max", "at frame", "likelihood ±", "absent A / B")


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """The poses of one session or file, with the captured frame of each row."""

    path: Path
    names: tuple[str, ...]
    poses: Float64
    """(n, K, 3): x, y (frame pixels), likelihood."""
    frames: Float64
    """(n,) captured frame of each row."""
    seconds: Float64
    """(n,) frame times (s); NaN if unknown."""
    note: str = ""


@dataclass(frozen=True, eq=False)
class Comparison:
    """The poses of two sessions, aligned by captured frame: B compared with A."""

    paths: tuple[Path, Path]
    keypoint_names: tuple[str, ...]
    """The K keypoints that both have."""
    keypoints_of_one: tuple[tuple[str, ...], tuple[str, ...]]
    """Keypoints that only A has, and that only B has."""
    frames: np.ndarray[Any, np.dtype[np.int64]]
    """(n,) captured frames for which A or B has a row."""
    seconds: Float64
    """(n,) frame times (s); NaN if neither has one."""
    poses: tuple[Float64, Float64]
    """(n, K, 3) of A and of B: x, y (frame pixels), likelihood; NaN without a pose."""
    notes: tuple[str, ...] = ()
    """What was chosen where a file has several animals."""

    @cached_property
    def deviation_px(self) -> Float64:
        """(n, K) distances (frame pixels) between A and B; NaN if one of them has no pose."""
        a, b = self.poses
        return np.asarray(np.hypot(*np.moveaxis(b[:, :, :2] - a[:, :, :2], 2, 0)), np.float64)

    @cached_property
    def likelihood_difference(self) -> Float64:
        """(n, K) likelihood of B minus that of A; NaN if one of them has none."""
        a, b = self.poses
        return b[:, :, 2] - a[:, :, 2]

    @property
    def identical(self) -> bool:
        """Whether all keypoints, numbers and missing values are equal."""
        return not any(self.keypoints_of_one) and np.array_equal(*self.poses, equal_nan=True)

    @property
    def identical_in_both(self) -> bool:
        """Whether all numbers and missing values of the common keypoints are equal in the frames that both have."""
        both = np.isfinite(self.deviation_px).any(axis=1)
        a, b = self.poses
        return np.array_equal(a[both], b[both], equal_nan=True)

    @property
    def max_px(self) -> float:
        """The largest deviation (frame pixels)."""
        return float(np.nanmax(self.deviation_px))

    def only_in(self, side: int) -> list[int]:
        """Return the captured frames with a pose only in A (``side`` 0), or only in B (1)."""
        has = [np.isfinite(poses[:, :, :2]).any(axis=(1, 2)) for poses in self.poses]
        return [int(frame) for frame in self.frames[has[side] & ~has[1 - side]]]

    def summary(self) -> dict[str, Any]:
        """Return the numbers for ``compare --json``; None for a number that does not exist."""
        rows = {name: self._statistics(slice(k, k + 1)) for k, name in enumerate(self.keypoint_names)}
        return {
            "a": str(self.paths[0]),
            "b": str(self.paths[1]),
            "identical": self.identical,
            "identical_in_both": self.identical_in_both,
            "frames": int(np.isfinite(self.deviation_px).any(axis=1).sum()),
            "only_in_a": self.only_in(0),
            "only_in_b": self.only_in(1),
            "keypoints_only_in_a": list(self.keypoints_of_one[0]),
            "keypoints_only_in_b": list(self.keypoints_of_one[1]),
            "notes": list(self.notes),
            "all": self._statistics(slice(None)),
            "keypoints": rows,
            "worst_frames": self._worst(),
        }

    def table(self) -> pd.DataFrame:
        """Return one row per frame: the largest deviation (pixels), its keypoint, and all deviations."""
        deviation = self.deviation_px
        known = np.isfinite(deviation).any(axis=1)
        largest = np.where(np.isfinite(deviation), deviation, -1.0).argmax(axis=1)
        names = np.array(self.keypoint_names, object)[largest]
        columns: dict[str, Any] = {
            "frame": self.frames,
            "time_s": self.seconds,
            "max_px": np.where(known, np.take_along_axis(deviation, largest[:, None], 1)[:, 0], np.nan),
            "keypoint": np.where(known, names, ""),
        }
        for k, name in enumerate(self.keypoint_names):
            columns[f"{name}_px"] = deviation[:, k]
            columns[f"{name}_likelihood_difference"] = self.likelihood_difference[:, k]
        return pd.DataFrame(columns)

    def _statistics(self, which: slice) -> dict[str, Any]:
        values = self.deviation_px[:, which]
        if not np.isfinite(values).any():
            return {
                **dict.fromkeys((*_QUANTILES, "max", "at_frame", "likelihood_max"), None),
                "frames": 0,
                **self._absent(which),
            }
        likelihood = np.abs(self.likelihood_difference[:, which])
        per_frame = np.where(np.isfinite(values), values, -1.0).max(axis=1)
        return {
            **{name: float(np.nanquantile(values, q)) for name, q in _QUANTILES.items()},
            "max": float(per_frame.max()),
            "at_frame": int(self.frames[per_frame.argmax()]),
            "likelihood_max": float(np.nanmax(likelihood)) if np.isfinite(likelihood).any() else None,
            "frames": int((per_frame >= 0).sum()),
            **self._absent(which),
        }

    def _absent(self, which: slice) -> dict[str, int]:
        """Return in how many of the frames with a pose in both A has keypoints that B lacks, and the other way."""
        a, b = (np.asarray(np.isfinite(poses[:, :, :2]).all(axis=2)) for poses in self.poses)
        both = np.asarray(a.any(axis=1) & b.any(axis=1)).reshape(-1, 1)
        return {
            "absent_in_b": int((a & ~b & both)[:, which].sum()),
            "absent_in_a": int((b & ~a & both)[:, which].sum()),
        }

    def _worst(self) -> list[dict[str, Any]]:
        table = self.table()[["frame", "max_px", "keypoint"]]
        worst = table[table["max_px"] > 0].nlargest(_LISTED_FRAMES, "max_px")
        return [{"frame": int(f), "px": float(px), "keypoint": str(name)} for f, px, name in worst.to_numpy()]


def compare(a: Path, b: Path, *, foreign: bool = False) -> Comparison:
    """Compare two session folders or files of poses.

    Args:
        a: A session folder, or a file of poses.
        b: Another one; or the predictions of another program, see ``foreign``.
        foreign: Whether ``b`` is a file of any form that ``sessions.foreign`` reads, whose frame i is frame i of A.

    Raises:
        DataError: if one cannot be read, or no frame has a pose in both.
        ModuleNotFoundError: if the library for the form of ``b`` is not installed.
    """
    sides = [_read(a), _read_foreign(b) if foreign else _read(b)]
    pairs = match_names(*(side.names for side in sides))
    if not pairs:
        raise DataError(
            f"no keypoint in common: {a} has {listed(sides[0].names)}, but {b} has {listed(sides[1].names)}"
        )
    places = list(zip(*pairs, strict=True))
    frames = np.unique(np.concatenate([side.frames for side in sides])).astype(np.int64)
    alone = [
        tuple(name for k, name in enumerate(side.names) if k not in there)
        for side, there in zip(sides, places, strict=True)
    ]
    comparison = Comparison(
        paths=(a, b),
        keypoint_names=tuple(sides[0].names[k] for k in places[0]),
        keypoints_of_one=(alone[0], alone[1]),
        frames=frames,
        seconds=_seconds(sides, frames),
        poses=(_poses(sides[0], places[0], frames), _poses(sides[1], places[1], frames)),
        notes=tuple(f"{side.path}: {side.note}" for side in sides if side.note),
    )
    if not np.isfinite(comparison.deviation_px).any():
        raise DataError(f"no frame has a pose in both {a} and {b}; expected two runs over the same recording")
    return comparison


def match_names(a: Sequence[str], b: Sequence[str]) -> list[tuple[int, int]]:
    """Return the places in ``a`` and in ``b`` of each name that both have, in the order of ``a``.

    Names that are not equal match if they differ by upper and lower case alone, and no other name does.
    """
    exact = {name: k for k, name in enumerate(b)}
    folded = Counter(map(str.casefold, b)), Counter(map(str.casefold, a))
    loose = {name.casefold(): k for k, name in enumerate(b)}
    found = []
    for k, name in enumerate(a):
        key = name.casefold()
        if name in exact:
            found.append((k, exact[name]))
        elif all(counts[key] == 1 for counts in folded):
            found.append((k, loose[key]))
    return found


def _read(path: Path) -> _Side:
    """Read one session. If it replays a recording, the recording's table gives the captured frame of each row."""
    tables = read_session(path)
    rows = len(tables.poses)
    recorded = (
        read_captured_frames(tables.source) if tables.live and tables.source and "://" not in tables.source else None
    )
    if recorded is not None and rows > len(recorded):
        raise DataError(f"{path} has {rows} frames, but its recording {tables.source} has {len(recorded)}")
    frames = np.arange(rows, dtype=np.float64) if recorded is None else np.array(recorded[:rows], float)
    return _Side(path, tables.keypoint_names, tables.poses, frames, tables.seconds)


def _read_foreign(path: Path) -> _Side:
    found = read_poses(path)
    frames = found.frames.astype(np.float64)
    return _Side(path, found.keypoint_names, found.values, frames, np.full(len(frames), np.nan), found.note)


def _poses(side: _Side, keypoints: Sequence[int], frames: np.ndarray[Any, np.dtype[np.int64]]) -> Float64:
    poses = np.full((len(frames), len(keypoints), 3), np.nan)
    poses[np.searchsorted(frames, side.frames)] = side.poses[:, list(keypoints)]
    return poses


def _seconds(sides: list[_Side], frames: np.ndarray[Any, np.dtype[np.int64]]) -> Float64:
    """Return the frame times (s) of A. A frame without a time in A gets its time in B."""
    seconds = np.full(len(frames), np.nan)
    for side in reversed(sides):
        known = np.isfinite(side.seconds)
        seconds[np.searchsorted(frames, side.frames[known])] = side.seconds[known]
    return seconds


def describe(summary: dict[str, Any]) -> str:
    """Return a summary as text: sentences, and a table of the deviations if there are any."""
    if summary["identical"]:
        return f"identical, bit for bit: {summary['frames']} frames with a pose"
    lines = [f"{summary['frames']} frames have a pose in both"]
    if summary["identical_in_both"]:
        lines[0] += "; there, the poses are identical, bit for bit"
    for side, name in (("a", "A"), ("b", "B")):
        alone = summary[f"only_in_{side}"]
        if alone:
            more = " …" if len(alone) > _LISTED_FRAMES else ""
            lines.append(f"{len(alone)} only in {name}: {', '.join(map(str, alone[:_LISTED_FRAMES]))}{more}")
        if names := summary[f"keypoints_only_in_{side}"]:
            lines.append(f"{pluralize(len(names), 'keypoint')} only in {name}: {listed(names)}")
    lines += summary["notes"]
    if summary["identical_in_both"]:
        return "\n".join(lines)
    rows = {**summary["keypoints"], "all": summary["all"]}
    width = max(len(quoted(name)) for name in (*rows, "px"))
    lines += ["", f"{'px':<{width}}" + "".join(f"{title:>{len(title) + 3}}" for title in _TITLES)]
    for name, row in rows.items():
        cells = [_cell(row[key]) for key in ("frames", *_QUANTILES, "max", "at_frame", "likelihood_max")]
        cells.append("{absent_in_a} / {absent_in_b}".format(**row))
        fields = zip(cells, _TITLES, strict=True)
        lines.append(f"{quoted(name):<{width}}" + "".join(f"{cell:>{len(title) + 3}}" for cell, title in fields))
    worst = ", ".join(f"{w['frame']} ({w['px']:.3g} px, {quoted(w['keypoint'])})" for w in summary["worst_frames"])
    return "\n".join(lines + (["", f"worst frames: {worst}"] if worst else []))


def _cell(value: float | int | None) -> str:
    return "-" if value is None else str(value) if isinstance(value, int) else f"{value:.3g}"
