"""Blocking subscriber: what it returns, counts and drops."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Iterator
from itertools import islice

import msgspec
import pytest
import zmq
from support.pipelines import LONG_S, free_port, wait_for
from support.publisher import Publisher, end, event, hello, old, pose, publishing, send_garbage, use

from realtime_cropzoom import Subscriber
from realtime_cropzoom.client import subscriber as subscriber_module
from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.messaging.message import (
    Counts,
    EndMessage,
    FilteredKeypoint,
    HelloMessage,
    Message,
    PoseMessage,
    StatusMessage,
    encode,
)
from realtime_cropzoom.messaging.time_sync import SAME_CLOCK
from realtime_cropzoom.sinks.time_sync_server import EchoServer


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with publishing() as publisher:
        yield publisher


def test_poses_come_until_the_end(publisher: Publisher) -> None:
    with Subscriber(publisher.endpoint) as subscriber:
        publisher.wait_for_subscriber()
        publisher.send(*(pose(i) for i in range(5)), end(), pose(99))
        messages = list(subscriber)
        assert [m.seq for m in messages] == list(range(5))
        assert messages[0].keypoints == {"snout": (1.0, 2.0, 0.5)}
        assert subscriber.missed == 0


def test_gaps_are_counted_by_run(publisher: Publisher) -> None:
    """Poses before the first received one do not count as missed, and a new run is counted separately."""
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


def test_receive_returns_every_kind_and_none_after_the_timeout(publisher: Publisher) -> None:
    status = StatusMessage(1, "r", "cam0", "tracking", "live", Counts(0, 0, 0, 0, 0), 0, 0.0, 0.0, {}, now_ns(), 0)
    with Subscriber(publisher.endpoint) as subscriber:
        publisher.wait_for_subscriber()
        assert subscriber.receive(0.01) is None
        publisher.send(status, end())
        assert subscriber.receive(LONG_S) == status
        assert isinstance(subscriber.receive(LONG_S), EndMessage)


def test_on_windows_a_wait_without_limit_is_many_short_ones(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There, Ctrl-C does not end a wait for messages."""
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(subscriber_module, "_WINDOWS_POLL_MS", 5)
    assert subscriber_module.poll_ms(math.inf) == 5
    with Subscriber(publisher.endpoint) as subscriber:
        assert subscriber.receive(timeout_s=0.1) is None
        publisher.wait_for_subscriber()
        threading.Timer(0.1, lambda: publisher.send(pose(0))).start()
        assert isinstance(next(subscriber.messages()), PoseMessage)


def test_connecting_before_the_publisher_starts_is_no_error() -> None:
    port = free_port()
    with Subscriber(f"tcp://127.0.0.1:{port}") as subscriber, zmq.Context() as context:
        assert subscriber.receive(0.05) is None
        late = context.socket(zmq.XPUB)
        late.bind(f"tcp://127.0.0.1:{port}")
        assert late.poll(round(LONG_S * 1000))
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
        assert 0 <= subscriber.age_ms(message) < LONG_S * 1000
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
def test_other_payloads_are_counted_and_dropped(publisher: Publisher, garbage: list[bytes]) -> None:
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
    """cam10 begins with cam1, but is another camera."""
    with Subscriber(publisher.endpoint, camera="cam1") as subscriber:
        publisher.wait_for_subscriber()
        publisher.send(pose(0, "cam10"), pose(0, "cam1"), end("cam10"), pose(5, "cam10"), pose(1, "cam1"), end("cam1"))
        assert [(m.camera, m.seq) for m in subscriber] == [("cam1", 0), ("cam1", 1)]
        assert subscriber.missed == 0


def test_the_timeout_holds_while_other_messages_arrive(publisher: Publisher) -> None:
    """Messages of another camera must not restart the timeout."""
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
            assert talker.is_alive(), "receive returned only after the last message"
        finally:
            over.set()
            talker.join()


@pytest.mark.parametrize("endpoint", ["nonsense", "tcp://", "tcp://127.0.0.1", "ftp://127.0.0.1:21", ""])
def test_an_invalid_endpoint_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot connect to .*expected one such as tcp://127\.0\.0\.1:5660"):
        Subscriber(endpoint)


def test_close_may_be_called_twice(publisher: Publisher) -> None:
    subscriber = Subscriber(publisher.endpoint)
    subscriber.close()
    subscriber.close()


def newest(subscriber: Subscriber, max_age_ms: float) -> PoseMessage | None:
    """Return the newest pose after all sent messages have arrived."""
    return subscriber.newest(max_age_ms, timeout_s=0.3)


