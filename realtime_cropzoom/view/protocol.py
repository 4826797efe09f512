"""Messages between the server of ``cropzoom view`` and its page, over the WebSocket ``/ws``.

From the server come text frames, each a JSON object or a list of objects with the field ``kind``, and binary frames,
each a picture: a little-endian uint32 ``n``, ``n`` bytes of JSON (a ``PictureHeader``) and a JPEG. From the page come
text frames, each one object: ``show`` or ``order``.

A page gets ``welcome`` first, then what is known so far: ``endpoint``, ``camera``, ``status``, ``history``,
``latency``, ``map`` and ``event`` of each camera, and ``trigger``. After that it gets what is new. All times are Unix
times in ms, with fractions; all positions are frame pixels. Not-a-number is null.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import msgspec

Xyp = tuple[float, float, float | None] | None
"""A keypoint: x and y (frame pixels) and likelihood (0 to 1; null if the model gives none). Null if it is absent."""
BoxXywh = tuple[float, float, float, float]
"""A crop box: left, top, width and height (frame pixels)."""


class Welcome(msgspec.Struct, frozen=True, tag_field="kind", tag="welcome"):
    """The first message to a page."""

    version: str
    """Version of this package."""
    orders: bool
    """Whether the server takes orders; false with ``--look-only``."""
    now_unix_ms: float
    """Time of the server when it sent the message, to compare with the clock of the browser."""
    endpoints: list[str]
    """The endpoints that the server listens to. An ``endpoint`` message follows for each, also for later ones."""


class Endpoint(msgspec.Struct, frozen=True, tag_field="kind", tag="endpoint"):
    """The connection to one endpoint, also before any camera is known there."""

    endpoint: str
    link: str
    """``waiting`` (no run answers yet), ``connected``, or ``refused``."""
    problem: str | None = None
    """Why it is refused, in one line."""


class Subject(msgspec.Struct, frozen=True):
    """One of several animals that a camera sees: one of several in one arena, or the animal of a region."""

    name: str
    """Number of the animal, or name of the region."""
    outline: list[tuple[float, float]]
    """Corners of the region (frame pixels); empty for an animal in one arena with others."""


class Camera(msgspec.Struct, frozen=True, tag_field="kind", tag="camera"):
    """A camera and its run; sent again when a new run begins or the link changes."""

    camera: str
    """Name by which all messages call the camera. Unlike ``name`` it is unique in this page."""
    name: str
    """Name of the camera in its run."""
    endpoint: str
    link: str
    """``connected``: messages arrive; ``waiting``: none came for 3 s, or the run ended; ``refused``: it needs a key."""
    run: str
    """Id of the run. A new id means a new run: frames count from 0 again, and history and map begin anew."""
    source: str
    keypoint_names: list[str]
    skeleton: list[tuple[str, str]]
    """Pairs of keypoints that a line joins; empty if the model names none."""
    width: int
    """Frame width in pixels."""
    height: int
    """Frame height in pixels."""
    fps: float | None
    """Nominal frame rate (frames per second); null if the source does not give it."""
    version: str
    """Version of the package that runs."""
    arena_unit: str | None
    """Unit of arena space, such as cm; null without a calibration."""
    filter: str | None
    """Name of the filter; null without one."""
    control: str | None
    """Name of the run's socket for orders, for the field ``to`` of an order; null if it takes none from here."""
    preview: bool
    """Whether the run can send pictures."""
    subjects: list[Subject] = []
    """The animals, if the camera sees several; empty for one. The rows of poses then say whose they are."""


class PoseRow(msgspec.Struct, frozen=True, array_like=True):
    """One pose, written as a list of these values."""

    frame: int
    """Capture index."""
    t_unix_ms: float
    """Time of capture (Unix time, ms)."""
    state: str
    """searching, tracking, coasting or lost."""
    box: BoxXywh | None
    """Null before the first usable detection."""
    box_age_ms: float | None
    """Age of the box (ms)."""
    keypoints: list[Xyp]
    """In the order of ``keypoint_names``; an empty list without a pose."""
    latency_ms: float | None
    """Time from capture to reception here (ms), an upper bound; null while the publisher's clock is unknown."""
    plausible: bool | None
    """Whether the pose looks like an animal; null without a pose."""


