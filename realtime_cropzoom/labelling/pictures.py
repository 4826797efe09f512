"""The pictures that a label file is about: beside it, in it, or frames of a video that it names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from types import TracebackType

import cv2
import numpy as np

from realtime_cropzoom.errors import DataError, SourceError
from realtime_cropzoom.files.atomic_images import encode_image
from realtime_cropzoom.files.paths import is_file
from realtime_cropzoom.labelling.formats.label_file import Entry
from realtime_cropzoom.sources.image_file import read_image
from realtime_cropzoom.sources.random_access import RandomAccessVideo
from realtime_cropzoom.types import UInt8

_BELOW = ("", "images", "images/default", "images/train", "data")
"""Folders beside a label file in which programs put the pictures."""
_PARENTS = 3
"""Number of folders above a label file in which pictures are looked for, too."""
_SAME_GRAY = 20.0
"""Maximum difference (gray values) of a picture and its copy in another program. On 92 frames of one mouse a JPEG of
quality 30 differs by 3, and the two frames that are most alike by 50."""
_COMPARED = (64, 64)
"""Size at which pictures are compared (pixels)."""


class Pictures:
    """Finds and reads the pictures of label files. Use it as a context manager: it opens videos."""

    def __init__(self, label_file: Path, images: Path | None = None) -> None:
        """Prepare to look for pictures.

        Args:
            label_file: The label file or its folder. Pictures are looked for around it.
            images: A folder of pictures or videos, in which they are looked for first.
        """
        beside = label_file if label_file.is_dir() else label_file.parent
        self._images = images
        self._bases = [*([images] if images else []), beside, *list(beside.absolute().parents)[:_PARENTS]]
        self._open = ExitStack()
        self._videos: dict[Path, RandomAccessVideo] = {}

    def __enter__(self) -> Pictures:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def locate(self, entry: Entry) -> Path | None:
        """Return the file of the picture or video that an entry names, absolute; None if it is not found.

        Args:
            entry: An entry of a label file.
        """
        return next((path.resolve() for path in self._candidates(entry.image) if is_file(path)), None)

    def read(self, entry: Entry, found: Path | None) -> UInt8 | None:
        """Return the picture of an entry, (H, W, 3) RGB; None if there is none.

        Args:
            entry: The entry.
            found: What ``locate`` gave for it.

        Raises:
            DataError: if the picture cannot be read.
        """
        if entry.picture is not None:
            return entry.picture()
        if found is None:
            return None
        if entry.frame is None:
            return read_image(found)
        try:
            return self._video(found).read(entry.frame)
        except SourceError as error:
            raise DataError(str(error)) from error

    def _video(self, path: Path) -> RandomAccessVideo:
        if path not in self._videos:
            self._videos[path] = video = RandomAccessVideo(path)
            self._open.callback(video.close)
        return self._videos[path]

    def _candidates(self, image: str) -> Iterator[Path]:
        """Yield the paths where a picture may be, the most likely ones first."""
        given = image.replace("\\", "/")
        parts = [part for part in PurePosixPath(given).parts if part != "/"]
        if not parts or ".." in parts:
            return
        if Path(given).is_absolute():
            yield Path(given)
        for begin in range(len(parts)):
            alone = begin == len(parts) - 1 and begin > 0
            for base in self._bases:
                # The name alone may be that of a picture of another recording.
                if not alone or base == self._images or base.name == parts[-2]:
                    yield from (base / below / Path(*parts[begin:]) for below in _BELOW)


def png_of(picture: UInt8, file: Path | None) -> bytes | Path:
    """Return a picture as a PNG, or the file to copy if it is one.

    Args:
        picture: (H, W, 3) RGB.
        file: The file of the picture, if it has one.
    """
    if file is not None and file.suffix.lower() == ".png":
        return file
    return encode_image(Path("frame.png"), picture[:, :, ::-1])


def looks_the_same(a: UInt8, b: UInt8) -> bool:
    """Return whether two pictures of one size show the same.

    Args:
        a: (H, W, 3).
        b: (H, W, 3).
    """
    small = [cv2.resize(image, _COMPARED, interpolation=cv2.INTER_AREA).astype(np.float32) for image in (a, b)]
    return float(np.abs(small[0] - small[1]).max()) <= _SAME_GRAY