def test_newest_returns_the_last_of_all_waiting_poses(publisher: Publisher) -> None:
    with Subscriber(publisher.endpoint) as subscriber:
        publisher.wait_for_subscriber()
        publisher.send(hello(), *(old(i, 100 - i) for i in range(100)))
        assert newest(subscriber, 500) is None, "the last one is a second old"
        last = 99
        for _ in range(20):  # on a busy machine poses may come as slowly as they are read
            publisher.send(*(pose(i) for i in range(last + 1, last + 51)))
            seqs = read_until(subscriber, last := last + 50)
            if len(seqs) < 50:
                break
        else:
            pytest.fail("one after the other, as they were sent")
        publisher.send(*(pose(i) for i in range(last + 1, last + 51)), end(), old(last + 51, 3600))
        read_until(subscriber, last + 50)
        message = subscriber.newest(LONG_S * 1000)
        assert message is not None
        assert message.seq == last + 50, "it is the newest still"
        assert subscriber.missed == 0


def read_until(subscriber: Subscriber, last: int) -> list[int]:
    """Return the numbers of the poses that ``newest`` returns, up to the last one; they must increase."""
    seqs: list[int] = []
    while not seqs or seqs[-1] < last:
        message = subscriber.newest(LONG_S * 1000, timeout_s=LONG_S)
        assert message is not None
        seqs.append(message.seq)
    assert seqs == sorted(seqs)
    return seqs


def test_newest_waits_for_a_pose(publisher: Publisher) -> None:
    with Subscriber(publisher.endpoint) as subscriber:
        publisher.wait_for_subscriber()
        publisher.send(hello())
        timer = threading.Timer(0.05, publisher.send, [pose(3)])
        timer.start()
        message = subscriber.newest(LONG_S * 1000, timeout_s=LONG_S)
        timer.join()
        assert message is not None
        assert message.seq == 3


@pytest.mark.slow
def test_a_pose_from_the_future_or_of_an_unknown_clock_has_no_age(publisher: Publisher) -> None:
    """The hello names the clock. Before it, and after a hello of another run, the age is unknown."""
    with Subscriber(publisher.endpoint) as subscriber:
        publisher.wait_for_subscriber()
        assert subscriber.clock is None
        publisher.send(pose(0))
        assert newest(subscriber, 1e9) is None
        publisher.send(hello(), old(1, -60))
        assert newest(subscriber, 1e9) is None, "it is from the future"
        publisher.send(pose(2, run="next"))
        assert newest(subscriber, 1e9) is None
        publisher.send(pose(3))
        assert newest(subscriber, 1e9) is not None
        assert subscriber.clock == SAME_CLOCK


AHEAD_NS = 5 * 3600 * 10**9


def elsewhere(seq: int) -> PoseMessage:
    return old(seq, -AHEAD_NS / 1e9)


def test_on_another_machine_the_age_is_right_or_unknown(publisher: Publisher) -> None:
    """Its clock is five hours ahead of this machine's, so that the true age is known."""
    echo = EchoServer("tcp://127.0.0.1:*", clock="elsewhere", now=lambda: now_ns() + AHEAD_NS)
    with Subscriber(publisher.endpoint) as subscriber:
        publisher.wait_for_subscriber()
        publisher.send(hello(clock="elsewhere"), elsewhere(0))
        message = next(iter(subscriber))
        assert subscriber.age_ms(message) == math.inf, "there is no echo"
        assert subscriber.newest(1e9) is None
        echo.start()
        try:
            publisher.send(hello(clock="elsewhere", echo=echo.endpoint))
            assert isinstance(subscriber.receive(LONG_S), HelloMessage)
            offset = wait_for(lambda: subscriber.clock, "the offset")
            assert abs(offset.offset_ns - AHEAD_NS) <= offset.uncertainty_ns
            captured_ns = message.time.captured_ns - AHEAD_NS
            at_ns = captured_ns + 7_000_000
            clock = subscriber.clock
            assert clock is not None
            uncertain_ms = clock.uncertainty_at_ns(at_ns) / 1e6
            assert 7 <= subscriber.age_ms(message, at_ns) <= 7 + 2 * uncertain_ms + 1, "never too young"
            publisher.send(elsewhere(1))
            assert subscriber.newest(LONG_S * 1000, timeout_s=LONG_S) is not None
        finally:
            echo.stop()


def test_iterating_ends_with_the_run_or_follows_the_next_one(publisher: Publisher) -> None:
    runs: list[Message] = [pose(0), end(), hello("s"), pose(0, run="s"), end(run="s")]
    with Subscriber(publisher.endpoint) as once, Subscriber(publisher.endpoint, follow=True) as follow:
        publisher.wait_for_subscriber()
        publisher.wait_for_subscriber()
        publisher.send(*runs)
        assert [m.run for m in once] == ["r"]
        assert [m.run for m in islice(follow, 2)] == ["r", "s"]
        assert [m.run for m in once] == ["s"], "what comes after the end is there for the next loop"
        assert (once.restarts, follow.restarts) == (1, 1)


def test_all_kinds_come_through_messages(publisher: Publisher) -> None:
    sent: list[Message] = [hello(), pose(0), event(0, "odour on"), end(), hello("s"), pose(4, run="s")]
    with Subscriber(publisher.endpoint) as subscriber:
        publisher.wait_for_subscriber()
        publisher.send(*sent)
        assert list(islice(subscriber.messages(), len(sent))) == sent
        assert subscriber.late == 4


