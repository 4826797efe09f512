"""Messages of schema version 1: the types that a run publishes, and their encoding.

A pose message has two parts on the PUB endpoint: the topic and the payload (UTF-8 JSON or
msgpack). On the conflating ``latest`` endpoint it is the payload alone. On the preview endpoint
a picture has three parts: the topic, a ``PreviewHeader`` (JSON) and the JPEG. Within a version
fields are added but never renamed. Not-a-number is null. All times are ns of the sender's
monotonic clock; add ``unix_offset_ns`` for Unix time.
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

# Bounds, so that every decoded number can be computed with: none is too large for a float or for another language.
Ns = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""A time or a duration, ns."""
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""A count, or an index that starts at 0."""
Whole = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]
"""Any other whole number."""
Fraction = Annotated[float, msgspec.Meta(ge=-(2**53), le=2**53)]
"""A number that need not be whole."""


class BoxField(msgspec.Struct, frozen=True):
    """Crop region, with the frame on which it was detected."""

    x: Whole | Fraction
    """Left edge (frame pixels): a whole number, unless the pose model keeps the fraction, as SLEAP's do."""
    y: Whole | Fraction
    """Top edge, likewise."""
    w: Whole
    h: Whole
    frame: Whole
    """Capture index of the frame in which the box was found."""
    age_ms: float
    """Frame time between that frame and this one (ms)."""
    origin: str = "detection"
    """Where it comes from: ``detection``, ``pose`` (around an earlier pose) or ``frame`` (the whole frame)."""


class TimeField(msgspec.Struct, frozen=True):
    """Times of one frame, from its capture to its message."""

    device_ns: int | None
    """Time of the source for the frame (ns, clock of the source); null if it has none."""
    captured_ns: Ns
    """Time at which the source handed over the decoded frame."""
    detected_ns: Ns | None
    """Time at which the detection that gave the box was done; null without a detection."""
    cropped_ns: Ns | None
    """Time at which the model input was ready; null without a box."""
    inferred_ns: Ns
    """Time at which the pose was ready, in frame pixels."""
    published_ns: Ns
    """Time at which the message was handed to the socket."""
    unix_offset_ns: Ns
    """Unix time minus monotonic time, measured once per run."""


class Counts(msgspec.Struct, frozen=True):
    """Number of frames up to this one, by outcome: captured = processed + skipped + failed."""

    captured: Count
    processed: Count
    skipped: Count
    """Frames skipped to keep up with the newest frame."""
    failed: Count
    """Frames for which the model gave numbers that are not finite, or failed."""
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
    """Standard deviation of the position (pixels); null if the filter does not estimate it."""


class PoseMessage(msgspec.Struct, frozen=True, tag_field="type", tag="pose"):
    """One processed frame."""

    schema: int
    run: str
    """Id of this run."""
    camera: str
    seq: Count
    """Number of the pose message, from 0; a gap is a dropped message."""
    frame: Count
    """Capture index."""
    state: str
    """searching, tracking, coasting or lost."""
    stream: str
    """live, stalled, reconnecting or ended."""
    keypoints: dict[str, tuple[float | None, float | None, float | None]]
    """Name → [x, y, likelihood], frame pixels; null without a pose."""
    box: BoxField | None
    """Null before the first usable detection."""
    time: TimeField
    counts: Counts
    segment: Count = 0
    """Number of times that the source was interrupted and came back before this frame."""
    filtered: dict[str, FilteredKeypoint] | None = None
    """Name → filtered position and velocity at ``time.captured_ns``; null if no filter is set."""
    arena: dict[str, tuple[float | None, float | None]] | None = None
    """Name → [x, y] in arena space, in ``arena_unit`` of the hello message; null if no calibration is set."""
    plausible: bool | None = None
    """Whether shape and motion of the pose fit an animal; null without a pose."""
    doubt: str | None = None
    """Why the pose is not plausible: likelihood, sharpness, shape or jump; null if it is plausible."""
    region: str | None = None
    """Name of the region of the frame in which this animal is; null if the run has no regions. ``seq`` and ``counts``
    are of this region."""

    def xy(self) -> NDArray[np.float64]:
        """Return the keypoints, (K, 2) float64, frame pixels, in the order of ``keypoints``; NaN without a pose."""
        import numpy as np

        rows = [(x, y) for x, y, _ in self.keypoints.values()]
        return np.array(rows, np.float64).reshape(-1, 2)  # None becomes NaN

    def likelihood(self) -> NDArray[np.float64]:
        """Return the likelihoods, (K,) float64 in the order of ``keypoints``; NaN if the model gives none."""
        import numpy as np

        return np.array([likelihood for _, _, likelihood in self.keypoints.values()], np.float64)


