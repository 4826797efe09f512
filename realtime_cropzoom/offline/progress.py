"""Progress bars with frames a second and the time that is left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm


@contextmanager
def progress(what: str, total: int | None, done: int = 0, *, unit: str = "frames") -> Iterator[Any]:
    """Show a bar on a terminal, and nothing elsewhere; call ``update`` on what this yields."""
    with tqdm(desc=what, total=total, initial=done, unit=f" {unit}", disable=None, dynamic_ncols=True) as bar:
        yield bar
