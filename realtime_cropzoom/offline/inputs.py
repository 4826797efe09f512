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
    inputs: list[Input] = []
    seen: dict[tuple[type, str], Path] = {}
    for found in (found for path in given for found in _expand(path, images=images)):
        name, path = _writes(found)
        other = seen.get((type(found), name))
        if other is None:
            seen[type(found), name] = path
            inputs.append(found)
        elif other.resolve() != path.resolve():  # else it was given twice, as a file and in its folder
            raise DataError(f"{other} and {path} would both write {name}; rename one of them")
    return inputs


def _writes(given: Input) -> tuple[str, Path]:
    """What an input's predictions go to, and where it comes from."""
    if isinstance(given, Video):
        return f"{given.path.stem}.csv", given.path
    if isinstance(given, LabelFile):
        return f"{given.path.name}/predictions.csv", given.path
    return f"{given.name}/predictions.csv", given.paths[0] if len(given.paths) == 1 else given.paths[0].parent


def _expand(path: Path, *, images: bool) -> Iterable[Input]:
    if not path.exists():
        raise DataError(f"no file at {path}; expected a video, a label file or a folder")
    if path.is_dir():
        return _folder(path, images=images)
    suffix = path.suffix.lower()
    known = VIDEO_SUFFIXES | {".csv"} | (IMAGE_SUFFIXES if images else set())
    if suffix not in known:
        raise DataError(f"{path} is neither a video nor a label file; expected one of {', '.join(sorted(known))}")
    if suffix == ".csv":
        return [LabelFile(path)]
    return [Video(path)] if suffix in VIDEO_SUFFIXES else [Images(path.name, (path,))]


def _folder(folder: Path, *, images: bool) -> list[Input]:
    # Hidden files are no one's recordings: macOS leaves a ._clip.mp4 beside each clip.mp4 on a foreign disk.
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    found: list[Input] = [Video(path) for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
    pictures = tuple(path for path in files if path.suffix.lower() in IMAGE_SUFFIXES)
    if images and pictures:
        found.append(Images(folder.resolve().name, pictures))
    if not found:
        raise DataError(f"the folder {folder} holds no video{' and no image' if images else ''}")
    return found
