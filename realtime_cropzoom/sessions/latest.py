"""Newest session: resolves ``latest`` in place of a session's folder, by the start times that sessions record."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.files.paths import user_path

LATEST = "latest"
SESSIONS, TRIGGERS = "sessions", "triggers"
_STAMP = re.compile(r".*_(\d{8}-\d{6})(?:-(\d+))?$")
_SUMMARY = "summary.json"


def find_session(path: Path | str, kind: str = SESSIONS) -> Path:
    """Return ``path``, with ``latest`` in it replaced by the newest session there.

    ``latest`` alone is looked for in ./sessions (or ./triggers, as ``kind`` says), in the folder one stands in, and
    beside a session that one stands in; FOLDER/latest in FOLDER. Raises DataError where there is no session.
    """
    path = user_path(path)
    if LATEST not in path.parts or path.exists():
        return path
    at = path.parts.index(LATEST)
    parents = [Path(*path.parts[:at])] if at else _usual_parents(kind)
    for parent in parents:
        newest = max(_sessions(parent), default=None)
        if newest is not None:
            return newest[-1].joinpath(*path.parts[at + 1 :])
    looked = " or ".join(str(parent.absolute()) for parent in parents)
    raise DataError(f"{path}: there is no session in {looked}; give its folder, or FOLDER/latest")


def find_boxes(path: Path) -> Path:
    """Return the box file of a session folder, which may be ``latest``; any other path as it is."""
    path = find_session(path)
    found = sorted(path.glob("*_bbox.csv")) if path.is_dir() else []
    return found[0] if len(found) == 1 else path


def _usual_parents(kind: str) -> list[Path]:
    chosen = os.environ.get("CROPZOOM_OUT") if kind == SESSIONS else None
    here = Path()
    return [Path(chosen or kind), here, *([here.absolute().parent] if (here / _SUMMARY).exists() else [])]


def _sessions(parent: Path) -> Iterator[tuple[float, int, Path]]:
    """Yield start (Unix s), number within that second, and folder."""
    for summary in parent.glob(f"*/{_SUMMARY}"):
        stamp = _STAMP.fullmatch(summary.parent.name)
        started = _started(summary, None if stamp is None else stamp[1])
        if started is not None:
            yield started, int(stamp[2] or 1) if stamp is not None else 1, summary.parent


def _started(summary: Path, stamp: str | None) -> float | None:
    """What the summary says; else the date in the folder's name. Dates of files change when they are copied."""
    try:
        return float(json.loads(summary.read_text(encoding="utf-8"))["started_unix_s"])
    except (OSError, ValueError, KeyError, TypeError):
        return None if stamp is None else datetime.strptime(stamp, "%Y%m%d-%H%M%S").timestamp()
