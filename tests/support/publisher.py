"""A publisher under a test's control: what it sends, and to whom."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import zmq

from realtime_cropzoom.client.base import SubscriberBase
from realtime_cropzoom.clock import clock_id, now_ns
from realtime_cropzoom.messaging.message import (
    Animal,
    AnimalsMessage,
    Counts,
    EndMessage,
    EventMessage,
    HelloMessage,
    Message,
    PoseMessage,
    TimeField,
    encode,
    topic,
)
from support.corrupt_bytes import garbage
from support.pipelines import LONG_S

_TOPICS = [0, 1, 1, 1, 1, 2, 9]
"""How many frames come before the payload."""


def old(seq: int, age_s: float) -> PoseMessage:
    message = pose(seq)
    times = msgspec.structs.replace(message.time, captured_ns=now_ns() - round(age_s * 1e9))
    return msgspec.structs.replace(message, time=times)


def pose(seq: int, camera: str = "cam0", run: str = "r", schema: int = 1) -> PoseMessage:
    times = TimeField(None, now_ns(), None, None, now_ns(), now_ns(), 0)
    return PoseMessage(
        schema, run, camera, seq, seq, "tracking", "live", {"snout": (1.0, 2.0, 0.5)}, None, times,
        Counts(seq + 1, seq + 1, 0, 0, 0), plausible=True,
    )  # fmt: skip


def animals(seq: int, *, uncertain: bool = False, count: int = 2) -> AnimalsMessage:
    """Return a frame with several animals, side by side."""
    there = [
        Animal(k + 1, "tracking", {"snout": (10.0 + 20 * k, 2.0, 0.5)}, None, uncertain, int(uncertain), plausible=True)
        for k in range(count)
    ]
    one = pose(seq)
    return AnimalsMessage(1, one.run, one.camera, seq, seq, "live", there, one.time, one.counts)


def hello(
    run: str = "r", camera: str = "cam0", clock: str | None = clock_id(), echo: str | None = None
) -> HelloMessage:
    return HelloMessage(1, run, camera, "film", ["snout"], 160, 96, None, None, "p", "c", "0", 0, clock, echo)


def end(camera: str = "cam0", run: str = "r") -> EndMessage:
    return EndMessage(1, run, camera, "finished", Counts(0, 0, 0, 0, 0), now_ns())


def event(number: int, text: str = "", camera: str = "cam0", run: str = "r", kind: str = "marker") -> EventMessage:
    return EventMessage(1, run, camera, number, kind, text, "test", None, now_ns(), 0)


class Publisher:
    """A socket that publishes whatever a test wants, once its subscriber is there."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self.socket = context.socket(zmq.XPUB)
        self.socket.set(zmq.SNDHWM, 0)
        self.socket.set(zmq.XPUB_VERBOSER, 1)
        self.endpoint = f"tcp://127.0.0.1:{self.socket.bind_to_random_port('tcp://127.0.0.1')}"

    def wait_for_subscriber(self) -> None:
        assert self.socket.poll(int(LONG_S * 1000))
        assert self.socket.recv() == b"\x01"

    def send(self, *messages: Message) -> None:
        for message in messages:
            self.socket.send_multipart([topic(message, message.camera), encode(message)])


@contextmanager
def publishing() -> Iterator[Publisher]:
    with zmq.Context() as context:
        publisher = Publisher(context)
        yield publisher
        publisher.socket.close(linger=0)


def send_garbage(publisher: Publisher, count: int) -> list[Message]:
    """Send ``count`` odd messages of anybody and some good ones, which are returned, and the good one's end."""
    rng = random.Random(7)
    sent: list[Message] = []
    examples = [encode(m, e) for m in (pose(3), hello(), end()) for e in ("json", "msgpack")]
    for i, payload in enumerate(garbage(examples, count, seed=8)):
        topics = [rng.randbytes(rng.randrange(20)) for _ in range(rng.choice(_TOPICS))]
        publisher.socket.send_multipart([*topics, payload])
        if i % 40 == 0:
            sent.append(pose(i // 40, "good"))
            publisher.send(sent[-1])
    publisher.send(end("good"))
    return sent


def use(subscriber: SubscriberBase, message: PoseMessage) -> None:
    """Do with a message whatever its users may do; nothing may raise."""
    assert not subscriber.age_ms(message) < 0
    assert message.xy().shape == (len(message.keypoints), 2)
    assert message.likelihood().shape == (len(message.keypoints),)
    for name in message.filtered or ():
        subscriber.predict(message, name)
