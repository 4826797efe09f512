"""A real Chromium for the tests that look at the page; they are skipped where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def path() -> str | None:
    """Return the path of Chromium; None if this machine has none."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


def why_not() -> str | None:
    """Return why no browser can be opened here, in words; None if one can."""
    if find_spec("playwright") is None:
        return "no playwright: pip install 'realtime-cropzoom[browser]'"
    return None if path() else "no Chromium on this machine"


@contextmanager
def browser(*flags: str) -> Iterator[Browser]:
    """Open a headless Chromium without its sandbox, which a container does not allow; ``flags`` are added."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path(), args=["--no-sandbox", *flags])
        try:
            yield opened
        finally:
            opened.close()