class Animal(msgspec.Struct, frozen=True):
    """One of several animals in a frame. Its fields mean what those of a ``PoseMessage`` do."""

    number: Count
    """Number of the animal, from 1: from left to right when they were first seen, and by position since then."""
    state: str
    keypoints: dict[str, tuple[float | None, float | None, float | None]]
    """Name → [x, y, likelihood], frame pixels; null while the animal is missing."""
    box: BoxField | None
    """Null while the animal is missing."""
    uncertain: bool
    """Whether it may have been taken for another animal: they met, and have not been seen apart since then."""
    meetings: Count
    """Number of times that it became uncertain. While it stays the same, so does the animal."""
    plausible: bool | None = None
    doubt: str | None = None
    filtered: dict[str, FilteredKeypoint] | None = None
    arena: dict[str, tuple[float | None, float | None]] | None = None


class AnimalsMessage(msgspec.Struct, frozen=True, tag_field="type", tag="animals"):
    """One processed frame of a run with several animals in one arena."""

    schema: int
    run: str
    camera: str
    seq: Count
    """Number of the message, from 0; a gap is a dropped message."""
    frame: Count
    """Capture index."""
    stream: str
    """live, stalled, reconnecting or ended."""
    animals: list[Animal]
    """All animals of the run, also those that are missing, in order of their numbers."""
    time: TimeField
    counts: Counts
    segment: Count = 0
    """Number of times that the source was interrupted and came back before this frame."""
    identity: str = "position"
    """What tells the animals apart: nothing but their position."""

    @property
    def state(self) -> str:
        """State of the animal that is tracked best."""
        states = {animal.state for animal in self.animals}
        return next((state for state in ("tracking", "coasting", "lost") if state in states), "searching")


class Percentiles(msgspec.Struct, frozen=True):
    """Percentiles of a duration (ms); null before the first value."""

    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None


class StatusMessage(msgspec.Struct, frozen=True, tag_field="type", tag="status"):
    """Heartbeat of a run, sent once per second."""

    schema: int
    run: str
    camera: str
    state: str
    stream: str
    counts: Counts
    backlog: Count
    """Number of captured frames that have no outcome yet."""
    fps: float
    """Number of frames captured in the last second."""
    detector_fps: float
    """Number of detections made in the last second."""
    latency_ms: dict[str, Percentiles]
    """By stage, since the start of the run; ``total`` is captured → pose in frame pixels."""
    time_ns: Ns
    unix_offset_ns: Ns
    segment: Count = 0
    """Number of times that the source was interrupted and came back."""
    lost: Count = 0
    """Number of frames that the camera counted and that never arrived."""
    too_old: Count = 0
    """Number of poses not sent because their frame was older than ``max_age_ms``; ``unsent`` includes them."""
    recorded: Count = 0
    """Number of frames in the recording of the captured frames."""
    unrecorded: Count = 0
    """Number of frames that are missing from a recording, of frames or of crops."""
    refused: Count = 0
    """Number of rejected connections: without a key, with an unknown key, or with the key of another run."""
    cut_off: Count = 0
    """Number of connections closed because they sent far more than a listener does, or because there were too many."""
    stale: Count = 0
    """Number of frames dropped because they arrived too old: at the start of a stream, or after it stood still."""
    recording: str | None = None
    """Name of the file into which frames are recorded; null while none are."""
    recording_since_ns: Ns | None = None
    """Time at which that recording began; null without one."""
    recording_frames: Count = 0
    """Number of frames in that recording."""
    disk_free_bytes: Count | None = None
    """Free space on the disk of the session folder (bytes); null while it is unknown."""
    disk_bytes_per_s: float | None = None
    """Growth of the session folder over the last minute (bytes per second); null while it is unknown."""
    publishing: bool = True
    """Whether poses are published; false while an order pauses them."""
    previews: Count = 0
    """Number of previews encoded in the last second."""
    regions: dict[str, str] = {}
    """Region → state of its animal; empty if the run has none. ``state`` is then the best of them."""


