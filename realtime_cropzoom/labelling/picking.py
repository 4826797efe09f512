"""Which frames of a recording to label: frames that differ. No I/O.

A recording is looked at in a limited number of places (``candidates``), as small pictures. Each method makes groups of
candidates, the best of each group first; ``choose`` takes one frame of each group that is no near-duplicate of a frame
that was picked before, and then those that differ most from all that are picked.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from realtime_cropzoom.labelling.small_pictures import DUPLICATE_LEVELS, Seen, difference, small_picture
from realtime_cropzoom.types import Float32, Int64, UInt8

Method = Literal["kmeans", "uniform", "motion"]
WHY: dict[Method, str] = {"kmeans": "differs", "uniform": "evenly spaced", "motion": "moves"}
"""{method: why a frame was picked, in words}"""
_DECODED = 6000
"""Number of frames of a recording that may be decoded to look at it, unless it has too few key frames."""
_LEAST, _PER_PICK = 300, 15
"""Number of candidates: at least, and for each frame to pick."""
_ROUNDS, _ATTEMPTS, _STEP = 30, 3, 1e-3
"""Of k-means: iterations, attempts, and the movement of the centres at which it ends."""
_STANDS_OUT = 20.0
"""Minimum difference from what does not move (grey levels) of what moves."""
_SPREADS, _CLOSE = 6.0, (20, 20)
"""Side of the cut around what moves, in spreads of it, and the size to which the cut becomes (pixels)."""


def candidates(count: int, key_frames: Int64, picks: int) -> Int64:
    """Return the frames to look at, evenly spread over the recording.

    Of a long recording these are key frames and some that follow them soon, so that little is decoded. If there are too
    few key frames, all frames are decoded.

    Args:
        count: Number of frames of the recording.
        key_frames: (k,) numbers of the frames that are read without decoding others.
        picks: Number of frames to pick.

    Returns:
        Numbers of frames, in order.
    """
    wanted = min(count, max(_LEAST, _PER_PICK * picks))
    if count <= _DECODED or 2 * len(key_frames) < wanted:
        return np.unique(np.linspace(0, count - 1, wanted).round().astype(np.int64))
    keys = key_frames[np.linspace(0, len(key_frames) - 1, min(wanted, len(key_frames))).round().astype(np.int64)]
    each = -(-wanted // len(keys))
    depth = max(_DECODED // len(keys), each)
    lengths = np.minimum(depth, np.diff(key_frames[np.searchsorted(key_frames, keys)], append=count))
    return np.unique(
        np.concatenate(
            [k + np.linspace(0, n, each, endpoint=False) for k, n in zip(keys, lengths, strict=True)]
        ).astype(np.int64)
    )


def groups(method: Method, looks: UInt8, motion: Float32, picks: int) -> list[Int64]:
    """Return a group of candidates for each frame to pick, the best first.

    Args:
        method: ``kmeans``: clusters of pictures that are alike, the most typical first. ``uniform``: pieces of the
            recording of the same length, the middle first. ``motion``: the same pieces, the fastest first.
        looks: (n, H, W) grey pictures of the candidates.
        motion: (n,) how fast things move in each; only ``motion`` reads it.
        picks: Number of frames to pick, 1 to n.
    """
    if method == "kmeans":
        return _clusters(features(looks), picks)
    pieces = np.array_split(np.arange(len(looks)), picks)
    if method == "motion":
        return [piece[np.argsort(-motion[piece], kind="stable")] for piece in pieces]
    return [piece[np.argsort(np.abs(piece - piece.mean()), kind="stable")] for piece in pieces]


def features(looks: UInt8) -> Float32:
    """Return what k-means compares: the whole picture, and what moves in it, cut out so that its place does not count.

    The first tells places and light apart, the second postures and directions. Both count equally.

    Args:
        looks: (n, H, W) grey pictures of one recording, whose median is what does not move.

    Returns:
        (n, F).
    """
    moving = looks.astype(np.float32) - np.median(looks, axis=0).astype(np.float32)
    moving -= np.median(moving, axis=(1, 2), keepdims=True)  # light
    whole = np.array([small_picture(picture) for picture in moving])
    places = [_place(np.abs(picture)) for picture in moving]
    side = max(8, round(_SPREADS * float(np.median([spread for _, _, spread in places]))))
    cut = [cv2.getRectSubPix(picture, (side, side), (x, y)) for picture, (x, y, _) in zip(moving, places, strict=True)]
    close = np.array([cv2.resize(picture, _CLOSE, interpolation=cv2.INTER_AREA).ravel() for picture in cut])
    return np.hstack([part / max(1e-6, float(np.sqrt(part.var(axis=0).sum()))) for part in (whole, close)])


def _place(amount: Float32) -> tuple[float, float, float]:
    """Return the centre (x, y) and the spread of what moves in a picture, all in pixels."""
    rows, columns = np.nonzero(amount > max(_STANDS_OUT, amount.max() / 2))
    if not len(rows):
        return amount.shape[1] / 2, amount.shape[0] / 2, 0.0
    return float(columns.mean()), float(rows.mean()), float(np.hypot(columns.std(), rows.std()))


def _clusters(values: Float32, picks: int) -> list[Int64]:
    """Return the members of each cluster, the nearest to its centre first; large clusters first."""
    cv2.setRNGSeed(1)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, _ROUNDS, _STEP)
    start = np.zeros((len(values), 1), np.int32)
    data = np.ascontiguousarray(values, np.float32)
    _, labels, centres = cv2.kmeans(data, picks, start, criteria, _ATTEMPTS, cv2.KMEANS_PP_CENTERS)
    far = np.linalg.norm(data - centres[labels.ravel()], axis=1)
    members = [np.flatnonzero(labels.ravel() == k) for k in range(picks)]
    return sorted((m[np.argsort(far[m], kind="stable")] for m in members if len(m)), key=len, reverse=True)


def choose(found: list[Int64], smalls: Float32, seen: Seen, picks: int) -> Int64:
    """Return one candidate of each group that is no near-duplicate, then further ones that differ most.

    Args:
        found: The groups of candidates, the best of each first.
        smalls: (n, P) small pictures of the candidates.
        seen: The frames that were picked before; those that are chosen are added.
        picks: Number of frames to pick.

    Returns:
        Indices of candidates; fewer than ``picks`` if no others differ enough.
    """
    chosen: list[int] = []
    for group in found[:picks]:
        best = next((int(k) for k in group if not seen.has(smalls[k])), None)
        if best is not None:
            chosen.append(best)
            seen.add(smalls[best])
    if len(chosen) < picks:
        chosen += _farthest(smalls, seen, picks - len(chosen))
    return np.sort(np.array(chosen, np.int64))


def _farthest(smalls: Float32, seen: Seen, picks: int) -> list[int]:
    """Return the candidates that differ most from all that are picked, one after the other."""
    nearest = np.array([seen.nearest(small) for small in smalls])
    chosen = list[int]()
    while len(chosen) < picks and nearest.max() >= DUPLICATE_LEVELS:
        best = int(nearest.argmax())
        chosen.append(best)
        seen.add(smalls[best])
        nearest = np.minimum(nearest, difference(smalls[best], smalls))
    return chosen
