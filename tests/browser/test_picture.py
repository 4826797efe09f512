"""The picture of the page: the animal is where the arena's truth says, and the points are those of its frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from support.browser import ARENA, Pages, Rig, Seen, draw_only, has_tracked, look, needs_chromium, rig_in, shown, until
from support.pipelines import wait_for

from realtime_cropzoom.client.subscriber import Subscriber
from realtime_cropzoom.sources.arena.source import Arena, parse_arena
from realtime_cropzoom.types import Float64

pytestmark = [pytest.mark.slow, needs_chromium]
FUR = 0.5
"""Fur is darker than this share of the floor's brightness."""
WALL_PX, TAIL_PX = 30, 15


@dataclass(frozen=True)
class Live:
    rig: Rig
    url: str
    arena: Arena

    def truth(self, seen: Seen) -> Float64:
        return self.arena.truth(seen.frame)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with rig_in(lambda: tmp_path_factory.mktemp("picture")) as rig:
        rig.run()
        _, url = rig.view()
        yield Live(rig, url, Arena(parse_arena(ARENA)))


def middle_of_the_body(seen: Seen) -> Float64:
    """Middle of what is dark on the floor, and thicker than a tail."""
    gray = cv2.cvtColor(seen.image, cv2.COLOR_BGR2GRAY)
    dark = (gray < FUR * np.median(gray)).astype(np.uint8)
    dark[:WALL_PX] = dark[-WALL_PX:] = dark[:, :WALL_PX] = dark[:, -WALL_PX:] = 0
    y, x = np.nonzero(cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((TAIL_PX, TAIL_PX), np.uint8)))
    return np.array([x.mean(), y.mean()])


def test_the_canvas_shows_the_animal_where_the_truth_says(live: Live, pages: Pages) -> None:
    page = pages.open(live.url)
    has_tracked(page)
    draw_only(page)
    before = -1
    for _ in range(3):
        until(page, "frame => window.cropzoom.shown().pictureFrame > frame", before)
        seen = look(page)
        before = seen.frame
        truth = live.truth(seen)
        middle = (truth[1:3].mean(axis=0) + truth[3]) / 2
        assert np.hypot(*(middle_of_the_body(seen) - middle)) < 15, seen.what


def test_the_points_are_those_of_the_frame_of_the_picture(live: Live, pages: Pages) -> None:
    page = pages.open(live.url)
    has_tracked(page)
    draw_only(page)
    page.keyboard.press("Space")
    until(page, "document.getElementById('picture-note').textContent.startsWith('Held')")
    bare = look(page)
    draw_only(page, "points")
    until(page, "draws => window.cropzoom.shown().draws > draws", bare.what["draws"])
    dotted = look(page)
    assert dotted.frame == bare.frame == dotted.what["poseFrame"]
    changed = np.abs(dotted.image.astype(int) - bare.image).sum(axis=2) > 60
    y, x = np.nonzero(changed)
    for keypoint in live.truth(bare):
        assert np.hypot(x - keypoint[0], y - keypoint[1]).min() < 5
    assert all(np.hypot(*(live.truth(bare) - [[px, py]]).T).min() < 60 for px, py in zip(x, y, strict=True))


def test_picture_and_pose_are_of_one_frame_at_every_repaint(live: Live, pages: Pages) -> None:
    page = pages.open(live.url)
    has_tracked(page)
    frames = page.evaluate(
        """async () => { const seen = [];
        while (seen.length < 60) {
            await new Promise(requestAnimationFrame);
            const { pictureFrame, poseFrame } = window.cropzoom.shown();
            const note = document.getElementById('picture-note');
            if (note.hidden && pictureFrame !== seen.at(-1)?.[0]) seen.push([pictureFrame, poseFrame]);
        } return seen; }"""
    )
    with_pose = [(picture, pose) for picture, pose in frames if pose is not None]
    assert [picture for picture, _ in with_pose] == [pose for _, pose in with_pose]
    assert len(with_pose) > 0.7 * len(frames)
    assert [picture for picture, _ in frames] == sorted(picture for picture, _ in frames)


def test_a_late_join_shows_the_last_minute(live: Live, pages: Pages) -> None:
    early = pages.open(live.url)
    until(early, "window.cropzoom?.store.cameras.size === 1 && window.cropzoom.shown().newestFrame > 100")
    late = pages.open(live.url)
    has_tracked(late)
    camera = "[...window.cropzoom.store.cameras.values()][0]"
    until(late, f"{camera}.history.before({camera}.history.newest.frame, 60000).length > 50")
    until(late, f"{camera}.map !== null && {camera}.latency !== null")


def test_a_hidden_page_asks_for_no_pictures_and_a_shown_one_does(live: Live, pages: Pages) -> None:
    page = pages.open(live.url)
    has_tracked(page)
    hide = """hidden => { Object.defineProperty(document, 'hidden', { get: () => hidden, configurable: true });
        document.dispatchEvent(new Event('visibilitychange')); }"""
    page.evaluate(hide, True)
    with Subscriber(live.rig.endpoint()) as run:
        wait_for(lambda: getattr(run.receive(), "previews", None) == 0, "a status without previews")
    poses = shown(page)["newestFrame"]
    until(page, "frame => window.cropzoom.shown().newestFrame > frame + 10", poses)
    pictures = shown(page)["pictures"]
    page.evaluate(hide, False)
    until(page, "pictures => window.cropzoom.shown().pictures > pictures + 3", pictures)


def test_five_pages_at_once_and_a_stopped_one_show_what_one_shows(live: Live, pages: Pages) -> None:
    opened = [pages.open(live.url) for _ in range(5)]
    for page in opened:
        has_tracked(page)
    stopped, *others = opened
    stopped.context.new_cdp_session(stopped).send("Page.setWebLifecycleState", {"state": "frozen"})
    for page in others:
        frame = shown(page)["pictureFrame"]
        until(page, "frame => window.cropzoom.shown().pictureFrame > frame + 25", frame)
