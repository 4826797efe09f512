"""Facts: everything that was measured on a source, as numbers. ``causes`` turns them into sentences. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from realtime_cropzoom.checks.doctor.experiments import Tried
from realtime_cropzoom.checks.doctor.quality import Light, Repeats
from realtime_cropzoom.inference.manifest import Trained

MOVING_SHARE = 0.5
"""Share of the frames in which something must move, to say something about it."""
LIKE_MOVING = (0.55, 1.6)
"""Length of an animal by its keypoints, relative to that of what moves."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the models see in the samples as they are."""

    frames: int
    """Number of samples."""
    boxed: int
    """Samples in which the detector finds something."""
    found: int
    """Samples with a plausible pose."""
    doubts: Mapping[str, int]
    """Number of poses by the reason why they are not plausible."""
    likelihood: float | None
    """Median likelihood of the keypoints of all poses; None without poses, or for a regression model."""
    length_px: float | None
    """Median length of the animals that were found (frame pixels)."""
    box_side: float | None
    """Median side of the boxes (frame pixels)."""
    box_spread: float | None
    """How far the boxes are from their usual place (median distance, box sides); None with fewer than three."""
    box_place: tuple[float, float] | None
    """Usual middle of the boxes (frame pixels)."""
    order: OtherOrder | None
    """Keypoints that detector and pose model name differently; None if they agree, or cannot be compared."""

    @property
    def share(self) -> float:
        """Share of the samples in which the animal was found."""
        return self.found / self.frames if self.frames else 0.0


@dataclass(frozen=True, slots=True)
class OtherOrder:
    """Keypoints of the detector that lie where the pose model has others."""

    pairs: tuple[tuple[str, str], ...]
    """Name of the detector, and the name that the pose model has at that place."""
    apart: float
    """Distance of keypoints of the same name (animal lengths)."""
    apart_matched: float
    """Distance if the names are exchanged (animal lengths)."""


@dataclass(frozen=True, slots=True)
class Moving:
    """What moves in the samples, found without a model."""

    share: float
    """Share of the samples in which something moves."""
    several: float
    """Share of the samples with a second thing of a similar size."""
    whole: float
    """Share of the samples in which nearly everything differs from the usual picture."""
    length_px: float | None
    """Median length of the largest thing that moves (frame pixels)."""
    contrast: float | None
    """Median of its gray minus that of the background, from -1 to 1."""
    outside_box: float | None
    """Share of the samples with a box and something that moves, in which it is not in the box; None without."""
    in_lost: float | None
    """Share of the samples without a found animal in which something moves; None if it was always found."""
    lost_ratio: float | None = None
    """Median length of what moves where the animal is not found, relative to where it is; None if unknown."""


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast the largest thing moves, and how blurred it is by that."""

    median: float
    """Frame pixels per frame."""
    fast: float
    """Speed above which a quarter of the samples lie (frame pixels per frame)."""
    smear: float | None
    """How much wider its edges in front and behind are than those at its sides: 1 without blur; None if unknown."""


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What the files of a session say."""

    frames: int
    """Frames with a state."""
    tracked: float
    """Share of them in which the animal was tracked."""
    longest_lost: tuple[int, int] | None
    """First frame, and the frame after the last, of the longest stretch without it; None if there is none."""
    jumps: float | None
    """Share of poses in which most keypoints move further than an animal can; None if unknown."""
    skipped: float
    """Share of the frames that were skipped."""
    models: str | None = None
    """The models of the run, in words, if the samples are shown to others; else None."""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that was measured."""

    shipped: bool
    """Whether the models come with the package."""
    trained: Trained | None
    """What the training of the models looked like; None if they do not say."""
    frame_size: tuple[int, int]
    """(width, height) of the frames (pixels)."""
    fps: float | None
    live: bool
    """Whether the source is a camera or a stream."""
    crop_size: int | None
    """Side of the boxes if it is the same for all (frame pixels)."""
    usual_crop_size: int | None
    """Side of the boxes in the training of the pose model (frame pixels); None if it does not say."""
    seen: Seen
    tried: tuple[Tried, ...]
    """Experiments with samples in which the animal was not found."""
    light: Light
    repeats: Repeats
    moving: Moving
    speed: Speed | None
    """None if too few samples have a known speed."""
    edge_px: float | None
    """Width of the edges of what moves (frame pixels); None if unknown."""
    combing: float | None
    """How much more rows differ from their neighbours than columns do, where something moves; None if unknown."""
    blocks: float
    """How much larger steps are at the borders of blocks of compression than elsewhere."""
    animals: int = 1
    """Number of animals of the run in one arena. What is seen is that of which the detector is surest."""
    session: SessionFacts | None = None
    held_out: tuple[int, int] | None = None
    """Held-out frames of the project in which its models find the animal, and their number; None if unknown."""

    @property
    def length_px(self) -> float | None:
        """Length of the animal: of the poses if there are some, else of what moves (frame pixels)."""
        tried = sorted((one for one in self.tried if one.share >= 0.5), key=lambda one: -one.share)
        known = [self.seen.length_px, *(one.length_px for one in tried)]
        agreed = (length for length in known if length is not None and self.agrees_with_movement(length))
        return next(agreed, self.moving.length_px)

    def agrees_with_movement(self, length: float) -> bool:
        """Return whether a length of the animal (frame pixels) may be that of what moves; True if nothing does."""
        moving = self.moving
        if moving.length_px is None or moving.share < MOVING_SHARE:
            return True
        return LIKE_MOVING[0] <= length / moving.length_px <= LIKE_MOVING[1]
