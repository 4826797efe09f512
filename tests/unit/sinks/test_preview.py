"""Previews, over real sockets: which frame they show, when they are made at all, and what they cannot hold up."""

from __future__ import annotations

import signal
import socket as sockets
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
import zmq
from support.films import Footage
from support.pipelines import (
    ANY_PORT,
    LONG_S,
    Film,
    check_complete,
    cropzoom_threads,
    make_settings,
    wait_for,
)

from realtime_cropzoom.client.preview import Preview, PreviewSubscriber
from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.messaging.keys import make_client_keys, make_server_keys, read_server_keys
from realtime_cropzoom.messaging.message import PreviewHeader
from realtime_cropzoom.messaging.security import Security
from realtime_cropzoom.pipeline.pipeline import Pipeline
from realtime_cropzoom.runtime.pauses import Pauses
from realtime_cropzoom.runtime.records import RunIdentity
from realtime_cropzoom.runtime.ring import NewestReader, Ring
from realtime_cropzoom.sinks import preview as preview_module
from realtime_cropzoom.sinks.preview import MAX_AGE_NS, PER_SECOND, PreviewServer
from realtime_cropzoom.types import FrameMeta, UInt8

SIZE = (160, 96)
FOOTAGE = Footage(SIZE)
IDENTITY = RunIdentity("run7", "cam0", ("snout",), 0)
SUBSCRIBER = """
import sys, zmq
socket = zmq.Context().socket(zmq.SUB)
socket.set(zmq.RCVHWM, 2)
socket.connect(sys.argv[1])
socket.subscribe(b"frame/")
while True:
    print(len(socket.recv_multipart()[2]), flush=True)
"""


class Feed:
    """A ring that a test fills, and the server of previews that looks at it."""

    def __init__(self, *, pauses: Pauses | None = None, security: Security | None = None, size: tuple[int, int] = SIZE):
        self.ring = Ring(6, size[1], size[0])
        self.server = PreviewServer(ANY_PORT, IDENTITY, security=security)
        self.server.start()
        self.server.show(NewestReader(self.ring), pauses)

    def put(self, image: UInt8 | None = None, age_ns: int = 0, segment: int = 0) -> int:
        """Put a frame into the ring, which shows its index unless given, and return that."""
        index = self.ring.newest + 1
        slot = self.ring.claim(LONG_S)
        assert slot is not None
        self.ring.memory(slot)[:] = FOOTAGE.draw(index % 1024) if image is None else image
        self.ring.publish(slot, FrameMeta(index, 0, None, now_ns() - age_ns, segment))
        return index

    def put_until(self, condition: Callable[[], Any], image: UInt8 | None = None) -> Any:
        """Put frames until ``condition`` gives something true, and return that."""
        return wait_for(lambda: condition() or (self.put(image) and None), "what the frames are put for")


@contextmanager
def feeding(**more: Any) -> Iterator[Feed]:
    feed = Feed(**more)
    try:
        yield feed
    finally:
        feed.ring.close()
        feed.server.stop()
        assert not {"cropzoom-preview", "cropzoom-guard"} & cropzoom_threads()


@contextmanager
def subscribed(feed: Feed, topic: bytes = b"frame/cam0") -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.set(zmq.LINGER, 0)
        socket.connect(feed.server.endpoint)
        socket.subscribe(topic)
        yield socket


def received(socket: zmq.Socket[bytes]) -> Preview | None:
    if not socket.poll(0):
        return None
    topic, header, jpeg = socket.recv_multipart()
    assert topic == b"frame/cam0"
    return Preview(msgspec.json.decode(header, type=PreviewHeader), jpeg)


def pixels(picture: Preview) -> np.ndarray:
    return np.asarray(cv2.imdecode(np.frombuffer(picture.jpeg, np.uint8), cv2.IMREAD_UNCHANGED))


