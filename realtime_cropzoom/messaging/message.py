"""What leaves a run: the messages of schema version 1, and their bytes.

A pose message travels as two parts, the topic and UTF-8 JSON (or msgpack), on the PUB
endpoint, and as that payload alone on the conflating ``latest`` endpoint. Fields are
added within a version, never renamed. Not-a-number is null. All times are ns of the
sender's monotonic clock; add ``unix_offset_ns`` for Unix time.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SCHEMA_VERSION = 1

Encoding = Literal["json", "msgpack"]

# Bounds, so that whatever decodes can be reckoned with: no number is too large for a float or for another language.
Ns = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""A time or a duration, ns."""
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""A number of something, or one that counts from 0."""
Whole = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]
"""Any other whole number."""


class BoxField(msgspec.Struct, frozen=True):
    """The crop region, and the frame its detection was made on."""

    x: Whole
    y: Whole
    w: Whole
    h: Whole
    frame: Whole
    """Capture index of the frame that the detector saw."""
    age_ms: float
    """Frame time between that frame and this one."""


class TimeField(msgspec.Struct, frozen=True):
    """The ledger of one frame."""

    device_ns: int | None
    """The source's own time for the frame, null where it has none."""
    captured_ns: Ns
    """The decoded frame was handed over."""
    detected_ns: Ns | None
    """The detection that gave the box was done; null without one."""
    cropped_ns: Ns | None
    """The model input was ready; null without a box."""
    inferred_ns: Ns
    """The pose was there, in frame pixels."""
    published_ns: Ns
    """The message was handed to the socket."""
    unix_offset_ns: Ns
    """Unix time less monotonic time, measured once a run."""


class Counts(msgspec.Struct, frozen=True):
    """What became of every frame up to this one: captured = processed + skipped + failed."""

    captured: Count
    processed: Count
    skipped: Count
    """Jumped over to stay with the newest frame."""
    failed: Count
    """The model gave numbers that are none, or broke off."""
    unsent: Count
    """Messages dropped before the socket; their ``seq`` is missing."""


class FilteredKeypoint(msgspec.Struct, frozen=True, array_like=True):
    """A filtered keypoint, written as [x, y, vx, vy, sigma]; all null before the first usable pose."""

    x: float | None
    """Frame pixels."""
    y: float | None
    vx: float | None
    """Pixels per second."""
    vy: float | None
    sigma: float | None
    """Standard deviation of the position in pixels, null where the filter knows none."""


class PoseMessage(msgspec.Struct, frozen=True, tag_field="type", tag="pose"):
    """One processed frame."""

    schema: int
    run: str
    """An id for this run."""
    camera: str
    seq: Count
    """Counts pose messages from 0; a gap is a dropped message."""
    frame: Count
    """Capture index."""
    state: str
    """searching, tracking, coasting or lost."""
    stream: str
    """live, stalled, reconnecting or ended."""
    keypoints: dict[str, tuple[float | None, float | None, float | None]]
    """Name → [x, y, likelihood], frame pixels; null where there is no pose."""
    box: BoxField | None
    """Null before the first usable detection."""
    time: TimeField
    counts: Counts
    segment: Count = 0
    """How often the source had broken off and come back before this frame."""
    filtered: dict[str, FilteredKeypoint] | None = None
    """Name → filtered position and velocity at ``time.captured_ns``; null where no filter is set."""
    arena: dict[str, tuple[float | None, float | None]] | None = None
    """Name → [x, y] in arena space, in ``arena_unit`` of the hello; null where no calibration is set."""
    plausible: bool | None = None
    """Whether the pose looks like an animal that moves as one does; null where there is no pose."""
    doubt: str | None = None
    """What speaks against it: likelihood, sharpness, shape or jump; null where nothing does."""

    def xy(self) -> NDArray[np.float64]:
        """Return the keypoints, (K, 2) in frame pixels, in the order of ``keypoints``; NaN where there is none."""
        import numpy as np

        rows = [(x, y) for x, y, _ in self.keypoints.values()]
        return np.array(rows, np.float64).reshape(-1, 2)  # None becomes NaN

    def likelihood(self) -> NDArray[np.float64]:
        """Return the likelihoods, (K,) in the order of ``keypoints``; NaN where the model gives none."""
        import numpy as np

        return np.array([likelihood for _, _, likelihood in self.keypoints.values()], np.float64)