class HelloMessage(msgspec.Struct, frozen=True, tag_field="type", tag="hello"):
    """Description of a run, which the poses refer to; sent at the start and to each new subscriber."""

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
    """Nominal frame rate (frames per second); null if the source does not give it."""
    detector_sha256: str | None
    """Hash of the detector; null if a recorded schedule gives the boxes."""
    pose_sha256: str
    config_sha256: str
    version: str
    """Version of this package."""
    unix_offset_ns: Ns
    clock: str | None = None
    """Name of the monotonic clock of all times. A client with the same clock needs no conversion."""
    echo: str | None = None
    """Endpoint of the time server for clients with another clock; null if there is none."""
    filter: str | None = None
    """Filter that computed ``filtered``: one_euro or kalman; null if no filter is set."""
    arena_unit: str | None = None
    """Unit of ``arena``, such as cm; null if no calibration is set."""
    preview: str | None = None
    """Endpoint of the previews; null if there are none."""
    skeleton: list[tuple[str, str]] = []
    """Pairs of keypoints that a drawing joins by a line; empty if the pose model names none."""
    control: str | None = None
    """Name of the run's control socket on its machine; null if it takes no orders."""
    regions: dict[str, list[tuple[float, float]]] = {}
    """Region → corners of its outline (frame pixels); empty if the run has none. Each has poses of its own."""
    animals: Count = 1
    """Number of animals in one arena. If there are several, a frame has an ``animals`` message and no ``pose``."""


class EndMessage(msgspec.Struct, frozen=True, tag_field="type", tag="end"):
    """The last message of a run."""

    schema: int
    run: str
    camera: str
    reason: str
    """``finished``, ``stopped``, or the error in one line."""
    counts: Counts
    time_ns: Ns


class EventMessage(msgspec.Struct, frozen=True, tag_field="type", tag="event"):
    """Something that happened in a run, or was ordered; also a row of its events file."""

    schema: int
    run: str
    camera: str
    number: Count
    """Number of the event in this run, from 0; a gap is a lost message."""
    kind: str
    """marker, recording_started, recording_stopped, publishing_paused, publishing_resumed, setting_changed,
    detect_now, reconnected, stalled, lost, found or stop_asked."""
    text: str
    """What a person should read, such as the text of a marker; may be empty."""
    by: str
    """Who gave the order; the name of a part of the run if it was not ordered."""
    frame: Count | None
    """Capture index of the newest captured frame at that time; null before the first."""
    time_ns: Ns
    unix_offset_ns: Ns


class PreviewHeader(msgspec.Struct, frozen=True):
    """The second part of a preview, before the JPEG."""

    schema: int
    run: str
    camera: str
    frame: Count
    """Capture index of the frame that the picture shows."""
    captured_ns: Ns
    """Time at which the source handed over that frame."""
    width: Count
    """Width of the JPEG in pixels."""
    height: Count
    """Height of the JPEG in pixels."""
    of_width: Count
    """Width of the frame in pixels. A keypoint at x is at (x + 0.5) · ``width`` / ``of_width`` - 0.5 in the picture."""
    of_height: Count
    """Height of the frame in pixels, likewise."""
    segment: Count = 0
    """Number of times that the source was interrupted and came back before this frame."""


FrameMessage = PoseMessage | AnimalsMessage
"""What tells of one processed frame: of one animal, or of several in one arena."""
Message = PoseMessage | AnimalsMessage | StatusMessage | HelloMessage | EndMessage | EventMessage

_ENCODERS: dict[Encoding, Any] = {"json": msgspec.json.Encoder(), "msgpack": msgspec.msgpack.Encoder()}
_DECODERS: dict[Encoding, Any] = {"json": msgspec.json.Decoder(Message), "msgpack": msgspec.msgpack.Decoder(Message)}


def encode(message: Message, encoding: Encoding = "json") -> bytes:
    """Return the payload of a message as bytes. JSON writes not-a-number as null, msgpack keeps it."""
    payload: bytes = _ENCODERS[encoding].encode(message)
    return payload


def decode(payload: bytes) -> Message:
    """Return the message in ``payload``, JSON or msgpack.

    Raises:
        msgspec.DecodeError: if the bytes are neither JSON nor msgpack.
        msgspec.ValidationError: if they are not a message of this schema.
    """
    encoding: Encoding = "json" if payload[:1] == b"{" else "msgpack"
    message: Message = _DECODERS[encoding].decode(payload)
    return message


def topic(message: Message, camera: str) -> bytes:
    """Return the topic under which a message is published: ``pose/<camera>``, ``status/<camera>`` …

    The poses of a region have ``pose/<camera>/<region>``.
    """
    region = message.region if isinstance(message, PoseMessage) else None
    return f"{type(message).__struct_config__.tag}/{camera}{'' if region is None else f'/{region}'}".encode()


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of all messages. ``$defs`` also describes the header of previews, which is none."""
    (schema, _), components = msgspec.json.schema_components([Message, PreviewHeader], ref_template="#/$defs/{name}")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "$defs": components}


def finite_or_none(value: float) -> float | None:
    """Return ``value``; None if it is not finite."""
    return value if math.isfinite(value) else None