def test_a_picture_shows_the_frame_that_its_header_names(tmp_path: Path) -> None:
    """In a whole run, while frames come faster than pictures are made."""
    film = Film(400, 200.0)
    pipeline = Pipeline(make_settings(tmp_path, publish=ANY_PORT, publish_latest="none"), lambda: film)
    pictures: list[Any] = []
    pipeline.start()
    try:
        with PreviewSubscriber(pipeline.endpoints[0]) as subscriber:
            while (picture := subscriber.receive(LONG_S)) is not None and len(pictures) < 12:
                pictures.append(picture)
    finally:
        pipeline.stop()
        pipeline.join()
    assert [film.footage.index_of(pixels(one)) for one in pictures] == [one.header.frame for one in pictures]
    assert len({one.header.frame for one in pictures}) == len(pictures)
    header = pictures[0].header
    assert (header.schema, header.camera) == (1, "cam0")
    assert (header.width, header.height, header.of_width, header.of_height) == (*SIZE, *SIZE)
    assert header.run == pipeline.summary["run"]
    assert pixels(pictures[0]).ndim == 2, "a gray film gives gray pictures"
    check_complete(pipeline.folder)


def test_large_frames_are_scaled_and_colours_kept() -> None:
    image = np.zeros((1024, 1280, 3), np.uint8)
    image[:, :640] = (200, 30, 30)
    with feeding(size=(1280, 1024)) as feed, subscribed(feed) as socket:
        picture = feed.put_until(lambda: received(socket), image)
        found = pixels(picture)
        assert found.shape == (512, 640, 3)
        header = picture.header
        assert (header.width, header.height, header.of_width, header.of_height) == (640, 512, 1280, 1024)
        assert np.abs(found[100, 100].astype(int) - (30, 30, 200)).max() < 12, "OpenCV gives blue, green, red"


def test_nothing_is_made_while_nobody_subscribes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview_module, "_INTERVAL_NS", 0)  # each frame would be a picture
    with feeding() as feed:
        with subscribed(feed, b"pose/"), subscribed(feed, b"frame/cam1"):
            wait_for(lambda: feed.put() > 30, "frames")
        assert feed.server.made == 0
        with subscribed(feed) as socket:
            feed.put_until(lambda: received(socket))
        wait_for(lambda: not feed.server.is_watched, "the end of the subscription")
        made = feed.server.made + 1  # one may be in work
        newest = feed.ring.newest
        wait_for(lambda: feed.put() > newest + 30, "frames")
        assert feed.server.made <= made


@pytest.mark.parametrize("topic", [b"", b"f", b"frame/", b"frame/cam0"])
def test_whoever_subscribes_to_a_beginning_of_the_topic_gets_pictures(topic: bytes) -> None:
    with feeding() as feed, subscribed(feed, topic) as socket:
        assert feed.put_until(lambda: received(socket))


def test_there_are_at_most_fifteen_a_second() -> None:
    with feeding() as feed, subscribed(feed) as socket:
        first = feed.put_until(lambda: received(socket))
        pictures = [first]
        while len(pictures) < 12:
            pictures.append(feed.put_until(lambda: received(socket)))
        span_s = (pictures[-1].header.captured_ns - first.header.captured_ns) / 1e9
        assert len(pictures) <= span_s * PER_SECOND + 2
        assert 0 < feed.server.per_second(now_ns()) <= PER_SECOND + 1


def test_a_picture_that_is_late_is_dropped() -> None:
    with feeding() as feed, subscribed(feed) as socket:
        wait_for(lambda: feed.server.is_watched, "the subscription")
        late = feed.put(age_ns=MAX_AGE_NS + 1_000_000)
        wait_for(lambda: feed.server.late, "the late picture")
        picture = feed.put_until(lambda: received(socket))
        assert picture.header.frame > late


def test_it_waits_for_the_pose_stage_to_finish_the_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview_module, "_PATIENCE_S", LONG_S)
    pauses = Pauses()
    with feeding(pauses=pauses) as feed, subscribed(feed) as socket:
        wait_for(lambda: feed.server.is_watched, "the subscription")
        index = feed.put()
        assert not socket.poll(50), "the pose stage has the frame in hand"
        pauses.begin(index)
        assert socket.poll(int(LONG_S * 1000))
        picture = received(socket)
        assert picture is not None
        assert picture.header.frame == index
        pauses.close()


