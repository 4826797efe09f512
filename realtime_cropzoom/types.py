"""Values that pass through the pipeline: frames, boxes, keypoints and detections.

All are frozen. Their arrays are shared and not copied, so code that receives an array must not write to it.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Bool = npt.NDArray[np.bool_]
UInt8 = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


class Picture(Protocol):
    """An RGB image of which regions are read: a NumPy array, or a decoded frame that converts only what is read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(height, width, 3) in pixels."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its values: uint8."""
        ...

    def __getitem__(self, region: tuple[slice, slice], /) -> UInt8:
        """Return the pixels ``[top:bottom, left:right]``, (h, w, 3) uint8. They may be a view."""
        ...

    def __array__(self) -> np.ndarray:
        """Return all pixels, for ``np.asarray``: (height, width, 3) uint8. They may be a view."""
        ...


class Sampling(NamedTuple):
    """What a bilinear resize of a region to (H, W) reads, and how it scales and shifts the result."""

    rows: Int64
    """(2·H,) rows of the region: the upper one of each output row, and then the lower ones."""
    row_weights: Float32
    """(H,) weight of the lower row."""
    columns: Int64
    """(2·W,) columns of the region: the left one of each output column, and then the right ones."""
    column_weights: Float32
    """(W,) weight of the right column."""
    scale: Float32
    """(3,) factor of each channel."""
    shift: Float32
    """(3,) number added to each channel after that."""


class PartialPicture(Picture, Protocol):
    """A picture that may give some pixels for less than all of them."""

    @property
    def row_group(self) -> int:
        """Number of rows that it converts together; 0 if it converts all or none."""
        ...

    def rows(self, numbers: Int64) -> UInt8:
        """Return the pixels of rows, (n, width, 3) uint8. ``numbers`` has whole groups: k · row_group + 0, 1, …"""
        ...

    @property
    def is_sampled(self) -> bool:
        """Whether it converts single pixels."""
        ...

    def resize(self, region: Box, sampling: Sampling, out: Float32) -> None:
        """Resize a region (pixels) of an ``is_sampled`` picture into (3, H, W) float32, with black outside of it."""
        ...


class State(enum.StrEnum):
    """Tracking state: whether the pose can be trusted."""

    SEARCHING = "searching"
    """The animal has not been found yet. If there is a box, its pose does not show the animal."""
    TRACKING = "tracking"
    """The box comes from a recent detection, and its pose looks like the animal."""
    COASTING = "coasting"
    """The box is older than ``coast_after_ms``, or the pose does not look like the animal."""
    LOST = "lost"
    """The box or the last *tracking* frame is older than ``lost_after_ms``. Do not act on the pose."""


class StreamState(enum.StrEnum):
    """State of the stream: whether frames arrive. It does not depend on whether the animal is found."""

    LIVE = "live"
    """Frames arrive."""
    STALLED = "stalled"
    """No frames arrive, but the connection is not lost."""
    RECONNECTING = "reconnecting"
    """The connection is lost, and the source is opened again."""
    ENDED = "ended"
    """No further frame will arrive."""


class BoxOrigin(enum.StrEnum):
    """Where a box comes from."""

    DETECTION = "detection"
    """The detector found the animal."""
    POSE = "pose"
    """It lies around the keypoints of an earlier pose."""
    FRAME = "frame"
    """It is the whole frame, or what a pose model that sees whole frames found in it."""


class Box(NamedTuple):
    """A crop region in frame pixels. It may extend beyond the frame."""

    x: float
    """Left edge: a whole number, unless the pose model keeps the fraction, as SLEAP's do."""
    y: float
    """Top edge, likewise."""
    w: int
    """Width, > 0."""
    h: int
    """Height, > 0."""

    def pixels(self) -> tuple[int, int, int, int]:
        """Return left, top, right and bottom edge in whole pixels, rounded down."""
        left, top = math.floor(self.x), math.floor(self.y)
        return left, top, left + self.w, top + self.h


@dataclass(frozen=True, slots=True)
class FrameMeta:
    """Index and times of a frame: everything but its pixels."""

    index: int
    """Capture index, from 0, without gaps."""
    pts_ns: int
    """Frame time (ns): presentation time since the first frame of the source."""
    device_ns: int | None
    """Time (ns) of the frame on the clock of the source (container pts, camera ticks); None if it has none."""
    captured_ns: int
    """Time (monotonic, ns) at which the source handed over the decoded frame."""
    segment: int = 0
    """Number of times that the source was lost and came back before this frame."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One captured image. ``image`` is valid only while the lease of the frame is held."""

    meta: FrameMeta
    image: Picture
    """RGB: an (height, width, 3) uint8 array, or a decoded frame."""


@dataclass(frozen=True, slots=True)
class Keypoints:
    """K keypoints with their likelihoods."""

    xy: Float32
    """(K, 2), x and y in frame pixels, or in input pixels if the owner says so; NaN for an absent keypoint."""
    likelihood: Float32
    """(K,), 0 to 1; NaN for a regression model, which has none."""
    sharpness: Float32 | None = None
    """(K,), 0 to 1: share of each heatmap that lies around its highest cell; None without such heatmaps."""
    corners: Float32 | None = None
    """(2, 2), top-left and bottom-right corner of the box that the model itself found, in the space of ``xy``."""
    spoilt: bool = False
    """Whether the network gave numbers that are not finite. A keypoint that a model calls absent is NaN, too."""


@dataclass(frozen=True, slots=True)
class Detection:
    """A box found in one frame, by the detector or around a pose; or that the detector found none."""

    meta: FrameMeta
    """The frame."""
    box: Box | None
    """The crop region; None if no keypoint was usable."""
    detected_ns: int
    """Time (monotonic, ns) at which the detection was done."""
    origin: BoxOrigin = BoxOrigin.DETECTION
    """Where the box comes from: the detector, or an earlier pose."""
    uncertain: bool = False
    """Whether the animal may have been taken for another one, see ``inference.tracks``."""
    meetings: int = 0
    """Number of times that this became so."""


@dataclass(frozen=True, slots=True)
class ActiveBox:
    """The crop box of a frame, and where the box comes from."""

    box: Box | None
    """None before the first usable detection."""
    frame: int
    """Capture index of the frame in which the box was found; -1 without a box."""
    age_ms: float
    """Frame time (ms) between that frame and this one; NaN without a box."""
    state: State
    detected_ns: int
    """Time (monotonic, ns) at which the box was found; 0 without a box, and for a box from a file."""
    origin: BoxOrigin = BoxOrigin.DETECTION
    """Where the box comes from."""
    uncertain: bool = False
    """Whether the animal may have been taken for another one, as in ``Detection``."""
    meetings: int = 0
    """Number of times that this became so."""
