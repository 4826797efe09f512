"""The hub follows runs over real sockets, and gives a page that joins late all that is known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import msgspec
import pytest
from support.pipelines import cropzoom_threads, wait_for
from support.publisher import Publisher, animals, end, hello, pose, publishing

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.messaging.message import EventMessage
from realtime_cropzoom.view import endpoint as endpoint_thread
from realtime_cropzoom.view.camera_view import CameraView
from realtime_cropzoom.view.hub import MAX_PAGES, Hub
from realtime_cropzoom.view.page_queue import PageQueue


class Page:
    """A page that reads what it gets when it is asked."""

    def __init__(self, hub: Hub) -> None:
        self.queue: PageQueue = hub.join(lambda: None)
        self.got: list[dict[str, Any]] = []

    def of(self, kind: str) -> list[dict[str, Any]]:
        self.got += [json.loads(text) for text in self.queue.take()[0]]
        return [message for message in self.got if message["kind"] == kind]

    def frames(self, kind: str = "poses") -> list[int]:
        return [row[0] for message in self.of(kind) for row in message["rows"]]


@contextmanager
def following(*endpoints: str) -> Iterator[Hub]:
    hub = Hub()
    for endpoint in endpoints:
        assert hub.follow(endpoint)
        assert not hub.follow(endpoint)
    try:
        yield hub
    finally:
        hub.close()
        hub.close()  # it may be called twice
    assert cropzoom_threads() == set()


@contextmanager
def one_run() -> Iterator[tuple[Publisher, Hub, Page]]:
    with publishing() as publisher, following(publisher.endpoint) as hub:
        page = Page(hub)
        publisher.wait_for_subscriber()
        yield publisher, hub, page


def test_every_pose_of_a_run_reaches_the_page_in_order() -> None:
    with one_run() as (publisher, _, page):
        publisher.send(hello(), *(pose(n) for n in range(300)))
        assert wait_for(lambda: len(page.frames()) == 300 and page.frames(), "all poses") == list(range(300))
        (camera,) = page.of("camera")
        assert (camera["camera"], camera["link"], camera["run"]) == ("cam0", "connected", "r")


def test_orders_go_to_a_run_only_where_it_says_that_it_publishes() -> None:
    """Whoever publishes at a port may name any run: the buttons beside his picture must not move the real one."""
    with one_run() as (publisher, hub, page):
        publisher.send(msgspec.structs.replace(hello(), control="run-cam0"))
        wait_for(lambda: page.of("camera"), "the camera")
        hub.note_run("run-cam0", "tcp://127.0.0.1:7001")
        hub.note_run("run-cam1", publisher.endpoint)
        assert {camera["control"] for camera in page.of("camera")} == {None}
        hub.note_run("run-cam0", publisher.endpoint)
        assert page.of("camera")[-1]["control"] == "run-cam0"
        hub.note_run("run-cam0", None)
        assert page.of("camera")[-1]["control"] is None


def test_a_late_page_gets_what_an_early_one_has() -> None:
    with one_run() as (publisher, hub, page):
        publisher.send(hello(), pose(0), end())
        wait_for(lambda: [e for e in page.of("event") if e["what"] == "run_ended"], "the end")
        late = Page(hub)
        assert [message["kind"] for message in late.got] == []
        assert late.of("welcome")[0]["endpoints"] == [publisher.endpoint]
        assert late.frames("history") == [0]
        assert [e["what"] for e in late.of("event")] == ["run_started", "run_ended"]
        assert late.of("camera")[0]["link"] == "waiting"
        assert sum(late.of("map")[0]["counts"]) == 1


def test_a_restarted_run_comes_back_by_itself() -> None:
    with one_run() as (publisher, _, page):
        publisher.send(hello(), pose(0), end())
        publisher.send(hello(run="second"), pose(0, run="second"), pose(1, run="second"))
        wait_for(lambda: page.frames() == [0, 0, 1], "the poses of both runs")
        assert page.of("camera")[-1]["run"] == "second"
        assert page.of("camera")[-1]["link"] == "connected"


def test_two_cameras_of_one_endpoint_are_apart() -> None:
    with one_run() as (publisher, _, page):
        publisher.send(hello(camera="left"), hello(camera="right"), pose(1, "left"), pose(2, "right"))
        wait_for(lambda: len(page.frames()) == 2, "both poses")
        assert {m["camera"]: [row[0] for row in m["rows"]] for m in page.of("poses")} == {"left": [1], "right": [2]}


def from_endpoint(page: Page, endpoint: str) -> list[dict[str, Any]]:
    return [camera for camera in page.of("camera") if camera["endpoint"] == endpoint]


def test_a_run_at_another_port_takes_over_the_name_of_one_that_ended() -> None:
    with publishing() as first, publishing() as second, following(first.endpoint) as hub:
        page = Page(hub)
        first.wait_for_subscriber()
        first.send(hello(), pose(0), end())
        wait_for(lambda: page.of("camera") and page.of("camera")[-1]["link"] == "waiting", "the end")
        hub.follow(second.endpoint)
        second.wait_for_subscriber()
        second.send(hello(run="second"), pose(7, run="second"))
        wait_for(lambda: 7 in page.frames(), "the pose of the second run")
        assert page.of("camera")[-1]["endpoint"] == second.endpoint
        assert [*hub.cameras] == ["cam0"]
        first.send(hello(run="third"), pose(9, run="third"))  # it comes back, beside the other
        wait_for(lambda: 9 in page.frames(), "the pose of the third run")
        assert [*hub.cameras] == ["cam0", f"cam0 ({first.endpoint})"]


def test_an_event_of_a_run_reaches_the_page() -> None:
    with one_run() as (publisher, _, page):
        marker = EventMessage(1, "r", "cam0", 0, "marker", "light on", "ctl (anna)", 7, 2_000_000_000, 1_000_000_000)
        publisher.send(hello(), marker)
        event = wait_for(lambda: [e for e in page.of("event") if e["what"] == "marker"], "the marker")[0]
        assert (event["text"], event["by"], event["frame"], event["t_unix_ms"]) == ("light on", "ctl (anna)", 7, 3000)


def test_an_endpoint_that_is_no_longer_followed_sends_nothing() -> None:
    with one_run() as (publisher, hub, page):
        publisher.send(hello(), pose(0))
        wait_for(lambda: page.frames() == [0], "the pose")
        hub.unfollow(publisher.endpoint)
        hub.unfollow(publisher.endpoint)
        assert not any(name == "cropzoom-follow" for name in cropzoom_threads())
        assert "cam0" in hub.cameras


def test_cameras_of_the_same_name_at_two_endpoints_have_names_of_their_own() -> None:
    with publishing() as first, publishing() as second, following(first.endpoint, second.endpoint) as hub:
        page = Page(hub)
        for publisher in (first, second):
            publisher.wait_for_subscriber()
            publisher.send(hello(), pose(0))
            wait_for(partial(from_endpoint, page, publisher.endpoint), "the camera")
        assert {c["camera"] for c in page.of("camera")} == {"cam0", f"cam0 ({second.endpoint})"}


def test_missed_messages_are_an_event() -> None:
    with one_run() as (publisher, _, page):
        publisher.send(hello(), pose(0), pose(5))
        (event,) = wait_for(lambda: [e for e in page.of("event") if e["what"] == "missed"], "the event")
        assert event["text"] == "4 messages did not arrive here"


def test_what_cannot_be_read_is_ignored() -> None:
    with one_run() as (publisher, _, page):
        publisher.socket.send_multipart([b"pose/cam0", b"\xff{"])
        publisher.send(pose(0, run="unknown"), hello(), pose(1))
        wait_for(lambda: page.frames() == [1], "the good pose")


def test_absurd_messages_neither_end_the_view_nor_fill_its_memory() -> None:
    far = msgspec.structs.replace(pose(0), keypoints={"a": (1e308, 0.0, 1.0), "b": (1e308, 0.0, 1.0)})
    long = EventMessage(1, "r", "cam0", 0, "marker" * 9999, "long " * 99_999, "test", 0, 0, 0)
    with one_run() as (publisher, hub, page):
        publisher.send(hello(camera="n" * 9999), hello(), far, long, pose(1))
        wait_for(lambda: page.frames() == [0, 1], "the good pose")
        assert [*hub.cameras] == ["cam0"]
        assert len(json.dumps(page.of("event"))) < 20_000


def test_a_fault_of_the_view_silences_its_cameras_and_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_thread, "_RETRY_S", 0.5)
    monkeypatch.setattr(endpoint_thread, "_SILENT_AFTER_S", 0.2)
    with one_run() as (publisher, _, page):
        publisher.send(hello(), pose(0))
        wait_for(lambda: page.frames() == [0], "the pose")
        monkeypatch.setattr(CameraView, "take_frame", lambda *_: 1 / 0)
        publisher.send(pose(1))
        wait_for(lambda: [e for e in page.of("event") if e["what"] == "silent"], "the silence")
        assert [e for e in page.of("endpoint") if e["link"] == "refused"]
        monkeypatch.undo()

        def shown_again() -> bool:
            publisher.send(hello(), pose(2))
            return 2 in page.frames()

        wait_for(shown_again, "a pose after it")


def test_an_endpoint_that_refuses_is_named_with_the_reason() -> None:
    with following("tcp://:") as hub:
        page = Page(hub)
        refused = wait_for(lambda: [e for e in page.of("endpoint") if e["link"] == "refused"], "the refusal")
        assert "which is not an endpoint" in refused[0]["problem"]


def test_the_number_of_pages_is_limited() -> None:
    hub = Hub()
    pages = [hub.join(lambda: None) for _ in range(MAX_PAGES)]
    with pytest.raises(ConfigError, match="16 pages are open already"):
        hub.join(lambda: None)
    hub.leave(pages[0])
    hub.join(lambda: None)


def test_the_regions_of_a_run_are_one_camera_and_its_events_come_once() -> None:
    regions = {name: [(0.0, 0.0), (9.0, 0.0), (9.0, 9.0)] for name in ("box1", "box2")}
    with one_run() as (publisher, hub, page):
        poses = [msgspec.structs.replace(pose(n), region=region) for n in (1, 2) for region in regions]
        publisher.send(msgspec.structs.replace(hello(), regions=regions, control="run-cam0"), *poses, end())
        wait_for(lambda: [e for e in page.of("event") if e["what"] == "run_ended"], "the end")
        wait_for(lambda: len(page.frames()) == 4, "the poses of both")
        hub.note_run("run-cam0", publisher.endpoint)
        assert {c["camera"]: c["control"] for c in page.of("camera")} == {"cam0": "run-cam0"}
        assert [subject["name"] for subject in page.of("camera")[-1]["subjects"]] == ["box1", "box2"]
        rows = [row for message in page.of("poses") for row in message["rows"]]
        assert [(row[0], row[8]) for row in rows] == [(1, 0), (1, 1), (2, 0), (2, 1)]
        assert [e["what"] for e in page.of("event")] == ["run_started", "run_ended"]


def test_several_animals_of_a_frame_reach_the_page_and_one_that_is_opened_late() -> None:
    with one_run() as (publisher, hub, page):
        animals_hello = msgspec.structs.replace(hello(), animals=2)
        publisher.send(animals_hello, *(animals(n, uncertain=n == 2) for n in range(3)), end())
        wait_for(lambda: len(page.frames()) == 6, "the poses of both")
        assert page.of("camera")[-1]["subjects"] == [{"name": "1", "outline": []}, {"name": "2", "outline": []}]
        wait_for(lambda: [e for e in page.of("event") if e["what"] == "run_ended"], "the end")
        late = Page(hub)
        rows = [row for message in late.of("history") for row in message["rows"]]
        assert {row[8] for row in rows if row[0] == 0} == {0, 1}


def test_the_messages_of_one_animal_say_nothing_about_several() -> None:
    """A page of one animal costs what it did before there were several."""
    with one_run() as (publisher, _, page):
        publisher.send(hello(), pose(0))
        wait_for(lambda: page.frames() == [0], "the pose")
        (message,) = page.of("poses")
        assert set(message) == {"kind", "camera", "rows"}
        assert len(message["rows"][0]) == 8
