"""Predictions of SLEAP: ``.slp`` through the library sleap-io, and the analysis files that SLEAP exports as ``.h5``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from realtime_cropzoom.errors import DataError, shorten
from realtime_cropzoom.sessions.foreign.poses import MAX_VALUES, Poses
from realtime_cropzoom.types import Float64

_ANALYSIS = ("tracks", "node_names")
"""Datasets that tell an analysis file."""


def read_slp(path: Path) -> Poses:
    """Read a ``.slp`` file. Of several animals in a frame, the one with the highest score counts.

    Args:
        path: The file.

    Raises:
        DataError: if it cannot be read, or has several videos or skeletons.
        ModuleNotFoundError: if sleap-io is not installed.
    """
    import sleap_io

    try:
        labels = sleap_io.load_slp(str(path), open_videos=False)
    except Exception as error:  # the library has no common base of its errors
        raise DataError(f"cannot read {path}: {shorten(' '.join(str(error).split()), 150)}") from error
    if len(labels.videos) != 1 or len(labels.skeletons) != 1:
        raise DataError(
            f"{path} has {len(labels.videos)} videos and {len(labels.skeletons)} skeletons; expected one of each. Save "
            "the predictions of one video"
        )
    names = tuple(map(str, labels.skeletons[0].node_names))
    found = {int(frame.frame_idx): _instances(frame) for frame in labels.labeled_frames}
    frames = sorted(number for number, instances in found.items() if instances)
    values = [max(found[number], key=_score) for number in frames]
    several = sum(len(instances) > 1 for instances in found.values())
    poses = np.array([_points(instance) for instance in values], np.float64).reshape(len(frames), len(names), 3)
    return Poses(names, np.array(frames, np.int64), poses, _note(several))


def _instances(frame: Any) -> list[Any]:
    """Return the predicted animals of a frame; those that a person has labelled if there are none."""
    return list(frame.predicted_instances) or list(frame.instances)


def _score(instance: Any) -> float:
    return float(getattr(instance, "score", 0.0))


def _points(instance: Any) -> Float64:
    """Return (K, 3): x, y, score."""
    points = np.full((len(instance.skeleton.node_names), 3), np.nan)
    points[:, :2] = instance.numpy()
    if hasattr(instance, "score"):
        points[:, 2] = instance.numpy(scores=True)[:, 2]
    points[np.isnan(points[:, :2]).any(axis=1)] = np.nan
    return points


def _note(several: int) -> str:
    return f"{several} frames have several animals; in each the one with the highest score counts" if several else ""


def is_analysis(file: Any) -> bool:
    """Return whether an open HDF5 file is an analysis file of SLEAP."""
    return all(name in file for name in _ANALYSIS)


def read_analysis(path: Path, file: Any) -> Poses:
    """Read an analysis file. Of several tracks in a frame, the one with the highest mean score counts.

    Args:
        path: The file, for error texts.
        file: The open HDF5 file: ``tracks`` (T, 2, K, n), ``node_names`` (K,), ``point_scores`` (T, K, n).

    Raises:
        DataError: if its parts do not fit together.
    """
    tracks, names = file["tracks"], [_text(name) for name in np.ravel(file["node_names"][()])]
    if tracks.ndim != 4 or tracks.shape[1:3] != (2, len(names)) or tracks.size > MAX_VALUES:
        raise DataError(f"{path}: got tracks of shape {tracks.shape}, expected (T, 2, {len(names)}, frames)")
    xy = np.asarray(tracks[()], np.float64).transpose(3, 0, 2, 1)  # (n, T, K, 2)
    scores = np.full(xy.shape[:3], np.nan)
    if "point_scores" in file and file["point_scores"].shape == (xy.shape[1], xy.shape[2], xy.shape[0]):
        scores = np.asarray(file["point_scores"][()], np.float64).transpose(2, 0, 1)
    there = np.asarray(np.isfinite(xy).all(axis=3))
    rank = np.where(there, np.nan_to_num(scores) + 1e-9, 0).sum(axis=2)  # without scores: who has most keypoints
    best = rank.argmax(axis=1)
    rows = np.flatnonzero(there.any(axis=(1, 2)))
    values = np.concatenate([xy, scores[..., None]], axis=3)
    values[~there] = np.nan
    return Poses(
        tuple(names), rows.astype(np.int64), values[rows, best[rows]], _note(int((there.any(axis=2).sum(1) > 1).sum()))
    )


def _text(name: Any) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
