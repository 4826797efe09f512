"""Inputs of offline commands: videos, label files, images, and folders of them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from realtime_cropzoom.errors import DataError, SourceError, shorten
from realtime_cropzoom.files.formats import is_image, is_video, list_files
from realtime_cropzoom.sources.video_file import VideoFile


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
    """A set of images without labels."""

    name: str
    """Folder in ``image_preds`` for their predictions."""
    paths: tuple[Path, ...]


MAX_NAME_BYTES = 210
"""Maximum length (bytes) of a name without its ending. File systems allow 255 bytes, and the longest name made of it
is remapped_cropped_NAME.csv.made_of.json.partial."""
Input = Video | LabelFile | Images
Refuse = Callable[[DataError], None]
"""Takes the error of one of several inputs; the other inputs are still done."""


def gather(given: Sequence[Path], refuse: Refuse | None = None, *, images: bool = False) -> list[Input]:
    """Return the inputs in the order given, with folders replaced by the files in them.

    Args:
        given: The paths. A folder means the videos in it and, with ``images``, its images as one set.
        refuse: Takes the error of each path that is not an input, if at least one other path is. None raises it.
        images: Whether images are inputs.

    Raises:
        DataError: if no path is an input, two would write the same file, or ``refuse`` is None and one is not valid.
    """
    found: list[Input] = []
    refused: list[DataError] = []
    for path in given:
        try:
            expanded = _expand(path, images=images)
        except DataError as error:
            refused.append(error)
            continue
        too_long = {id(one): problem for one in expanded if (problem := _name_problem(one)) is not None}
        refused += too_long.values()
        found += [one for one in expanded if id(one) not in too_long]
    if refused and (refuse is None or not found):
        raise refused[0] if len(refused) == 1 else DataError("; ".join(map(str, refused)))
    if refuse is not None:
        for wrong in refused:
            refuse(wrong)
    return _without_repeats(found)


def _name_problem(given: Input) -> DataError | None:
    """Return an error if the names of the results would be too long for a file system; else None."""
    name = (given.name if isinstance(given, Images) else given.path.stem).removeprefix("cropped_")
    names = [name, *(path.stem for path in given.paths)] if isinstance(given, Images) else [name]
    longest = max(names, key=lambda name: len(os.fsencode(name)))
    size = len(os.fsencode(longest))
    if size <= MAX_NAME_BYTES:
        return None
    return DataError(
        f"{shorten(longest)}: got a name of {size} bytes, expected at most {MAX_NAME_BYTES}, because the files made "
        "of it get longer names. Rename it"
    )


def _without_repeats(found: Sequence[Input]) -> list[Input]:
    inputs: list[Input] = []
    seen: dict[tuple[type, str], Path] = {}
    for given in found:
        name, path = _writes(given)
        other = seen.get((type(given), name))
        if other is None:
            seen[type(given), name] = path
            inputs.append(given)
        elif other.resolve() != path.resolve():  # otherwise it was given twice, for example as a file and in its folder
            raise DataError(f"{other} and {path} would both write {name}; rename one of them")
    return inputs


def _writes(given: Input) -> tuple[str, Path]:
    """Return the name of an input's predictions, and its path."""
    if isinstance(given, Video):
        return f"{given.path.stem}.csv", given.path
    if isinstance(given, LabelFile):
        return f"{given.path.name}/predictions.csv", given.path
    return f"{given.name}/predictions.csv", given.paths[0] if len(given.paths) == 1 else given.paths[0].parent


def _expand(path: Path, *, images: bool) -> Sequence[Input]:
    try:
        if not path.exists():
            raise DataError(f"no file at {path}; expected a video, a label file or a folder")
        is_folder = path.is_dir()
    except OSError as error:
        shown = shorten(str(path)) if error.errno == errno.ENAMETOOLONG else path
        raise DataError(f"{shown} cannot be read: {error.strerror or error}") from error
    if is_folder:
        return _folder(path, images=images)
    if path.suffix.lower() == ".csv":
        return [LabelFile(path)]
    if images and is_image(path):
        return [Images(path.name, (path,))]
    if is_video(path) or (not is_image(path) and _holds_a_video(path)):
        return [Video(path)]
    expected = f"a video (.mp4, .avi, .mkv, .ts, .h264, …), {'an image, ' if images else ''}a label file (.csv)"
    raise DataError(f"{path} is neither a video nor a label file; expected {expected} or a folder")


def _holds_a_video(path: Path) -> bool:
    """Return whether FFmpeg finds a video in the file, whatever its ending."""
    try:
        VideoFile(path).close()
    except SourceError:
        return False
    return True


def _folder(folder: Path, *, images: bool) -> list[Input]:
    files = list_files(folder)
    found: list[Input] = [Video(path) for path in files if is_video(path)]
    pictures = tuple(path for path in files if is_image(path))
    if images and pictures:
        found.append(Images(folder.resolve().name, pictures))
    if not found:
        raise DataError(f"the folder {folder} holds no video{' and no image' if images else ''}")
    return found
