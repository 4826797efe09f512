"""Findings: what the numbers of an evaluation mean, in plain sentences, and what to label next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from realtime_cropzoom.errors import listed, pluralize, quoted
from realtime_cropzoom.evaluation import measures
from realtime_cropzoom.evaluation.judgement import Comparison, Judgement
from realtime_cropzoom.inference.pose_quality import percent
from realtime_cropzoom.train.verdict import FEW_FRAMES, GOOD, GOOD_FAR_SHARE, USABLE, USABLE_FAR_SHARE
from realtime_cropzoom.types import Float64

GOOD_TRACKED, USABLE_TRACKED = 0.98, 0.9
"""Minimum share of frames in which a good and a usable pair of models finds the animal."""
_ENOUGH_FRAMES = 30
"""Number of frames from which the report no longer says that they are few."""
_STANDS_OUT = 1.5
"""How many times as large as that of the rest an error must be to be named."""
_MATTERS = 0.01
"""How much larger it must be at least, as a share of body length."""
_MOST_NAMED = 3
"""Maximum number of keypoints or recordings that are named."""
_SMALLEST_GROUP = 4
"""Minimum number of frames of a group whose errors are compared with the rest."""

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
            f"{median.high:.1f} px (95 % interval, bootstrap over frames)"
        )
    if judged.frames < _ENOUGH_FRAMES:
        frames, share = pluralize(judged.frames, "frame"), percent(1 - lowest_share(judged.frames))
        word = "very few" if judged.frames < FEW_FRAMES else "few"
        sentences.append(
            f"{frames}: {word}. What was right in all of them may be wrong in up to {share} of new frames (95 % "
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
    numbers = f"median {comparison.before_px:.1f} px before, {comparison.now_px:.1f} px now"
    if not np.isfinite([change.low, change.high]).all():
        return f"{on}: {numbers}; too few frames to say more"
    mean = f"mean error {change.value:+.1f} px, 95 % interval {change.low:+.1f} to {change.high:+.1f}"
    return f"{comparison.word} than the models before, {on}: {numbers} ({mean})".replace(
        "no clear difference than", "no clear difference to"
    )


def what_to_label(judged: Judgement) -> list[str]:
    """Return sentences about the frames and keypoints with the largest errors; the most important first."""
    return [*_missed(judged), *_keypoints(judged), *_recordings(judged), *_swaps(judged), *_looks(judged)]


def _missed(judged: Judgement) -> Iterator[str]:
    """Yield the recordings in which the animal was not always found, the worst first."""
    missed = [(here.frames - here.tracked, here.frames, name) for name, here in judged.by_recording.items()]
    for count, frames, name in sorted(missed, key=lambda row: (-row[0] / row[1], row[2]))[:_MOST_NAMED]:
        if count:
            of = pluralize(frames, "frame")
            yield f"recording {quoted(name)}: the animal was not found in {count} of {of}. Label more of its frames"


def _stands_out(here: float, rest: float, judged: Judgement) -> bool:
    """Return whether an error (pixels) is so much larger than that of the rest that it is worth a sentence."""
    least = rest + (_MATTERS * judged.body_px if judged.body_px > 0 else 0)
    return here > _STANDS_OUT * rest and here > least


def _keypoints(judged: Judgement) -> Iterator[str]:
    errors = judged.results.errors
    worst = []
    for k, name in enumerate(judged.names):
        rest = measures.median_of(np.delete(errors, k, axis=1))
        here = judged.by_keypoint[name]
        if here.count - here.missing >= _SMALLEST_GROUP and _stands_out(here.median_px, rest, judged):
            worst.append((here.median_px, f"{quoted(name)} (median {here.median_px:.1f} px)", rest))
        if not here.count:
            yield f"{quoted(name)} has no label in these frames: its error is unknown"
    for _, text, rest in sorted(worst, reverse=True)[:_MOST_NAMED]:
        yield f"keypoint {text}; the others {rest:.1f} px. Label it carefully, and show it in more postures"


def _recordings(judged: Judgement) -> Iterator[str]:
    names = np.array(judged.results.truth.recordings)
    found = []
    for name, here in judged.by_recording.items():
        rest = measures.median_of(judged.results.errors[names != name])
        is_named = here.tracked < here.frames
        if not is_named and here.frames >= _SMALLEST_GROUP and _stands_out(here.errors.median_px, rest, judged):
            found.append((here.errors.median_px, name, rest))
    for median, name, rest in sorted(found, reverse=True)[:_MOST_NAMED]:
        yield f"recording {quoted(name)}: median {median:.1f} px, the others {rest:.1f} px. Label more of its frames"


def _swaps(judged: Judgement) -> Iterator[str]:
    for swap in judged.swaps:
        if swap.swapped:
            pair = listed(judged.names[k] for k in swap.pair)
            frames = pluralize(swap.count, "frame")
            yield f"{pair}: exchanged in {swap.swapped} of {frames}. Check the labels, and label frames from all sides"


def _looks(judged: Judgement) -> Iterator[str]:
    """Yield groups of frames that look alike and have larger errors than the rest."""
    results, labels = judged.results, judged.results.truth.labels
    extent = np.nanmax(np.linalg.norm(labels[:, :, None] - labels[:, None], axis=3), axis=(1, 2), initial=0)
    extent = np.where(np.isfinite(labels).all(axis=(1, 2)), extent, np.nan)
    for values, low, high in (
        (results.light, "dark frames", "bright frames"),
        (extent, "frames with a curled animal", "frames with a stretched animal"),
        (results.edge_px, "frames with the animal at the picture's edge", "frames with the animal in the middle"),
    ):
        yield from _of_thirds(judged, values, low, high)


def _of_thirds(judged: Judgement, values: Float64, low: str, high: str) -> Iterator[str]:
    """Yield a sentence if the third of the frames with the lowest or the highest values has larger errors."""
    errors, known = judged.results.errors, np.flatnonzero(np.isfinite(values))
    size = len(known) // 3
    order = known[np.argsort(values[known], kind="stable")]
    if size < _SMALLEST_GROUP or values[order[-1]] <= 1.2 * values[order[0]]:
        return
    for rows, rest, name in ((order[:size], order[size:], low), (order[-size:], order[:-size], high)):
        here, other = measures.median_of(errors[rows]), measures.median_of(errors[rest])
        if _stands_out(here, other, judged):
            yield f"{name}: median {here:.1f} px, the others {other:.1f} px. Label more of them"


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
