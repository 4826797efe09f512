"""Regions of a decoded frame as RGB: the same pixels as in the conversion of the whole frame, for a part of its cost.

FFmpeg's swscale converts whole frames only. The region is therefore copied into a small frame with the properties
of the large one, and that is converted. For most formats each pixel depends on few neighbours, and the result is the
same if the small frame shows a few pixels more. For some it depends on the size of the frame: 4:2:0 of odd
height is scaled, for example. What a build of swscale does on a processor is not documented, so ``make_regions``
tries it with noise, once for each kind of frame. It also tries a loop of ours, which converts single pixels.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from realtime_cropzoom.pictures.planes import ALIGNMENT, Layout, rows
from realtime_cropzoom.types import Box, Int64, UInt8

if TYPE_CHECKING:
    from realtime_cropzoom.pictures.yuv import YuvConverter

RGB = "rgb24"
"""Format of the result, as FFmpeg names it."""
_MARGIN = 4
"""Minimum number of pixels around a region that the small frame also shows, where the frame has them."""
_ROW_GROUPS = (1, 2)
"""Numbers of rows that are tried: alone, or two that share a row of the chroma."""
_MAX_SIZES = 8
"""Number of sizes of small frames that each thread keeps."""
_MIN_SIDE = 64
"""Side (pixels) below which frames are converted whole."""
_TEMPLATE_SIDE = 34
"""Side (pixels) of the template. No small frame has it, so that scaling the template always makes a new frame."""
_TRIAL_ROWS = 192
"""Minimum height (pixels) of the trial frame, if the frame is as high. Its height modulo 64 is the frame's."""
_TRIALS = 24
"""Number of regions that are tried."""


def to_rgb(reformatter: VideoReformatter, frame: av.VideoFrame) -> UInt8:
    """Return a whole frame as RGB, (H, W, 3) uint8: new memory, or that of the frame if it is RGB.

    One thread does it: the slice threads of swscale would take the cores from the models.

    Args:
        reformatter: Reused between frames.
        frame: The frame. Its colour properties change while it is converted.
    """
    rgb = reformatter.reformat(frame, format=RGB, threads=1)
    return rows(rgb)[0][:, : rgb.width * 3].reshape(rgb.height, rgb.width, 3)


class _Small:
    """A small frame, its memory, and the state of its conversion. One thread uses it."""

    def __init__(self, frame: av.VideoFrame) -> None:
        self.frame, self.rows = frame, rows(frame)
        self.reformatter = VideoReformatter()


class _SmallFrames(threading.local):
    """The small frames of a thread."""

    def __init__(self) -> None:
        self.sizes: dict[tuple[int, int], _Small] = {}
        """By (width, height) in pixels; the one used last is the last."""


class Regions:
    """Converts regions of frames of one kind: format, size, colours. Threads may share it."""

    def __init__(self, template: av.VideoFrame, layout: Layout, size: tuple[int, int]) -> None:
        """Set up the conversion.

        Args:
            template: Any frame with the properties of the frames. Its size and pixels do not matter.
            layout: Layout of their planes.
            size: (width, height) of the frames (pixels).
        """
        self._template, self._layout, self._size = template, layout, size
        self._template_lock = threading.Lock()  # scaling a frame changes its properties for a moment
        self._of_thread = _SmallFrames()
        self.row_group = 0
        """Number of rows that must be converted together to have the pixels of the whole frame; 0 if all must."""
        self.converter: YuvConverter | None = None
        """Converts single pixels; None if only swscale gives its pixels."""

    def rgb(self, frame: av.VideoFrame, region: Box) -> UInt8:
        """Return a region as RGB, (h, w, 3) uint8.

        Args:
            frame: The frame.
            region: The region (pixels), inside the frame.
        """
        if self.converter is not None and self.converter.is_faster:
            return self.converter.rgb(rows(frame), region)
        begin_x, begin_y, _, _ = region.pixels()
        x, width = _span(begin_x, region.w, self._size[0])
        y, height = _span(begin_y, region.h, self._size[1])
        small = self._small(width, height)
        self._layout.copy(frame, Box(x, y, width, height), small.rows)
        left, top = begin_x - x, begin_y - y
        return to_rgb(small.reformatter, small.frame)[top : top + region.h, left : left + region.w]

    def rows(self, frame: av.VideoFrame, numbers: Int64) -> UInt8:
        """Return some rows as RGB, (n, width, 3) uint8.

        Args:
            frame: The frame.
            numbers: Which rows, in whole groups of ``row_group``.
        """
        small = self._small(self._size[0], len(numbers))
        self._layout.copy_rows(frame, numbers, small.rows)
        return to_rgb(small.reformatter, small.frame)

    def blank(self, width: int, height: int) -> av.VideoFrame:
        """Return a new frame of that size (pixels), with the properties of the frames."""
        with self._template_lock:
            template = self._template
            frame = VideoReformatter().reformat(template, width=width, height=height, threads=1)
            frame.colorspace, frame.color_range = template.colorspace, template.color_range
            return frame

    def _small(self, width: int, height: int) -> _Small:
        sizes = self._of_thread.sizes
        small = sizes.pop((width, height), None) or _Small(self.blank(width, height))
        sizes[width, height] = small
        if len(sizes) > _MAX_SIZES:
            del sizes[next(iter(sizes))]
        return small


