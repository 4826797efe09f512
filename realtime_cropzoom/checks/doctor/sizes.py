"""Sizes: whether what an experiment with another size says agrees with the lengths that were measured. No I/O."""

from __future__ import annotations

from realtime_cropzoom.checks.doctor.experiments import Tried
from realtime_cropzoom.checks.doctor.facts import Facts

SEVERAL = 3
"""Number of frames with a found animal from which its length there counts."""
OTHER_LENGTH = 1.5
"""Ratio of two lengths from which they are not those of one animal."""
OTHER_BOX = 1.2
"""Ratio of the sides of two boxes from which they differ."""


def is_contradicted(facts: Facts, tried: Tried) -> bool:
    """Return whether measured lengths say otherwise than an experiment with another size.

    Args:
        facts: What was measured.
        tried: The experiment; of another family, nothing contradicts it.
    """
    experiment, length = tried.experiment, tried.length_px
    if experiment.family not in ("box", "zoom") or experiment.inverted:
        return False
    if length is not None and not facts.agrees_with_movement(length):
        return True
    says_small = experiment.factor > 1 if experiment.family == "zoom" else experiment.box_factor < 1
    if experiment.family == "box" and has_other_boxes(facts):
        side, usual = facts.seen.box_side or 0, facts.usual_crop_size or 0
        return (side > usual) != says_small
    if _is_known(facts) and not _differs_where_lost(facts, small=says_small):
        return True
    if facts.trained is None or length is None:
        return False
    low, _, high = facts.trained.length_px
    # the detector sees the whole frame
    seen = length if experiment.family == "box" else length / facts.frame_size[0] * facts.trained.frame_size[0]
    return seen >= low if says_small else seen <= high


def has_other_boxes(facts: Facts) -> bool:
    """Return whether the boxes have another side than those of the training."""
    side, usual = facts.seen.box_side, facts.usual_crop_size
    return side is not None and usual is not None and max(side / usual, usual / side) >= OTHER_BOX


def _is_known(facts: Facts) -> bool:
    """Return whether the animal is found at a length of the training in several frames as they are."""
    length, trained = facts.seen.length_px, facts.trained
    if facts.seen.found < SEVERAL or length is None or trained is None:
        return False
    return trained.length_px[0] <= length <= trained.length_px[2] and facts.agrees_with_movement(length)


def _differs_where_lost(facts: Facts, *, small: bool) -> bool:
    """Return whether what moves is much smaller, or larger, where the animal is not found."""
    ratio = facts.moving.lost_ratio
    return ratio is not None and (ratio <= 1 / OTHER_LENGTH if small else ratio >= OTHER_LENGTH)
