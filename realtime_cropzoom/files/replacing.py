"""Replaces a file by another one, also where a reader has it open, as on Windows."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from realtime_cropzoom.clock import now_s

_WITHIN_S = 1.0
"""How long (s) Windows is asked again: a reader of a small file, an indexer or a virus scanner is done by then."""
_AGAIN_AFTER_S = 0.02


def replace_file(new: Path, final: Path) -> None:
    """Rename ``new`` to ``final``, which is replaced if it exists.

    Windows refuses while another program has either file open. It is then asked again for a second.

    Raises:
        OSError: if that fails.
    """
    until = now_s() + _WITHIN_S
    while True:
        try:
            os.replace(new, final)
            return
        except PermissionError as error:
            if not _waits_for_readers() or final.is_dir():
                raise
            if now_s() > until:
                raise PermissionError(error.errno, "another program has it open; close it there", str(final)) from error
        time.sleep(_AGAIN_AFTER_S)


def _waits_for_readers() -> bool:
    return sys.platform == "win32"
