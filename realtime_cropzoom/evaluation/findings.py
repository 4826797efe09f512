"""Findings: what the numbers of an evaluation mean, in plain sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from realtime_cropzoom.errors import pluralize
from realtime_cropzoom.evaluation.judgement import Comparison, Judgement
from realtime_cropzoom.inference.pose_quality import percent
from realtime_cropzoom.train.verdict import FEW_FRAMES, GOOD, GOOD_FAR_SHARE, USABLE, USABLE_FAR_SHARE

GOOD_TRACKED, USABLE_TRACKED = 0.98, 0.9
"""Minimum share of frames in which a good and a usable pair of models finds the animal."""
_ENOUGH_FRAMES = 30
"""Number of frames from which the report no longer says that they are few."""
Word = Literal["good", "usable with care", "poor", "unknown"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the models can be used."""

    word: Word
    reason: str
    """One sentence without a full stop, which begins with a small letter."""

    def __str__(self) -> str:
        """The word, and why."""
        return f"{self.word}: {self.reason}"


def verdict(judged: Judgement) -> Verdict:
    """Return the verdict: on the error and on the frames in which the animal was found."""
    tracked = judged.tracked / judged.frames
    found = f"the animal was found in {judged.tracked} of {pluralize(judged.frames, 'frame')}"
    if np.isnan(judged.median.value):
        return Verdict("poor", f"{found}, and no keypoint has a position")
    if not judged.body_px > 0:
        return Verdict("unknown", f"{found}, but the labels do not give a body length to compare the error with")
    part, far = judged.median.value / judged.body_px, judged.far
    of_body = f"{part_of_body(judged.median.value, judged.body_px)} of body length"
    off = f"{judged.median.value:.1f} px in the median, {of_body}"
    reason = f"{found}; the keypoints are off by {off}, and {percent(far)} of them are missing or on a wrong place"
    if part <= GOOD and far <= GOOD_FAR_SHARE and tracked >= GOOD_TRACKED:
        return Verdict("good", reason)
    usable = part <= USABLE and far <= USABLE_FAR_SHARE and tracked >= USABLE_TRACKED
    return Verdict("usable with care" if usable else "poor", reason)


def part_of_body(px: float, body_px: float) -> str:
    """Return a length as a share of the animal's, as text; empty for 0, and if one of them is unknown."""
    if not body_px > 0 or not np.isfinite(px) or not px:
        return ""
    return f"{100 * px / body_px:.{1 if px < 0.1 * body_px else 0}f} %"


def uncertainty(judged: Judgement) -> list[str]:
    """Return sentences about how far the numbers can be trusted."""
    median, sentences = judged.median, []
    if np.isfinite([median.low, median.high]).all():
        sentences.append(
            f"With other frames of the same kind, the median error would lie between {median.low:.1f} and "
            f"{median.high:.1f} px (95 % interval)"
        )
    if judged.frames < _ENOUGH_FRAMES:
        frames = f"{judged.frames} frames are" if judged.frames > 1 else "1 frame is"
        share, word = percent(1 - lowest_share(judged.frames)), "very few" if judged.frames < FEW_FRAMES else "few"
        sentences.append(
            f"{frames} {word}: what was right in all of them may be wrong in up to {share} of new frames (95 % "
            "confidence)"
        )
    if not judged.results.truth.new_recordings:
        sentences.append(
            "Some of these recordings were in the training, too. With a new animal, camera or light the error can be "
            "larger"
        )
    return sentences


def lowest_share(count: int) -> float:
    """Return the share of all frames, at the lower 95 % limit, if all of ``count`` were right (Clopper and Pearson)."""
    return float(0.05 ** (1 / count))


def compared(comparison: Comparison) -> str:
    """Return a sentence about the models before."""
    change, on = comparison.change, f"on the same {pluralize(comparison.frames, 'frame')}"
    than = "to" if comparison.word == "no clear difference" else "than"
    begin = f"{comparison.word} {than} the models before, {on}"
    if np.isnan([comparison.before_px, comparison.now_px]).any():
        return f"{begin}: {_median(comparison.before_px)} before, {_median(comparison.now_px)} now"
    numbers = f"median {comparison.before_px:.1f} px before, {comparison.now_px:.1f} px now"
    if not np.isfinite([change.low, change.high]).all():
        return f"{on}: {numbers}; too few frames to say more"
    mean = f"mean error {change.value:+.1f} px, 95 % interval {change.low:+.1f} to {change.high:+.1f}"
    return f"{begin}: {numbers} ({mean})"


def _median(px: float) -> str:
    return "no keypoint with a position" if np.isnan(px) else f"median {px:.1f} px"


def worse(judged: Judgement, way_back: str) -> list[str]:
    """Return sentences that say first that the models before were clearly better, and what to do; empty if not.

    Args:
        judged: The numbers.
        way_back: The command that puts the models before back, which is to follow; empty if they are not there.
    """
    if judged.comparison is None or not judged.is_worse:
        return []
    longer = "train longer: more training.minutes in project.yaml"
    return [compared(judged.comparison), f"{longer}; or go back to the models before" if way_back else longer]


def headline(judged: Judgement) -> list[str]:
    """Return the lines for the terminal: verdict, how near, box and trust, and how rough the numbers are."""
    near = f"{percent(judged.within)} of the keypoints are within {judged.within_px:g} px of their label"
    below = (
        f"95 % of the errors are below {judged.all.p95_px:.1f} px" if judged.all.p95_px > 0 else "none has a position"
    )
    lines = [str(verdict(judged)), f"{near}; {below}"]
    lines.append(
        f"the box held all keypoints in {judged.boxed} of {pluralize(judged.frames, 'frame')}; {trust(judged)}"
    )
    if judged.frames < _ENOUGH_FRAMES and np.isfinite(judged.median.low):
        few = pluralize(judged.frames, "frame")
        limits = f"between {judged.median.low:.1f} and {judged.median.high:.1f} px"
        lines.append(f"{few} say little: with others, the median would lie {limits} (95 % interval)")
    return lines


def trust(judged: Judgement) -> str:
    """Return in words how many keypoints a rule would trust although they are far from their label."""
    wrong, trusted = judged.sure_and_wrong
    return f"{wrong} of the {trusted} keypoints that a rule would trust are on a wrong place"
