"""Frames of a session where the models are not sure, and why. No I/O.

Each cause has frames of its own, the worst first. ``spread`` takes them in turn, so that each cause has its share, and
far apart in time, as far as there are enough.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from realtime_cropzoom.types import Float64, State

LIKELIHOOD, LOST, JUMP, EDGE, DOUBT = "low likelihood", "not found", "jump", "edge of the box", "not plausible"
REST = "least likely of the others"
"""Cause of frames that fill up what is left if there are too few doubtful ones."""
_LOW = 0.7
"""Mean likelihood below which a frame is doubtful."""
_SURE = 0.3
"""Minimum likelihood of a keypoint whose place counts. A frame with a keypoint below is doubtful."""
_USUAL_STEPS, _EXTENTS = 6.0, 0.25
"""A jump is longer than this number of usual steps, and than this share of the extent of the animal."""
_MARGIN = 0.05
"""A keypoint is at the edge if it is nearer to it than this share of the box, or beyond it."""
_LEAST_S = 0.3
"""Minimum time (s) between two frames that are picked."""
_TRIES, _MORE_TRIES = 10, 50
"""Number of frames that are looked at, for each one to pick, and in addition."""


class Doubt(NamedTuple):
    """A frame, and why it is of interest."""

    frame: int
    cause: str
    why: str
    """In words, with numbers."""


def find_doubts(
    poses: Float64, boxes: Float64, states: Sequence[str], reasons: Sequence[str], names: Sequence[str]
) -> dict[str, list[Doubt]]:
    """Return the doubtful frames of a session by cause, the worst first.

    Args:
        poses: (n, K, 3) x, y (frame pixels), likelihood; NaN without a pose.
        boxes: (n, 4) x, y, w, h; NaN without a box.
        states: n states; empty where there is none.
        reasons: n reasons why a run found the pose not plausible; empty for none.
        names: Names of the K keypoints.
    """
    low, rest = _by_likelihood(poses, names)
    found = {
        LIKELIHOOD: low,
        LOST: _lost(poses, states),
        JUMP: _jumps(poses, names),
        EDGE: _at_edge(poses, boxes, names),
        DOUBT: [Doubt(i, DOUBT, f"not plausible: {reason}") for i, reason in enumerate(reasons) if reason],
        REST: rest,
    }
    return {cause: doubts for cause, doubts in found.items() if doubts}


def _by_likelihood(poses: Float64, names: Sequence[str]) -> tuple[list[Doubt], list[Doubt]]:
    """Return the frames of low likelihood, and all others that have one; the least likely first."""
    known = np.flatnonzero(np.isfinite(poses[:, :, 2]).any(axis=1))
    likelihood = np.nan_to_num(poses[known, :, 2])
    means = likelihood.mean(axis=1)
    low, rest = list[Doubt](), list[Doubt]()
    for i in np.argsort(means, kind="stable"):
        worst = int(likelihood[i].argmin())
        why = f"likelihood {means[i]:.2f}, {names[worst]} {likelihood[i, worst]:.2f}"
        part, cause = (low, LIKELIHOOD) if means[i] < _LOW or likelihood[i, worst] < _SURE else (rest, REST)
        part.append(Doubt(int(known[i]), cause, why))
    return low, rest


def _lost(poses: Float64, states: Sequence[str]) -> list[Doubt]:
    """Return the lost frames: the first of each stretch, then the middle of each, then the others."""
    bare = np.isnan(poses[:, :, :2]).all(axis=(1, 2))
    known = np.array([bool(state) for state in states])
    lost = np.isin(states, (State.LOST.value, State.SEARCHING.value)) | (bare & (known if known.any() else True))
    frames = np.flatnonzero(lost)
    stretches = [part for part in np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1) if len(part)]
    ranked = [*(part[0] for part in stretches), *(part[len(part) // 2] for part in stretches), *frames]
    first = {int(i): int(part[0]) for part in stretches for i in part}
    return [Doubt(i, LOST, f"not found since frame {first[i]}") for i in dict.fromkeys(int(i) for i in ranked)]


def _jumps(poses: Float64, names: Sequence[str]) -> list[Doubt]:
    xy = np.where(poses[:, :, 2:] < _SURE, np.nan, poses[:, :, :2])
    steps = np.hypot(*np.moveaxis(np.diff(xy, axis=0), 2, 0))
    if not np.isfinite(steps).any():
        return []
    extent = _median(np.hypot(*_spans(xy).T))
    least = max(_USUAL_STEPS * _median(steps), _EXTENTS * extent)
    far = np.nan_to_num(steps)
    keypoints, lengths = far.argmax(axis=1), far.max(axis=1)
    doubts = []
    for i in np.argsort(-lengths, kind="stable")[: int((lengths > least).sum())]:
        k = int(keypoints[i])
        before = poses[i, k, 2] < poses[i + 1, k, 2]  # the worse of the two frames
        doubts.append(Doubt(int(i) if before else int(i) + 1, JUMP, f"{names[k]} jumps {lengths[i]:.0f} px"))
    return list({doubt.frame: doubt for doubt in reversed(doubts)}.values())[::-1]


def _spans(xy: Float64) -> Float64:
    """Return (m, 2) width and height of the keypoints of the frames that have some."""
    some = np.isfinite(xy).any(axis=(1, 2))
    return np.asarray(np.nanmax(xy[some], axis=1) - np.nanmin(xy[some], axis=1))


def _median(values: Float64) -> float:
    return float(np.median(values[np.isfinite(values)])) if np.isfinite(values).any() else 0.0


def _at_edge(poses: Float64, boxes: Float64, names: Sequence[str]) -> list[Doubt]:
    xy = np.where(poses[:, :, 2:] < _SURE, np.nan, poses[:, :, :2])
    inside = (xy - boxes[:, None, :2]) / boxes[:, None, 2:]
    margins = np.minimum(inside, 1 - inside).min(axis=2)
    margins = np.where(np.isfinite(margins), margins, np.inf)
    nearest = margins.min(axis=1, initial=np.inf)
    order = np.argsort(nearest, kind="stable")[: int((nearest < _MARGIN).sum())]
    return [Doubt(int(i), EDGE, f"{names[int(margins[i].argmin())]} at the edge of the box") for i in order]


def spread(
    doubts: Mapping[str, Sequence[Doubt]], frames: int, count: int, fps: float, accept: Callable[[Doubt], bool]
) -> list[Doubt]:
    """Return doubtful frames: the causes take turns, each with its worst frame that is far enough from all others.

    At first frames must be ``frames`` / (2 · ``count``) apart, then half of that, and so on, down to 0.3 s.

    Args:
        doubts: By cause, the worst first.
        frames: Number of frames of the session.
        count: Number of frames to pick.
        fps: Frames per second.
        accept: Says whether a frame may be picked.

    Returns:
        At most ``count``, in the order of picking.
    """
    picking = _Picking(count, _TRIES * count + _MORE_TRIES, accept)
    least = max(1, round(_LEAST_S * fps))
    doubtful = [found for cause, found in doubts.items() if cause != REST]
    for group in (doubtful, [doubts.get(REST, ())]):
        gap = max(least, frames // (2 * count))
        picking.take(group, gap)
        while gap > least:
            gap = max(least, gap // 2)
            picking.take(group, gap)
    return picking.chosen


class _Picking:
    """The frames that are chosen so far."""

    def __init__(self, count: int, tries: int, accept: Callable[[Doubt], bool]) -> None:
        """``tries`` is the number of frames that may be looked at."""
        self.chosen: list[Doubt] = []
        self._count, self._tries, self._accept = count, tries, accept
        self._refused: set[int] = set()

    def take(self, group: Sequence[Sequence[Doubt]], gap: int) -> None:
        """Let the causes take turns until none has a further frame that is ``gap`` frames from all that are chosen."""
        while sum(self._take_one(candidates, gap) for candidates in group):
            pass

    def _take_one(self, candidates: Sequence[Doubt], gap: int) -> bool:
        taken = np.array([doubt.frame for doubt in self.chosen], np.int64)
        for doubt in candidates:
            if len(self.chosen) == self._count or self._tries == 0:
                return False
            if doubt.frame in self._refused or (len(taken) and np.abs(taken - doubt.frame).min() < gap):
                continue
            self._tries -= 1
            if self._accept(doubt):
                self.chosen.append(doubt)
                return True
            self._refused.add(doubt.frame)
        return False
