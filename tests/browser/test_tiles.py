"""Several cameras in one page: a tile for each, and one at a time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.browser import Pages, grave_faults, has_tracked, needs_chromium, rig_in, shown, until

pytestmark = [pytest.mark.slow, needs_chromium]
TWO = [
    "synthetic:arena,size=320x240,fps=15,seconds=endless",
    "synthetic:arena,size=320x240,fps=15,seed=1,seconds=endless",
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with rig_in(lambda: tmp_path_factory.mktemp("tiles")) as rig:
        for camera, source in zip(("left", "right"), TWO, strict=True):
            rig.run("--camera", camera, source=source)
        yield rig.view()[1]


def test_each_camera_has_a_tile_with_its_own_picture(url: str, pages: Pages) -> None:
    page = pages.open(url)
    for camera in ("left", "right"):
        seen = has_tracked(page, camera)
        assert seen["pictureFrame"] == seen["poseFrame"]
    assert sorted(page.locator(".tile strong").all_inner_texts()) == ["left", "right"]
    runs = {shown(page, camera)["run"] for camera in ("left", "right")}
    assert len(runs) == 2
    assert grave_faults(page) == []


def test_a_click_chooses_a_camera_and_escape_shows_all_again(url: str, pages: Pages) -> None:
    page = pages.open(url)
    for camera in ("left", "right"):
        has_tracked(page, camera)
    page.click(".tile[data-camera=right]")
    until(page, "window.cropzoom.shown()?.camera === 'right' && document.getElementById('tiles').hidden")
    other = "window.cropzoom.store.cameras.get('left').pictures"
    until(page, "frame => window.cropzoom.shown().pictureFrame > frame + 15", shown(page)["pictureFrame"])
    before = page.evaluate(other)
    until(page, "frame => window.cropzoom.shown().pictureFrame > frame + 15", shown(page)["pictureFrame"])
    assert page.evaluate(other) == before, "no pictures come of a camera that is not shown"
    page.keyboard.press("Escape")
    until(page, f"!document.getElementById('tiles').hidden && {other} > {before}")


def test_the_address_names_the_camera(url: str, pages: Pages) -> None:
    page = pages.open(url)
    has_tracked(page, "left")
    page.keyboard.press("1")
    until(page, "location.hash.length > 1")
    page.reload()
    until(page, "'#' + (window.cropzoom?.shown()?.camera ?? '') === location.hash")
    page.go_back()
    until(page, "!document.getElementById('tiles').hidden")