def make_regions(frame: av.VideoFrame) -> Regions | None:
    """Return the conversion of regions for frames like this one; None if only the whole frame gives its pixels.

    Args:
        frame: A decoded frame. Its colour properties change during the call.
    """
    layout = Layout.of(frame.format.name)
    if layout is None or frame.format.name == RGB or min(frame.width, frame.height) < _MIN_SIDE:
        return None
    try:
        template = VideoReformatter().reformat(frame, width=_TEMPLATE_SIDE, height=_TEMPLATE_SIDE, threads=1)
    except (av.FFmpegError, ValueError):  # swscale cannot write this format
        return None
    template.colorspace, template.color_range = frame.colorspace, frame.color_range
    height = min(frame.height, _TRIAL_ROWS + frame.height % 64)
    trial = Regions(template, layout, (frame.width, height))
    noise = trial.blank(frame.width, height)
    rng = np.random.default_rng(0)
    _fill(noise, rng)
    whole = to_rgb(VideoReformatter(), noise)
    for box in _trial_regions(frame.width, height, rng):
        if not np.array_equal(trial.rgb(noise, box), whole[box.y : box.y + box.h, box.x : box.x + box.w]):
            return None
    regions = Regions(template, layout, (frame.width, frame.height))
    for group in _ROW_GROUPS:
        if frame.height % group == 0 and all(
            np.array_equal(trial.rows(noise, n), whole[n]) for n in _trial_rows(height, group, rng)
        ):
            regions.row_group = group
            break
    from realtime_cropzoom.pictures.yuv import find_converter  # here, because numba takes long to import

    regions.converter = find_converter(layout, rows(noise), whole)
    return regions


def _span(begin: int, length: int, limit: int) -> tuple[int, int]:
    """Return where a small frame begins, and its length, which depends on ``begin`` only near the edge of the frame."""
    wanted = -(-(length + 2 * _MARGIN + ALIGNMENT) // ALIGNMENT) * ALIGNMENT
    first = max(0, (min(begin - _MARGIN, limit - wanted)) // ALIGNMENT * ALIGNMENT)
    return first, min(wanted if first + wanted + ALIGNMENT <= limit else limit, limit - first)


def _fill(frame: av.VideoFrame, rng: np.random.Generator) -> None:
    """Fill a frame with noise, within the bits of its values."""
    bits = max(component.bits for component in frame.format.components)
    for plane in rows(frame):
        plane[:] = rng.integers(0, 256, plane.shape, np.uint8)
        if 8 < bits < 16 and plane.shape[1] % 2 == 0:
            values: Any = plane.view("<u2")
            values &= (1 << bits) - 1


def _trial_rows(height: int, group: int, rng: np.random.Generator) -> Iterator[Int64]:
    """Yield groups of rows of a frame: an odd number, an even one, and all."""
    first = np.arange(0, height, group)
    for count in (len(first) // 4 * 2 + 1, len(first) // 8 * 2, len(first)):
        chosen = np.sort(rng.choice(first, count, replace=False))
        yield (chosen[:, None] + np.arange(group)).ravel()


def _trial_regions(width: int, height: int, rng: np.random.Generator) -> Iterator[Box]:
    """Yield regions at the corners of a frame, and elsewhere."""
    for corner in range(_TRIALS):
        w, h = (int(side) for side in rng.integers(1, (min(width, 300), height)))
        x, y = (int(place) for place in rng.integers(0, (width - w + 1, height - h + 1)))
        if corner < 4:
            x, y = (width - w) * (corner % 2), (height - h) * (corner // 2)
        yield Box(x, y, w, h)
