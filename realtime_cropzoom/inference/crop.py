"""Crop: cuts a box out of a frame, and turns it into the input of a Lightning Pose or cropzoom model. No I/O.

``geometries`` has the crops of other makers' models.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal, TypeVar, cast, overload

import cv2
import numpy as np
import numpy.typing as npt

from realtime_cropzoom.inference.kernels import resize_bilinear
from realtime_cropzoom.inference.normalise import Values
from realtime_cropzoom.types import Box, Float32, Int64, PartialPicture, Picture, Sampling, UInt8

Edge = Literal["pad", "clamp"]
Method = Literal["fast", "reference"]
Resize = Literal["linear", "cubic"]
UIntP = npt.NDArray[np.uintp]
Image = TypeVar("Image", bound=npt.NDArray[np.integer[Any]])

_MOST_ROWS = 0.75
"""Share of the rows of a frame up to which it is quicker to convert these rows than all."""
_TAPS_KEPT = 256
"""Number of sizes whose taps are kept. Boxes of a ``crop_ratio`` have many sizes."""


def cut(image: Picture, box: Box, edge: Edge) -> tuple[UInt8, Box]:
    """Return the pixels inside a box, and the box that they cover.

    Args:
        image: (H, W, 3) uint8, or a decoded frame, of which only the pixels inside the box are converted.
        box: The box in frame space. It may reach beyond the frame.
        edge: ``pad`` fills the part outside the frame with zeros, as in the crops that pose models are
            trained on, and keeps the box. ``clamp`` cuts the box at the frame's edge, to at least one
            pixel, as ``litpose predict --bbox_dir`` does.

    Returns:
        (h, w, 3) uint8, a view of ``image`` if the box lies inside the frame, and the covered box.
    """
    if edge == "pad":
        return pad(image, box), box
    x, y, w, h = inside = _clamped(image, box)
    return image[y : y + h, x : x + w], inside


def _clamped(image: Picture, box: Box) -> Box:
    height, width = image.shape[:2]
    x, y, end_x, end_y = box.pixels()
    left, top = min(max(0, x), width - 1), min(max(0, y), height - 1)
    right, bottom = min(width, end_x), min(height, end_y)
    return Box(left, top, max(1, right - left), max(1, bottom - top))


@overload
def pad(image: Image, box: Box) -> Image: ...
@overload
def pad(image: Picture, box: Box) -> UInt8: ...
def pad(image: Any, box: Box) -> Any:
    """Return the pixels inside a box, with zeros outside the image.

    Args:
        image: (H, W) or (H, W, C) integers, or a decoded frame.
        box: The box in pixels of the image. It may reach beyond the image, or lie outside of it.

    Returns:
        (h, w) or (h, w, C) of the same type, a view of ``image`` if the box lies inside it.
    """
    height, width = image.shape[:2]
    x, y, end_x, end_y = box.pixels()
    left, top, right, bottom = max(0, x), max(0, y), min(width, end_x), min(height, end_y)
    if (left, top, right, bottom) == (x, y, end_x, end_y):
        return image[top:bottom, left:right]
    padded = np.zeros((box.h, box.w, *image.shape[2:]), image.dtype)
    if left < right and top < bottom:
        padded[top - y : bottom - y, left - x : right - x] = image[top:bottom, left:right]
    return padded


def fill_input(pixels: UInt8, out: Float32, method: Method, values: Values, resize: Resize = "linear") -> None:
    """Resize pixels to the model input and normalise them, as Lightning Pose does.

    Args:
        pixels: (h, w, 3) uint8, RGB.
        out: (3, H, W) float32, C-contiguous, overwritten with the result.
        method: ``reference`` keeps Lightning Pose's order of operations. ``fast`` does it in one pass, with the
            scaling as one multiplication and one addition; only the last bits differ.
        values: Mean and standard deviation of the channels.
        resize: ``linear`` as Lightning Pose does for videos: bilinear without antialiasing, in float32.
            ``cubic`` as it does for labelled images and in training: bicubic, in uint8.
    """
    size = (out.shape[2], out.shape[1])
    if resize == "cubic" and size != (pixels.shape[1], pixels.shape[0]):
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    if method == "fast":
        height, width = pixels.shape[:2]
        rows = np.ascontiguousarray(pixels).reshape(height, -1)
        resize_bilinear(rows, *_taps(height, size[1], 1), *_taps(width, size[0], 3), values.scale, values.shift, out)
        return
    scaled = cv2.resize(pixels.astype(np.float32) / np.float32(255), size, interpolation=cv2.INTER_LINEAR)
    np.copyto(out, ((scaled - values.mean) / values.std).transpose(2, 0, 1))


def fill_input_from(
    image: Picture, box: Box, edge: Edge, out: Float32, method: Method, values: Values, resize: Resize = "linear"
) -> Box:
    """Do what ``cut`` and ``fill_input`` do. Of a decoded frame it converts what the resize reads, if that is less.

    Args:
        image: (H, W, 3) uint8, or a decoded frame.
        box: The box in frame space. It may reach beyond the frame.
        edge: As in ``cut``.
        out: (3, H, W) float32, C-contiguous, overwritten with the result.
        method: As in ``fill_input``.
        values: Likewise.
        resize: Likewise.

    Returns:
        The box that was used (frame pixels).
    """
    partial = _partial(image) if method == "fast" and resize == "linear" else None
    if partial is not None:
        used = box if edge == "pad" else _clamped(image, box)
        if partial.is_sampled and 4 * out.shape[1] * out.shape[2] <= used.w * used.h:  # it reads less than all
            sampled = _sampled((used.w, used.h), (out.shape[2], out.shape[1]))
            partial.resize(used, Sampling(*sampled, values.scale, values.shift), out)
            return used
        if (used.x, used.y, used.h, used.w) == (0, 0, *image.shape[:2]) and _fill_from_rows(partial, out, values):
            return used
    pixels, used = cut(image, box, edge)
    fill_input(pixels, out, method, values, resize)
    return used


def _partial(image: Picture) -> PartialPicture | None:
    """Return a picture that may give some pixels for less than all; None for any other.

    An attribute tells. To ask ``isinstance`` for the protocol takes 14 µs in each frame.
    """
    return cast(PartialPicture, image) if hasattr(image, "is_sampled") else None


def _fill_from_rows(image: PartialPicture, out: Float32, values: Values) -> bool:
    """Fill the input with a whole picture of which only some rows are converted; return whether it was worth it."""
    height, width = image.shape[:2]
    if not image.row_group:
        return False
    numbers, above, below = _rows_read(height, out.shape[1], image.row_group)
    if len(numbers) > _MOST_ROWS * height:
        return False
    down = _taps(height, out.shape[1], 1)[2]
    rows = np.ascontiguousarray(image.rows(numbers)).reshape(len(numbers), -1)
    resize_bilinear(rows, above, below, down, *_taps(width, out.shape[2], 3), values.scale, values.shift, out)
    return True


@lru_cache(_TAPS_KEPT)
def _sampled(old: tuple[int, int], new: tuple[int, int]) -> tuple[Int64, Float32, Int64, Float32]:
    """Return the first fields of ``Sampling`` for a resize between two sizes (W, H)."""
    (left, right, across), (above, below, down) = (_taps(*sides, 1) for sides in zip(old, new, strict=True))
    rows, columns = (np.concatenate(taps).astype(np.int64) for taps in ((above, below), (left, right)))
    return rows, down, columns, across


@lru_cache(_TAPS_KEPT)
def _rows_read(old: int, new: int, group: int) -> tuple[Int64, UIntP, UIntP]:
    """Return which groups of rows a bilinear resize reads, and where its upper and lower rows are among them."""
    above, below, down = _taps(old, new, 1)
    below = np.where(down == 0, above, below)  # a row without weight is not read
    first = np.unique(np.concatenate([above, below]).astype(np.int64) // group * group)
    numbers = (first[:, None] + np.arange(group)).ravel()
    return numbers, np.searchsorted(numbers, above).astype(np.uintp), np.searchsorted(numbers, below).astype(np.uintp)


@lru_cache(_TAPS_KEPT)
def _taps(old: int, new: int, step: int) -> tuple[UIntP, UIntP, Float32]:
    """Return what a bilinear resize reads along one axis: two positions for each output pixel, and a weight.

    OpenCV's convention: pixel centres lie at half pixels, and the edge is repeated.

    Args:
        old: Number of pixels.
        new: Number of output pixels.
        step: Distance of neighbouring pixels in memory (elements).
    """
    position = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    first = position.astype(np.uintp)
    second = np.minimum(first + 1, old - 1).astype(np.uintp)
    return first * np.uintp(step), second * np.uintp(step), (position - first).astype(np.float32)


def fill_image(pixels: UInt8, out: UInt8, size: tuple[int, int], resize: Resize = "linear") -> None:
    """Copy pixels for a network that resizes and normalises them itself, as ``fill_input`` does.

    Args:
        pixels: (h, w, 3) uint8, RGB.
        out: An array of the same kind that owns its memory. It takes the shape of the result, in place.
        size: (W, H) of the network's input (pixels).
        resize: ``linear`` leaves the resizing to the network. ``cubic`` is done here, and the network keeps the size.
    """
    if resize == "cubic" and size != (pixels.shape[1], pixels.shape[0]):
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    if out.shape != pixels.shape:
        out.resize(pixels.shape, refcheck=False)
    np.copyto(out, pixels)
