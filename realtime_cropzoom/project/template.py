"""A new project: its folder, and its commented ``project.yaml``."""

from __future__ import annotations

import contextlib
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel

from realtime_cropzoom.errors import ConfigError, SinkError, error_text
from realtime_cropzoom.files.atomic import MAKE_ROOM, write_whole
from realtime_cropzoom.files.paths import is_folder, is_there
from realtime_cropzoom.inference.model_paths import PROJECT_FILE
from realtime_cropzoom.project.edit import yaml_list
from realtime_cropzoom.project.folder import Project, is_project, load_project
from realtime_cropzoom.project.schema import PAGE, Pair, ProjectFile, check_names

_HEAD = f"""\
# A project of cropzoom: one kind of animal, its labelled frames and its models.
# Every command takes this folder, such as: cropzoom train FOLDER
# Change this file with any text editor. {PAGE} explains it.
"""
_WIDTH = 118
SUBFOLDERS = ("frames", "labels", "models")


def make_project(
    folder: Path, keypoints: Sequence[str], skeleton: Sequence[Pair], symmetric: Sequence[Pair]
) -> Project:
    """Make the folder of a new project.

    Args:
        folder: The folder. It must not exist yet, or be empty.
        keypoints: Names of the keypoints, in order.
        skeleton: Pairs between which pictures draw a line.
        symmetric: Pairs that change places in a mirror.

    Raises:
        ConfigError: if the names cannot be used, or the folder has something in it.
        SinkError: if it cannot be written. Nothing stays then.
    """
    check_names(keypoints, skeleton, symmetric)
    _check_free(folder)
    was_there = is_folder(folder)
    made = [folder / name for name in SUBFOLDERS]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for part in made:
            part.mkdir()
        write_whole(folder / PROJECT_FILE, project_text(keypoints, skeleton, symmetric), MAKE_ROOM)
    except BaseException as error:
        with contextlib.suppress(OSError):
            for part in made:
                part.rmdir()
            if not was_there:
                folder.rmdir()
        if isinstance(error, OSError):
            raise SinkError(f"cannot make {folder}: {error_text(error)}{MAKE_ROOM}") from error
        raise
    return load_project(folder)


def _check_free(folder: Path) -> None:
    if is_project(folder):
        raise ConfigError(
            f"{folder}: got a project, expected a new folder. Give another name, or edit its {PROJECT_FILE}"
        )
    if is_there(folder) and not is_folder(folder):
        raise ConfigError(f"{folder}: got a file, expected a new folder. Give another name")
    if is_folder(folder) and next(folder.iterdir(), None) is not None:
        raise ConfigError(f"{folder}: got a folder with files in it, expected a new or empty one. Give another name")


def project_text(keypoints: Sequence[str], skeleton: Sequence[Pair], symmetric: Sequence[Pair]) -> str:
    """Return a new ``project.yaml``, with a comment about each key."""
    values = {
        "keypoints": yaml_list(keypoints),
        "skeleton": _pairs(skeleton),
        "symmetric": _pairs(symmetric),
    }
    parts = [_HEAD]
    for name, field in ProjectFile.model_fields.items():
        comment = textwrap.fill(
            field.description or "", _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
        )
        default = field.default
        value = f"\n{_section(default)}" if isinstance(default, BaseModel) else f" {values.get(name, '[]')}\n"
        parts.append(f"{comment}\n{name}:{value}")
    return "\n".join(parts)


def _section(part: BaseModel) -> str:
    """Return the keys of a section with their defaults, and the comments in a column of their own."""
    lines = [
        (f"  {name}: {_default(getattr(part, name))}", f.description) for name, f in type(part).model_fields.items()
    ]
    width = max(len(line) for line, _ in lines)
    return "".join(f"{line:<{width}}  # {comment}\n" for line, comment in lines)


def _default(value: object) -> str:
    if isinstance(value, tuple):
        return yaml_list(value)
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def _pairs(pairs: Sequence[Pair]) -> str:
    return f"[{', '.join(yaml_list(pair) for pair in pairs)}]"


_LETTER = re.compile(r"(?<![A-Za-z])[lrLR](?![A-Za-z])|(?<=[a-z0-9])[LR](?=$|[A-Z_\W])|^[lrLR](?=[A-Z][a-z])")
"""L or R as a word of its own: ear_l, l_ear, earL, LEar."""
_WORD = re.compile("left|right", re.IGNORECASE)
_OTHER = {"left": "right", "right": "left", "l": "r", "r": "l"}


def side_pairs(names: Sequence[str]) -> list[Pair]:
    """Return the pairs of names that differ only in their side, left before right, such as ear_l and ear_r.

    Args:
        names: Names of keypoints.
    """
    return [(name, other) for name in names if (other := _right_of(name)) is not None and other in names]


def _right_of(name: str) -> str | None:
    """Return the name of the same point on the right side; None if ``name`` is not of the left side."""
    for pattern in (_WORD, _LETTER):
        found = pattern.search(name)
        if found is not None:
            if found[0].lower() not in ("left", "l"):
                return None
            return name[: found.start()] + _same_case(_OTHER[found[0].lower()], found[0]) + name[found.end() :]
    return None


def _same_case(word: str, like: str) -> str:
    return word.upper() if like.isupper() else word.capitalize() if like[0].isupper() else word
