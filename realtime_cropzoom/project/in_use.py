"""Keeps two commands from changing the same part of a project at the same time: the second is refused.

Every function that changes a project takes the lock, so that a notebook is as safe as a command. A thread that has it
may take it again: a command holds it around several of these functions.

A file in the folder is locked while a command works, and removed at its end. The system frees the lock when the process
ends, however it ends. On disks that know no locks, nothing is locked.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.files.locks import lock_file
from realtime_cropzoom.project.folder import Project, load_project

Part = Literal["labelling", "training"]
"""What a command changes: frames and labels, or models. Frames can be labelled while models train."""
_mine = threading.local()
"""``paths``: the lock files that this thread has locked."""
_SAFELY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
"""Flags that Windows does not have: its links need a permission, and its files are not inherited."""


@contextmanager
def project_in_use(folder: str | Path, command: str, part: Part = "labelling") -> Iterator[Project]:
    """Open a project for a change; no other command or thread changes that part until the ``with`` block ends.

    Args:
        folder: Folder of the project, or its ``project.yaml``.
        command: Name of the command, which a second one tells its user.
        part: What it changes.

    Raises:
        ConfigError: if there is no project, its file is wrong, or another command changes that part.
    """
    path = load_project(folder).folder / f".{part}.lock"
    mine: set[Path] = _mine.__dict__.setdefault("paths", set())
    if path in mine:
        yield load_project(folder)
        return
    descriptor = _lock(path, str(folder))
    mine.add(path)
    try:
        if descriptor is not None:
            _sign(descriptor, f"{command}, process {os.getpid()}")
        yield load_project(folder)  # again: a command that has ended since may have changed the file
    finally:
        mine.discard(path)
        if descriptor is not None:
            _remove(descriptor, path)


def _lock(path: Path, project: str) -> int | None:
    """Return the descriptor of a locked file; None if nothing can be locked there. Raises ConfigError."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _SAFELY, 0o666)
        except OSError:  # a folder that can only be read: writing reports it
            return None
        try:
            if not lock_file(descriptor):
                who = os.read(descriptor, 200).decode(errors="replace") or "it starts just now"
                os.close(descriptor)
                raise ConfigError(
                    f"project {project}: another cropzoom command is working on it ({who}). Wait until it has ended"
                )
            if _is_at(descriptor, path):
                return descriptor
        except OSError:  # a disk without locks
            os.close(descriptor)
            return None
        os.close(descriptor)  # its owner has just ended, and removed it


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def _sign(descriptor: int, who: str) -> None:
    with contextlib.suppress(OSError):  # a full disk
        os.ftruncate(descriptor, 0)
        os.write(descriptor, who.encode())


def _remove(descriptor: int, path: Path) -> None:
    """Remove the file, and free its lock: in this order, so that nobody locks a file that is about to go.

    Windows removes no open file: there the lock goes first, and the file stays if another command has it by then.
    """
    if sys.platform == "win32":
        os.close(descriptor)
    with contextlib.suppress(OSError):
        path.unlink()
    if sys.platform != "win32":
        os.close(descriptor)
