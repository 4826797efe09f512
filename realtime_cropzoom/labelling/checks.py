"""Checks of labels: one line for each kind of fault, with its number, the first example and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from realtime_cropzoom.errors import listed, pluralize, quoted
from realtime_cropzoom.labelling.label_table import Labels
from realtime_cropzoom.labelling.sides import LEAST_FRAMES, swapped_sides, unchecked_pairs
from realtime_cropzoom.project.folder import Project
from realtime_cropzoom.types import Float64

FEW = 10
"""Number of labelled frames below which no model can be trained well."""
_SAME_PLACE_PX = 0.5
_OUTSIDE_PX = 1.0
"""Distance from the edge of a picture up to which a label still counts as inside."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check has found."""

    text: str
    """One line for the user."""
    images: Mapping[str, str]
    """A few words for each image in question, the worst first."""


def outside(xy: Float64, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return which keypoints lie outside of a picture, (K,).

    Args:
        xy: (K, 2) labels; NaN without a label.
        size: (W, H) of the picture.
    """
    limits = np.array(size, np.float64)
    x, y = ((xy < -_OUTSIDE_PX) | (xy > limits - 1 + _OUTSIDE_PX)).T
    found: npt.NDArray[np.bool_] = x | y
    return found


def check_labels(project: Project, labels: Labels) -> list[Finding]:
    """Check labels against each other.

    Args:
        project: The project.
        labels: All its labels.
    """
    found = [*_sides(project, labels), *_same_place(project, labels), *_never(project, labels), *_few(labels)]
    return found if labels else []


def _sides(project: Project, labels: Labels) -> Iterator[Finding]:
    images = sorted(labels)
    xy = np.array([labels[image] for image in images]).reshape(len(images), len(project.keypoints), 2)
    recordings = [image.split("/")[1] for image in images]
    for (a, b), frames in swapped_sides(xy, project.symmetric_pairs, recordings).items():
        names = f"{quoted(project.keypoints[a])} and {quoted(project.keypoints[b])}"
        yield Finding(
            f"left and right: {names} are on the other side than in most frames in {pluralize(len(frames), 'frame')}, "
            f"first {images[frames[0]]}. Look whether they are swapped there",
            {images[i]: f"{project.keypoints[a]} / {project.keypoints[b]} swapped?" for i in frames},
        )
    unchecked = unchecked_pairs(xy, project.symmetric_pairs)
    if unchecked:
        names = listed(f"{quoted(project.keypoints[a])} and {quoted(project.keypoints[b])}" for a, b in unchecked)
        whose = "" if len(unchecked) == len(project.symmetric_pairs) else f" of {names}"
        yield Finding(f"left and right{whose}: not checked (fewer than {LEAST_FRAMES} frames tell the side)", {})


def _same_place(project: Project, labels: Labels) -> Iterator[Finding]:
    found: dict[str, tuple[int, int]] = {}
    for image in sorted(labels):
        pair = _closest(labels[image])
        if pair is not None:
            found[image] = pair
    if found:
        image, (a, b) = next(iter(found.items()))
        names = project.keypoints
        yield Finding(
            f"same place: two keypoints lie on each other in {pluralize(len(found), 'frame')}, first "
            f"{quoted(names[a])} and {quoted(names[b])} of {image}. Label both, or take off the one that is hidden",
            {image: f"{names[a]} on {names[b]}" for image, (a, b) in found.items()},
        )


def _closest(xy: Float64) -> tuple[int, int] | None:
    """Return two keypoints at the same place, or None."""
    distance = np.hypot(xy[:, None, 0] - xy[None, :, 0], xy[:, None, 1] - xy[None, :, 1])
    near = np.argwhere(np.triu(np.nan_to_num(distance, nan=np.inf) < _SAME_PLACE_PX, k=1))
    return (int(near[0, 0]), int(near[0, 1])) if len(near) else None


def _never(project: Project, labels: Labels) -> Iterator[Finding]:
    tables = labels.values()
    never = [name for k, name in enumerate(project.keypoints) if not any(np.isfinite(xy[k, 0]) for xy in tables)]
    if never:
        todo = "Label them, or take them out of project.yaml: no model can learn them"
        yield Finding(f"never labelled: {listed(never)}. {todo}", {})


def _few(labels: Labels) -> Iterator[Finding]:
    if len(labels) < FEW:
        count = pluralize(len(labels), "labelled frame")
        yield Finding(f"few labels: {count}, expected {FEW} at least. Label more before training", {})


def listing(kind: str, images: Sequence[str], what: str, todo: str, words: str = "") -> Finding:
    """Return a finding about images.

    Args:
        kind: The kind of fault.
        images: The images, at least one.
        what: What is so in them.
        todo: What to do.
        words: A few words for each image; "" keeps the images out of the contact sheet's order.
    """
    text = f"{kind}: {pluralize(len(images), 'frame')} {what}, first {images[0]}. {todo}"
    return Finding(text, dict.fromkeys(images, words) if words else {})
