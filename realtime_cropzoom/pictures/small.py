"""Small pictures: frames scaled down for people to look at.

The planes of a decoded frame are scaled in its own pixel format, and only the small frame is converted. So the frame
is held for a moment, and the conversion costs little at any frame size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from realtime_cropzoom.pictures.decoded import DecodedPicture
from realtime_cropzoom.pictures.planes import Scaling, average, rows
from realtime_cropzoom.pictures.turn import AS_IT_IS, Turn
from realtime_cropzoom.types import Picture, UInt8

_BGR = "bgr24"
_STEP = 16
"""Distance (pixels) of the pixels that are looked at first to see whether a picture is gray."""


def small_size(width: int, height: int, limit: int) -> tuple[int, int]:
    """Return the (width, height) of a picture whose longer side is at most ``limit`` (all in pixels)."""
    scale = min(1.0, limit / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


@dataclass(frozen=True, slots=True, eq=False)
class SmallPicture:
    """A picture of its own: the frame that it shows is no longer needed."""

    pixels: UInt8 | av.VideoFrame
    """RGB, (h, w, 3) uint8; or a frame that is not converted yet."""
    turn: Turn = AS_IT_IS
    """Turn for display of such a frame."""

    def bgr_or_gray(self, reformatter: VideoReformatter) -> UInt8:
        """Return the pixels in the order of OpenCV, (h, w, 3) uint8; (h, w) if all of them are gray.

        Args:
            reformatter: Reused between pictures of a thread.
        """
        if isinstance(self.pixels, av.VideoFrame):
            converted = reformatter.reformat(self.pixels, format=_BGR, threads=1)
            bgr = rows(converted)[0][:, : converted.width * 3].reshape(converted.height, converted.width, 3)
        else:
            bgr = np.asarray(cv2.cvtColor(self.pixels, cv2.COLOR_RGB2BGR), np.uint8)
        return np.ascontiguousarray(self.turn.apply(_gray(bgr)))


def _gray(bgr: UInt8) -> UInt8:
    """Return one channel, (h, w), if all three are equal in each pixel, else all three."""
    some = bgr[::_STEP, ::_STEP]
    if not (some == some[:, :, :1]).all():  # as in most pictures in colour
        return bgr
    blue, green, red = cv2.split(bgr)
    equal = cv2.norm(blue, green, cv2.NORM_INF) == cv2.norm(blue, red, cv2.NORM_INF) == 0
    return np.asarray(blue, np.uint8) if equal else bgr


class Shrinker:
    """Makes small pictures. One thread uses it, and is done with a picture before it asks for the next one."""

    def __init__(self, limit: int) -> None:
        """Make pictures whose longer side has at most ``limit`` pixels; smaller frames keep their size."""
        self._limit = limit
        self._kinds: dict[tuple[Any, ...], tuple[Scaling, av.VideoFrame] | None] = {}
        """By the properties of a frame, which may change within a stream: how to scale it, and the small frame."""

    def shrink(self, image: Picture) -> SmallPicture:
        """Return a small picture of a frame, for whose pixels the frame must be held during this call.

        Args:
            image: The frame, RGB.
        """
        height, width = image.shape[:2]
        size = small_size(width, height, self._limit)
        small = self._scaled(image, size) if isinstance(image, DecodedPicture) else None
        if small is not None:
            return small
        pixels = np.empty((size[1], size[0], 3), np.uint8)
        average(np.asarray(image), pixels)
        return SmallPicture(pixels)

    def _scaled(self, picture: DecodedPicture, size: tuple[int, int]) -> SmallPicture | None:
        """Scale the planes of a frame; return None if its format cannot be scaled."""
        frame, turn = picture.frame, picture.turn
        kind = (frame.format.name, frame.width, frame.height, *picture.colours())
        if kind not in self._kinds:
            self._kinds[kind] = _small_frame(picture, turn.size(*size))
        if (found := self._kinds[kind]) is None:
            return None
        scaling, small = found
        scaling.scale(frame, small)
        return SmallPicture(small, turn)


def _small_frame(picture: DecodedPicture, size: tuple[int, int]) -> tuple[Scaling, av.VideoFrame] | None:
    """Return how to scale frames like this one, and a frame of that (width, height) in pixels to scale them into."""
    name = picture.frame.format.name
    scaling = Scaling.of(name)
    if scaling is None:
        return None
    small = av.VideoFrame(*size, name)
    small.colorspace, small.color_range = picture.colours()
    return scaling, small
