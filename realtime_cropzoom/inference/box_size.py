"""Are boxes as large as those that the pose model was trained on? Far from it, keypoints collapse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from realtime_cropzoom.errors import advised
from realtime_cropzoom.inference.model_spec import ModelFile
from realtime_cropzoom.types import Keypoints

_TRAINED, _INPUT = (0.5, 2.0), (0.25, 4.0)
"""From so much to so much of the side that is known, or of the model's input, boxes are taken for well."""
TINY = 16
"""Boxes of a smaller side show no animal to any model."""
_FILLED = 0.8
"""An animal that spans more of its box than this is partly outside of it as soon as the box is a little off."""
_SEEN = 10
"""After so many boxes their size is judged."""


@dataclass(frozen=True, slots=True)
class ExpectedSide:
    """What a pose model says of the boxes that it was trained on."""

    side: int
    """In frame pixels."""
    known: bool
    """Whether it says so; else this is the side of its input."""

    @classmethod
    def of(cls, file: ModelFile, size: tuple[int, int]) -> ExpectedSide:
        """Return that of a model with an input of ``size``, (W, H)."""
        known = file.crop_size or file.trained_side
        return cls(known or max(size), known is not None)

    def warning(self, sides: Sequence[int]) -> str | None:
        """Return a sentence where boxes of these sides are far from the expected one; None where all is well."""
        if not sides:
            return None
        side = round(median(sides))
        least, most = _TRAINED if self.known else _INPUT
        if side >= TINY and least * self.side <= side <= most * self.side:
            return None
        size = "small" if side < self.side else "large"
        source = "the pose model was trained on boxes of" if self.known else "the input of the pose model has"
        value = f"{self.side}" if self.known else "and the side that it was trained on"
        return (
            f"boxes are {side} px wide, but {source} {self.side} px: they are too {size}, and keypoints will be off. "
            + advised(f"Give --crop-size {value}", f"Make other boxes: 'cropzoom create_bbox … --crop-size' {value}")
        )

    def unsaid(self, crop_ratio: float, min_box: int) -> str | None:
        """Return a sentence for a run whose boxes nobody has said the size of; None where the model says it."""
        if self.known:
            return None
        return (
            advised("neither --crop-size nor --crop-ratio is given", "no size of the boxes is given")
            + ", and the pose model does not say what it was trained on: "
            f"boxes are {crop_ratio:g} times as wide as the keypoints' span, and at least {min_box} px. "
            "Give the one that it was trained with"
        )


class BoxSizes:
    """Looks at the first boxes of a pass, and says once what is wrong with their size."""

    def __init__(self, expected: ExpectedSide | None) -> None:
        """``expected`` is None where it is known to be right, or said to be wrong already."""
        self._expected = expected
        self._sides: list[int] | None = []
        self._spans: list[float] = []

    def see(self, side: int, seen: Keypoints) -> str | None:
        """Take the side of a box and what it is made around; return a sentence where the first are far from well."""
        if self._sides is None:
            return None
        self._sides.append(side)
        self._spans.append(_longest(seen))
        return self.end() if len(self._sides) == _SEEN else None

    def end(self) -> str | None:
        """Judge those that were seen, however few; after that nothing more is said."""
        sides, self._sides = self._sides, None
        if not sides:
            return None
        expected = None if self._expected is None else self._expected.warning(sides)
        return expected or too_large_warning(median(sides), median(self._spans))


def _longest(seen: Keypoints) -> float:
    """The largest distance between two keypoints, px; 0 where there are none."""
    apart = np.linalg.norm(seen.xy[:, None] - seen.xy[None], axis=2)
    return float(np.nan_to_num(apart).max(initial=0.0))


def too_large_warning(side: float, span: float) -> str | None:
    """Return a sentence where an animal whose keypoints span so many px fills its box; None where it has room."""
    if span <= _FILLED * side:
        return None
    return (
        f"the animal is about {span:.0f} px long, and its box only {side:.0f} px wide: it fills the box, and keypoints "
        "will be off. "
        + advised(f"Give --crop-size {max(10, round(span / 5) * 10)}", "Give a model that was trained on larger boxes")
    )


def tiny_warning(sides: Sequence[int], crop_size: int | None) -> str | None:
    """Return a sentence where boxes are too small for any model, as where there is one keypoint; None if not."""
    side = round(median(sides)) if sides else TINY
    if side >= TINY:
        return None
    why = "" if crop_size is not None else ", as keypoints lie together or there is only one"
    advice = advised(". Give --crop-size with a side in pixels")
    return f"the boxes are {side} px wide{why}: no animal can be seen in them{advice}"
