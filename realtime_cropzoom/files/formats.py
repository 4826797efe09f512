"""Which files are taken for videos and which for images, by their endings: the one list of all commands.

A file that is given by its own name may have any ending, if FFmpeg finds a video in it; the list is for
folders, and tells images from videos.
"""

from __future__ import annotations

import re
from pathlib import Path

from realtime_cropzoom.errors import DataError

VIDEO_SUFFIXES = frozenset(
    {
        *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".avi", ".divx", ".mkv", ".webm", ".mxf", ".nut", ".ogv"),
        *(".ogg", ".ogm", ".mpg", ".mpeg", ".m1v", ".m2v", ".mpv", ".vob", ".ts", ".mts", ".m2ts", ".m2t", ".wmv"),
        *(".asf", ".flv", ".f4v", ".dv", ".y4m", ".ivf", ".gif", ".mjpeg", ".mjpg", ".h264", ".264", ".avc"),
        *(".h265", ".265", ".hevc"),
    }
)
IMAGE_SUFFIXES = frozenset(
    {
        *(".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".bmp", ".dib", ".webp", ".jp2"),
        *(".pgm", ".ppm", ".pbm", ".pnm"),
    }
)


def is_video(path: Path) -> bool:
    """Whether a file is a video by its ending, in small or capital letters."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def is_image(path: Path) -> bool:
    """Whether a file is an image by its ending, in small or capital letters."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def files_in(folder: Path) -> list[Path]:
    """Return the files of a folder in natural order, hidden ones left out. Raises DataError.

    Hidden files are no one's recordings: macOS leaves a ._clip.mp4 beside each clip.mp4 on a foreign disk.
    """
    try:
        return sorted((p for p in folder.iterdir() if not p.name.startswith(".") and p.is_file()), key=natural)
    except OSError as error:
        raise DataError(f"the folder {folder} cannot be read: {error.strerror or error}") from error


def natural(path: Path) -> list[tuple[int, int, str]]:
    """Put img2 before img10."""
    parts = re.findall(r"\d+|\D+", path.name.lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