def test_on_a_machine_that_never_pauses_pictures_come_all_the_same() -> None:
    pauses = Pauses()
    with feeding(pauses=pauses) as feed, subscribed(feed) as socket:
        assert feed.put_until(lambda: received(socket))


def test_header_repeats_the_segment() -> None:
    with feeding() as feed, subscribed(feed) as socket:
        wait_for(lambda: feed.server.is_watched, "the subscription")
        picture = wait_for(lambda: feed.put(segment=3) and received(socket), "a picture")
        assert picture.header.segment == 3


def subscriber_process(feed: Feed, image: UInt8) -> subprocess.Popen[str]:
    """Start a subscriber in a process of its own, and wait for its first picture."""
    process = subprocess.Popen(
        [sys.executable, "-c", SUBSCRIBER, feed.server.endpoint], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    line: list[str] = []
    reader = threading.Thread(target=lambda out: line.append(out.readline()), args=(process.stdout,))
    reader.start()
    feed.put_until(lambda: line, image)
    reader.join()
    return process


def noise(size: tuple[int, int]) -> UInt8:
    return np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)


def test_a_subscriber_that_is_killed_ends_the_pictures() -> None:
    with feeding() as feed:
        process = subscriber_process(feed, FOOTAGE.draw(0))
        process.kill()
        process.communicate()
        wait_for(lambda: not feed.server.is_watched, "the end of the subscription")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux closes a connection that takes no data")
def test_no_pictures_are_made_for_a_subscriber_that_is_suspended_and_it_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(preview_module, "_UNREACHED_MS", 500)
    size = (640, 480)
    with feeding(size=size) as feed:
        process = subscriber_process(feed, noise(size))
        try:
            process.send_signal(signal.SIGSTOP)
            feed.put_until(lambda: not feed.server.is_watched, noise(size))
            process.send_signal(signal.SIGCONT)
            wait_for(lambda: feed.server.is_watched, "the subscription")
        finally:
            process.kill()
            process.communicate()


def test_a_reader_that_is_slow_finds_few_old_pictures_and_then_new_ones() -> None:
    size = (640, 480)
    with feeding(size=size) as feed, subscribed(feed) as socket:
        socket.set(zmq.RCVHWM, 1)
        feed.put_until(lambda: feed.server.made > 40, noise(size))
        newest = feed.ring.newest
        waiting = 0
        while feed.put_until(lambda: received(socket), noise(size)).header.frame <= newest:
            waiting += 1
        assert waiting < 40, "pictures pile up"


def test_a_fast_run_does_not_wait_for_a_preview_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs, go_on = threading.Event(), threading.Event()

    def hang(*_: object) -> tuple[bool, UInt8]:
        hangs.set()
        go_on.wait(LONG_S)
        return True, np.zeros(9, np.uint8)

    def before(index: int) -> None:
        if index == 3:
            hangs.wait(LONG_S)

    monkeypatch.setattr("realtime_cropzoom.sinks.preview.cv2.imencode", hang)
    settings = make_settings(tmp_path, publish=ANY_PORT, publish_latest="none", pace="fast")
    pipeline = Pipeline(settings, lambda: Film(60, before=before))
    pipeline.start()
    try:
        with PreviewSubscriber(pipeline.endpoints[0]) as subscriber:
            wait_for(lambda: subscriber.receive(0.05) or hangs.is_set(), "the preview that hangs")
            summary = pipeline.join()
    finally:
        go_on.set()
        pipeline.stop()
    assert summary["counts"]["processed"] == 60
    check_complete(pipeline.folder)
    wait_for(lambda: "cropzoom-preview" not in cropzoom_threads(), "the end of the thread")


