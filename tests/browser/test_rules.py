"""Rules from the page: arming asks and needs the token, disarming is at once, zones are checked before they hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
import zmq
from support.browser import Pages, Rig, answer_yes, has_tracked, needs_chromium, rig_in, until, write_rules
from support.pipelines import LONG_S, free_port

pytestmark = [pytest.mark.slow, needs_chromium]


@dataclass(frozen=True)
class Lab:
    rig: Rig
    url: str
    rules: Path
    port: int

    def state(self) -> dict[str, Any]:
        return self.rig.order("rules", "state")

    def zones(self) -> dict[str, Any]:
        """The zones of the rules file."""
        zones: dict[str, Any] = yaml.safe_load(self.rules.read_text())["zones"]
        return zones


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with rig_in(lambda: tmp_path_factory.mktemp("rules")) as rig:
        rig.run()
        port = free_port()
        rules = write_rules(rig.folder, port)
        rig.trigger(rules, "--endpoint", rig.endpoint())
        yield Lab(rig, rig.view()[1], rules, port)


@pytest.fixture
def page(lab: Lab, pages: Pages) -> Any:
    opened = pages.open(lab.url)
    has_tracked(opened)
    until(opened, "window.cropzoom.store.triggers.get('rules')?.link === 'connected'")
    return opened


def lamp(page: Any, word: str) -> None:
    """Wait until the lamp of the rules says a word."""
    until(page, "word => document.getElementById('armed-word').textContent === word", word)


def test_arming_asks_and_disarming_is_at_once_and_every_page_sees_it(lab: Lab, pages: Pages, page: Any) -> None:
    other = pages.open(lab.url)
    lamp(page, "Disarmed")
    page.keyboard.press("a")
    until(page, "document.getElementById('ask').open")
    page.keyboard.press("Enter")  # the focus is on Cancel
    until(page, "!document.getElementById('ask').open")
    assert lab.state()["armed"] == []

    page.click("#arm-all")
    answer_yes(page, "Arm shine?")
    for shows in (page, other):
        lamp(shows, "ARMED")
    assert lab.state()["armed"] == ["shine"]
    page.keyboard.press("d")
    for shows in (page, other):
        lamp(shows, "Disarmed")
    assert lab.state()["armed"] == []


def test_a_page_without_the_token_cannot_arm(lab: Lab, pages: Pages) -> None:
    """The page of the refusal is of our own origin: only the cookie is missing."""
    pages.expect(r"status of 403", r"WebSocket connection to .* failed")
    page = pages.open(lab.url.partition("?")[0])
    arm = """url => new Promise(resolve => { const socket = new WebSocket(url);
        socket.onopen = () => { socket.send('{"kind":"order","id":1,"to":"rules","order":"arm"}'); resolve(true); };
        socket.onerror = () => resolve(false); })"""
    assert not page.evaluate(arm, page.url.replace("http", "ws") + "ws")
    assert lab.state()["armed"] == []


def test_a_test_pulse_reaches_the_output_and_is_marked(lab: Lab, page: Any) -> None:
    with zmq.Context() as context, context.socket(zmq.SUB) as laser:
        laser.connect(f"tcp://127.0.0.1:{lab.port}")
        laser.subscribe(b"")
        laser.poll(1000)  # it may join late: its first message is that of the subscription
        page.click("[data-output=laser] button")
        answer_yes(page, "Test laser?")
        assert laser.poll(int(LONG_S * 1000))
    until(page, "document.getElementById('events').textContent.includes('laser')")
    until(page, "document.getElementById('notices').textContent.includes('test pulse given')")
    assert lab.state()["armed"] == []


def test_a_zone_that_is_drawn_by_mouse_is_saved_and_used(lab: Lab, page: Any) -> None:
    page.click("#zones-open")
    page.click("[data-tool=rectangle]")
    box = page.locator("#zone-canvas svg").bounding_box()

    def place(x: float, y: float) -> tuple[float, float]:
        return box["x"] + x / 640 * box["width"], box["y"] + y / 480 * box["height"]

    page.mouse.move(*place(400, 100))
    page.mouse.down()
    page.mouse.move(*place(500, 200), steps=4)
    page.mouse.up()
    page.fill("#zone-name", "nest")
    page.click("#zone-save")
    until(page, "document.getElementById('zone-answer').textContent.startsWith('Saved')")
    x, y, width, height = lab.zones()["nest"]["rectangle_px"]
    assert max(abs(x - 400), abs(y - 100), abs(width - 100), abs(height - 100)) <= 3
    assert lab.state()["zones"]["nest"] == lab.zones()["nest"]
    assert "# the whole left side" in lab.rules.read_text()
    assert "nest" not in lab.rules.with_name(lab.rules.name + ".bak").read_text()


def test_a_zone_that_is_drawn_by_keys_is_saved_and_used(lab: Lab, page: Any) -> None:
    page.keyboard.press("z")
    until(page, "document.querySelector('[data-tool=circle]')")
    page.focus("[data-tool=circle]")
    page.keyboard.press("Enter")
    page.keyboard.type("feeder")
    page.focus("#zone-canvas [data-point='0']")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    page.focus("#zone-save")
    page.keyboard.press("Enter")
    until(page, "document.getElementById('zone-answer').textContent.startsWith('Saved')")
    assert lab.zones()["feeder"] == {"circle_px": [321, 250, 60]}
    assert lab.state()["zones"]["feeder"] == lab.zones()["feeder"]


def test_zones_that_the_rules_cannot_use_are_refused_and_nothing_changes(lab: Lab, page: Any) -> None:
    before, zones = lab.rules.read_text(), lab.state()["zones"]
    page.click("#zones-open")
    page.click("#zone-list [data-zone=left] button")
    page.click("#zone-delete")
    page.click("#zone-save")
    until(page, "document.getElementById('zone-answer').className.includes('failed')")
    assert "left" in page.inner_text("#zone-answer")
    assert (lab.rules.read_text(), lab.state()["zones"]) == (before, zones)
    broken = "value => window.cropzoom.page.orders.give('rules', 'rules', { value })"
    for text in ("zones: [", before.replace("fire: laser", "fire: lamp"), "x" * 100):
        answer = page.evaluate(broken, {"yaml": text, "dry": False})
        assert not answer["ok"]
        assert answer["error"]
    assert (lab.rules.read_text(), lab.state()["zones"]) == (before, zones)
