"""What a label file of another program holds, in one form for all programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from realtime_cropzoom.types import UInt8

Point = tuple[float, float]
"""x, y in pixels of the picture; (0, 0) is the middle of its first pixel."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The keypoints of one animal in one picture."""

    image: str
    """Path of the picture, or of the video, as the file has it."""
    points: dict[str, Point]
    """The labelled keypoints, by name."""
    frame: int | None = None
    """Number of the frame in the video, from 0; None if ``image`` is a picture."""
    animal: str = ""
    """Name of the animal or of its track; empty if the file has none."""
    size: tuple[int, int] | None = None
    """(W, H) of the picture that was labelled; None if the file does not say it."""
    predicted: bool = False
    """Whether a model made it, and no person."""
    picture: Callable[[], UInt8] | None = field(default=None, compare=False)
    """Reads the picture, (H, W, 3) RGB, if the file itself holds it."""


@dataclass(frozen=True, slots=True)
class LabelFile:
    """A label file."""

    path: Path
    program: str
    """The program, or the form, in words."""
    keypoint_names: tuple[str, ...]
    """In the order of the file."""
    entries: tuple[Entry, ...]
    """In the order of the file; those without any point are left out."""
    notes: tuple[str, ...] = ()
    """What a user should know of how the file was read, a sentence each."""
    tells_predictions: bool = False
    """Whether the program keeps predictions apart from labels, so that whoever takes one over means it."""
