"""The page's modules without a page: what they compute must be what Python computes, in a real Chromium."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support import chromium

from realtime_cropzoom.plots.overlay import palette
from realtime_cropzoom.trigger.rules import zones
from realtime_cropzoom.trigger.rules.rules import ZoneShape
from realtime_cropzoom.view.app import STATIC
from realtime_cropzoom.view.protocol import PictureHeader, PoseRow, Poses, SubjectRow, encode, encode_picture

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.skipif(chromium.why_not() is not None, reason=str(chromium.why_not()))

CORNERS = [[10.0, 10.0], [200.0, 30.0], [90.0, 80.0], [180.0, 200.0], [20.0, 150.0]]
SPECS: dict[str, list[Any]] = {
    "polygon": CORNERS,
    "circle": [100.0, 90.0, 60.0],
    "rectangle": [40.0, 30.0, 120.0, 90.0],
}


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def modules() -> Iterator[Page]:
    """An empty page of a server that has the modules of the page."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=str(STATIC)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with chromium.browser() as browser, closing(browser.new_page()) as page:
            page.goto(f"http://127.0.0.1:{server.server_port}/icon.svg")
            yield page
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(page: Page, module: str, code: str, given: Any = None) -> Any:
    """Return what ``code`` returns; ``m`` is the module, ``given`` what the test gives."""
    return page.evaluate(f"async (given) => {{ const m = await import('/{module}.js'); {code} }}", given)


def shape(kind: str) -> zones.Zone:
    return ZoneShape.model_validate({f"{kind}_px": SPECS[kind]}).shape()


@pytest.mark.parametrize("kind", SPECS)
def test_a_point_is_in_a_zone_of_the_page_exactly_if_it_is_for_the_rules(modules: Page, kind: str) -> None:
    points = np.random.default_rng(1).uniform(0, 220, (500, 2)).round(1).tolist()
    code = "const shape = m.readShape(given.spec); return given.points.map((point) => m.contains(shape, point));"
    inside = ask(modules, "zone_shapes", code, {"spec": {f"{kind}_px": SPECS[kind]}, "points": points})
    assert inside == [shape(kind).contains(x, y) for x, y in points]
    assert 0 < sum(inside) < len(inside)


@pytest.mark.parametrize("form", ZoneShape.model_fields)
def test_the_editor_knows_each_form_of_zone_that_a_rules_file_can_have(modules: Page, form: str) -> None:
    kind, unit = form.split("_")
    read = ask(modules, "zone_shapes", "return m.readShape(given);", {form: SPECS[kind]})
    assert (read["kind"], read["unit"]) == (kind, unit)


@pytest.mark.parametrize("kind", SPECS)
def test_a_zone_that_nobody_moves_is_written_as_it_was(modules: Page, kind: str) -> None:
    spec = {f"{kind}_px": SPECS[kind]}
    assert ask(modules, "zone_shapes", "return m.writeShape(m.readShape(given));", spec) == spec


def test_a_moved_corner_leaves_the_others_and_a_moved_centre_takes_its_edge_along(modules: Page) -> None:
    move = "const to = m.movePoint(m.readShape(given), 0, [50, 60]); return m.writeShape(to);"
    assert ask(modules, "zone_shapes", move, {"polygon_px": CORNERS}) == {"polygon_px": [[50, 60], *CORNERS[1:]]}
    assert ask(modules, "zone_shapes", move, {"circle_px": SPECS["circle"]}) == {"circle_px": [50, 60, 60]}
    assert ask(modules, "zone_shapes", move, {"rectangle_px": [40, 30, 5, 5]}) == {"rectangle_px": [45, 35, 5, 25]}


def test_a_picture_of_the_server_is_split_into_its_header_and_its_jpeg(modules: Page) -> None:
    header = PictureHeader("cam0", "run1", 77, 1.7e12 + 0.25, 320, 240, 640, 480)
    sent = base64.b64encode(encode_picture(header, b"\xff\xd8jpeg")).decode()
    code = """
        const bytes = Uint8Array.from(atob(given), (letter) => letter.charCodeAt(0));
        const [header, jpeg] = m.splitPicture(bytes.buffer);
        return [header, [...new Uint8Array(await jpeg.arrayBuffer())]];
    """
    read, jpeg = ask(modules, "connection", code, sent)
    assert (read["camera"], read["frame"], read["of_width"]) == ("cam0", 77, 640)
    assert bytes(jpeg) == b"\xff\xd8jpeg"


