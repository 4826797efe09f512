"""Boxes: computes the crop box around detected keypoints, as Lightning Pose's ``create_bbox`` does. No I/O.

Two additions to Lightning Pose serve live detectors: unlikely keypoints do not count, and a minimum
side keeps a collapsed detection from giving a 6-pixel box.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.types import ActiveBox, Box, Keypoints, Picture

DEFAULT_CROP_RATIO = 2.0
MAX_SIDE = 8192
"""Maximum side of a box (frame pixels), for detections and for files."""
MAX_OFFSET = 1 << 20
"""Maximum distance (pixels) of a box from the image's corner. No image is as large."""


@dataclass(frozen=True, slots=True)
class BoxRule:
    """How a detection becomes a box. ``crop_size`` and ``crop_ratio`` exclude each other."""

    crop_size: int | None = None
    """Side of the box in frame pixels, rounded up to even."""
    crop_ratio: float | None = None
    """Side as a multiple of the larger keypoint span; 2.0 if neither is given."""
    min_likelihood: float = 0.0
    """Keypoints with a lower likelihood do not count."""
    min_box: int = 0
    """Smallest side in frame pixels."""
    anchors: tuple[int, ...] | None = None
    """Indices of the keypoints that count; None for all."""
    unrounded: bool = False
    """Whether the corner keeps its fraction, as the pose models of SLEAP need it."""

    def __post_init__(self) -> None:
        if self.crop_size is not None and self.crop_ratio is not None:
            raise ConfigError("both crop_size and crop_ratio were given; give one of them")
        if self.crop_size is not None and self.crop_size <= 0:
            raise ConfigError(f"crop_size is {self.crop_size}; expected a side in pixels greater than 0")
        if self.crop_ratio is not None and not (math.isfinite(self.crop_ratio) and self.crop_ratio > 0):
            raise ConfigError(f"crop_ratio is {self.crop_ratio}; expected a factor greater than 0, such as 2.0")

    def box(self, detection: Keypoints) -> Box | None:
        """Return the box around ``detection`` (frame space), or None if no keypoint is usable.

        Keypoints that are not finite never count, and there is no box beyond ``MAX_OFFSET``.
        Source: Lightning Pose, ``utils/cropzoom.py``, ``_compute_bbox_df``; equal to it, number
        for number, with ``min_likelihood`` and ``min_box`` 0.
        """
        xy = usable(detection, self.min_likelihood, self.anchors)
        if len(xy) == 0:
            return None
        side = self.crop_size if self.crop_size is not None else self._side_from_span(xy)
        side = min(max(even(side), even(self.min_box)), MAX_SIDE)
        box = unrounded_box(xy, side) if self.unrounded else centred_box(xy, side)
        return box if max(abs(box.x), abs(box.y)) <= MAX_OFFSET else None

    def _side_from_span(self, xy: np.ndarray) -> int:
        ratio = DEFAULT_CROP_RATIO if self.crop_ratio is None else self.crop_ratio
        # A single keypoint spans nothing: one pixel is the smallest box there is.
        return max(1, math.ceil(float(np.ptp(xy, axis=0).max()) * ratio))


def find_anchors(given: Sequence[str], names: Sequence[str]) -> tuple[list[int], list[str]]:
    """Find the keypoints that a user lists among the keypoints of a model.

    A name may contain commas, and the list may have been split at its commas: neighbours are then
    joined again to one name. Spaces around commas do not matter.

    Args:
        given: The names in the user's list.
        names: The keypoint names of the model, in order.

    Returns:
        The indices in ``names``, and the given names that are unknown.
    """
    places = {_one_spelling(name): place for place, name in reversed(list(enumerate(names)))}
    found, unknown, begin = [], [], 0
    while begin < len(given):
        ends = range(begin + 1, len(given) + 1)
        end = next((end for end in ends if _one_spelling(",".join(given[begin:end])) in places), None)
        if end is None:
            unknown.append(given[begin])
            begin += 1
        else:
            found.append(places[_one_spelling(",".join(given[begin:end]))])
            begin = end
    return found, unknown


def _one_spelling(name: str) -> str:
    return ",".join(part.strip() for part in name.split(","))


def usable(detection: Keypoints, min_likelihood: float, anchors: Sequence[int] | None) -> np.ndarray:
    """Return the (n, 2) float64 keypoints that count: finite, likely enough, and anchors if named.

    A likelihood of NaN, as a regression model gives it, does not exclude a keypoint. If the model has found a box
    itself, its two corners stand for the keypoints, unless anchors are named.
    """
    if detection.corners is not None and anchors is None:
        return detection.corners.astype(np.float64)
    counts = np.isfinite(detection.xy).all(axis=1) & ~(detection.likelihood < min_likelihood)
    if anchors is not None:
        chosen = np.zeros_like(counts)
        chosen[list(anchors)] = True
        counts &= chosen
    return detection.xy[counts].astype(np.float64)


def whole_image(image: Picture) -> Box:
    """Return the box that covers an image."""
    return Box(0, 0, image.shape[1], image.shape[0])


def centred_box(xy: np.ndarray, side: int) -> Box:
    """Return the square box with an even ``side`` (pixels) and its top-left corner at trunc(mean − side // 2).

    ``xy`` is (n, 2), n ≥ 1. The truncation is toward zero, as Lightning Pose does it.
    """
    x, y = (int(c) for c in xy.mean(axis=0) - side // 2)
    return Box(x, y, side, side)


def unrounded_box(xy: np.ndarray, side: int) -> Box:
    """Return the square box of ``side`` pixels whose corner lies at mean − side / 2 + ½, as SLEAP cuts its crops.

    ``xy`` is (n, 2), n ≥ 1. Source: sleap-nn 0.3.5, centred-instance models.
    """
    x, y = (float(np.float32(c)) for c in xy.mean(axis=0).astype(np.float32) - np.float32(side / 2 - 0.5))
    return Box(x, y, side, side)


def with_found_box(active: ActiveBox, found: Keypoints) -> ActiveBox:
    """Return the active box with the box that the model itself found, in whole pixels; unchanged if it found none."""
    box = found_box(found)
    return active if box is None else replace(active, box=box)


def found_box(found: Keypoints) -> Box | None:
    """Return the box that the model itself found, in whole pixels; None if it found none."""
    if found.corners is None or not np.isfinite(found.corners).all():
        return None
    (left, top), (right, bottom) = np.rint(found.corners).astype(int).tolist()
    return Box(left, top, max(1, right - left), max(1, bottom - top))


def whole(number: float) -> float:
    """Return a number as an int if it is whole. Corners of boxes are, but for the pose models of SLEAP."""
    return int(number) if number == int(number) else number


def even(side: int) -> int:
    """Round up to an even number of pixels, which video codecs require."""
    return side + side % 2
