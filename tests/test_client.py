"""The subscriber that experiments import: what it gives, counts, passes over and leaves out."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import zmq
from live import LONG_S, free_port

from realtime_cropzoom import Subscriber
from realtime_cropzoom.clock import clock_id, now_ns
from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.message import (
    Counts,
    EndMessage,
    HelloMessage,
    Message,
    PoseMessage,
    StatusMessage,
    TimeField,
    encode,
    topic,
)


def pose(seq: int, camera: str = "cam0", run: str = "r", schema: int = 1) -> PoseMessage:
    times = TimeField(None, now_ns(), None, None, now_ns(), now_ns(), 0)
    return PoseMessage(
        schema, run, camera, seq, seq, "tracking", "live", {"snout": (1.0, 2.0, 0.5)}, None, times,
        Counts(seq + 1, seq + 1, 0, 0, 0),
    )  # fmt: skip


def hello(
    run: str = "r", camera: str = "cam0", clock: str | None = clock_id(), echo: str | None = None
) -> HelloMessage:
    return HelloMessage(1, run, camera, "film", ["snout"], 160, 96, None, None, "p", "c", "0", 0, clock, echo)


def end(camera: str = "cam0") -> EndMessage:
    return EndMessage(1, "r", camera, "finished", Counts(0, 0, 0, 0, 0), now_ns())


class Publisher:
    """A socket that publishes whatever a test wants, once its subscriber is there."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self.socket = context.socket(zmq.XPUB)
        self.endpoint = f"tcp://127.0.0.1:{self.socket.bind_to_random_port('tcp://127.0.0.1')}"

    def wait_for_subscriber(self) -> None:
        assert self.socket.poll(LONG_S * 1000)
        assert self.socket.recv() == b"\x01"

    def send(self, *messages: Message) -> None:
        for message in messages:
            self.socket.send_multipart([topic(message, message.camera), encode(message)])


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with zmq.Context() as context:
        publisher = Publisher(context)
        yield publisher
        publisher.socket.close(linger=0)


def test_poses_come_until_the_end(publisher: Publisher) -> None:
    with Subscriber(publisher.endpoint) as subscriber:
        publisher.wait_for_subscriber()
        publisher.send(*(pose(i) for i in range(5)), end(), pose(99))
        messages = list(subscriber)
        assert [m.seq for m in messages] == list(range(5))
        assert messages[0].keypoints == {"snout": (1.0, 2.0, 0.5)}
        assert subscriber.missed == 0


def test_gaps_are_counted_by_run(publisher: Publisher) -> None:
    """Whoever comes late has missed nothing; a new run begins anew."""
    with Subscriber(publisher.endpoint) as subscriber:
        publisher.wait_for_subscriber()
        publisher.send(pose(7), pose(8), pose(11), pose(0, run="second"), pose(2, run="second"), end())
        assert len(list(subscriber)) == 5
        assert subscriber.missed == 2 + 1


def test_hello_is_kept(publisher: Publisher) -> None:
    with Subscriber(publisher.endpoint) as subscriber:
        assert subscriber.hello is None
        publisher.wait_for_subscriber()
        publisher.send(hello(), end())
        assert list(subscriber) == []
        assert subscriber.hello == hello()


def test_receive_gives_every_kind_and_none_in_time(publisher: Publisher) -> None:
    status = StatusMessage(1, "r", "cam0", "tracking", "live", Counts(0, 0, 0, 0, 0), 0, 0.0, 0.0, {}, now_ns(), 0)
    with Subscriber(publisher.endpoint) as subscriber:
        publisher.wait_for_subscriber()
        assert subscriber.receive(0.01) is None
        publisher.send(status, end())
        assert subscriber.receive(LONG_S) == status
        assert isinstance(subscriber.receive(LONG_S), EndMessage)


def test_it_is_no_error_if_nobody_publishes_yet() -> None:
    port = free_port()
    with Subscriber(f"tcp://127.0.0.1:{port}") as subscriber, zmq.Context() as context:
        assert subscriber.receive(0.05) is None
        late = context.socket(zmq.XPUB)
        late.bind(f"tcp://127.0.0.1:{port}")
        assert late.poll(LONG_S * 1000)
        late.send_multipart([b"pose/cam0", encode(pose(3))])
        message = subscriber.receive(LONG_S)
        assert isinstance(message, PoseMessage)
        assert message.seq == 3
        late.close(linger=0)


