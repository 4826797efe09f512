"""Newest session: resolves ``latest`` in place of a session's folder, by the start times that sessions record.

So that ``latest`` also works in a folder without sessions, the command line notes the path of each new session::

    $XDG_STATE_HOME/cropzoom/         mode 0700; without that variable ~/.local/state
        last_sessions                 mode 0600; the absolute path of the last session of a run
        last_triggers                 the same of a trigger process
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.files.paths import user_path

LATEST = "latest"
SESSIONS, TRIGGERS = "sessions", "triggers"
_STAMP = re.compile(r".*_(\d{8}-\d{6})(?:-(\d+))?$")
_SUMMARY = "summary.json"
_NOTED_WITHIN_S = 1.0
"""Maximum wait (s) for the note to be written: a home folder on a network may hang."""
_Found = tuple[float, int, Path]
"""Start (Unix s), number within that second, and folder of a session."""


def find_session(path: Path | str, kind: str = SESSIONS) -> Path:
    """Return ``path``, with ``latest`` in it replaced by the newest session.

    Args:
        path: ``latest`` alone is looked for in ./sessions (or ./triggers), in the current folder, and next to a session
            if that is the current folder. Only if there is none, it is looked for next to the last session noted.
            FOLDER/latest is looked for in FOLDER. Any other path is returned as it is.
        kind: ``sessions`` or ``triggers``.

    Raises:
        DataError: if there is no session.
    """
    path = user_path(path)
    if LATEST not in path.parts or path.exists():
        return path
    at = path.parts.index(LATEST)
    here = [Path(*path.parts[:at])] if at else _usual_parents(kind)
    newest = _newest_of(here)
    if newest is None and not at and (noted := _noted_session(kind)) is not None:
        newest = _newest(noted.parent)
    if newest is None:
        looked = " or ".join(str(parent.absolute()) for parent in here)
        raise DataError(f"{path}: there is no session in {looked}; give its folder, or FOLDER/latest")
    return newest[-1].joinpath(*path.parts[at + 1 :])


def describe_latest(given: Path | str, found: Path, kind: str = SESSIONS) -> str:
    """Return the line that says which session ``latest`` is, and why if it is one of another folder.

    Args:
        given: The path with ``latest`` in it.
        found: Result of ``find_session`` or ``find_boxes``.
        kind: ``sessions`` or ``triggers``.
    """
    line = f"{given} is {found}"
    if not is_elsewhere(given, kind):
        return line
    return f"{line}, of another folder: there is no session in {_usual_parents(kind)[0].absolute()}"


def is_elsewhere(given: Path | str, kind: str = SESSIONS) -> bool:
    """Return whether ``latest`` in ``given`` is a session of another folder, because the current one has none.

    Args:
        given: A path with ``latest`` in it.
        kind: ``sessions`` or ``triggers``.
    """
    return Path(given).parts[0] == LATEST and _newest_of(_usual_parents(kind)) is None


def note_session(folder: Path, kind: str = SESSIONS) -> None:
    """Note the last session for ``latest``. A note that cannot be written, or not at once, is left out.

    Args:
        folder: The folder of the session.
        kind: ``sessions`` or ``triggers``.
    """
    note = _note_file(kind)
    if note is not None:
        writer = threading.Thread(
            target=_write_note, args=(note, os.fsencode(folder.absolute())), name="cropzoom-latest", daemon=True
        )
        writer.start()
        writer.join(_NOTED_WITHIN_S)


def _write_note(note: Path, content: bytes) -> None:
    part = note.with_name(f".{note.name}.{os.getpid()}.part")
    with contextlib.suppress(OSError):
        note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(part, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(content)
        part.replace(note)


def _noted_session(kind: str) -> Path | None:
    """Return the session that was noted last, if it still exists."""
    note = _note_file(kind)
    if note is None:
        return None
    try:
        folder = Path(os.fsdecode(note.read_bytes()))
        return folder if (folder / _SUMMARY).is_file() else None
    except (OSError, ValueError):
        return None


def _note_file(kind: str) -> Path | None:
    """Return the file of the note; None if this user has no home."""
    given = os.environ.get("XDG_STATE_HOME", "")
    try:
        state = Path(given) if os.path.isabs(given) else Path.home() / ".local" / "state"
    except RuntimeError:
        return None
    return state / "cropzoom" / f"last_{kind}"


def find_boxes(path: Path) -> Path:
    """Return the box file of a session folder, which may be ``latest``; any other path as it is."""
    path = find_session(path)
    found = sorted(path.glob("*_bbox.csv")) if path.is_dir() else []
    return found[0] if len(found) == 1 else path


def _usual_parents(kind: str) -> list[Path]:
    chosen = os.environ.get("CROPZOOM_OUT") if kind == SESSIONS else None
    here = Path()
    return [Path(chosen or kind), here, *([here.absolute().parent] if (here / _SUMMARY).exists() else [])]


def _newest(parent: Path) -> _Found | None:
    return max(_sessions(parent), default=None)


def _newest_of(parents: Iterable[Path]) -> _Found | None:
    """Return the newest session of the first of ``parents`` that has one."""
    return next((found for parent in parents if (found := _newest(parent)) is not None), None)


def _sessions(parent: Path) -> Iterator[_Found]:
    for summary in parent.glob(f"*/{_SUMMARY}"):
        stamp = _STAMP.fullmatch(summary.parent.name)
        started = _started(summary, None if stamp is None else stamp[1])
        if started is not None:
            yield started, int(stamp[2] or 1) if stamp is not None else 1, summary.parent


def _started(summary: Path, stamp: str | None) -> float | None:
    """Return the start (Unix s) in the summary, or that in the folder's name; None if neither has one.

    Dates of files are not used: they change when files are copied.
    """
    try:
        return float(json.loads(summary.read_text(encoding="utf-8"))["started_unix_s"])
    except (OSError, ValueError, KeyError, TypeError):
        return None if stamp is None else datetime.strptime(stamp, "%Y%m%d-%H%M%S").timestamp()
