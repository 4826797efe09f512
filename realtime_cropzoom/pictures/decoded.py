"""Decoded frames as pictures: kept by reference, converted where they are looked at."""

from __future__ import annotations

import threading
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from realtime_cropzoom.pictures.planes import rows as plane_rows
from realtime_cropzoom.pictures.regions import RGB, Regions, make_regions, to_rgb
from realtime_cropzoom.pictures.turn import AS_IT_IS, Turn
from realtime_cropzoom.types import Box, Float32, Int64, Sampling, UInt8


class _OfThread(threading.local):
    """What a thread reuses between whole frames."""

    def __init__(self) -> None:
        self.reformatter = VideoReformatter()


_of_thread = _OfThread()


class DecodedPicture:
    """A decoded frame, in display orientation. It implements ``types.PartialPicture``; threads may share it.

    As long as it exists, the decoder uses other memory.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, frame: av.VideoFrame, turn: Turn, regions: Regions | None) -> None:
        """Keep a frame.

        Args:
            frame: The frame. Nothing else may convert it.
            turn: Turn for display.
            regions: Converts regions of the frame. If None, the whole frame is converted for each region; a frame in
                RGB is only looked at.
        """
        self.frame = frame
        """The frame. Others may read its planes."""
        self.turn = turn
        """Turn for display."""
        self._regions = regions
        self._lock = threading.Lock()  # PyAV changes the frame's colour properties while it converts it
        width, height = turn.size(frame.width, frame.height)
        self.shape = (height, width, 3)

    @property
    def is_cheap(self) -> bool:
        """Whether a region is converted without the rest of the frame."""
        return self._regions is not None or self.frame.format.name == RGB

    def colours(self) -> tuple[int, int]:
        """Return FFmpeg's numbers of the colour space and the colour range."""
        with self._lock:
            return self.frame.colorspace, self.frame.color_range

    def __getitem__(self, region: tuple[slice, slice]) -> UInt8:
        """Return the pixels of ``[top:bottom, left:right]``, as with an array; (h, w, 3) uint8."""
        top, bottom, _ = region[0].indices(self.shape[0])
        left, right, _ = region[1].indices(self.shape[1])
        box = Box(left, top, right - left, bottom - top)
        if self._regions is None or min(box.w, box.h) < 1 or (box.h, box.w) == self.shape[:2]:
            return np.asarray(self)[top:bottom, left:right]
        coded = self.turn.before(box, (self.shape[1], self.shape[0]))
        return self._turned(self._regions.rgb(self.frame, coded))

    @property
    def row_group(self) -> int:
        """Number of rows that are converted together; 0 if ``rows`` cannot be called."""
        return self._regions.row_group if self._regions is not None and self.turn.is_none else 0

    def rows(self, numbers: Int64) -> UInt8:
        """Return the pixels of rows, (n, W, 3) uint8.

        Args:
            numbers: Which rows, in whole groups of ``row_group``.
        """
        assert self._regions is not None
        return self._regions.rows(self.frame, numbers)

    @property
    def is_sampled(self) -> bool:
        """Whether single pixels are converted."""
        return self._regions is not None and self._regions.converter is not None and self.turn.is_none

    def resize(self, region: Box, sampling: Sampling, out: Float32) -> None:
        """Resize a region of a picture that ``is_sampled``.

        Args:
            region: The region (pixels). It may reach beyond the picture, which is black there.
            sampling: Which of its pixels are read, and how they are mixed.
            out: (3, H, W) float32, overwritten with the result.
        """
        assert self._regions is not None
        assert self._regions.converter is not None
        size = self.frame.width, self.frame.height
        self._regions.converter.resize(plane_rows(self.frame), size, region, sampling, out)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return the whole picture, (H, W, 3) uint8."""
        with self._lock:
            rgb = to_rgb(_of_thread.reformatter, self.frame)
        return self._turned(rgb)

    def copy_to(self, out: UInt8) -> None:
        """Write the whole picture into an (H, W, 3) uint8 array."""
        np.copyto(out, np.asarray(self))

    def _turned(self, rgb: UInt8) -> UInt8:
        return rgb if self.turn.is_none else np.ascontiguousarray(self.turn.apply(rgb))


class DecodedPictures:
    """Makes pictures of the frames of one source. One thread uses it."""

    def __init__(self) -> None:
        self._regions: dict[tuple[object, ...], Regions | None] = {}
        """By the properties of a frame, which may change within a stream."""

    def of(self, frame: av.VideoFrame, turn: Turn = AS_IT_IS) -> DecodedPicture:
        """Return the picture of a decoded frame.

        Args:
            frame: The frame. Nothing else may convert it from now on.
            turn: Turn for display.
        """
        kind = (
            frame.format.name, frame.width, frame.height, frame.colorspace, frame.color_range, frame.interlaced_frame
        )  # fmt: skip
        if kind not in self._regions:
            self._regions[kind] = make_regions(frame)
        return DecodedPicture(frame, turn, self._regions[kind])
