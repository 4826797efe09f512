"""Whether everybody can use the page: axe-core finds no grave fault, keys alone reach everything, and a phone fits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.browser import Pages, grave_faults, has_tracked, needs_chromium, rig_in, until, write_rules

pytestmark = [pytest.mark.slow, needs_chromium]
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
WINDOWS: dict[str, dict[str, Any]] = {
    "dark": {"color_scheme": "dark"},
    "light": {"color_scheme": "light"},
    "phone": {"color_scheme": "light", **PHONE},
}
CONTROLS = """() => [...document.querySelectorAll('a[href], button, input, select, textarea, [tabindex="0"]')].filter(
    one => !one.disabled && one.checkVisibility({ visibilityProperty: true }) && !one.closest('dialog, .skip, #notices')
)"""
FOCUSED = f"""() => {{ const one = document.activeElement, style = getComputedStyle(one);
    const at = ({CONTROLS})().indexOf(one), box = one.getBoundingClientRect();
    const top = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
    return {{ at, what: one.id || one.outerHTML.slice(0, 100), seen: one.contains(top) || !!top?.contains(one),
        ring: Math.max(style.outlineStyle === 'none' ? 0 : parseFloat(style.outlineWidth),
            one.matches('svg *') ? parseFloat(style.strokeWidth) - 3 : 0) >= 2 }}; }}"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with rig_in(lambda: tmp_path_factory.mktemp("accessible")) as rig:
        rig.run()
        rig.trigger(write_rules(rig.folder), "--endpoint", rig.endpoint())
        yield rig.view()[1]


def open_zones(page: Any) -> None:
    until(page, "window.cropzoom.store.triggers.size === 1")
    page.click("#zones-open")
    page.wait_for_selector("#zones:not([hidden])")


OPEN: dict[str, Any] = {
    "the page": lambda page: None,
    "shortcuts": lambda page: page.keyboard.press("?"),
    "a question": lambda page: page.click("#stop"),
    "settings": lambda page: page.click("#settings-open"),
    "zones": open_zones,
}


@pytest.mark.parametrize("window", WINDOWS)
def test_axe_finds_no_grave_fault(url: str, pages: Pages, window: str) -> None:
    page = pages.open(url, **WINDOWS[window])
    has_tracked(page)
    for name, show in OPEN.items():
        show(page)
        assert grave_faults(page) == [], name
        page.keyboard.press("Escape")
        until(page, "document.querySelector('dialog[open], aside:not([hidden])') === null")


@pytest.mark.parametrize("window", ["dark", "phone"])
def test_nothing_is_wider_than_the_window(url: str, pages: Pages, window: str) -> None:
    page = pages.open(url, **WINDOWS[window])
    has_tracked(page)
    for name, show in OPEN.items():
        show(page)
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(wide) == 0, name
        page.keyboard.press("Escape")
        until(page, "document.querySelector('dialog[open], aside:not([hidden])') === null")


def test_the_tab_key_reaches_every_control_and_shows_where_it_is(url: str, pages: Pages) -> None:
    page = pages.open(url)
    has_tracked(page)
    for show in (OPEN["the page"], open_zones):
        show(page)
        page.evaluate("document.activeElement.blur()")
        expected = page.evaluate(f"({CONTROLS})().length")
        reached = {}
        for _ in range(2 * expected):
            page.keyboard.press("Tab")
            found = page.evaluate(FOCUSED)
            if found["at"] >= 0:
                reached[found["at"]] = found
        names = page.evaluate(f"({CONTROLS})().map(one => one.id || one.outerHTML.slice(0, 100))")
        assert [name for at, name in enumerate(names) if at not in reached] == []
        unseen = [found["what"] for found in reached.values() if not found["seen"]]
        ringless = [found["what"] for found in reached.values() if not found["ring"]]
        assert not unseen, "\n".join(unseen)
        assert not ringless, "\n".join(ringless)


def test_keys_alone_do_what_buttons_do(url: str, pages: Pages) -> None:
    page = pages.open(url)
    has_tracked(page)
    page.keyboard.press("?")
    until(page, "document.getElementById('keys').open")
    page.keyboard.press("Escape")
    theme = page.evaluate("document.documentElement.dataset.theme")
    page.keyboard.press("t")
    assert page.evaluate("document.documentElement.dataset.theme") != theme
    page.keyboard.press("m")
    page.keyboard.type("Dart")  # its letters are text, and no shortcuts
    assert page.input_value("#marker-text") == "Dart"
    page.keyboard.press("Escape")
    page.keyboard.press("s")
    until(page, "!document.getElementById('settings').hidden")
    page.keyboard.press("Escape")
    until(page, "document.getElementById('settings').hidden")
