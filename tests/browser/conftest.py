"""One Chromium for each module, and the pages that a test opens in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support import chromium
from support.browser import FLAGS, Pages


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium.browser(*FLAGS) as started:
        yield started


@pytest.fixture
def pages(browser: Any) -> Iterator[Pages]:
    """Pages of one test. At its end, the browser must have reported no error."""
    opened = Pages(browser)
    yield opened
    opened.close()