def test_age_is_the_time_since_the_capture(publisher: Publisher) -> None:
    with Subscriber(publisher.endpoint) as subscriber:
        publisher.wait_for_subscriber()
        publisher.send(hello(), pose(0))
        message = next(iter(subscriber))
        time.sleep(0.02)
        assert 20 <= subscriber.age_ms(message) < LONG_S * 1000
        assert subscriber.age_ms(message, message.time.captured_ns + 7_000_000) == 7


@pytest.mark.parametrize(
    "garbage",
    [
        [b""],
        [b"pose/cam0", b""],
        [b"pose/cam0", b"hello"],
        [b"pose/cam0", b"{"],
        [b"pose/cam0", b"null"],
        [b"pose/cam0", b'{"type": "pose"}'],
        [b"pose/cam0", b'{"type": "pigeon", "camera": "cam0"}'],
        [b"pose/cam0", b'{"type": "\xff\xfe"}'],
        [b"pose/cam0", b"\xff\xfe\x00\x80"],
        [b"pose/cam0", b'{"a":' * 100_000],
        [b"pose/cam0", b"\x81\xa1a" * 100_000],
        [b"a", b"b", b"c", b"d"],
        [b"pose/cam0", encode(pose(0)).replace(b'"seq":0', b'"seq":"0"')],
        [b"pose/cam0", encode(pose(0, schema=2))],
    ],
    ids=lambda parts: repr(parts[-1][:24]),
)
def test_what_is_no_message_of_this_schema_is_passed_over(publisher: Publisher, garbage: list[bytes]) -> None:
    with Subscriber(publisher.endpoint) as subscriber:
        publisher.wait_for_subscriber()
        publisher.socket.send_multipart(garbage)
        publisher.send(pose(5))
        message = subscriber.receive(LONG_S)
        assert isinstance(message, PoseMessage)
        assert message.seq == 5
        assert subscriber.missed == 0


def test_msgpack_is_read_as_well(publisher: Publisher) -> None:
    with Subscriber(publisher.endpoint) as subscriber:
        publisher.wait_for_subscriber()
        message = pose(4)
        publisher.socket.send_multipart([b"pose/cam0", encode(message, "msgpack")])
        assert subscriber.receive(LONG_S) == message


def test_one_camera_of_several(publisher: Publisher) -> None:
    """cam10 begins with cam1, and is another camera."""
    with Subscriber(publisher.endpoint, camera="cam1") as subscriber:
        publisher.wait_for_subscriber()
        publisher.send(pose(0, "cam10"), pose(0, "cam1"), end("cam10"), pose(5, "cam10"), pose(1, "cam1"), end("cam1"))
        assert [(m.camera, m.seq) for m in subscriber] == [("cam1", 0), ("cam1", 1)]
        assert subscriber.missed == 0


def test_a_timeout_holds_while_others_talk(publisher: Publisher) -> None:
    """Each message of another camera must not start the time anew."""
    over = threading.Event()

    def talk() -> None:
        deadline = time.monotonic() + 10
        while not over.is_set() and time.monotonic() < deadline:
            publisher.send(pose(0, "cam10"))
            time.sleep(0.005)

    with Subscriber(publisher.endpoint, camera="cam1") as subscriber:
        publisher.wait_for_subscriber()
        talker = threading.Thread(target=talk)
        talker.start()
        try:
            assert subscriber.receive(0.2) is None
            assert talker.is_alive(), "it came back only once nobody talked any more"
        finally:
            over.set()
            talker.join()


@pytest.mark.parametrize("endpoint", ["nonsense", "tcp://", "tcp://127.0.0.1", "ftp://127.0.0.1:21", ""])
def test_an_endpoint_that_is_none_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot listen to .*expected tcp://127\.0\.0\.1:5660"):
        Subscriber(endpoint)


def test_close_may_be_called_twice(publisher: Publisher) -> None:
    subscriber = Subscriber(publisher.endpoint)
    subscriber.close()
    subscriber.close()
