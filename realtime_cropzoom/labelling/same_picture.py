"""Whether a picture of a project is the frame of a recording that it is said to be, pixel by pixel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from realtime_cropzoom.errors import CropzoomError, DataError, pluralize
from realtime_cropzoom.labelling.frame_table import IMPORTED, FrameRow
from realtime_cropzoom.labelling.recordings import Recording
from realtime_cropzoom.project.folder import Project
from realtime_cropzoom.sources.image_file import read_image
from realtime_cropzoom.types import UInt8

_MOST_LEVELS = 4
"""Maximum difference (grey levels, at any pixel) of a frame decoded twice, by different versions of a decoder."""


def is_same(path: Path, picture: UInt8) -> bool:
    """Return whether a file is a picture, pixel by pixel; False if it cannot be read.

    Args:
        path: The file.
        picture: (H, W, 3) RGB.
    """
    try:
        own = read_image(path)
    except DataError:
        return False
    return own.shape == picture.shape and int(np.abs(own.astype(np.int16) - picture).max()) <= _MOST_LEVELS


def is_frame(path: Path, recording: Recording, number: int) -> bool:
    """Return whether a file is a frame of a recording; False if one of them cannot be read.

    Args:
        path: The file.
        recording: The recording.
        number: Number of the frame.
    """
    try:
        return number < recording.count and is_same(path, recording.read(number))
    except CropzoomError:
        return False


def check_not_replaced(project: Project, recording: Recording, rows: Sequence[FrameRow]) -> None:
    """Compare a recording with a picture that was taken from it, if there is one.

    Args:
        project: The project.
        recording: The recording. If some of its frames do not decode, it counts those that do from now on.
        rows: The pictures of the project.

    Raises:
        DataError: if another recording is at its path now.
    """
    own = [row for row in rows if row.recording == str(recording.path) and row.why != IMPORTED]
    first = next((row for row in own if (project.folder / row.image).is_file()), None)
    if first is None or is_frame(project.folder / first.image, recording, first.frame):
        return
    if recording.count_decoded() and is_frame(project.folder / first.image, recording, first.frame):
        return
    raise DataError(
        f"{recording.path}: got another recording than the one that {pluralize(len(own), 'picture')} in "
        f"frames/{first.folder} came from: frame {first.frame} differs. Give the new recording another name"
    )
