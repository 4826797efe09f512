"""Measures: the numbers of an evaluation, from positions and labels. No I/O.

Everywhere the same rule for gaps. An error is NaN for a keypoint without a label: it does not count. It is infinite
for a labelled keypoint without a predicted position: it counts as missing, and as a miss in every share. No result
depends on the order of the frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from realtime_cropzoom.types import Float64

Bool = npt.NDArray[np.bool_]

LIKELIHOOD_EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0)
"""Edges of the bins of likelihood; the last bin holds 1."""
_RESAMPLES = 1000
"""Number of resamples of a bootstrap."""


@dataclass(frozen=True, slots=True)
class ErrorSummary:
    """Errors of one keypoint, one recording, or all (pixels)."""

    count: int
    """Number of labelled keypoints."""
    missing: int
    """Number of those without a predicted position. The other fields are about the rest."""
    mean_px: float
    """NaN if no keypoint has a position."""
    median_px: float
    p95_px: float
    """95 % of the errors are smaller."""


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Keypoints whose likelihood lies in one range."""

    low: float
    high: float
    count: int
    right: int
    """Number of those that lie within the given distance of the label."""
    mean_likelihood: float
    """NaN without keypoints."""

    @property
    def share(self) -> float:
        """Share of right ones; NaN without keypoints."""
        return self.right / self.count if self.count else float("nan")


@dataclass(frozen=True, slots=True)
class Interval:
    """A number with the range in which 95 % of the resamples lie."""

    value: float
    low: float
    high: float


def pixel_errors(labels: Float64, found: Float64) -> Float64:
    """Return the (N, K) errors between (N, K, 2) labels and predictions in the same space."""
    errors: Float64 = np.linalg.norm(found - labels, axis=2)
    errors[~np.isfinite(found).all(axis=2)] = np.inf
    errors[~np.isfinite(labels).all(axis=2)] = np.nan
    return errors


def summarise(errors: Float64) -> ErrorSummary:
    """Summarise errors of any shape (pixels)."""
    labelled = errors[~np.isnan(errors)]
    found = labelled[np.isfinite(labelled)]
    if not len(found):
        return ErrorSummary(len(labelled), len(labelled), np.nan, np.nan, np.nan)
    median, p95 = (float(value) for value in np.percentile(found, (50, 95)))
    return ErrorSummary(len(labelled), len(labelled) - len(found), float(np.sort(found).mean()), median, p95)


def share_within(errors: Float64, distances: Sequence[float] | Float64) -> Float64:
    """Return the share of labelled keypoints at most each distance from their label (PCK).

    Args:
        errors: Errors of any shape.
        distances: D distances in the same unit.

    Returns:
        (D,) shares from 0 to 1; NaN if no keypoint is labelled.
    """
    labelled = np.sort(errors[~np.isnan(errors)])
    counts = np.searchsorted(labelled, np.asarray(distances, np.float64), side="right")
    shares: Float64 = counts / len(labelled) if len(labelled) else np.full(len(counts), np.nan)
    return shares


def calibrate(
    likelihood: Float64, errors: Float64, within_px: float, edges: Sequence[float] = LIKELIHOOD_EDGES
) -> list[CalibrationBin]:
    """Count, for each range of likelihood, how many keypoints lie near their label.

    Args:
        likelihood: Likelihoods, of the shape of ``errors``; NaN for a model that gives none, which does not count.
        errors: Errors (pixels). Only keypoints with a label and a position count.
        within_px: Largest error of a right keypoint.
        edges: Increasing edges of the ranges. A likelihood on an edge belongs to the range above it, and the last
            edge to the last range.
    """
    counted = np.isfinite(likelihood) & np.isfinite(errors)
    likely, right = likelihood[counted], errors[counted] <= within_px
    place = np.clip(np.searchsorted(edges, likely, side="right") - 1, 0, len(edges) - 2)
    bins = []
    for i, (low, high) in enumerate(pairwise(edges)):
        inside = place == i
        mean = float(np.sort(likely[inside]).mean()) if inside.any() else float("nan")
        bins.append(CalibrationBin(low, high, int(inside.sum()), int(right[inside].sum()), mean))
    return bins


