"""Preview subscriber: which pictures it returns, whom it follows, and what it makes of other bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
import zmq
from support.corrupt_bytes import garbage
from support.pipelines import ANY_PORT, LONG_S, cropzoom_threads, wait_for
from support.publisher import end, hello, pose

from realtime_cropzoom.client.preview import Preview, PreviewSubscriber
from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.messaging.message import HelloMessage, Message, PreviewHeader, encode, topic

JPEG = b"\xff\xd8picture"


def header(frame: int, camera: str = "cam0", run: str = "r", schema: int = 1) -> PreviewHeader:
    return PreviewHeader(schema, run, camera, frame, frame * 1000, 64, 48, 640, 480)


class Run:
    """What a run binds: an endpoint of its messages and one of its previews."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], at: str = ANY_PORT) -> None:
        self.messages, self.pictures = (context.socket(zmq.XPUB) for _ in range(2))
        self.messages.set(zmq.XPUB_VERBOSE, 1)
        for socket, endpoint in ((self.messages, at), (self.pictures, ANY_PORT)):
            socket.set(zmq.LINGER, 0)
            socket.bind(endpoint)
        self.endpoint, self.preview = (
            bytes(socket.get(zmq.LAST_ENDPOINT)).decode() for socket in (self.messages, self.pictures)
        )

    def hello(self, **changed: Any) -> HelloMessage:
        return msgspec.structs.replace(hello(), **{"preview": self.preview, **changed})

    def send(self, message: Message) -> None:
        self.messages.send_multipart([topic(message, message.camera), encode(message)])

    def show(self, head: PreviewHeader, jpeg: bytes = JPEG) -> None:
        self.pictures.send_multipart([f"frame/{head.camera}".encode(), msgspec.json.encode(head), jpeg])

    def repeat_hello(
        self, subscriber: PreviewSubscriber, until: Callable[[], object], what: str, **changed: Any
    ) -> None:
        """Send the hello, which the subscriber reads, until something happens."""

        def happened() -> object:
            self.send(self.hello(**changed))
            return subscriber.receive(0.02) or until()

        wait_for(happened, what)

    def greet(self, subscriber: PreviewSubscriber, **changed: Any) -> None:
        """Send the hello until the subscriber has subscribed to the previews."""
        self.repeat_hello(subscriber, lambda: self.pictures.poll(0), "the hello", **changed)
        assert self.pictures.recv() == b"\x01frame/cam0"

    def close(self) -> None:
        self.messages.close()
        self.pictures.close()


@contextmanager
def running(at: str = ANY_PORT) -> Iterator[Run]:
    with zmq.Context() as context:
        run = Run(context, at)
        try:
            yield run
        finally:
            run.close()


def receive(subscriber: PreviewSubscriber, send: Callable[[], object]) -> Preview:
    found = wait_for(lambda: send() or subscriber.receive(0.02), "a picture")
    assert isinstance(found, Preview)
    return found


def test_it_follows_the_hello_to_the_previews() -> None:
    with running() as run, PreviewSubscriber(run.endpoint) as subscriber:
        assert subscriber.receive(0.01) is None
        run.greet(subscriber)
        assert subscriber.preview_endpoint == run.preview
        run.show(header(7))
        assert subscriber.receive(LONG_S) == Preview(header(7), JPEG)
        assert subscriber.camera == "cam0"
        assert subscriber.malformed == 0


def test_it_takes_the_endpoint_of_the_previews_itself() -> None:
    with running() as run, PreviewSubscriber(run.preview) as subscriber:
        assert receive(subscriber, lambda: run.show(header(3))).header.frame == 3


def test_of_several_waiting_pictures_it_returns_the_newest() -> None:
    with running() as run, PreviewSubscriber(run.endpoint) as subscriber:
        run.greet(subscriber)
        for frame in range(3):
            run.show(header(frame))
        wait_for(lambda: (found := subscriber.receive(LONG_S)) and found.header.frame == 2, "the last one")
        assert subscriber.receive(0.01) is None


