"""Which picture of a project an entry of a label file is about, whatever folder and digits the other program uses."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath

from realtime_cropzoom.labelling.formats.label_file import Entry
from realtime_cropzoom.labelling.frame_table import FrameRow

FLAT = "__img"
"""Between recording and frame in the name of a picture without a folder: ``mouse__img00000012.png``."""
_FLAT_NAME = re.compile(rf"(.+){FLAT}(\d{{1,15}})", re.DOTALL)
_NUMBERED = re.compile(r"(.*?)(\d{1,15})", re.DOTALL)
_PLAIN_WORDS = ("img", "image", "frame", "")
"""Words before the number of a frame that tell nothing."""

Key = tuple[str, int]
"""Name of a recording, and number of a frame."""


def flat_name(row: FrameRow) -> str:
    """Return the name of a picture for programs that keep no folders."""
    return f"{row.folder}{FLAT}{row.frame:08d}.png"


def key_of(entry: Entry) -> Key:
    """Return recording and frame as the entry names them.

    A picture without a number is frame 0 of a recording of its own.

    Args:
        entry: An entry of a label file.
    """
    path = PurePosixPath(entry.image.replace("\\", "/"))
    if entry.frame is not None:
        return path.stem, entry.frame
    flat = _FLAT_NAME.fullmatch(path.stem)
    if flat:
        return flat[1], int(flat[2])
    numbered = _NUMBERED.fullmatch(path.stem)
    word, number = (numbered[1], int(numbered[2])) if numbered else (path.stem, 0)
    word = word.strip("_-. ")
    own = "" if word.lower() in _PLAIN_WORDS else word
    return "_".join(part for part in (path.parent.name, own) if part), number


class FrameIndex:
    """The pictures of a project, to be found by what a label file says of them."""

    def __init__(self, rows: Iterable[FrameRow]) -> None:
        """Index them.

        Args:
            rows: The pictures.
        """
        self._by_recording: dict[Key, FrameRow] = {}
        self._by_folder: dict[Key, FrameRow] = {}
        self._alike: defaultdict[str, set[str]] = defaultdict(set)
        self._by_number: defaultdict[int, list[FrameRow]] = defaultdict(list)
        for row in rows:
            self._by_recording[row.recording, row.frame] = row
            self._by_folder[row.folder, row.frame] = row
            self._alike[_alike(row.folder)].add(row.folder)
            self._by_number[row.frame].append(row)

    def find(self, entry: Entry, recording: str = "") -> FrameRow | None:
        """Return the picture of the project that an entry is about, or None.

        Args:
            entry: The entry.
            recording: Where its picture comes from, as in ``FrameRow.recording``, if that is known.
        """
        name, number = key_of(entry)
        found = self._by_recording.get((recording, number)) or self._by_folder.get((name, number))
        if found is not None:
            return found
        folders = self._alike[_alike(name)] if name else set()
        if len(folders) == 1:
            return self._by_folder.get((next(iter(folders)), number))
        only = self._by_number.get(number, [])
        return only[0] if not name and len(only) == 1 else None


def _alike(name: str) -> str:
    """Return a name without capital letters, spaces and signs, which other programs change."""
    return re.sub(r"[\W_]+", "", name).casefold()