def test_the_stream_is_not_silent_while_a_message_waits(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    with Subscriber(publisher.endpoint) as subscriber:
        assert subscriber.stream == "silent"
        publisher.wait_for_subscriber()
        publisher.send(pose(0))
        assert subscriber.receive(LONG_S) is not None
        assert subscriber.stream == "live"
        monkeypatch.setattr("realtime_cropzoom.client.base.now_ns", lambda: now_ns() + 3_100_000_000)
        assert subscriber.stream == "silent"
        publisher.send(pose(1))
        wait_for(subscriber.has_message, "the message")
        assert subscriber.stream == "live", "it was not listened to, which is no silence"


def test_a_filtered_keypoint_is_extrapolated_to_now(publisher: Publisher) -> None:
    moving = FilteredKeypoint(100.0, 50.0, 1000.0, -500.0, None)
    absurd = FilteredKeypoint(1e308, 1e308, 1e308, 1e308, None)
    nowhere = FilteredKeypoint(None, None, None, None, None)
    message = msgspec.structs.replace(pose(0), filtered={"snout": moving, "tail": nowhere, "ear": absurd})
    with Subscriber(publisher.endpoint) as subscriber:
        publisher.wait_for_subscriber()
        at_ns = message.time.captured_ns + 20_000_000
        assert subscriber.predict(message, "snout", at_ns) is None, "whose clock it is, is not known"
        publisher.send(hello())
        assert subscriber.receive(LONG_S) is not None
        assert subscriber.predict(message, "snout", at_ns) == pytest.approx((120, 40))
        assert subscriber.predict(message, "snout", at_ns, max_horizon_ms=19) is None
        assert subscriber.predict(message, "snout", at_ns + 10**9) is None
        assert subscriber.predict(message, "snout", at_ns - 10**9) is None
        assert subscriber.predict(message, "tail", at_ns) is None
        assert subscriber.predict(message, "ear", at_ns) is None
        assert subscriber.predict(pose(0), "snout", at_ns) is None
        with pytest.raises(KeyError):
            subscriber.predict(message, "snuot", at_ns)


def test_thousands_of_malformed_messages_raise_no_error_in_a_subscriber(publisher: Publisher) -> None:
    """Topics, numbers of parts and payloads are random. All valid messages in between arrive in order."""
    with Subscriber(publisher.endpoint) as subscriber:
        publisher.wait_for_subscriber()
        sent = send_garbage(publisher, 4000)
        received = []
        for message in subscriber.messages():
            if message.camera == "good":
                received.append(message)
                if isinstance(message, EndMessage):
                    break
            elif isinstance(message, PoseMessage):
                use(subscriber, message)
        assert received[:-1] == sent
        assert subscriber.malformed > 1000


def of_region(seq: int, region: str) -> PoseMessage:
    return msgspec.structs.replace(pose(seq), region=region)


def of_regions(*names: str) -> HelloMessage:
    outline = [(0.0, 0.0), (9.0, 0.0), (9.0, 9.0)]
    return msgspec.structs.replace(hello(), regions=dict.fromkeys(names, outline))


def test_the_poses_of_regions_are_counted_by_region(publisher: Publisher) -> None:
    with Subscriber(publisher.endpoint) as subscriber:
        publisher.wait_for_subscriber()
        publisher.send(
            of_regions("a", "b"), *(of_region(i, r) for i in range(4) for r in "ab" if (i, r) != (2, "b")), end()
        )
        assert [m.region for m in subscriber] == ["a", "b", "a", "b", "a", "a", "b"]
        assert subscriber.missed == 1


def test_a_subscriber_of_one_region_gets_no_other(publisher: Publisher) -> None:
    with Subscriber(publisher.endpoint, region="b") as subscriber:
        publisher.wait_for_subscriber()
        publisher.send(of_regions("a", "b"), of_region(0, "a"), of_region(0, "b"), of_region(1, "a"))
        newest = wait_for(lambda: subscriber.newest(1e4), "the pose of region b")
        assert newest.region == "b"
        publisher.send(of_region(1, "b"), end())
        assert [m.seq for m in subscriber] == [1]
        assert subscriber.missed == 0


def test_newest_needs_a_region_where_there_are_several(publisher: Publisher) -> None:
    with Subscriber(publisher.endpoint) as subscriber:
        publisher.wait_for_subscriber()
        publisher.send(of_regions("a", "b"), of_region(0, "a"))
        with pytest.raises(ConfigError, match=r"several regions, such as a; expected one.*region='a'"):
            wait_for(lambda: subscriber.newest(1e4), "a pose")


def test_a_region_that_the_run_does_not_have_is_an_error(publisher: Publisher) -> None:
    with Subscriber(publisher.endpoint, region="c") as subscriber:
        publisher.wait_for_subscriber()
        publisher.send(of_regions("a", "b"))
        with pytest.raises(ConfigError, match="region c: the run of cam0 has no such region; it has a, b"):
            subscriber.receive(LONG_S)
