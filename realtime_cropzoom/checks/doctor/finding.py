"""Finding: one cause in words, and the sentences that causes share. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from realtime_cropzoom.checks.doctor.experiments import Tried
from realtime_cropzoom.checks.doctor.facts import Facts
from realtime_cropzoom.errors import advise
from realtime_cropzoom.inference.pose_quality import FIRST_COMMANDS, known_words

PROGRESSIVE = "Set the camera to progressive frames, or deinterlace the video: ffmpeg -i VIDEO -vf yadif OUT.mp4"


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause, in words."""

    cause: str
    """Short name, for ``--json``."""
    weight: float
    """How likely it is; the largest comes first."""
    text: str
    """What is wrong, with the numbers."""
    advice: str
    """What to do."""
    crop_size: int | None = None
    """Side of the boxes to try (frame pixels); None if their size is not the cause."""

    @property
    def needs_training(self) -> bool:
        """Whether models for this animal must be trained."""
        return self.cause in ("contrast", "unknown animal")


def knows(facts: Facts) -> str:
    """Return what the models know, as the end of a sentence."""
    return known_words(facts.trained, shipped=facts.shipped)


def train(facts: Facts) -> str:
    """Return the advice to train models, or to train them again."""
    if facts.shipped:
        return f"train your own on frames of it: {FIRST_COMMANDS}"
    return "label frames of this video and train again: cropzoom frames PROJECT VIDEO"


def its_size(facts: Facts, tried: Tried) -> str:
    """Return the length of the animal, and that of the training."""
    if tried.length_px is None:
        return ""
    trained = facts.trained
    if trained is None:
        return f": it is about {tried.length_px:.0f} px long in frames of {facts.frame_size[0]}×{facts.frame_size[1]}"
    low, middle, high = trained.length_px
    return (
        f": it is about {tried.length_px:.0f} px long in frames of {facts.frame_size[0]}×{facts.frame_size[1]}; in the "
        f"training {middle:.0f} px ({low:.0f}–{high:.0f}) in frames of {trained.frame_size[0]}×{trained.frame_size[1]}"
    )


def exposure_advice(*, dark: bool) -> str:
    """Return what to do about a picture that is too dark, or too bright."""
    flags = advise(" (--exposure-ms, --gain)")
    return f"Add light, or raise exposure or gain{flags}." if dark else f"Lower exposure or gain{flags}."


def first_up(text: str) -> str:
    """Return a text with a capital letter at its begin."""
    return text[:1].upper() + text[1:]