def test_a_pose_of_the_server_keeps_its_numbers(modules: Page) -> None:
    row = PoseRow(7, 1.7e12, "coasting", (1.0, 2.0, 3.0, 4.0), 12.5, [(5.5, 6.5, 0.75), None], 3.25, True)
    pose = ask(modules, "pose_history", "return m.readPose(JSON.parse(given).rows[0]);", encode(Poses("cam0", [row])))
    assert pose == {
        **{"frame": 7, "timeMs": 1.7e12, "state": "coasting", "box": [1, 2, 3, 4], "boxAgeMs": 12.5},
        **{"points": [[5.5, 6.5, 0.75], None], "latencyMs": 3.25, "plausible": True},
        **{"subject": 0, "uncertain": False, "meetings": 0},
    }


def test_a_pose_of_one_of_several_animals_says_whose_it_is(modules: Page) -> None:
    row = SubjectRow(7, 1.7e12, "tracking", None, None, [], None, None, 3, True, 2)
    pose = ask(modules, "pose_history", "return m.readPose(JSON.parse(given).rows[0]);", encode(Poses("cam0", [row])))
    assert (pose["subject"], pose["uncertain"], pose["meetings"]) == (3, True, 2)


def test_an_animal_has_the_colour_that_it_has_in_pictures(modules: Page) -> None:
    colours = ask(modules, "scales", "return Array.from({ length: 16 }, (_, place) => m.animalColour(place));")
    assert colours == [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in palette(16)]


_SEVERAL = """
    const camera = new m.Camera("cam0");
    const subjects = [{ name: "1", outline: [] }, { name: "2", outline: [] }];
    camera.greet({ run: "r", keypoint_names: ["snout"], subjects });
    const row = (frame, subject, state = "tracking") =>
        [frame, 1000 + frame, state, null, null, [[1, 2, 1]], null, true, subject, false, 0];
"""


def test_a_frame_is_there_once_it_is_there_for_each_animal(modules: Page) -> None:
    code = """
        camera.addPoses([row(1, 0), row(1, 1), row(2, 0)]);
        const before = [camera.frames.at(1)?.frame, camera.frames.at(2), camera.frames.newest.frame];
        camera.addPoses([row(3, 1)]);
        return [before, camera.frames.at(2)?.frame, camera.frames.at(3)];
    """
    assert ask(modules, "state", _SEVERAL + code) == [[1, None, 1], 2, None], "the second animal has no pose in frame 2"


def test_what_is_chosen_of_several_animals_is_what_is_traced(modules: Page) -> None:
    code = """
        camera.addPoses([row(1, 0), row(1, 1, "lost")]);
        const first = [camera.history.newest.state, camera.state];
        camera.chosen = 1;
        const second = [camera.history.newest.state, camera.state];
        camera.greet({ run: "r2", keypoint_names: ["snout"], subjects });
        const again = [camera.chosen, camera.history.newest];
        camera.greet({ run: "r3", keypoint_names: ["snout"] });
        return [first, second, again, [camera.chosen, camera.several]];
    """
    found = ask(modules, "state", _SEVERAL + code)
    assert found == [["tracking", "tracking"], ["lost", "tracking"], [1, None], [0, False]]


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (["tracking", "tracking"], ["tracking", "2 of 2 tracking"]),
        (["tracking", "searching"], ["tracking", "1 of 2 tracking"]),
        (["tracking", "lost"], ["some", "1 of 2 tracking"]),
        (["tracking", "coasting"], ["some", "1 of 2 tracking"]),
        (["lost", "searching"], ["lost", "0 of 2 tracking"]),
    ],
)
def test_it_stands_out_if_an_animal_that_was_found_is_not_tracked(
    modules: Page, states: list[str], expected: list[str]
) -> None:
    code = """
        const { glance } = await import("/words.js");
        camera.hello.link = "connected";
        given.forEach((state, place) => camera.addPoses([row(1, place, state)]));
        const { key, word } = glance(camera, true);
        return [key, word];
    """
    assert ask(modules, "state", _SEVERAL + code, states) == expected


_HISTORY = """
    const h = await import('/pose_history.js');
    const history = new h.PoseHistory();
    const pose = (frame) => h.readPose([frame, 1000 + 10 * frame, "tracking", null, null, [], null, null]);
    const poses = (frames) => frames.map(pose);
"""


def test_a_pose_is_found_by_exactly_its_frame_and_comes_once(modules: Page) -> None:
    code = """
        history.add(poses([1, 2, 4]));
        const added = history.add(poses([2, 4, 5])).map((pose) => pose.frame);
        const found = [1, 2, 3, 4, 5, 6].map((frame) => history.at(frame)?.frame ?? null);
        return [added, found, history.before(4, 25).map((pose) => pose.frame)];
    """
    assert ask(modules, "pose_history", _HISTORY + code) == [[5], [1, 2, None, 4, 5, None], [2, 4]]


