"""Image files, read in the same way for training, prediction and live runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.types import UInt8


def read_image(path: Path) -> UInt8:
    """Read an image as it is stored, and ignore its EXIF orientation.

    Lightning Pose ignores the orientation, too, and labels were made on images as they are stored. Of 16 bits
    the upper eight are used, as in OpenCV; ``depth_note`` warns if that leaves the image nearly black.

    Returns:
        The image as an (H, W, 3) uint8 RGB array.

    Raises:
        DataError: if the image cannot be read.
    """
    image = _decoded(path, cv2.IMREAD_COLOR)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def read_as_it_is(path: Path) -> npt.NDArray[np.integer[Any]]:
    """Read an image with its own channels, in OpenCV's order, and its own bit depth.

    Raises:
        DataError: if the image cannot be read.
    """
    image: npt.NDArray[np.integer[Any]] = _decoded(path, cv2.IMREAD_UNCHANGED)
    return image


def depth_note(path: Path) -> str:
    """Return a warning if a 16-bit image uses only its lower bits and so is nearly black; empty otherwise."""
    try:
        image = read_as_it_is(path)
    except DataError:  # the caller that reads the image reports it
        return ""
    return bits_note(path, image)


def bits_note(path: Path, values: npt.NDArray[np.integer[Any]]) -> str:
    """Return a warning if 16-bit values use only the lower bits; empty otherwise.

    Args:
        path: Path of the image or video, for the message.
        values: Pixels of any shape.
    """
    if values.dtype != np.uint16 or values.size == 0:
        return ""
    bits = int(values.max()).bit_length()
    if not 0 < bits <= 14:
        return ""
    return (
        f"{path} has 16 bits per pixel but uses only {bits} of them, as cameras with 10, 12 or 14 bits do: its "
        f"brightest pixel is {int(values.max()) >> 8} of 255 here; scale such images to 16 bits, or save 8 bits"
    )


def _decoded(path: Path, how: int) -> Any:
    try:
        content = np.fromfile(path, np.uint8)  # OpenCV's own reader knows no names beyond ASCII on Windows
    except OSError as error:
        raise DataError(f"cannot read the image {path}: {error.strerror or error}") from error
    try:
        image = cv2.imdecode(content, how | cv2.IMREAD_IGNORE_ORIENTATION) if content.size else None
    except cv2.error as error:  # sizes beyond OpenCV's limits
        raise DataError(f"cannot read the image {path}: OpenCV refuses it") from error
    if image is None:
        raise DataError(f"cannot read the image {path}")
    return image
