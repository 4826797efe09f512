"""Box size check: warns if boxes differ much from the training boxes of the pose model; keypoints are then off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from realtime_cropzoom.errors import advise
from realtime_cropzoom.inference.model_file import ModelFile
from realtime_cropzoom.types import Keypoints

_TRAINED_RANGE, _INPUT_RANGE = (0.5, 2.0), (0.25, 4.0)
"""Accepted range of the side of the boxes: relative to the known side of the training, or else to the model's input."""
MIN_SIDE = 16
"""Minimum side of a box (frame pixels). No model can see an animal in a smaller one."""
_MAX_SPAN = 0.8
"""Maximum span of the animal, relative to the side of its box. A longer animal is partly outside as soon as the box
is a little off."""
_JUDGED_AFTER = 10
"""Number of boxes after which their size is judged."""


@dataclass(frozen=True, slots=True)
class ExpectedSide:
    """Side of the boxes that a pose model expects."""

    side: int
    """Side in frame pixels."""
    known: bool
    """Whether the model states the side; else ``side`` is that of its input."""

    @classmethod
    def of(cls, file: ModelFile, size: tuple[int, int]) -> ExpectedSide:
        """Return the side that a model expects.

        Args:
            file: Description of the model.
            size: (W, H) of its input in pixels.
        """
        known = file.manifest.crop_size or file.trained_side
        return cls(known or max(size), known is not None)

    def is_given(self, crop_size: int | None) -> bool:
        """Return whether ``crop_size`` (frame pixels), the side of all boxes, is that of the training."""
        return self.known and crop_size == self.side

    def warning(self, sides: Sequence[int]) -> str | None:
        """Return a warning if the median of ``sides`` (frame pixels) is far from the expected side, else None."""
        if not sides:
            return None
        side = round(median(sides))
        least, most = _TRAINED_RANGE if self.known else _INPUT_RANGE
        if side >= MIN_SIDE and least * self.side <= side <= most * self.side:
            return None
        size = "small" if side < self.side else "large"
        source = "the pose model was trained on boxes of" if self.known else "the input of the pose model has"
        value = f"{self.side}" if self.known else "and the side that it was trained on"
        return (
            f"boxes are {side} px wide, but {source} {self.side} px: they are too {size}, and keypoints will be off. "
            + advise(f"Give --crop-size {value}", f"Make other boxes: 'cropzoom create_bbox … --crop-size' {value}")
        )

    def warning_if_unknown(self, crop_ratio: float, min_box: int) -> str | None:
        """Return a warning for a run without a setting for the size of its boxes; None if the model states the side.

        Args:
            crop_ratio: Side of the boxes relative to the span of the keypoints.
            min_box: Minimum side of the boxes (frame pixels).
        """
        if self.known:
            return None
        return (
            advise("neither --crop-size nor --crop-ratio is given", "no size of the boxes is given")
            + ", and the pose model does not say what it was trained on: "
            f"boxes are {crop_ratio:g} times as wide as the keypoints' span, and at least {min_box} px. "
            "Give the one that it was trained with"
        )


class BoxSizeCheck:
    """Checks the first boxes of a pass and warns once if their size is wrong."""

    def __init__(self, expected: ExpectedSide | None) -> None:
        """``expected`` is None if the side is known to be right, or a warning was given already."""
        self._expected = expected
        self._sides: list[int] | None = []
        self._spans: list[float] = []

    def add(self, side: int, found: Keypoints) -> str | None:
        """Add a box, and check the size after the first ten.

        Args:
            side: Side of the box (frame pixels).
            found: Keypoints around which the box was made (frame pixels).

        Returns:
            A warning with the tenth box if the sizes are wrong, else None.
        """
        if self._sides is None:
            return None
        self._sides.append(side)
        self._spans.append(_longest(found))
        return self.end() if len(self._sides) == _JUDGED_AFTER else None

    def end(self) -> str | None:
        """Check the boxes added so far; return a warning or None. Later calls return None."""
        sides, self._sides = self._sides, None
        if not sides:
            return None
        expected = None if self._expected is None else self._expected.warning(sides)
        return expected or too_large_warning(median(sides), median(self._spans))


def _longest(found: Keypoints) -> float:
    """Return the largest distance between two keypoints (px); 0 without finite keypoints."""
    apart = np.linalg.norm(found.xy[:, None] - found.xy[None], axis=2)
    return float(np.nan_to_num(apart).max(initial=0.0))


def too_large_warning(side: float, span: float) -> str | None:
    """Return a warning if the animal fills its box; None if it has room.

    Args:
        side: Side of the box (frame pixels).
        span: Largest distance between two keypoints (frame pixels).
    """
    if span <= _MAX_SPAN * side:
        return None
    return (
        f"the animal is about {span:.0f} px long, and its box only {side:.0f} px wide: it fills the box, and keypoints "
        "will be off. "
        + advise(f"Give --crop-size {max(10, round(span / 5) * 10)}", "Give a model that was trained on larger boxes")
    )


def tiny_warning(sides: Sequence[int], crop_size: int | None) -> str | None:
    """Return a warning if boxes are too small for any model, as with a single keypoint; else None.

    Args:
        sides: Sides of the boxes (frame pixels).
        crop_size: The setting ``crop_size``; None if it is not given.
    """
    side = round(median(sides)) if sides else MIN_SIDE
    if side >= MIN_SIDE:
        return None
    why = "" if crop_size is not None else ", as keypoints lie together or there is only one"
    advice = advise(". Give --crop-size with a side in pixels")
    return f"the boxes are {side} px wide{why}: no animal can be seen in them{advice}"
