"""The page of a finished session in a real Chromium: the picture that it shows is always that of its frame."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from support import chromium
from support.browser import grave_faults
from support.films import Footage
from support.pipelines import LONG_S, Film, make_settings, run_to_end

from realtime_cropzoom.view.review import Review, make_review_app
from realtime_cropzoom.view.serve import in_thread

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.skipif(chromium.why_not() is not None, reason=str(chromium.why_not()))

FRAMES = 300
LOST = range(100, 130)
FOOTAGE = Footage()
_LOOK = """() => {
    const canvas = document.getElementById('picture'), shown = window.cropzoom.shown, { view } = shown;
    const ratio = canvas.width / canvas.clientWidth, cut = new OffscreenCanvas(160, 96), on = cut.getContext('2d');
    on.drawImage(canvas, view.left * ratio, view.top * ratio, view.width * ratio, view.height * ratio, 0, 0, 160, 96);
    const { data } = on.getImageData(0, 8, 160, 1);
    const text = (id) => document.getElementById(id).textContent;
    return { ...shown, row: Array.from({ length: 160 }, (_, x) => data[4 * x + 1]), said: text('state-about') };
}"""


class Look(NamedTuple):
    """What the page shows at one moment."""

    frame: int | None
    """Frame of the pose that is drawn."""
    wanted: int
    pictured: int
    """Index that the pixels spell."""
    said: str
    """What stands beside the state."""
    has_picture: bool
    playing: bool

    @property
    def is_of_one_frame(self) -> bool:
        """Whether picture, pose and number are of the same frame. A frame that hides the index may show any."""
        same = self.pictured == self.frame or self.frame in LOST
        return not self.has_picture or (same and self.said == f"frame {self.frame}")


def look(page: Page) -> Look:
    found = page.evaluate(_LOOK)
    middles = [160 * (2 * bit + 1) // (2 * Footage.BITS) for bit in range(Footage.BITS)]
    pictured = sum(int(found["row"][middle] > 70) << bit for bit, middle in enumerate(middles))
    return Look(found["frame"], found["wanted"], pictured, found["said"], found["picture"], found["playing"])


def settled(page: Page, frame: int) -> Look:
    """Wait until the page shows the frame that was asked for."""
    deadline = time.monotonic() + LONG_S
    while True:
        seen = look(page)
        assert seen.is_of_one_frame, seen
        if seen.has_picture and seen.frame == seen.wanted == frame:
            return seen
        assert time.monotonic() < deadline, seen
        page.wait_for_timeout(10)


@pytest.fixture(scope="module")
def review(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Review]:
    settings = make_settings(
        tmp_path_factory.mktemp("run"), pace="fast", record="h264", lost_after_ms=100, coast_after_ms=50
    )
    folder = run_to_end(settings, Film(FRAMES, fps=100, hidden=LOST)).folder
    assert folder is not None
    (folder / "film_events.csv").write_text("number,kind,text,by,frame\n0,marker,odour on,page,40\n")
    review = Review(folder)
    yield review
    review.close()


@pytest.fixture(scope="module")
def site(review: Review) -> Iterator[tuple[Any, str]]:
    """A browser, and the address of the page."""
    with in_thread(make_review_app(review)) as served, chromium.browser() as browser:
        yield browser, served.url


@pytest.fixture
def page(site: tuple[Any, str]) -> Iterator[Page]:
    """The page at frame 12, without anything drawn on the picture. It must report no error."""
    yield from _opened(*site, width=1280, height=800)


def _opened(browser: Any, address: str, **size: int) -> Iterator[Page]:
    context = browser.new_context(viewport=size)
    page = context.new_page()
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(f"{address}#frame=12")
    deadline = time.monotonic() + LONG_S
    while not page.evaluate("window.cropzoom?.shown.picture"):
        assert time.monotonic() < deadline, page.inner_text("body")
        page.wait_for_timeout(20)
    for layer in ("box", "points", "trail"):
        page.locator(f'[data-layer="{layer}"]').click()
    settled(page, 12)
    yield page
    assert faults == []
    context.close()


def test_keys_step_by_frames(page: Page) -> None:
    for key, frame in (
        ("ArrowRight", 13), ("ArrowLeft", 12), ("Shift+ArrowRight", 22), ("Shift+ArrowLeft", 12), ("ArrowLeft", 11),
        ("End", FRAMES - 1), ("ArrowRight", FRAMES - 1), ("Home", 0), ("ArrowLeft", 0),
    ):  # fmt: skip
        page.keyboard.press(key)
        settled(page, frame)
    for _ in range(30):
        page.keyboard.down("ArrowRight")  # held: the key repeats
    page.keyboard.up("ArrowRight")
    settled(page, 30)
    assert page.evaluate("location.hash") == "#frame=30"


def test_any_frame_can_be_typed(page: Page) -> None:
    for frame in random.Random(0).sample(range(FRAMES), 12):
        page.keyboard.press("g")
        page.keyboard.type(str(frame))
        page.keyboard.press("Enter")
        settled(page, frame)
    page.keyboard.press("g")
    page.keyboard.type("300")
    page.keyboard.press("Enter")
    assert page.locator("#readout").inner_text() == "Frames go from 0 to 299"


def test_a_link_opens_its_frame(page: Page) -> None:
    page.evaluate("location.hash = '#frame=77'")
    settled(page, 77)
    page.evaluate("location.hash = '#frame=99999'")
    settled(page, FRAMES - 1)


def test_while_one_scrubs_picture_and_number_agree(page: Page) -> None:
    box = page.locator("#timeline-canvas").bounding_box()
    assert box is not None
    y, left, width = box["y"] + 90, box["x"] + 100, box["width"] - 110
    page.mouse.move(left, y)
    page.mouse.down()
    seen = []
    for step in range(60):
        page.mouse.move(left + width * step / 60, y)
        seen.append(look(page))
    page.mouse.up()
    assert all(moment.is_of_one_frame for moment in seen)
    assert len({moment.frame for moment in seen}) > 3
    settled(page, look(page).wanted)


@pytest.mark.parametrize("speed", ["0.25", "1", "8"])
def test_while_it_plays_picture_and_number_agree(page: Page, speed: str) -> None:
    page.locator("#speed").select_option(speed)
    page.locator("#play").click()
    seen = [look(page)]
    while seen[-1].playing and len({moment.frame for moment in seen}) < 12:
        seen.append(look(page))
    if seen[-1].playing:
        page.keyboard.press("Escape")
        page.locator("#play").click()
    assert all(moment.is_of_one_frame for moment in seen)
    frames = [moment.frame for moment in seen if moment.frame is not None]
    assert frames == sorted(frames)
    assert frames[-1] > frames[0]
    settled(page, look(page).wanted)


def test_it_jumps_to_what_happened(page: Page, review: Review) -> None:
    lost = next(event.frame for event in review.events.events if event.kind == "lost")
    page.keyboard.press("l")
    settled(page, lost)
    assert page.locator("#state-word").inner_text() == "Lost"
    page.keyboard.press("Shift+m")
    settled(page, 40)
    assert "odour on" in page.locator("#readout").inner_text()
    page.keyboard.press("f")
    assert page.locator("#readout").inner_text() == "There are no firings in this session"
    page.locator("#events-kind").select_option("lost")
    page.locator("#events [role=option]").click()
    settled(page, lost)


def test_the_timeline_zooms_and_shows_the_whole_again(page: Page) -> None:
    for _ in range(3):
        page.keyboard.press("+")
    first, count = page.evaluate("[window.cropzoom.shown.first, window.cropzoom.shown.count]")
    assert count == 38
    assert first <= 12 < first + count
    page.keyboard.press("End")
    settled(page, FRAMES - 1)
    assert page.evaluate("window.cropzoom.shown.first + window.cropzoom.shown.count") == FRAMES
    page.keyboard.press("0")
    assert page.evaluate("window.cropzoom.shown.count") == FRAMES


def test_the_picture_can_be_saved(page: Page, tmp_path: Path, review: Review) -> None:
    with page.expect_download() as download:
        page.keyboard.press("c")
    download.value.save_as(tmp_path / "saved.png")
    assert download.value.suggested_filename == f"{review.session.folder.name}_frame12.png"
    assert (tmp_path / "saved.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
def test_nothing_keeps_people_from_using_it(site: tuple[Any, str], size: tuple[int, int]) -> None:
    """axe-core finds no serious fault, light or dark; and on a phone nothing reaches beyond the screen."""
    for page in _opened(*site, width=size[0], height=size[1]):
        for _ in range(2):
            assert grave_faults(page) == []
            page.keyboard.press("t")
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
