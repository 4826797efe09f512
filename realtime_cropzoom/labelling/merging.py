"""Merges labels that were imported into those that a project has. No label is lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from realtime_cropzoom.labelling.label_table import Labels
from realtime_cropzoom.types import Float64

SAME_PX = 0.01
"""Labels closer than this are the same one. CVAT rounds to hundredths."""


@dataclass(frozen=True, slots=True)
class Merged:
    """Labels after an import, and what has changed."""

    labels: Labels
    """All labels."""
    new: tuple[str, ...]
    """Images that had no labels before."""
    moved_px: Mapping[str, float]
    """The largest move of a keypoint in each image that has changed (px); 0 if labels only came or went."""
    mean_move_px: float
    """Mean move of the keypoints that moved (px); 0 if none did."""
    same: tuple[str, ...]
    """Images whose labels are the same."""
    kept: tuple[str, ...]
    """Images with labels that the import does not have."""
    absent: Mapping[str, tuple[int, ...]]
    """Keypoints that had a label and have none in the import, for each image."""


def merge(old: Labels, imported: Labels, *, remove: bool = False) -> Merged:
    """Merge labels. An image that the import does not have stays as it is.

    Args:
        old: The labels of the project.
        imported: The labels of the import.
        remove: Whether a keypoint loses its label if the import has none in an image that it labels. Otherwise the
            label stays.
    """
    labels, moved, same, moves, absent = dict(old), dict[str, float](), list[str](), list[float](), {}
    for image, xy in imported.items():
        before = old.get(image)
        if before is None:
            labels[image] = xy
            continue
        labels[image], distance, gone = _merged(before, xy, remove=remove)
        if gone:
            absent[image] = gone
        far = distance[distance > SAME_PX]
        if not np.isfinite(labels[image]).any():
            del labels[image]
        if np.array_equal(labels.get(image, ()), before, equal_nan=True):
            same.append(image)
        else:
            moved[image] = float(far.max(initial=0.0))
            moves += far.tolist()
    return Merged(
        labels,
        tuple(image for image in imported if image not in old),
        moved,
        float(np.mean(moves)) if moves else 0.0,
        tuple(same),
        tuple(image for image in old if image not in imported),
        absent,
    )


def _merged(before: Float64, after: Float64, *, remove: bool) -> tuple[Float64, Float64, tuple[int, ...]]:
    """Return the labels of an image, (K,) moves (px; 0 if a label came or went), and the keypoints that are gone."""
    had, has = np.isfinite(before).all(axis=1), np.isfinite(after).all(axis=1)
    distance = np.where(had & has, np.hypot(*np.nan_to_num(after - before).T), 0.0)
    result = before.copy()
    changed = has & (~had | (distance > SAME_PX))
    result[changed] = after[changed]
    gone = had & ~has
    if remove:
        result[gone] = np.nan
    return result, distance, tuple(int(k) for k in np.flatnonzero(gone))
