"""What to label next: the keypoints, recordings and kinds of frames whose errors stand out, in plain sentences."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from realtime_cropzoom.errors import pluralize, quoted
from realtime_cropzoom.evaluation import measures
from realtime_cropzoom.evaluation.judgement import Judgement
from realtime_cropzoom.evaluation.measures import SwapCount
from realtime_cropzoom.inference.pose_quality import pose_lengths
from realtime_cropzoom.train.verdict import USABLE
from realtime_cropzoom.types import Float64

_STANDS_OUT = 1.5
"""How many times as large as that of the rest an error must be to be named."""
_MATTERS = 0.01
"""How much larger it must be at least, as a share of body length."""
_MOST_NAMED = 3
"""Maximum number of keypoints or recordings that are named."""
_SMALLEST_GROUP = 4
"""Minimum number of frames of a group whose errors are compared with the rest."""


def what_to_label(judged: Judgement, too_short: str = "") -> list[str]:
    """Return sentences about the frames and keypoints with the largest errors; the most important first.

    Args:
        judged: The numbers.
        too_short: A sentence if the training of the models was too short. A keypoint that is worse than the others
            then says nothing of its labels, and is not named.
    """
    return [
        *([too_short] if too_short else _everywhere(judged)),
        *_missed(judged),
        *(() if too_short else _keypoints(judged)),
        *_recordings(judged),
        *_swaps(judged),
        *_looks(judged),
    ]


def _everywhere(judged: Judgement) -> Iterator[str]:
    """Yield a sentence if the error is large as a whole, so that single groups matter less."""
    if judged.median.value > USABLE * judged.body_px:
        yield "the error is large everywhere: train longer, or label more frames"


def _missed(judged: Judgement) -> Iterator[str]:
    """Yield the recordings in which the animal was not always found, the worst first."""
    missed = [(here.frames - here.tracked, here.frames, name) for name, here in judged.by_recording.items()]
    for count, frames, name in sorted(missed, key=lambda row: (-row[0] / row[1], row[2]))[:_MOST_NAMED]:
        if count:
            where = f"recording {quoted(name)}: " if len(judged.by_recording) > 1 else ""
            of = pluralize(frames, "frame")
            yield f"{where}the animal was not found in {count} of {of}. Label more frames like these"


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
        numbers = f"median {median:.1f} px, the others {rest:.1f} px"
        yield f"recording {quoted(name)}: {numbers}. Label more frames like these"


def _swaps(judged: Judgement) -> Iterator[str]:
    for swap in judged.swaps:
        if swap.swapped:
            yield f"{exchanged(judged, swap)}. Check the labels, and label the animal turned to all sides"


def exchanged(judged: Judgement, swap: SwapCount) -> str:
    """Return in words how often the keypoints of a symmetric pair were exchanged."""
    one, other = (quoted(judged.names[k]) for k in swap.pair)
    return f"left and right: {one} and {other} exchanged in {swap.swapped} of {pluralize(swap.count, 'frame')}"


def _looks(judged: Judgement) -> Iterator[str]:
    """Yield groups of frames that look alike and have larger errors than the rest."""
    results, labels = judged.results, judged.results.truth.labels
    extent = np.where(np.isfinite(labels).all(axis=(1, 2)), pose_lengths(labels), np.nan)
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
