"""Left and right: finds frames in which two symmetric keypoints have probably changed places.

Seen from above, the left ear lies on the same side of the line from the ears to the nose in every frame. The reference
is a keypoint in the middle of the body, or the middle of another pair: the one whose sides agree best over all frames,
so that an animal that curls up raises no alarm. An animal seen from the side has no such order; then nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from realtime_cropzoom.types import Float64

LEAST_FRAMES = 10
"""Minimum number of frames in which the side is known."""
_AGREE = 0.8
"""Minimum share of these frames that agree, for the others to be a suspicion."""
_CLEAR_SINE = 0.35
"""Minimum sine of the angle between the pair and the line to the reference."""
_NEAR = 0.3
"""Minimum distance of the reference from the middle of the pair, as a share of the distance of the pair."""

Pair = tuple[int, int]


def swapped_sides(xy: Float64, pairs: Sequence[Pair], recordings: Sequence[str]) -> dict[Pair, list[int]]:
    """Return the frames in which each pair is probably swapped.

    Args:
        xy: (N, K, 2) labels; NaN without a label.
        pairs: Pairs of symmetric keypoints.
        recordings: Recording of each of the N frames. A recording may be mirrored as a whole.

    Returns:
        Indices of frames for each pair with a suspicion.
    """
    found = {}
    for pair in pairs:
        if known := _known_sides(xy, pair, pairs):
            frames = _odd_ones(max(known, key=lambda sides: abs(sides.sum())), np.array(recordings))
            if frames:
                found[pair] = frames
    return found


def unchecked_pairs(xy: Float64, pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs of which too few frames tell the side. Arguments as ``swapped_sides``."""
    return [pair for pair in pairs if not _known_sides(xy, pair, pairs)]


def _known_sides(xy: Float64, pair: Pair, pairs: Sequence[Pair]) -> list[npt.NDArray[np.int64]]:
    """Return the sides by each reference that tells them in enough frames."""
    candidates = [_sides(xy, pair, reference) for reference in _references(xy, pair, pairs)]
    return [sides for sides in candidates if np.count_nonzero(sides) >= LEAST_FRAMES]


def _references(xy: Float64, pair: Pair, pairs: Sequence[Pair]) -> Iterator[Float64]:
    """Yield (N, 2) points that tell the side: keypoints without a partner, and the middle of the other pairs."""
    partnered = {k for both in pairs for k in both}
    for k in range(xy.shape[1]):
        if k not in partnered:
            yield xy[:, k]
    for other in pairs:
        if other != pair:
            yield xy[:, other].mean(axis=1)


def _sides(xy: Float64, pair: Pair, reference: Float64) -> npt.NDArray[np.int64]:
    """Return, for each frame, on which side the second keypoint lies: 1 or -1, 0 if it is not clear."""
    across = xy[:, pair[1]] - xy[:, pair[0]]
    along = xy[:, pair].mean(axis=1) - reference
    width, length = np.hypot(*across.T), np.hypot(*along.T)
    with np.errstate(invalid="ignore", divide="ignore"):
        sine = (along[:, 0] * across[:, 1] - along[:, 1] * across[:, 0]) / (width * length)
        clear = (np.abs(sine) >= _CLEAR_SINE) & (length >= _NEAR * width)
    return np.where(clear, np.sign(np.nan_to_num(sine)), 0).astype(np.int64)


def _odd_ones(sides: npt.NDArray[np.int64], recordings: npt.NDArray[np.str_]) -> list[int]:
    """Return the frames of the smaller side, if the others agree enough, or whole recordings of the other side."""
    majority = 1 if sides.sum() >= 0 else -1
    odd = sides == -majority
    judged = sides != 0
    mixed = [name for name in np.unique(recordings[judged]) if not _one_sided(sides[(recordings == name) & judged])]
    if odd.sum() <= (1 - _AGREE) * judged.sum() or not mixed:
        return [int(i) for i in np.flatnonzero(odd)]
    return []


def _one_sided(sides: npt.NDArray[np.int64]) -> bool:
    return bool(abs(sides.sum()) >= (2 * _AGREE - 1) * len(sides))