class SubjectRow(PoseRow, frozen=True, array_like=True):
    """One pose of one of several animals: the values of a ``PoseRow``, and these."""

    subject: int
    """Place of the animal in ``Camera.subjects``, from 0."""
    uncertain: bool
    """Whether it may have been taken for another animal."""
    meetings: int
    """Number of times that it became uncertain."""


class Poses(msgspec.Struct, frozen=True, tag_field="kind", tag="poses"):
    """All new poses of a camera, about 30 times a second."""

    camera: str
    rows: Sequence[PoseRow]
    """Of several animals, each is a ``SubjectRow``."""


class History(msgspec.Struct, frozen=True, tag_field="kind", tag="history"):
    """Poses of the last minute, at most 30 a second of each animal; sent once, when a page joins."""

    camera: str
    rows: Sequence[PoseRow]


class Percentiles(msgspec.Struct, frozen=True):
    """Percentiles of a duration (ms); null before the first value."""

    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None


class Status(msgspec.Struct, frozen=True, tag_field="kind", tag="status"):
    """State of a run: once a second, and when the state of the stream changes."""

    camera: str
    stream: str
    """live, stalled, reconnecting or ended; ``silent`` if no message came for 3 s."""
    state: str
    """State of the newest pose: searching, tracking, coasting or lost; of several animals, the best."""
    counts: dict[str, int]
    """Number of frames: captured, processed, skipped, failed, unsent."""
    fps: float
    """Number of frames captured in the last second."""
    detector_fps: float
    """Number of detections in the last second."""
    latency_ms: dict[str, Percentiles]
    """By stage of the run, since its start; ``total`` is captured → pose in frame pixels."""
    backlog: int
    """Number of captured frames without an outcome yet."""
    losses: dict[str, int]
    """Number of losses by cause. Frames: ``lost`` (by the camera), ``stale``, ``skipped``, ``failed``, ``unrecorded``;
    messages: ``unsent``, of them ``too_old``, and ``missed`` between the run and this server."""
    recording: str | None
    """Name of the file into which frames are recorded; null while none are."""
    recording_since_unix_ms: float | None
    recording_frames: int
    disk_free_bytes: int | None
    """Free space where the session is written (bytes)."""
    disk_hours: float | None
    """Time until that disk is full at the present rate (h); null if nothing is written."""
    publishing: bool
    """False while the run has paused publishing."""
    age_s: float
    """Time since the last message of the run (s)."""


class Latency(msgspec.Struct, frozen=True, tag_field="kind", tag="latency"):
    """Histogram of the time from capture to reception here, over the last 10 s; once a second."""

    camera: str
    edges_ms: list[float]
    """Edges of the bins (ms), ascending. Bin i is ``edges_ms[i]`` to ``edges_ms[i + 1]``; the last is open."""
    counts: list[int]
    """Number of poses in each bin, one for each edge."""
    p50: float | None
    p99: float | None


class Event(msgspec.Struct, frozen=True, tag_field="kind", tag="event"):
    """Something that happened."""

    number: int
    """Number of the event in this server, from 0."""
    camera: str | None
    trigger: str | None
    t_unix_ms: float
    what: str
    """From runs: ``marker``, ``recording_started`` …, as in the events file; from triggers: the verdict of a decision
    (``fired``, ``refused`` …) or ``order``; from here: ``run_started``, ``run_ended``, ``silent``, ``missed``,
    ``order_refused``."""
    text: str
    """One line for a person."""
    frame: int | None = None
    """Capture index that it belongs to."""
    by: str | None = None
    """Who gave the order."""


