"""Recordings to pick frames from: videos and folders of images, whose frames are read by number, each exactly.

Frame N is the Nth frame that ``cropzoom run`` and ``cropzoom pipeline`` see: turned as the display matrix says, and
without frames that a run recorded but did not capture.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from realtime_cropzoom.errors import DataError, SourceError
from realtime_cropzoom.files.formats import is_image, is_video, list_files
from realtime_cropzoom.files.paths import is_folder, is_there
from realtime_cropzoom.sessions.folder import file_stem
from realtime_cropzoom.sources.image_file import read_image
from realtime_cropzoom.sources.image_folder import DEFAULT_FPS, images_in
from realtime_cropzoom.sources.random_access import RandomAccessVideo
from realtime_cropzoom.sources.recording_table import read_uncaptured, session_stem
from realtime_cropzoom.types import Int64, UInt8


class Recording(Protocol):
    """Frames by number. One and the same thread makes, reads and closes it."""

    path: Path
    """The video or folder, absolute."""
    count: int
    """Number of frames."""
    fps: float
    """Frames per second, if the recording says nothing, a guess."""
    key_frames: Int64
    """Numbers of the frames that are read without decoding others, in order."""
    by_decoding: bool
    """Whether frames are numbered by what decodes, because a frame did not."""

    def read(self, number: int) -> UInt8:
        """Return a frame, (H, W, 3) uint8 RGB. Raises SourceError or DataError if it cannot be read."""
        ...

    def count_decoded(self) -> bool:
        """Number the frames that decode, because some do not; return False if they are numbered so already."""
        ...

    def close(self) -> None:
        """Close its files."""
        ...


class VideoRecording:
    """A video file."""

    def __init__(self, path: Path) -> None:
        """Read the index of the file. Raises SourceError if it has no frame."""
        self.path, self.by_decoding = absolute(path), False
        self._open(RandomAccessVideo(path))

    def _open(self, video: RandomAccessVideo) -> None:
        self._video = video
        self._played = np.setdiff1d(np.arange(video.count), np.array(sorted(read_uncaptured(self.path)), np.int64))
        self.count = len(self._played)
        self.fps = video.fps or DEFAULT_FPS
        keys = np.searchsorted(self._played, video.key_frames)
        self.key_frames: Int64 = np.unique(keys[keys < self.count]).astype(np.int64)

    def read(self, number: int) -> UInt8:
        """See ``Recording.read``."""
        return self._video.read(int(self._played[number]))

    def count_decoded(self) -> bool:
        """See ``Recording.count_decoded``."""
        if self._video.by_counting:
            return False
        self._video.close()
        self._open(RandomAccessVideo(self.path, by_counting=True))
        self.by_decoding = True
        return True

    def close(self) -> None:
        """See ``Recording.close``."""
        self._video.close()


class ImagesRecording:
    """A folder of images, in natural order."""

    def __init__(self, path: Path) -> None:
        """List the images that can be read. Raises SourceError if there is none."""
        self.path, self.by_decoding = absolute(path), False
        self._images = [image for image in images_in(path) if cv2.haveImageReader(str(image))]
        if not self._images:
            raise SourceError(f"{path}: none of its images can be read")
        self.count, self.fps = len(self._images), DEFAULT_FPS
        self.key_frames: Int64 = np.arange(self.count)

    def read(self, number: int) -> UInt8:
        """See ``Recording.read``."""
        return read_image(self._images[number])

    def count_decoded(self) -> bool:
        """See ``Recording.count_decoded``."""
        return False

    def close(self) -> None:
        """See ``Recording.close``."""


@contextmanager
def open_recording(path: Path) -> Iterator[Recording]:
    """Open a video, or a folder of images. Raises SourceError if there is no frame in it."""
    recording: Recording = ImagesRecording(path) if is_folder(path) else VideoRecording(path)
    try:
        yield recording
    finally:
        recording.close()


def number_played(path: Path, raw: int) -> int:
    """Return the number in a run of the frame that ``RandomAccessVideo`` has as ``raw``.

    Args:
        path: The video.
        raw: Number of a frame in the file.
    """
    return raw - sum(number < raw for number in read_uncaptured(path))


def absolute(path: Path) -> Path:
    """Return an absolute path without ``..``. Links stay, so that the user knows it again."""
    return Path(os.path.abspath(path))


def find_recordings(given: Sequence[Path]) -> list[Path]:
    """Return the recordings of the command line, absolute and each once; of a folder of videos, the videos in it.

    Args:
        given: Videos, folders of images, and folders of videos.

    Raises:
        DataError: if there is nothing at a path, or a folder holds neither.
    """
    found = [recording for path in given for recording in _expanded(path)]
    unique = {os.path.realpath(path): absolute(path) for path in reversed(found)}
    return list(unique.values())[::-1]


def _expanded(path: Path) -> list[Path]:
    if not is_there(path):
        raise DataError(f"no recording at {path}; expected a video, or a folder of images or videos")
    if not is_folder(path):
        if is_image(path):
            raise DataError(f"{path} is one image; expected a video, or a folder of images. Give its folder")
        return [path]
    files = list_files(path)
    if any(map(is_image, files)):
        return [path]
    videos = [file for file in files if is_video(file)]
    if not videos:
        raise DataError(f"{path} is a folder without images and videos; expected recordings")
    return videos


def name_of(path: Path) -> str:
    """Return the name of a recording as a folder in ``frames/``.

    It is that of the file without suffix. A recording of a run has the name of the run's folder, because all runs call
    it like their source, such as ``arena``.

    Args:
        path: The video or folder.
    """
    name = path.name if is_folder(path) else _name_in_session(path) or path.stem
    plain = "".join("_" if not letter.isprintable() or letter in '\\/:*?"<>|,' else letter for letter in name)
    return file_stem(plain.strip(" .")) or "recording"


def _name_in_session(video: Path) -> str:
    """Return the name of a run's recording: that of the run's folder, with its own if that tells more; else ""."""
    stem, folder = session_stem(video), absolute(video).parent.name
    if stem is None:
        return ""
    return folder if video.stem == stem and folder.startswith(stem) else f"{folder}_{video.stem}"