def boxes_hold(boxes: Float64, labels: Float64) -> Bool:
    """Return for each frame whether its box holds all labelled keypoints.

    Args:
        boxes: (N, 4): x, y, w, h (frame pixels); NaN without a box, which holds nothing.
        labels: (N, K, 2), frame pixels; NaN without a label.

    Returns:
        (N,)
    """
    corner, size = boxes[:, None, :2], boxes[:, None, 2:]
    outside = (labels < corner) | (labels > corner + size)  # False for a keypoint without a label
    holds: Bool = ~np.any(outside, axis=(1, 2)) & np.isfinite(boxes).all(axis=1)
    return holds


@dataclass(frozen=True, slots=True)
class SwapCount:
    """How often the two keypoints of a symmetric pair were exchanged."""

    pair: tuple[int, int]
    """Indices of the two keypoints."""
    count: int
    """Number of frames in which both are labelled and have a position."""
    swapped: int
    """Number of those in which the two positions fit the labels better with their names exchanged."""


def count_swaps(labels: Float64, found: Float64, pairs: Sequence[tuple[int, int]]) -> list[SwapCount]:
    """Count exchanged keypoints of each symmetric pair; labels and predictions are (N, K, 2)."""
    counts = []
    for one, other in pairs:
        straight = _apart(labels[:, one], found[:, one]) + _apart(labels[:, other], found[:, other])
        crossed = _apart(labels[:, one], found[:, other]) + _apart(labels[:, other], found[:, one])
        known = np.isfinite(straight)
        counts.append(SwapCount((one, other), int(known.sum()), int((crossed[known] < straight[known]).sum())))
    return counts


def _apart(one: Float64, other: Float64) -> Float64:
    distances: Float64 = np.linalg.norm(one - other, axis=1)
    return distances


def frame_errors(errors: Float64) -> Float64:
    """Return the mean error of each frame, (N, K) → (N,): infinite with a missing keypoint, NaN without labels."""
    labelled = ~np.isnan(errors)
    means = np.full(len(errors), np.nan)
    some = labelled.any(axis=1)
    means[some] = np.where(labelled, errors, 0)[some].sum(axis=1) / labelled[some].sum(axis=1)
    return means


def worst_frames(errors: Float64, count: int) -> list[int]:
    """Return the rows of the frames with the largest mean errors, the worst first; frames with equal ones in order."""
    means = frame_errors(errors)
    order = np.argsort(-np.nan_to_num(means, nan=-1.0), kind="stable")
    return [int(row) for row in order[:count] if not np.isnan(means[row])]


def median_of(errors: Float64) -> float:
    """Return the median of the errors with a position; NaN if there is none."""
    found = errors[np.isfinite(errors)]
    return float(np.median(found)) if len(found) else float("nan")


def bootstrap(
    rows: Float64, statistic: Callable[[Float64], float] = median_of, *, resamples: int = _RESAMPLES, seed: int = 0
) -> Interval:
    """Return a statistic with its 95 % interval, from resamples of whole frames.

    The keypoints of a frame are not independent of each other, so frames are drawn, and not keypoints.

    Args:
        rows: (N, …): the values of each frame.
        statistic: Computes the number from such an array.
        resamples: Number of resamples.
        seed: Seed of the draws.

    Returns:
        The interval; low and high are NaN with fewer than two frames.
    """
    if len(rows) < 2:
        return Interval(statistic(rows), float("nan"), float("nan"))
    flat = rows.reshape(len(rows), -1)
    rows = rows[np.lexsort(np.nan_to_num(flat, nan=-1.0, posinf=1e300).T[::-1])]  # the order of the frames is chance
    draws = np.random.default_rng(seed).integers(0, len(rows), (resamples, len(rows)))
    values = np.array([statistic(rows[draw]) for draw in draws])
    values = values[np.isfinite(values)]
    low, high = np.percentile(values, (2.5, 97.5)) if len(values) else (np.nan, np.nan)
    return Interval(statistic(rows), float(low), float(high))
