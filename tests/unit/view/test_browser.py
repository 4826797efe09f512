"""A browser is opened where there is a desktop, with an address that is worth nothing afterwards."""

from __future__ import annotations

import sys
import webbrowser

import pytest
from starlette.applications import Starlette
from support.pipelines import wait_for

from realtime_cropzoom.view import browser
from realtime_cropzoom.view.serve import Site


@pytest.mark.parametrize("display", ["", ":0"])
def test_the_page_opens_where_there_is_a_desktop(display: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", display)
    site = Site(Starlette())
    browser.open_page(site)
    if display:
        (url,) = wait_for(lambda: opened, "the browser")
        assert url.startswith(f"http://127.0.0.1:{site.port}/?once=")
        assert site.token not in url
    assert bool(opened) == bool(display)
    site.close()
