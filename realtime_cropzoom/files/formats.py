"""File endings of videos and images: the one list that all commands use.

The list selects the files of a folder and separates images from videos. A single file that a user
names may have any ending if FFmpeg finds a video in it.
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
    """Return whether the file ending, in small or capital letters, is that of a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def is_image(path: Path) -> bool:
    """Return whether the file ending, in small or capital letters, is that of an image."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def list_files(folder: Path) -> list[Path]:
    """Return the files of a folder in natural order, without hidden files and subfolders.

    Hidden files are never recordings: macOS writes a ._clip.mp4 next to each clip.mp4 on a foreign disk.

    Raises:
        DataError: if the folder cannot be read.
    """
    try:
        return sorted((p for p in folder.iterdir() if not p.name.startswith(".") and p.is_file()), key=natural_key)
    except OSError as error:
        raise DataError(f"the folder {folder} cannot be read: {error.strerror or error}") from error


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Return a sort key for natural order: img2 before img10."""
    parts = re.findall(r"\d+|\D+", path.name.lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
