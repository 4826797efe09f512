"""Images that are complete or absent. OpenCV encodes them; programs that write no image do not load it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from realtime_cropzoom.errors import SinkError
from realtime_cropzoom.files.atomic import make_folder, write_whole


def write_image(final: Path, pixels: npt.NDArray[np.integer[Any]]) -> None:
    """Write an image that is complete or absent, and create its folder.

    OpenCV only encodes. Its own writer leaves half a file of some formats on a full disk and reports success.

    Args:
        final: The file. Its ending names the format.
        pixels: (H, W) or (H, W, 3) integers, in OpenCV's channel order (BGR).

    Raises:
        SinkError: if the image cannot be encoded or written.
    """
    data = encode_image(final, pixels)
    make_folder(final.parent)
    write_whole(final, data, advice="")


def is_same_image(path: Path, pixels: npt.NDArray[np.integer[Any]]) -> bool:
    """Return whether an existing file equals what ``write_image`` would write, byte for byte or pixel for pixel."""
    if path.read_bytes() == encode_image(path, pixels):
        return True
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    return found is not None and np.array_equal(found, pixels)


def encode_image(final: Path, pixels: npt.NDArray[np.integer[Any]]) -> bytes:
    """Return an image as the bytes of a file.

    Args:
        final: The file name. Its ending names the format.
        pixels: (H, W) or (H, W, 3) integers, in OpenCV's channel order (BGR).

    Raises:
        SinkError: if OpenCV cannot encode these pixels in this format.
    """
    try:
        if not final.suffix.isascii():  # OpenCV ends the process if the ending cannot be decoded as text
            raise ValueError
        return bytes(cv2.imencode(final.suffix, pixels)[1].tobytes())
    except (cv2.error, ValueError) as error:
        height, width = pixels.shape[:2]
        raise SinkError(
            f"cannot write {final}: a picture of {width}x{height} cannot be {final.suffix or 'without an ending'}; "
            "give a name such as frames.png"
        ) from error
