"""The values that travel through the pipeline.

All are frozen. Arrays are shared, never copied: whoever receives one reads it
and leaves it as it is.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


class State(enum.StrEnum):
    """Whether the animal is found: what a consumer may trust."""

    SEARCHING = "searching"
    """The animal has not been seen yet. Without a box there is no pose; with one, the pose is of something else."""
    TRACKING = "tracking"
    """The box comes from a recent detection, and its pose looks like the animal."""
    COASTING = "coasting"
    """The box is older than ``coast_after_ms``, or the pose does not look like the animal."""
    LOST = "lost"
    """The box, or the last sight of the animal, is older than ``lost_after_ms``; do not act on the pose."""


class StreamState(enum.StrEnum):
    """Whether frames arrive, independent of whether the animal is found."""

    LIVE = "live"
    STALLED = "stalled"
    RECONNECTING = "reconnecting"
    ENDED = "ended"


class Box(NamedTuple):
    """A crop region in frame pixels; it may reach beyond the frame."""

    x: int
    """Left edge."""
    y: int
    """Top edge."""
    w: int
    """Width, > 0."""
    h: int
    """Height, > 0."""


@dataclass(frozen=True, slots=True)
class FrameMeta:
    """When and where in the stream a frame was captured: all of a frame but its pixels."""

    index: int
    """Capture index, from 0, without gaps."""
    pts_ns: int
    """Frame time: presentation time since the source's first frame."""
    device_ns: int | None
    """The source's own time for the frame (container pts, camera ticks), or None."""
    captured_ns: int
    """Monotonic time at which the decoded frame was handed over."""
    segment: int = 0
    """How often the source had broken off and come back before."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One captured image. ``image`` is only valid while the frame's lease is held."""

    stamp: FrameMeta
    image: UInt8
    """(H, W, 3) RGB."""


@dataclass(frozen=True, slots=True)
class Keypoints:
    """K keypoints and how sure the model is of each."""

    xy: Float32
    """(K, 2), pixels in the space the holder names; NaN where there is none."""
    likelihood: Float32
    """(K,), in [0, 1]."""
    sharpness: Float32 | None = None
    """(K,), in [0, 1]: how much of each heatmap lies around its highest cell; None where nobody asked."""


@dataclass(frozen=True, slots=True)
class Detection:
    """What the detector made of one frame."""

    stamp: FrameMeta
    """The frame it saw."""
    box: Box | None
    """The crop region it gives, or None where nothing was usable."""
    detected_ns: int
    """Monotonic time at which it was done."""


@dataclass(frozen=True, slots=True)
class ActiveBox:
    """The box a frame is cropped with, and where it comes from."""

    box: Box | None
    """None before the first usable detection."""
    frame: int
    """Capture index of the frame the box was detected on; -1 without a box."""
    age_ms: float
    """Frame time between that frame and this one; NaN without a box."""
    state: State
    detected_ns: int
    """Monotonic time at which the detection was done; 0 without a box or from a file."""
