"""One frame of an image, a recording or a camera, on which zones and calibrations are drawn."""

from __future__ import annotations

import numpy as np

from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.files.formats import is_image
from realtime_cropzoom.files.paths import is_file, user_path
from realtime_cropzoom.sources.base import SourceOptions
from realtime_cropzoom.sources.factory import SYNTHETIC, open_source
from realtime_cropzoom.sources.image_file import read_image
from realtime_cropzoom.types import UInt8


def read_first_frame(source: str, start_s: float = 0.0) -> UInt8:
    """Return one frame of ``source``, as a run sees it.

    An image is read as a run reads it: its EXIF orientation is ignored.

    Args:
        source: An image, or anything that ``open_source`` opens.
        start_s: Time (s) of the frame. It is ignored for an image.

    Returns:
        The frame as an (H, W, 3) uint8 RGB array.

    Raises:
        SourceError: if the source cannot be opened or has no frame at that time.
        DataError: if the image cannot be read.
    """
    path = user_path(source)
    if is_image(path) and is_file(path):
        return read_image(path)
    rendered = source.startswith(SYNTHETIC)  # the arena can start only at its first frame
    opened = open_source(source, SourceOptions(start_s=0.0 if rendered else start_s))
    try:
        frame = np.empty((opened.info.height, opened.info.width, 3), np.uint8)
        for captured in opened.frames():
            if not rendered or (captured.pts_ns or 0) >= start_s * 1e9:
                captured.copy_to(frame)
                return frame
    finally:
        opened.close()
    raise SourceError(f"{source} has no frame at {start_s:g} s; give an earlier time")
