"""Locks on open files. The system frees a lock when its process ends, however it ends."""

from __future__ import annotations

import os
import time

_BYTE = 1 << 30
"""Position of the one byte that is locked on Windows: behind all content, because nobody else can read it."""
_AGAIN_AFTER_S = 0.1


def lock_file(descriptor: int) -> bool:
    """Lock an open file for this process.

    Args:
        descriptor: The file, open for writing.

    Returns:
        False if another process holds the lock.

    Raises:
        OSError: if its disk knows no locks.
    """
    try:
        import fcntl
    except ImportError:
        return _lock_on_windows(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_for_lock(descriptor: int) -> None:
    """Lock an open file, as soon as no other process holds its lock. Raises OSError as ``lock_file``."""
    while not lock_file(descriptor):
        time.sleep(_AGAIN_AFTER_S)


def _lock_on_windows(descriptor: int) -> bool:
    import msvcrt

    before = os.lseek(descriptor, 0, os.SEEK_CUR)
    os.lseek(descriptor, _BYTE, os.SEEK_SET)
    try:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    except PermissionError:
        return False
    finally:
        os.lseek(descriptor, before, os.SEEK_SET)
    return True
