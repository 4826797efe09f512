"""Messages: their bytes, their schema, and malformed payloads."""

from __future__ import annotations

import json
import math

import msgspec
import numpy as np
import pytest

from realtime_cropzoom.inference.presence import Doubt
from realtime_cropzoom.inference.schedule import NO_BOX
from realtime_cropzoom.messaging.message import (
    SCHEMA_VERSION,
    BoxField,
    Counts,
    Encoding,
    EndMessage,
    EventMessage,
    HelloMessage,
    Message,
    Percentiles,
    PoseMessage,
    PreviewHeader,
    StatusMessage,
    TimeField,
    decode,
    encode,
    finite_or_none,
    json_schema,
    topic,
)
from realtime_cropzoom.runtime.records import FrameCounts, FrameOutcome, Record, RunIdentity, pose_message
from realtime_cropzoom.types import ActiveBox, Box, FrameMeta, Keypoints, State

COUNTS = Counts(captured=10, processed=7, skipped=2, failed=1, unsent=3)
POSE = PoseMessage(
    schema=SCHEMA_VERSION,
    run="a1b2",
    camera="cam0",
    seq=6,
    frame=9,
    state="tracking",
    stream="live",
    keypoints={"snout": (12.5, -3.25, 0.75), "tail": (None, None, None)},
    box=BoxField(-30, 4, 240, 240, 8, 33.4),
    time=TimeField(None, 1, 2, 3, 4, 5, 1_700_000_000_000_000_000),
    counts=COUNTS,
)
STATUS = StatusMessage(
    schema=SCHEMA_VERSION,
    run="a1b2",
    camera="cam0",
    state="lost",
    stream="stalled",
    counts=COUNTS,
    backlog=1,
    fps=29.97,
    detector_fps=12.0,
    latency_ms={"total": Percentiles(4.5, 6.0, 8.0, 20.0), "wait": Percentiles(None, None, None, None)},
    time_ns=77,
    unix_offset_ns=-5,
)
HELLO = HelloMessage(
    schema=SCHEMA_VERSION,
    run="a1b2",
    camera="cam0",
    source="maus-ä.mp4",
    keypoint_names=["snout", "tail"],
    width=640,
    height=480,
    fps=None,
    detector_sha256=None,
    pose_sha256="00ff",
    config_sha256="11ee",
    version="0.1.0",
    unix_offset_ns=5,
)
END = EndMessage(SCHEMA_VERSION, "a1b2", "cam0", "finished", COUNTS, 99)
EVENT = EventMessage(SCHEMA_VERSION, "a1b2", "cam0", 3, "marker", "odour on", "page (anna)", None, 99, -5)
MESSAGES = [pytest.param(m, id=type(m).__name__) for m in (POSE, STATUS, HELLO, END, EVENT)]


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
@pytest.mark.parametrize("message", MESSAGES)
def test_messages_are_decoded_to_what_was_encoded(message: Message, encoding: Encoding) -> None:
    back = decode(encode(message, encoding))
    assert type(back) is type(message)
    assert back == message


@pytest.mark.parametrize("message", MESSAGES)
def test_json_is_utf8_that_any_json_library_reads(message: Message) -> None:
    payload = json.loads(encode(message).decode("utf-8"))
    assert payload["schema"] == SCHEMA_VERSION
    assert payload["run"] == "a1b2"


def test_the_pose_on_the_wire_has_the_promised_names() -> None:
    payload = json.loads(encode(POSE))
    assert payload["type"] == "pose"
    assert payload["keypoints"] == {"snout": [12.5, -3.25, 0.75], "tail": [None, None, None]}
    assert payload["box"] == {"x": -30, "y": 4, "w": 240, "h": 240, "frame": 8, "age_ms": 33.4, "origin": "detection"}
    assert set(payload["time"]) == {
        "device_ns", "captured_ns", "detected_ns", "cropped_ns", "inferred_ns", "published_ns", "unix_offset_ns"
    }  # fmt: skip
    assert set(payload["counts"]) == {"captured", "processed", "skipped", "failed", "unsent"}


def test_not_a_number_is_null_in_json() -> None:
    spoilt = msgspec.structs.replace(POSE, keypoints={"snout": (math.nan, math.inf, 0.0)})
    payload = json.loads(encode(spoilt))
    assert payload["keypoints"]["snout"] == [None, None, 0.0]


def test_times_of_19_digits_survive_json_exactly() -> None:
    time = TimeField(2**63 - 1, 1, None, None, 4, 5, 1_763_826_310_123_456_789)
    back = decode(encode(msgspec.structs.replace(POSE, time=time)))
    assert isinstance(back, PoseMessage)
    assert back.time == time


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (POSE, b"pose/left"),
        (STATUS, b"status/left"),
        (HELLO, b"hello/left"),
        (END, b"end/left"),
        (EVENT, b"event/left"),
    ],
    ids=["pose", "status", "hello", "end", "event"],
)
def test_the_topic_holds_type_and_camera(message: Message, expected: bytes) -> None:
    assert topic(message, "left") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1.5, 1.5), (0.0, 0.0), (math.nan, None), (math.inf, None), (-math.inf, None)],
)
def test_finite_or_none(value: float, expected: float | None) -> None:
    assert finite_or_none(value) == expected


