"""An image on disk: read in one way for training, prediction and live runs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.types import UInt8


def read_image(path: Path) -> UInt8:
    """Read an image as (H, W, 3) RGB, as it is stored: a note to turn it is for viewers. Raises DataError.

    Lightning Pose does not turn images either, and labels were made on them as they are stored.
    """
    try:
        content = np.fromfile(path, np.uint8)  # OpenCV's own reader knows no names beyond ASCII on Windows
    except OSError:
        content = np.empty(0, np.uint8)
    how = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(content, how) if content.size else None
    if image is None:
        raise DataError(f"cannot read the image {path}")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