def test_it_follows_a_run_that_restarts_with_other_previews() -> None:
    with running() as first, PreviewSubscriber(first.endpoint) as subscriber:
        first.greet(subscriber)
        first.show(header(1))
        assert subscriber.receive(LONG_S) is not None
        first.send(end())
        with running() as second:
            changed = {"run": "s", "preview": second.preview}
            first.repeat_hello(subscriber, lambda: second.pictures.poll(0), "the second run", **changed)
            found = receive(subscriber, lambda: second.show(header(0, run="s")))
            assert (found.header.run, subscriber.preview_endpoint) == ("s", second.preview)
            wait_for(lambda: first.pictures.poll(10), "the end of the first subscription")
            assert first.pictures.recv() == b"\x00frame/cam0"


def test_it_leaves_previews_that_a_new_run_has_not() -> None:
    with running() as run, PreviewSubscriber(run.endpoint) as subscriber:
        run.greet(subscriber)
        run.repeat_hello(subscriber, lambda: run.pictures.poll(0), "the end of it", run="s", preview=None)
        assert run.pictures.recv() == b"\x00frame/cam0"
        assert subscriber.preview_endpoint is None


def test_elsewhere_only_the_port_of_the_hello_counts() -> None:
    with running() as run, PreviewSubscriber(run.endpoint) as subscriber:
        run.greet(subscriber, preview=run.preview.replace("127.0.0.1", "0.0.0.0"))
        assert subscriber.preview_endpoint == run.preview


def test_one_camera_of_several() -> None:
    with running() as run, PreviewSubscriber(run.preview, camera="cam0") as subscriber:
        receive(subscriber, lambda: run.show(header(0)))
        run.show(header(5))
        for other in ("cam", "cam01", "top"):
            run.show(header(9, camera=other))
        wait_for(lambda: (found := subscriber.receive(LONG_S)) and found.header.frame == 5, "ours")
        assert subscriber.receive(0.01) is None


def test_other_bytes_are_counted_and_dropped() -> None:
    with running() as run, PreviewSubscriber(run.endpoint) as subscriber:
        run.greet(subscriber)
        good = msgspec.json.encode(header(1))
        odd = [[], [b"x"], [good, b"no jpeg"], [b"{", JPEG], [good, JPEG, b"more"], [encode(pose(1))],
               [msgspec.json.encode(header(1, schema=2)), JPEG], [b"\xff\xfe", JPEG]]  # fmt: skip
        for parts in odd:
            run.pictures.send_multipart([b"frame/cam0", *parts])
            assert subscriber.receive(0.02) is None
        wait_for(lambda: subscriber.receive(0.02) or subscriber.malformed >= len(odd), "all of them")
        for bytes_ in garbage([good, encode(hello()), JPEG], 300, seed=5):
            run.pictures.send_multipart([b"frame/cam0", bytes_, bytes_])
            subscriber.receive(0.0)
        assert receive(subscriber, lambda: run.show(header(2))).header.frame == 2


def test_a_hello_that_names_no_endpoint_changes_nothing() -> None:
    with running() as run, PreviewSubscriber(run.endpoint) as subscriber:
        for preview in ("nonsense", "tcp://", "tcp://1.2.3.4:99999", ""):
            run.repeat_hello(subscriber, lambda: subscriber.camera, "the hello", preview=preview)
            assert subscriber.preview_endpoint is None
        run.greet(subscriber)


@pytest.mark.parametrize("endpoint", ["nowhere", "tcp://", "http://127.0.0.1:80"])
def test_an_invalid_endpoint_is_refused(endpoint: str) -> None:
    before = cropzoom_threads()
    with pytest.raises(ConfigError, match="cannot connect to"):
        PreviewSubscriber(endpoint)
    assert cropzoom_threads() == before


def test_close_may_be_called_twice() -> None:
    with running() as run:
        subscriber = PreviewSubscriber(run.endpoint)
        run.greet(subscriber)
        subscriber.close()
        subscriber.close()
        assert run.pictures.poll(int(LONG_S * 1000))
        assert run.pictures.recv() == b"\x00frame/cam0"
