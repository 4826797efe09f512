"""Pictures are received while a page looks at their camera, by that page alone."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import zmq
from support.pipelines import LONG_S, cropzoom_threads, wait_for
from support.publisher import Publisher, hello, pose, publishing

from realtime_cropzoom.messaging.message import PreviewHeader
from realtime_cropzoom.view.hub import Hub
from realtime_cropzoom.view.page_queue import PageQueue

JPEG = b"\xff\xd8jpeg"


class Pictures:
    """A preview socket under a test's control."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self.socket = context.socket(zmq.XPUB)
        self.endpoint = f"tcp://127.0.0.1:{self.socket.bind_to_random_port('tcp://127.0.0.1')}"

    def send(self, frame: int, camera: str = "cam0", run: str = "r") -> None:
        header = PreviewHeader(1, run, camera, frame, 2_000_000_000, 320, 240, 640, 480)
        self.socket.send_multipart([f"frame/{camera}".encode(), msgspec.json.encode(header), JPEG])

    def heard(self) -> bytes:
        """Return the next subscription."""
        assert self.socket.poll(int(LONG_S * 1000))
        return self.socket.recv()


@contextmanager
def a_run() -> Iterator[tuple[Publisher, Pictures, Hub]]:
    with publishing() as publisher, zmq.Context() as context:
        pictures, hub = Pictures(context), Hub()
        hub.follow(publisher.endpoint)
        try:
            publisher.wait_for_subscriber()
            publisher.send(msgspec.structs.replace(hello(), preview=pictures.endpoint), pose(0))
            wait_for(lambda: hub.cameras, "the camera")
            yield publisher, pictures, hub
        finally:
            hub.close()
            pictures.socket.close(linger=0)
    assert cropzoom_threads() == set()


def received(page: PageQueue) -> list[tuple[dict[str, Any], bytes]]:
    """Return header and JPEG of the pictures that wait for a page."""
    found = []
    for data in page.take()[1]:
        (length,) = struct.unpack_from("<I", data)
        found.append((json.loads(data[4 : 4 + length]), data[4 + length :]))
    return found


def look(publisher: Publisher, pictures: Pictures, hub: Hub, page: PageQueue) -> None:
    """Let a page look at the camera, until the run knows that somebody does."""
    hub.show(page, ["cam0", "unknown"])
    assert publisher.socket.poll(int(LONG_S * 1000))  # the run sends its hello to each new subscriber
    while publisher.socket.poll(200):
        publisher.socket.recv()
    publisher.send(msgspec.structs.replace(hello(), preview=pictures.endpoint))
    assert pictures.heard().startswith(b"\x01frame/")


def test_a_picture_reaches_the_page_that_looks_and_no_other() -> None:
    with a_run() as (publisher, pictures, hub):
        looking, other = hub.join(lambda: None), hub.join(lambda: None)
        look(publisher, pictures, hub, looking)
        pictures.send(7)
        ((header, jpeg),) = wait_for(lambda: received(looking), "the picture")
        assert header == {
            **{"camera": "cam0", "run": "r", "frame": 7, "t_unix_ms": 2000.0, "width": 320, "height": 240},
            **{"of_width": 640, "of_height": 480},
        }
        assert jpeg == JPEG
        assert received(other) == []


def test_the_run_is_left_alone_when_no_page_looks() -> None:
    with a_run() as (publisher, pictures, hub):
        page = hub.join(lambda: None)
        assert "cropzoom-show" not in cropzoom_threads()
        look(publisher, pictures, hub, page)
        hub.show(page, [])
        assert pictures.heard().startswith(b"\x00frame/")
        look(publisher, pictures, hub, page)
        hub.leave(page)
        assert pictures.heard().startswith(b"\x00frame/")


def test_a_picture_of_another_run_is_left_out() -> None:
    with a_run() as (publisher, pictures, hub):
        page = hub.join(lambda: None)
        look(publisher, pictures, hub, page)
        pictures.send(1, run="before")
        pictures.send(2)
        assert [header["frame"] for header, _ in wait_for(lambda: received(page), "the picture")] == [2]
