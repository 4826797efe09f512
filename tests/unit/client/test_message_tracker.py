"""Message tracker: counters, the state of the stream, and malformed input."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from support.corrupt_bytes import garbage

from realtime_cropzoom.client.message_tracker import LARGEST_BYTES, SILENT_AFTER_NS, MessageTracker
from realtime_cropzoom.messaging.message import (
    BoxField,
    Counts,
    EndMessage,
    FilteredKeypoint,
    HelloMessage,
    Message,
    Percentiles,
    PoseMessage,
    StatusMessage,
    TimeField,
    decode,
    encode,
)

SECOND_NS = 1_000_000_000
COUNTS = Counts(9, 8, 1, 0, 2)


def pose(seq: int, run: str = "r", camera: str = "cam0", captured_ns: int | None = None) -> PoseMessage:
    captured_ns = seq * SECOND_NS // 100 if captured_ns is None else captured_ns
    return PoseMessage(
        1, run, camera, seq, seq, "tracking", "live", {"snout": (1.5, 2.5, 0.5), "tail": (None, None, None)},
        BoxField(1, 2, 30, 40, 0, 33.4), TimeField(None, captured_ns, 2, 3, 4, 5, 6), COUNTS, 0,
        {"snout": FilteredKeypoint(1.0, 2.0, 30.0, 40.0, 0.5)},
    )  # fmt: skip


def status(stream: str = "live", run: str = "r", camera: str = "cam0") -> StatusMessage:
    latency = {"total": Percentiles(1.0, 2.0, 3.0, None)}
    return StatusMessage(1, run, camera, "tracking", stream, COUNTS, 0, 30.0, 30.0, latency, 7, 0)


def hello(run: str = "r", camera: str = "cam0") -> HelloMessage:
    return HelloMessage(1, run, camera, "film", ["snout"], 160, 96, None, None, "p", "c", "0", 0, "boot", "tcp://*:9")


def end(run: str = "r", camera: str = "cam0") -> EndMessage:
    return EndMessage(1, run, camera, "finished", COUNTS, 9)


def filled(*messages: Message, camera: str | None = None) -> MessageTracker:
    inbox = MessageTracker(camera)
    for message in messages:
        inbox.take(encode(message), 0)
    return inbox


@pytest.mark.parametrize(
    ("messages", "counted"),
    [
        pytest.param([pose(0), pose(1)], {}, id="nothing is missing"),
        pytest.param([pose(0), pose(3), pose(4), pose(6)], {"missed": 3}, id="gaps"),
        pytest.param([pose(7), pose(8)], {"late": 7}, id="who comes late has missed nothing"),
        pytest.param([pose(0), pose(1, "s")], {"restarts": 1, "late": 1}, id="a restart"),
        pytest.param([hello(), pose(0), hello("s"), pose(0, "s"), hello("s")], {"restarts": 1}, id="it greets twice"),
        pytest.param([pose(5, "a"), pose(0, "b"), pose(7, "a"), pose(1, "b")], {"missed": 1, "restarts": 1},
                     id="two runs at once"),
        pytest.param([pose(0), pose(0, camera="two"), pose(2, camera="two")], {"missed": 1}, id="two cameras"),
        pytest.param([pose(5), pose(4), pose(5), pose(6)], {"late": 5}, id="an order that cannot be"),
        pytest.param([pose(0), pose(9_000, captured_ns=1)], {"missed": 8_999}, id="a break"),
        pytest.param([pose(0), pose(2**50, captured_ns=1), pose(1)], {"malformed": 1}, id="more than can have been"),
        pytest.param([pose(0), pose(6_000_000, captured_ns=3600 * SECOND_NS)], {"missed": 5_999_999},
                     id="an hour without a network"),
        pytest.param([pose(2**53, captured_ns=1), pose(1), pose(2)], {"late": 2**53}, id="an absurd first number"),
    ],
)  # fmt: skip
def test_missing_poses_are_counted(messages: list[Message], counted: dict[str, int]) -> None:
    inbox = filled(*messages)
    names = ("missed", "late", "restarts", "malformed", "oversize")
    assert {name: getattr(inbox, name) for name in names if getattr(inbox, name)} == counted


@pytest.mark.parametrize("seq", [b"-1", b"NaN", b"1e308", b"1.5", b"9007199254740993", b"null", b'"1"', b"1" * 5000])
def test_an_implausible_seq_is_malformed(seq: bytes) -> None:
    inbox = filled(pose(0))
    assert inbox.take(encode(pose(1)).replace(b'"seq":1', b'"seq":' + seq), 0) is None
    assert inbox.take(encode(pose(1)), 0) == pose(1)
    assert (inbox.malformed, inbox.missed) == (1, 0)


@pytest.mark.parametrize("field", ["captured_ns", "published_ns", "unix_offset_ns"])
@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**400])
def test_times_beyond_64_bits_are_malformed(field: str, value: int) -> None:
    content = msgspec.json.decode(encode(pose(0)))
    content["time"][field] = value
    payload = msgspec.json.encode(content) if value < 10**300 else _with_digits(content, field, value)
    inbox = MessageTracker()
    assert inbox.take(payload, 0) is None
    assert inbox.malformed == 1


def _with_digits(content: dict[str, Any], field: str, value: int) -> bytes:
    content["time"][field] = "here"
    return msgspec.json.encode(content).replace(b'"here"', str(value).encode())


def test_a_payload_that_is_too_large_is_not_decoded() -> None:
    inbox = filled(pose(0))
    payload = encode(pose(1))
    assert inbox.take(payload + b" " * (LARGEST_BYTES - len(payload)), 0) == pose(1)
    assert inbox.take(encode(pose(2)) + b" " * LARGEST_BYTES, 0) is None
    assert (inbox.oversize, inbox.malformed) == (1, 0)


@pytest.mark.parametrize(
    ("parts", "taken"),
    [([b"pose/cam0"], 1), ([], 1), ([b""], 2), ([b"what\xff"], 1), ([b"pose/cam0", b"x"], 0), ([b""] * 500, 0)],
)
def test_a_message_is_a_payload_or_topic_and_payload(parts: list[bytes], taken: int) -> None:
    inbox = MessageTracker()
    assert (inbox.take_parts([*parts, encode(pose(0))], 0) is not None) == bool(taken)
    assert inbox.malformed == (not taken)


def test_messages_of_other_cameras_are_dropped_and_not_counted() -> None:
    inbox = filled(hello(), pose(0), hello(camera="two"), pose(9), end(), status(camera="two"), camera="two")
    assert inbox.hello == hello(camera="two")
    assert inbox.last_status == status(camera="two")
    assert (inbox.missed, inbox.malformed, inbox.stream(0)) == (0, 0, "live")


def test_each_run_has_its_own_hello() -> None:
    inbox = filled(hello("r"), hello("r", "two"), pose(0))
    assert inbox.find_hello(pose(0)) == hello("r")
    assert inbox.find_hello(pose(0, "s")) is None
    assert inbox.find_hello(pose(0, camera="three")) is None


@pytest.mark.parametrize(
    ("messages", "stream", "later"),
    [
        pytest.param([], "silent", "silent", id="nothing yet"),
        pytest.param([hello()], "live", "silent", id="a hello"),
        pytest.param([status("stalled"), hello()], "stalled", "silent", id="a hello while it stalls"),
        pytest.param([status("reconnecting")], "reconnecting", "silent", id="a break"),
        pytest.param([status("reconnecting"), pose(0)], "live", "silent", id="a pose again"),
        pytest.param([pose(0), status("ended"), end()], "ended", "ended", id="the end"),
        pytest.param([end(), hello("s")], "live", "silent", id="the next run"),
    ],
)
def test_the_stream_is_that_of_the_last_message_or_silent(messages: list[Message], stream: str, later: str) -> None:
    inbox = filled(*messages)
    assert inbox.stream(SILENT_AFTER_NS) == stream
    assert inbox.stream(SILENT_AFTER_NS + 1) == later


def test_malformed_payloads_do_not_end_the_silence() -> None:
    inbox = filled(pose(0))
    inbox.take(b"{", 10 * SILENT_AFTER_NS)
    assert inbox.stream(10 * SILENT_AFTER_NS) == "silent"


def test_memory_use_is_bounded_for_any_number_of_names() -> None:
    inbox = MessageTracker()
    for i in range(1000):
        assert inbox.take(encode(pose(0, camera=f"c{i}")), 0) is not None
        assert inbox.take(encode(pose(0, f"r{i}")), 0) is not None
    assert len(inbox.runs) <= 64
    assert max(map(len, inbox.runs.values())) <= 16


EXAMPLES = [encode(m, e) for m in (pose(3), status(), hello(), end()) for e in ("json", "msgpack")]


def is_message(payload: bytes) -> bool:
    try:
        return decode(payload).schema == 1
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_100_000_random_and_malformed_messages_raise_no_error(seed: int) -> None:
    """Every hundredth message is valid, each of another camera. These are returned, and all others are counted."""
    good, everything, bad, taken = MessageTracker("good"), MessageTracker(), 0, 0
    for i, payload in enumerate(garbage(EXAMPLES, 50_000, seed)):
        bad += not is_message(payload)
        assert good.take(payload, i) is None
        taken += everything.take(payload, i) is not None
        if i % 100 == 0:
            sent = pose(i // 100, camera="good")
            assert good.take(encode(sent), i) == everything.take(encode(sent), i) == sent
    assert (good.missed, good.late, good.restarts, good.oversize) == (0, 0, 0, 0)
    assert good.malformed == bad
    assert everything.malformed == 50_000 - taken >= bad
    assert 1000 < bad < 49_000, "it should be both"
    assert everything.oversize == 0
    assert everything.missed < 100 * 2**53
    assert len(everything.runs) <= 64