class Map(msgspec.Struct, frozen=True, tag_field="kind", tag="map"):
    """Where the animal was during the run, as far as this server saw it; every 2 s."""

    camera: str
    grid_w: int
    grid_h: int
    counts: list[int]
    """Number of tracked poses in each cell of the frame, row-major."""


class Trigger(msgspec.Struct, frozen=True, tag_field="kind", tag="trigger"):
    """State of a trigger process: once a second and at each change."""

    name: str
    """Name of its socket for orders, for the field ``to`` of an order."""
    link: str
    """``connected``, or ``gone`` when it no longer answers."""
    rules_file: str = ""
    endpoint: str = ""
    """Endpoint of the poses that it follows."""
    camera: str | None = None
    armed: list[str] = []
    """Names of the armed rules."""
    rules: list[dict[str, Any]] = []
    """Each: name, zones, outputs, armed, holding."""
    zones: dict[str, Any] = {}
    """Name → shape as in the rules file."""
    outputs: dict[str, Any] = {}
    """Name → kind, level, error."""
    dry_run: bool = False
    """Whether it only decides, and switches nothing."""
    poses: int = 0
    fired: int = 0


class Dropped(msgspec.Struct, frozen=True, tag_field="kind", tag="dropped"):
    """This page reads too slowly: the server has left out messages for it."""

    batches: int
    """Number of ``poses`` messages left out since the page joined."""


class Answer(msgspec.Struct, frozen=True, tag_field="kind", tag="answer"):
    """Answer to an order of this page."""

    id: int
    """The ``id`` of the order."""
    ok: bool
    error: str | None = None
    """Why it is refused, in one line."""
    state: dict[str, Any] | None = None
    """State of the run or trigger process after the order."""


ServerMessage = (
    Welcome
    | Endpoint
    | Camera
    | Poses
    | History
    | Status
    | Latency
    | Event
    | Map
    | Trigger
    | Dropped
    | Answer
)  # fmt: skip


class Show(msgspec.Struct, frozen=True, tag_field="kind", tag="show", forbid_unknown_fields=True):
    """The cameras whose pictures the page wants, from now on."""

    previews: list[str]
    """Values of ``Camera.camera``; empty when the page is hidden."""


class Order(msgspec.Struct, frozen=True, tag_field="kind", tag="order", forbid_unknown_fields=True):
    """An order to a run or a trigger process. Each gets one ``answer``."""

    id: int
    """A number that the page chooses."""
    to: str
    """``Camera.control`` or ``Trigger.name``."""
    order: str
    target: str | None = None
    value: Any = None


PageMessage = Show | Order


class PictureHeader(msgspec.Struct, frozen=True):
    """The JSON part of a picture."""

    camera: str
    """Value of ``Camera.camera``."""
    run: str
    frame: int
    """Capture index: draw it with the pose of the same frame."""
    t_unix_ms: float
    """Time of capture (Unix time, ms)."""
    width: int
    """Width of the JPEG (pixels)."""
    height: int
    of_width: int
    """Width of the frame (pixels)."""
    of_height: int


_encode = msgspec.json.Encoder().encode
_PAGE_MESSAGE = msgspec.json.Decoder(PageMessage)


def encode(message: ServerMessage) -> str:
    """Return a message as the text of a WebSocket frame."""
    return _encode(message).decode()


def encode_picture(header: PictureHeader, jpeg: bytes) -> bytes:
    """Return a picture as a binary WebSocket frame: length of the header (uint32, little-endian), header, JPEG."""
    head = _encode(header)
    return struct.pack("<I", len(head)) + head + jpeg


def decode_page_message(text: str | bytes) -> PageMessage:
    """Return the message of a page.

    Raises:
        msgspec.DecodeError: if it is no JSON, or not a message of a page.
    """
    message: PageMessage = _PAGE_MESSAGE.decode(text)
    return message
