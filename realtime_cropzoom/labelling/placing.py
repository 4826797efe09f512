"""Places the entries of a label file: at a picture that the project has, or at a new one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.labelling.checks import Finding, listing
from realtime_cropzoom.labelling.formats.label_file import Entry
from realtime_cropzoom.labelling.frame_table import IMPORTED, FrameRow, image_path, unique_folder
from realtime_cropzoom.labelling.matching import FrameIndex, key_of
from realtime_cropzoom.labelling.pictures import Pictures, looks_the_same, png_of
from realtime_cropzoom.labelling.same_picture import is_same
from realtime_cropzoom.project.folder import Project
from realtime_cropzoom.sources.image_file import read_image
from realtime_cropzoom.types import UInt8

_OWN_NAME = re.compile(r"img\d{8}\.png")
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f<>:"/\\|?*]')
"""Characters that cannot be in the name of a folder on every system."""


@dataclass(frozen=True, slots=True)
class Placed:
    """An entry, and its picture in the project."""

    entry: Entry
    row: FrameRow
    """The picture."""
    size: tuple[int, int]
    """(W, H) of the picture."""
    png: bytes | Path = b""
    """The picture as a PNG, or the PNG that is copied, if the project does not have it yet."""

    @property
    def is_new(self) -> bool:
        """Whether the project does not have the picture yet."""
        return bool(self.png)


class Placer:
    """Places entries one by one, and keeps what it could not place."""

    def __init__(self, project: Project, rows: tuple[FrameRow, ...], pictures: Pictures) -> None:
        """Prepare.

        Args:
            project: The project.
            rows: Its pictures.
            pictures: Finds the pictures of the label file.
        """
        self._project, self._rows, self._pictures = project, list(rows), pictures
        self._index = FrameIndex(rows)
        self._round = max((row.round for row in rows), default=1)
        self._new: dict[str, Placed] = {}
        self._missing: list[str] = []
        self._wrong_size: list[str] = []
        self._broken: list[str] = []

    def place(self, entry: Entry) -> Placed | None:
        """Return an entry with its picture; None if there is none, or if it does not fit.

        Args:
            entry: The entry.
        """
        try:
            placed = self._place(entry)
        except DataError as error:
            self._broken.append(f"{_words(entry)} ({error})")
            return None
        if placed is None:
            self._missing.append(_words(entry))
        elif entry.size is not None and entry.size != placed.size:
            (w, h), (width, height) = entry.size, placed.size
            self._wrong_size.append(f"{placed.row.image} ({w}x{h} there, {width}x{height} here)")
            return None
        return placed

    def findings(self) -> list[Finding]:
        """Return what is to be said of entries that could not be placed."""
        found = []
        if self._missing:
            todo = "Their labels are left out. Give the folder of the pictures or videos with --images"
            found.append(listing("not found", self._missing, "whose picture is not there", todo))
        if self._broken:
            todo = "Their labels are left out. Give other pictures with --images"
            found.append(listing("unreadable", self._broken, "whose picture cannot be read", todo))
        if self._wrong_size:
            todo = "Their labels are left out: they are of another size of picture. Label the frames of this project"
            found.append(listing("size", self._wrong_size, "labelled at another size", todo))
        return found

    def _place(self, entry: Entry) -> Placed | None:
        """Return an entry with its picture; None if there is none. Raises DataError if a picture cannot be read."""
        file = self._pictures.locate(entry)
        row = self._index.find(entry, _origin(file, entry))
        if row is None:
            return self._place_new(entry, file, self._pictures.read(entry, file))
        path = self._project.folder / row.image
        own = read_image(path)
        if entry.frame is None and file != path.resolve():
            theirs = self._pictures.read(entry, file)
            if theirs is not None and theirs.shape == own.shape and not looks_the_same(own, theirs):
                return self._place_new(entry, file, theirs)  # another recording of the same name
        return Placed(entry, row, (own.shape[1], own.shape[0]))

    def _place_new(self, entry: Entry, file: Path | None, picture: UInt8 | None) -> Placed | None:
        if picture is None:
            return None
        name, number = key_of(entry)
        origin = _origin(file, entry)
        wanted = _NOT_IN_NAMES.sub("_", name).strip(". ") or "pictures"
        own = self._own(file)
        if own is None:
            image = image_path(unique_folder(wanted, origin, self._rows, self._is_free(number, picture)), number)
        else:
            image, origin = own, self._recording_of(own) or origin
        known = self._new.get(image)
        if known is None:
            self._check_free(image, picture)
            row = FrameRow(image, origin, number, self._round, IMPORTED)
            size = (picture.shape[1], picture.shape[0])
            own_file = file if entry.frame is None and entry.picture is None else None
            known = self._new[image] = Placed(entry, row, size, png_of(picture, own_file))
            self._rows.append(row)
        return Placed(entry, known.row, known.size, known.png)

    def _own(self, file: Path | None) -> str | None:
        """Return the path of a picture that is in the project's frames, but not in its table; else None."""
        frames = self._project.frames_folder.resolve()
        if file is None or file.parent.parent != frames or not _OWN_NAME.fullmatch(file.name):
            return None
        return f"frames/{file.parent.name}/{file.name}"

    def _recording_of(self, image: str) -> str | None:
        return next((row.recording for row in self._rows if row.folder == image.split("/")[1]), None)

    def _is_free(self, number: int, picture: UInt8) -> Callable[[str], bool]:
        def is_free(folder: str) -> bool:
            path = self._project.folder / image_path(folder, number)
            return not path.exists() or is_same(path, picture)

        return is_free

    def _check_free(self, image: str, picture: UInt8) -> None:
        path = self._project.folder / image
        if path.exists() and not is_same(path, picture):
            raise DataError(f"another picture is at {path}, which frames.csv does not name; move it away")


def _origin(file: Path | None, entry: Entry) -> str:
    """Return where the picture of an entry comes from, as in ``FrameRow.recording``.

    It is the video, or the folder of the pictures; with the name of the recording if the folder's is another.
    """
    path = PurePosixPath(entry.image.replace("\\", "/")) if file is None else file
    if entry.frame is not None:
        return str(path)
    name, _ = key_of(entry)
    return str(path.parent if path.parent.name == name else path.parent / name)


def _words(entry: Entry) -> str:
    return entry.image if entry.frame is None else f"frame {entry.frame} of {entry.image}"