class Percentiles(msgspec.Struct, frozen=True):
    """A distribution, in ms; null while it is empty."""

    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None


class StatusMessage(msgspec.Struct, frozen=True, tag_field="type", tag="status"):
    """The heartbeat, once a second."""

    schema: int
    run: str
    camera: str
    state: str
    stream: str
    counts: Counts
    backlog: Count
    """Frames captured that have no fate yet."""
    fps: float
    """Frames captured in the last second."""
    detector_fps: float
    """Detections made in the last second."""
    latency_ms: dict[str, Percentiles]
    """By stage, since the start of the run; ``total`` is captured → pose in frame pixels."""
    time_ns: Ns
    unix_offset_ns: Ns
    segment: Count = 0
    """How often the source has broken off and come back."""
    lost: Count = 0
    """Frames that the camera has counted and that never came."""
    too_old: Count = 0
    """Poses that were not sent because their frame was older than ``max_age_ms``; they are among ``unsent``."""
    recorded: Count = 0
    """Frames in the recording of the frames as captured."""
    unrecorded: Count = 0
    """Frames that should be in a recording, of frames or of crops, and are not."""
    refused: Count = 0
    """Connections that were not let in: without a key, with an unknown one, or for another run."""
    cut_off: Count = 0
    """Connections that were ended because they sent far more than a listener does, or were too many."""
    stale: Count = 0
    """Frames left out because they were old when they came: after the start of a stream, or after it stood still."""


class HelloMessage(msgspec.Struct, frozen=True, tag_field="type", tag="hello"):
    """What a subscriber must know to read the poses; sent at start and whenever somebody subscribes."""

    schema: int
    run: str
    camera: str
    source: str
    keypoint_names: list[str]
    width: Count
    """Frame width in pixels."""
    height: Count
    """Frame height in pixels."""
    fps: float | None
    """Nominal, null where the source does not say."""
    detector_sha256: str | None
    """Null where a recorded schedule gives the boxes."""
    pose_sha256: str
    config_sha256: str
    version: str
    """Of this package."""
    unix_offset_ns: Ns
    clock: str | None = None
    """Names the monotonic clock of all times: who has the same one needs no conversion."""
    echo: str | None = None
    """Endpoint that tells the time, for those who have another clock; null where there is none."""
    filter: str | None = None
    """What made ``filtered``: one_euro or kalman."""
    arena_unit: str | None = None
    """Unit of ``arena``, as in cm; null where no calibration is set."""


class EndMessage(msgspec.Struct, frozen=True, tag_field="type", tag="end"):
    """The last message of a run."""

    schema: int
    run: str
    camera: str
    reason: str
    """``finished``, ``stopped``, or what went wrong in one line."""
    counts: Counts
    time_ns: Ns


Message = PoseMessage | StatusMessage | HelloMessage | EndMessage

_ENCODERS: dict[Encoding, Any] = {"json": msgspec.json.Encoder(), "msgpack": msgspec.msgpack.Encoder()}
_DECODERS: dict[Encoding, Any] = {"json": msgspec.json.Decoder(Message), "msgpack": msgspec.msgpack.Decoder(Message)}


def encode(message: Message, encoding: Encoding = "json") -> bytes:
    """Return the payload of a message. In msgpack not-a-number stays what it is."""
    payload: bytes = _ENCODERS[encoding].encode(message)
    return payload


def decode(payload: bytes) -> Message:
    """Return the message in ``payload``, JSON or msgpack.

    Raises msgspec.ValidationError or msgspec.DecodeError where it is none.
    """
    encoding: Encoding = "json" if payload[:1] == b"{" else "msgpack"
    message: Message = _DECODERS[encoding].decode(payload)
    return message


def topic(message: Message, camera: str) -> bytes:
    """Return the topic a message goes under: ``pose/<camera>``, ``status/<camera>`` …"""
    return f"{type(message).__struct_config__.tag}/{camera}".encode()


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of all messages."""
    (schema,), components = msgspec.json.schema_components([Message], ref_template="#/$defs/{name}")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "$defs": components}


def finite_or_none(value: float) -> float | None:
    """Return ``value``, or None where it is not a finite number."""
    return value if math.isfinite(value) else None
