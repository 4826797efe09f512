"""What a user gave on the command line: videos, label files, images, and folders of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from realtime_cropzoom.errors import DataError

VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".m4v", ".webm", ".mpg", ".mpeg", ".wmv"})
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})


@dataclass(frozen=True, slots=True)
class Video:
    """One video file."""

    path: Path


@dataclass(frozen=True, slots=True)
class LabelFile:
    """A CSV file of labelled images."""

    path: Path


@dataclass(frozen=True, slots=True)
class Images:
    """Images without labels."""

    name: str
    """Folder under ``image_preds`` that their predictions go to."""
    paths: tuple[Path, ...]


Input = Video | LabelFile | Images


def gather(given: Sequence[Path], *, images: bool = False) -> list[Input]:
    """Return what is to be done, folders expanded, in the order given. Raises DataError before anything is done.

    A folder stands for the videos in it, and, with ``images``, for the images in it as one set.
    """
    inputs = [found for path in given for found in _expand(path, images=images)]
    seen: dict[str, Path] = {}
    for video in (i for i in inputs if isinstance(i, Video)):
        other = seen.setdefault(video.path.stem, video.path)
        if other != video.path:
            raise DataError(f"{other} and {video.path} would both write {video.path.stem}.csv; rename one of them")
    return inputs


def _expand(path: Path, *, images: bool) -> Iterable[Input]:
    if path.is_dir():
        return _folder(path, images=images)
    suffix = path.suffix.lower()
    known = VIDEO_SUFFIXES | {".csv"} | (IMAGE_SUFFIXES if images else set())
    if suffix not in known:
        raise DataError(f"{path} is neither a video nor a label file; expected one of {', '.join(sorted(known))}")
    if not path.exists():
        raise DataError(f"no file at {path}")
    if suffix == ".csv":
        return [LabelFile(path)]
    return [Video(path)] if suffix in VIDEO_SUFFIXES else [Images(path.name, (path,))]


def _folder(folder: Path, *, images: bool) -> list[Input]:
    files = sorted(path for path in folder.iterdir() if path.is_file())
    found: list[Input] = [Video(path) for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
    pictures = tuple(path for path in files if path.suffix.lower() in IMAGE_SUFFIXES)
    if images and pictures:
        found.append(Images(folder.resolve().name, pictures))
    if not found:
        raise DataError(f"the folder {folder} holds no video{' and no image' if images else ''}")
    return found
