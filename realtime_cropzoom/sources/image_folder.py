"""Folder of images, played in natural order at a given frame rate."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from realtime_cropzoom.errors import DataError, SourceError, advise
from realtime_cropzoom.files.formats import IMAGE_SUFFIXES, is_image, is_video, list_files
from realtime_cropzoom.sources.base import CapturedFrame, SourceInfo
from realtime_cropzoom.sources.image_file import depth_note, read_image
from realtime_cropzoom.types import UInt8

DEFAULT_FPS = 30.0
"""Frames per second at which images are played by default."""


class ImageFolder:
    """Source whose frames are the images of one folder."""

    def __init__(self, path: Path, fps: float | None = None, start_s: float = 0.0) -> None:
        """List the images and read the first readable one.

        Args:
            path: The folder.
            fps: Frames per second; ``DEFAULT_FPS`` if None.
            start_s: Time (s) of the first frame to play.

        Raises:
            SourceError: if the folder has no readable image at ``start_s`` or later.
        """
        self._fps = fps or DEFAULT_FPS
        found = images_in(path)
        self._paths = found[math.ceil(start_s * self._fps - 1e-6) :]
        if not self._paths:
            raise SourceError(f"{path}: {len(found)} images at {self._fps:g} fps end before start_s = {start_s:g} s")
        self._path = path
        self._unreadable: list[str] = []
        first = next((image for p in self._paths if (image := _read(p)) is not None), None)
        if first is None:
            raise SourceError(f"{path}: none of its {len(self._paths)} images can be read")
        height, width = first.shape[:2]
        notes = [depth_note(self._paths[0])]
        if not fps:
            other = advise(" (--camera-fps sets another)")
            notes.append(f"{path} is played at {DEFAULT_FPS:g} fps: images have no times{other}")
        messages = tuple(note for note in notes if note)
        self.info = SourceInfo(path.resolve().name, width, height, self._fps, len(self._paths), notes=messages)

    def frames(self) -> Iterator[CapturedFrame]:
        """Yield the readable images. An unreadable one is skipped, and its time stays unused."""
        for index, path in enumerate(self._paths):
            image = _read(path)
            if image is None:
                self._unreadable.append(path.name)
                continue
            pts_ns = round(index * 1e9 / self._fps)
            yield CapturedFrame(pts_ns, None, image.shape[1], image.shape[0], partial(np.copyto, src=image))

    def problems(self) -> list[str]:
        """Return the number of images that could not be read and the name of the first; empty if all were read."""
        if not self._unreadable:
            return []
        return [f"{self._path}: {len(self._unreadable)} images cannot be read, the first is {self._unreadable[0]}"]

    def close(self) -> None:
        """Do nothing: no file is kept open."""


def images_in(folder: Path) -> list[Path]:
    """Return the images of a folder in natural order. Raises SourceError if there is none."""
    try:
        files = list_files(folder)
    except DataError as error:
        raise SourceError(str(error)) from error
    found = [path for path in files if is_image(path)]
    if not found:
        videos = [path.name for path in files if is_video(path)]
        held = f" (it has videos, such as {videos[0]}: give one of them)" if videos else ""
        expected = ", ".join(sorted(IMAGE_SUFFIXES))
        raise SourceError(f"{folder} is a folder without images{held}; expected {expected}, or one video file")
    return found


def _read(path: Path) -> UInt8 | None:
    try:
        return read_image(path)
    except DataError:
        return None
