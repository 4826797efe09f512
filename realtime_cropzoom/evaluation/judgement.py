"""Judgement: all numbers of one evaluation, computed once for the lines of the terminal and for the report."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from realtime_cropzoom.evaluation import measures
from realtime_cropzoom.evaluation.measures import Bool, CalibrationBin, ErrorSummary, Interval, SwapCount
from realtime_cropzoom.evaluation.results import EarlierErrors, Results
from realtime_cropzoom.train.verdict import FAR_ERROR
from realtime_cropzoom.types import Float64

WITHIN_PX = 5.0
"""Largest error of a right keypoint, unless the user gives another (pixels)."""
SURE = 0.6
"""Likelihood from which rules trust a keypoint, unless the user gives another."""


@dataclass(frozen=True)
class Comparison:
    """The same keypoints, before and now."""

    frames: int
    keypoints: int
    before_px: float
    """Median error of the models before; NaN if none has a position in both."""
    now_px: float
    """The same of the models now."""
    change: Interval
    """Mean of (error now − error before), pixels, with its interval over frames."""

    @property
    def word(self) -> str:
        """``better``, ``worse``, or ``no clear difference`` if the interval includes 0 or is unknown.

        Models that give no keypoint a position are worse than others, although they have no error.
        """
        if np.isnan(self.before_px) != np.isnan(self.now_px):
            return "better" if np.isnan(self.before_px) else "worse"
        if self.change.high < 0:
            return "better"
        return "worse" if self.change.low > 0 else "no clear difference"


@dataclass(frozen=True, slots=True)
class RecordingSummary:
    """The frames of one recording."""

    frames: int
    tracked: int
    """Number of frames in which the animal was found."""
    errors: ErrorSummary


@dataclass(frozen=True)
class Judgement:
    """The numbers of an evaluation. Errors are in frame pixels, shares from 0 to 1."""

    results: Results
    pairs: tuple[tuple[int, int], ...] = ()
    """Symmetric keypoints."""
    within_px: float = WITHIN_PX
    """Largest error of a right keypoint."""
    earlier: EarlierErrors | None = None
    """Errors of the models before; None without an earlier evaluation."""

    @property
    def is_worse(self) -> bool:
        """Whether the models before were clearly better."""
        return self.comparison is not None and self.comparison.word == "worse"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the keypoints."""
        return self.results.truth.keypoint_names

    @property
    def frames(self) -> int:
        """Number of judged frames."""
        return len(self.results.truth.images)

    @property
    def body_px(self) -> float:
        """Length of the animal; NaN if unknown."""
        return self.results.body_px

    @cached_property
    def all(self) -> ErrorSummary:
        """Errors of all keypoints."""
        return measures.summarise(self.results.errors)

    @cached_property
    def median(self) -> Interval:
        """Median error with its interval."""
        return measures.bootstrap(self.results.errors)

    @cached_property
    def by_keypoint(self) -> dict[str, ErrorSummary]:
        """Errors of each keypoint."""
        return {name: measures.summarise(self.results.errors[:, k]) for k, name in enumerate(self.names)}

    @cached_property
    def by_recording(self) -> dict[str, RecordingSummary]:
        """Numbers of each recording."""
        names = np.array(self.results.truth.recordings)
        return {name: self._recording(names == name) for name in sorted(set(names.tolist()))}

    def _recording(self, rows: Bool) -> RecordingSummary:
        tracked = int(self.results.tracking[rows].sum())
        return RecordingSummary(int(rows.sum()), tracked, measures.summarise(self.results.errors[rows]))

    @property
    def tracked(self) -> int:
        """Number of frames in which the animal was found, and the pose looks like it."""
        return int(self.results.tracking.sum())

    @property
    def boxed(self) -> int:
        """Number of frames whose box holds all labelled keypoints."""
        return int(self.results.in_box.sum())

    @property
    def within(self) -> float:
        """Share of keypoints at most ``within_px`` from their label."""
        return float(measures.share_within(self.results.errors, [self.within_px])[0])

    def within_body(self, share: float) -> float:
        """Return the share of keypoints at most ``share`` of the animal's length from their label; NaN if unknown."""
        return float(measures.share_within(self.results.errors, [share * self.body_px])[0])

    @property
    def far(self) -> float:
        """Share of keypoints that are missing, or on a wrong part of the animal or outside it."""
        return 1 - self.within_body(FAR_ERROR)

    @cached_property
    def sure_and_wrong(self) -> tuple[int, int]:
        """Number of keypoints far from their label although a rule would trust them, and of all that it would trust."""
        errors = self.results.errors
        trusted = self.results.tracking[:, None] & np.isfinite(errors) & ~(self.results.likelihood < SURE)
        return int((errors[trusted] > FAR_ERROR * self.body_px).sum()), int(trusted.sum())

    @cached_property
    def calibration(self) -> list[CalibrationBin]:
        """How often a keypoint of each range of likelihood is right."""
        return measures.calibrate(self.results.likelihood, self.results.errors, self.within_px)

    @cached_property
    def swaps(self) -> list[SwapCount]:
        """Left and right exchanged."""
        return measures.count_swaps(self.results.truth.labels, self.results.found, self.pairs)

    @cached_property
    def detector(self) -> ErrorSummary:
        """Errors of the detector's own keypoints."""
        known = np.isfinite(self.results.detected).all(axis=2)
        errors = measures.pixel_errors(self.results.truth.labels, self.results.detected)
        return measures.summarise(np.where(known, errors, np.nan))

    @cached_property
    def comparison(self) -> Comparison | None:
        """Comparison with the models before; None if no frame was judged by both."""
        if self.earlier is None:
            return None
        now, before = self.results.errors, self.earlier.on(self.results.truth)
        both = ~np.isnan(before) & ~np.isnan(now)
        if not both.any():
            return None
        change = np.where(both & np.isfinite(before) & np.isfinite(now), now - _finite(before), np.nan)
        return Comparison(
            int(both.any(axis=1).sum()),
            int(both.sum()),
            measures.median_of(before[both]),
            measures.median_of(now[both]),
            measures.bootstrap(change, _mean),
        )


def _finite(errors: Float64) -> Float64:
    return np.where(np.isfinite(errors), errors, np.nan)


def _mean(values: Float64) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
