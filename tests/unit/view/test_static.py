"""The files of the page, as text: what their order of security and their parts among each other demand."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from realtime_cropzoom.view.app import STATIC

MODULES = sorted(STATIC.glob("*.js"))
PAGES = sorted(STATIC.glob("*.html"))


class _Page(HTMLParser):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]

    def values(self, attribute: str) -> list[str]:
        return [value or "" for _, name, value in self.attributes if name == attribute]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_has_no_inline_script_and_no_inline_style(path: Path) -> None:
    page = _Page(path)
    assert not [name for _, name, _ in page.attributes if name == "style" or name.startswith("on")]
    assert "<style" not in path.read_text(encoding="utf-8")
    assert not re.findall(r"<script(?![^>]*\bsrc=)", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_loads_only_files_that_are_there(path: Path) -> None:
    page = _Page(path)
    loaded = [url for url in page.values("src") + page.values("href") if not url.startswith("#")]
    assert loaded
    assert [url for url in loaded if not (STATIC / url.removeprefix("/static/")).is_file()] == []


@pytest.mark.parametrize("path", [*MODULES, *PAGES, *STATIC.glob("*.css")], ids=lambda path: path.name)
def test_nothing_is_loaded_from_elsewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("http://www.w3.org/", "")
    assert re.findall(r"https?://|//cdn|@import|url\(", text) == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_no_module_makes_elements_out_of_text(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text) == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_the_modules_that_a_module_imports_are_there(path: Path) -> None:
    imported = re.findall(r"""(?:from|import\()\s*["']\./([\w.-]+)["']""", path.read_text(encoding="utf-8"))
    assert [name for name in imported if not (STATIC / name).is_file()] == []


def _found_in_live_page(pattern: str) -> set[str]:
    """Return what a pattern finds in the modules of the live page."""
    modules = [path for path in MODULES if not path.name.startswith("review")]
    return {found for path in modules for found in re.findall(pattern, path.read_text(encoding="utf-8"))}


def test_the_elements_that_the_live_page_looks_for_are_there() -> None:
    made = {found for path in MODULES for found in re.findall(r'\bid: "([\w-]+)"', path.read_text(encoding="utf-8"))}
    there = {*_Page(STATIC / "index.html").values("id"), *made}
    wanted = _found_in_live_page(r'byId\("([\w-]+)"\)')
    assert wanted - there == set()
    assert len(wanted) > 50


def test_each_icon_that_is_named_is_there() -> None:
    icons = {name.removeprefix("icon-") for name in _Page(STATIC / "index.html").values("id") if "icon-" in name}
    named = _found_in_live_page(r'icon(?:\(|: )"([\w-]+)"')
    assert named - icons == set()
    assert len(named) > 10


def test_the_elements_that_the_page_of_a_session_looks_for_are_there() -> None:
    there = set(_Page(STATIC / "review.html").values("id"))
    shared = ("faults", "keys", "layers", "notices", "theme")
    wanted = {
        found
        for path in MODULES
        if path.name.startswith("review") or path.stem in shared
        for found in re.findall(r'byId\("([\w-]+)"\)', path.read_text(encoding="utf-8"))
    }
    assert wanted - there == set()
    assert len(wanted) > 30