def test_a_picture_that_cannot_be_made_is_said_once_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise cv2.error("out of memory")

    monkeypatch.setattr("realtime_cropzoom.sinks.preview.cv2.imencode", fail)
    with feeding() as feed, subscribed(feed):
        feed.put_until(lambda: "a preview could not be made" in caplog.text)
        feed.put_until(lambda: feed.ring.newest > 200)
        assert "cropzoom-preview" in cropzoom_threads()
    assert caplog.text.count("a preview could not be made: ") == 1


def test_status_counts_previews_and_hello_names_their_endpoint(tmp_path: Path) -> None:
    film = Film(2000, 200.0)
    settings = make_settings(tmp_path, publish=ANY_PORT, publish_latest="none")
    pipeline = Pipeline(settings, lambda: film)
    pipeline.start()
    try:
        assert any(f"; previews at {ANY_PORT[:-1]}" in note for note in pipeline.notes)
        assert pipeline.progress().previews == 0
        with PreviewSubscriber(pipeline.endpoints[0]) as subscriber:
            assert subscriber.receive(LONG_S) is not None
            assert pipeline.progress().previews > 0
            assert f"previews at {subscriber.preview_endpoint}" in "".join(pipeline.notes)
    finally:
        pipeline.stop()
        pipeline.join()


@pytest.mark.parametrize("given", [{"publish": "none"}, {"publish_preview": "none"}])
def test_without_an_endpoint_there_are_no_previews(tmp_path: Path, given: dict[str, str]) -> None:
    settings = make_settings(tmp_path, **{"publish": ANY_PORT, "publish_latest": "none", **given})
    assert settings.preview_endpoint() is None
    with Pipeline(settings, lambda: Film(5)):
        assert "cropzoom-preview" not in cropzoom_threads()


def test_they_stand_beside_an_ipc_path(tmp_path_factory: pytest.TempPathFactory) -> None:
    if not hasattr(sockets, "AF_UNIX"):
        pytest.skip("this system has no Unix sockets")
    folder = tmp_path_factory.mktemp("p")
    settings = make_settings(folder, publish=f"ipc://{folder}/s", publish_latest="none")
    assert settings.preview_endpoint() == f"ipc://{folder}/s.preview"
    pipeline = Pipeline(settings, lambda: Film(2000, 100.0))
    pipeline.start()
    try:
        with PreviewSubscriber(f"ipc://{folder}/s") as subscriber:
            assert subscriber.receive(LONG_S) is not None
    finally:
        pipeline.stop()
        pipeline.join()


def test_only_clients_with_a_key_get_pictures(tmp_path: Path) -> None:
    make_server_keys(tmp_path)
    file = make_client_keys(tmp_path, "bench")
    security = Security(read_server_keys(tmp_path))
    with feeding(security=security) as feed:
        with subscribed(feed) as stranger:
            wait_for(lambda: security.rejected.count, "the refusal")
            assert not stranger.poll(0)
        assert not feed.server.is_watched
        with PreviewSubscriber(feed.server.endpoint, keys=file) as client:
            assert feed.put_until(lambda: client.receive(0.01))
        (tmp_path / "clients" / "bench.key").unlink()
        with (
            PreviewSubscriber(feed.server.endpoint, keys=file) as removed,
            pytest.raises(ConfigError, match="does not know this key"),
        ):
            feed.put_until(lambda: removed.receive(0.01))


@pytest.mark.parametrize("request_bytes", [b"GET / HTTP/1.1\r\n\r\n", b"POST /" + b"a" * 90 + b" HTTP/1.1\r\n\x01"])
def test_a_web_page_gets_no_picture(request_bytes: bytes) -> None:
    with feeding() as feed:
        port = int(feed.server.endpoint.rpartition(":")[2])
        with sockets.create_connection(("127.0.0.1", port), timeout=LONG_S) as page:
            page.sendall(request_bytes)
            answer = b""
            with suppress(ConnectionResetError):
                while part := page.recv(4096):  # an empty one: closed
                    answer += part
        assert len(answer) <= 64, "ZeroMQ's greeting at most"
        assert not feed.server.is_watched