def test_keypoints_as_arrays_in_their_order() -> None:
    np.testing.assert_array_equal(POSE.xy(), [[12.5, -3.25], [np.nan, np.nan]])
    np.testing.assert_array_equal(POSE.likelihood(), [0.75, np.nan])
    assert POSE.xy().dtype == POSE.likelihood().dtype == np.float64
    nothing = msgspec.structs.replace(POSE, keypoints={})
    assert (nothing.xy().shape, nothing.likelihood().shape) == ((0, 2), (0,))


IDENTITY = RunIdentity("a1b2", "cam0", ("snout", "tail"), 500)


def record(active_box: ActiveBox, keypoints: Keypoints | None) -> Record:
    meta = FrameMeta(9, 300, device_ns=12, captured_ns=1000)
    return Record(
        meta, FrameOutcome.PROCESSED, active_box, keypoints, 1100, 1300, seq=6, counts=FrameCounts(10, 7, 2, 1)
    )


def test_a_pose_becomes_its_message() -> None:
    found = Keypoints(np.array([[1.5, 2.5], [3.5, -4.5]], np.float32), np.array([0.5, 0.25], np.float32))
    active_box = ActiveBox(Box(-1, 2, 30, 40), 8, 33.5, State.COASTING, detected_ns=900)
    assert pose_message(record(active_box, found), IDENTITY, 1400, unsent=3) == PoseMessage(
        schema=SCHEMA_VERSION,
        run="a1b2",
        camera="cam0",
        seq=6,
        frame=9,
        state="coasting",
        stream="live",
        keypoints={"snout": (1.5, 2.5, 0.5), "tail": (3.5, -4.5, 0.25)},
        box=BoxField(-1, 2, 30, 40, 8, 33.5),
        time=TimeField(12, 1000, 900, 1100, 1300, 1400, 500),
        counts=COUNTS,
        plausible=True,
    )


def test_an_implausible_pose_names_its_doubt() -> None:
    found = Keypoints(np.array([[1.5, 2.5], [3.5, -4.5]], np.float32), np.array([0.5, 0.25], np.float32))
    plausible = record(ActiveBox(Box(-1, 2, 30, 40), 8, 33.5, State.COASTING, detected_ns=900), found)
    of = msgspec.structs.replace(plausible, doubt=Doubt.SHAPE)
    message = pose_message(of, IDENTITY, 1400, unsent=3)
    assert (message.plausible, message.doubt) == (False, "shape")
    assert decode(encode(message)) == message


def test_before_the_first_box_all_keypoints_are_null_and_so_is_the_box() -> None:
    message = pose_message(record(NO_BOX, None), IDENTITY, 1400, unsent=0)
    assert message.keypoints == {"snout": (None, None, None), "tail": (None, None, None)}
    assert message.box is None
    assert message.state == "searching"
    assert message.time.detected_ns is None
    assert decode(encode(message)) == message


@pytest.mark.parametrize(
    "struct",
    [PoseMessage, StatusMessage, HelloMessage, EndMessage, EventMessage, PreviewHeader, BoxField, TimeField, Counts],
)
def test_the_schema_has_every_field_of(struct: type[msgspec.Struct]) -> None:
    described = json_schema()["$defs"][struct.__name__]
    assert set(described["properties"]) - {"type"} == set(struct.__struct_fields__)
    # What came later in a version has a default, so that what was sent before it still decodes.
    always = {field.name for field in msgspec.structs.fields(struct) if field.required}
    assert set(described["required"]) - {"type"} == always


def test_the_schema_is_json_and_its_references_resolve() -> None:
    schema = json.loads(json.dumps(json_schema()))

    def references(node: object) -> set[str]:
        if isinstance(node, dict):
            own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
            return own.union(*map(references, node.values()))
        return set().union(*map(references, node)) if isinstance(node, list) else set()

    found = references(schema)
    assert "#/$defs/PoseMessage" in found
    assert found <= {f"#/$defs/{name}" for name in schema["$defs"]}


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"hello", id="text"),
        pytest.param(b"{", id="JSON cut off"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"null", id="null"),
        pytest.param(b'{"schema": 1}', id="no type"),
        pytest.param(b'{"type": "gaze", "schema": 1}', id="a type there is not"),
        pytest.param(encode(POSE)[:-20], id="a pose cut off"),
        pytest.param(encode(POSE, "msgpack")[:-20], id="msgpack cut off"),
        pytest.param(encode(POSE).replace(b'"seq":6', b'"seq":"six"'), id="a field of the wrong kind"),
        pytest.param(encode(POSE).replace(b'"seq":6,', b""), id="a field is missing"),
        pytest.param(bytes(range(256)), id="binary rubbish"),
        pytest.param(b"\xff\xfe{\x00}\x00", id="another text encoding"),
    ],
)
def test_malformed_payloads_raise_an_error_of_msgspec(payload: bytes) -> None:
    with pytest.raises((msgspec.ValidationError, msgspec.DecodeError)):
        decode(payload)


def test_a_field_that_a_later_sender_added_is_ignored() -> None:
    payload = json.loads(encode(POSE)) | {"mood": "curious"}
    assert decode(json.dumps(payload).encode()) == POSE
