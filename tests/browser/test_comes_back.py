"""What the page shows when a run, or its own server, goes away: that it is gone, and that it is back."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.browser import Pages, Rig, needs_chromium, rig_in, shown, until
from support.pipelines import free_port
from support.stream_senders import serving

pytestmark = [pytest.mark.slow, needs_chromium]
NO_SERVER = (r"WebSocket connection to .* failed", r"ERR_CONNECTION_REFUSED", r"status of 403")
STATE = "document.querySelector('.state .state-word')?.textContent"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with rig_in(lambda: tmp_path) as lab:
        yield lab


def colour(page: Any) -> str:
    """The colour of the state in the bar."""
    found: str = page.evaluate("getComputedStyle(document.querySelector('.state')).backgroundColor")
    return found


def test_a_killed_run_is_seen_and_the_next_one_is_shown_without_a_reload(rig: Rig, pages: Pages) -> None:
    run = rig.run()
    _, url = rig.view()
    page = pages.open(url)
    until(page, f"['Tracking', 'Coasting'].includes({STATE})")
    first, alive = shown(page)["run"], colour(page)

    run.kill()
    until(page, f"['Silent', 'Waiting', 'Ended'].includes({STATE})")
    assert colour(page) != alive

    rig.run()
    until(page, f"['Tracking', 'Coasting'].includes({STATE}) && window.cropzoom.shown().run !== '{first}'")
    assert colour(page) == alive
    until(page, "document.getElementById('events').textContent.includes('run')")


def test_a_killed_camera_is_seen_and_so_is_its_return(rig: Rig, pages: Pages) -> None:
    port, stream = free_port(), "document.querySelector('.state')?.dataset.stream"
    with serving("http", port, time.time_ns()):
        rig.run(source=f"http://127.0.0.1:{port}/cam")
        _, url = rig.view()
        page = pages.open(url)
        until(page, f"{stream} === 'live'")
        alive = colour(page)
    until(page, f"['stalled', 'reconnecting'].includes({stream})")
    assert colour(page) != alive
    with serving("http", port, time.time_ns()):
        until(page, f"{stream} === 'live'")


def test_a_page_finds_its_server_again(rig: Rig, pages: Pages) -> None:
    rig.run()
    server, url = rig.view()
    pages.expect(*NO_SERVER)
    page = pages.open(url)
    until(page, f"['Tracking', 'Coasting'].includes({STATE})")
    alive = colour(page)

    server.kill()
    until(page, f"{STATE} === 'No link' && !document.getElementById('link').hidden")
    assert colour(page) != alive

    port = re.findall(r":(\d+)/", url)[0]
    _, again = rig.view("--port", port)
    until(page, "document.getElementById('link').textContent.includes('another token')")
    page.goto(again)
    until(page, f"['Tracking', 'Coasting'].includes({STATE}) && window.cropzoom.link === 'open'")
    assert colour(page) == alive
