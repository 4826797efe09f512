"""Label files of SLEAP, ``.slp`` and ``.pkg.slp``, read with the library sleap-io.

A label is an instance that a person made. An instance that a model predicted is kept apart, and so is a keypoint that
is marked as not visible: SLEAP leaves it where it happened to be.
"""

from __future__ import annotations

from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from realtime_cropzoom.errors import DataError, error_text, shorten
from realtime_cropzoom.labelling.formats.label_file import Entry, LabelFile
from realtime_cropzoom.types import UInt8


def read_slp(path: Path) -> LabelFile:
    """Read a ``.slp`` or ``.pkg.slp`` file. No video has to be there.

    Args:
        path: The file.

    Raises:
        DataError: if it cannot be read.
        ModuleNotFoundError: if sleap-io is not installed.
    """
    import sleap_io

    try:
        labels = sleap_io.load_slp(str(path), open_videos=False)
        pictures = _Embedded(path)
        entries = [
            entry
            for frame in labels.labeled_frames
            for entry in _entries(frame, labels.videos.index(frame.video), pictures)
        ]
        names = dict.fromkeys(str(name) for skeleton in labels.skeletons for name in skeleton.node_names)
    except Exception as error:  # the library has no common base of its errors
        raise DataError(f"cannot read {path}: {shorten(error_text(error), 150)}") from error
    return LabelFile(path, "SLEAP", tuple(names), tuple(entries), tells_predictions=True)


class _Embedded:
    """The pictures that a file holds. It is opened when the first one is read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def _videos(self) -> Any:
        import sleap_io

        return sleap_io.load_slp(str(self._path)).videos

    def read(self, video: int, index: int) -> UInt8:
        """Return a picture, (H, W, 3) RGB. Raises DataError."""
        try:
            image = np.asarray(self._videos[video][index], np.uint8)
        except Exception as error:
            reason = shorten(error_text(error), 150)
            raise DataError(f"{self._path}: picture {index} in it cannot be read: {reason}") from error
        return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


def _entries(frame: Any, video: int, pictures: _Embedded) -> list[Entry]:
    """Return an entry for each animal of a frame: those a person made first."""
    index = int(frame.frame_idx)
    image, number = _picture_of(frame.video, index)
    embedded = frame.video.backend_metadata.get("has_embedded_images", False)
    entries = []
    for instance in [*frame.user_instances, *frame.predicted_instances]:
        xy = instance.numpy()
        found = np.isfinite(xy).all(axis=1)
        names = instance.skeleton.node_names
        points = {str(names[k]): (float(xy[k, 0]), float(xy[k, 1])) for k in np.flatnonzero(found)}
        if points:
            entries.append(
                Entry(
                    image,
                    points,
                    frame=number,
                    animal=str(instance.track.name) if instance.track is not None else "",
                    size=_size(frame.video),
                    predicted=hasattr(instance, "score"),
                    picture=partial(pictures.read, video, index) if embedded else None,
                )
            )
    return entries


def _picture_of(video: Any, index: int) -> tuple[str, int | None]:
    """Return the path of a picture and None, or the path of a video and the number of the frame."""
    while video.source_video is not None:
        video = video.source_video
    if isinstance(video.filename, list):
        return str(video.filename[index]), None
    return str(video.filename), index


def _size(video: Any) -> tuple[int, int] | None:
    shape = video.backend_metadata.get("shape")
    return None if shape is None or len(shape) != 4 else (int(shape[2]), int(shape[1]))