def test_a_history_of_hours_keeps_the_last_seconds_only(modules: Page) -> None:
    code = """
        for (let frame = 0; frame < 100000; frame += 1) history.add(poses([frame]));
        return [history.newest.frame, history.at(99000).frame, history.at(90000), history._poses.length];
    """
    newest, recent, old, kept = ask(modules, "pose_history", _HISTORY + code)
    assert (newest, recent, old) == (99999, 99000, None)
    assert kept < 3000


_PAIRING = (
    _HISTORY
    + """
    const pairing = new m.Pairing();
    const closed = [];
    const picture = (frame, arrivedMs) => ({ frame, arrivedMs, image: { close: () => closed.push(frame) } });
    const shown = () => [pairing.picture?.frame ?? null, pairing.pose?.frame ?? null];
"""
)


def test_a_picture_waits_for_the_pose_of_its_frame(modules: Page) -> None:
    code = """
        pairing.offer(picture(10, 0));
        history.add(poses([8, 9]));
        pairing.advance(history, 5);
        const before = shown();
        history.add(poses([10, 11]));
        pairing.advance(history, 10);
        return [before, shown()];
    """
    assert ask(modules, "pairing", _PAIRING + code) == [[None, None], [10, 10]]


def test_poses_that_are_always_later_than_the_next_picture_do_not_hold_all_pictures_up(modules: Page) -> None:
    code = """
        const frames = [];
        for (let frame = 0; frame < 20; frame += 1) {
            pairing.offer(picture(frame, 66 * frame));
            history.add(poses([frame - 2]));
            pairing.advance(history, 66 * frame);
            frames.push(shown());
        }
        return frames;
    """
    frames = ask(modules, "pairing", _PAIRING + code)
    assert frames[5:] == [[frame - 2, frame - 2] for frame in range(5, 20)]


def test_a_picture_of_a_skipped_frame_is_left_out_while_others_come(modules: Page) -> None:
    code = """
        history.add(poses([1, 2, 4]));
        pairing.offer(picture(2, 0));
        pairing.offer(picture(3, 10));
        pairing.advance(history, 20);
        const first = shown();
        pairing.offer(picture(4, 30));
        pairing.advance(history, 40);
        return [first, shown(), closed.sort()];
    """
    assert ask(modules, "pairing", _PAIRING + code) == [[2, 2], [4, 4], [2, 3]]


def test_a_picture_without_a_pose_is_shown_without_points_in_the_end(modules: Page) -> None:
    code = """
        pairing.offer(picture(3, 0));
        pairing.advance(history, 100);
        const first = shown();
        pairing.advance(history, 300);
        return [first, shown()];
    """
    assert ask(modules, "pairing", _PAIRING + code) == [[None, None], [3, None]]


def test_a_peak_of_one_frame_stays_in_the_traces(modules: Page) -> None:
    code = """
        const bins = new m.TraceBins(1);
        for (let frame = 0; frame < 6000; frame += 1) {
            const [x, state] = frame === 3000 ? [500, "lost"] : [100, "tracking"];
            bins.add({ frame, timeMs: 10 * frame, state, points: [[x, 50, 0.9]] });
        }
        const stamp = Math.floor(30000 / m.BIN_MS);
        const i = bins.indexOf(stamp);
        return [bins.traces[0].x.least[i], bins.traces[0].x.most[i], bins.stateAt(stamp), bins.stateAt(stamp + 1)];
    """
    assert ask(modules, "trace_bins", code) == [100, 500, "lost", "tracking"]


def test_speed_is_in_pixels_per_second_and_not_measured_over_a_gap(modules: Page) -> None:
    code = """
        const bins = new m.TraceBins(1);
        const at = (timeMs, x) => bins.add({ timeMs, state: "tracking", points: [[x, 0, 1]] });
        for (let timeMs = 0; timeMs < 1000; timeMs += 10) at(timeMs, timeMs * 0.3);
        at(5000, 0);
        const speed = (timeMs) => bins.traces[0].speed.most[bins.indexOf(Math.floor(timeMs / m.BIN_MS))];
        return [speed(500), speed(5000)];
    """
    speed, over_gap = ask(modules, "trace_bins", code)
    assert speed == pytest.approx(300, rel=1e-4)
    assert over_gap is None or np.isnan(over_gap)


def test_the_middle_of_a_pixel_is_drawn_in_the_middle_of_that_pixel(modules: Page) -> None:
    code = """
        const view = m.fitFrame(1300, 960, 640, 480);
        return [view, m.toCanvas(view, 0, 0), m.toCanvas(view, 639, 479)];
    """
    view, first, last = ask(modules, "overlay", code)
    assert (view["scale"], view["left"], view["top"]) == (2, 10, 0)
    assert (first, last) == ([11, 1], [1289, 959])
