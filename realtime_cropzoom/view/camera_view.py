"""What the page knows of one camera: made from the messages of its run. It starts no thread and reads no clock."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence

from realtime_cropzoom.messaging.message import (
    Animal,
    AnimalsMessage,
    EndMessage,
    FrameMessage,
    HelloMessage,
    PoseMessage,
    StatusMessage,
)
from realtime_cropzoom.view import protocol
from realtime_cropzoom.view.protocol import (
    Camera,
    History,
    Latency,
    Map,
    PoseRow,
    Status,
    Subject,
    SubjectRow,
    Xyp,
)

HISTORY_S = 60.0
"""Length (s) of the history that a new page gets."""
_HISTORY_PER_S = 30
_MAX_POINTS = 200_000
"""Maximum number of keypoints in the history: with more than 100 keypoints in a frame it is shorter than a minute."""
_MAX_SUBJECTS = 64
"""Maximum number of regions or animals of a run that are shown."""
EDGES_MS = [0.0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 25, 30, 40, 50, 75, 100, 150, 200, 300, 500, 1000]
"""Edges (ms) of the latency histogram."""
_LATENCY_S = 10.0
_MAX_LATENCIES = 20_000
"""Maximum number of latencies that are kept for the histogram: 10 s at 2000 poses a second."""
GRID_W = 64
"""Number of columns of the occupancy map. Its rows follow from the aspect ratio of the frame."""
_MAX_GRID_H = 256
_LIKELY = 0.5
"""Minimum likelihood of the keypoints that say where the animal is."""
_TRACKING = "tracking"


class LatencyWindow:
    """Latencies: those of the last 10 s, and the counts of the whole run."""

    def __init__(self) -> None:
        self._kept: deque[tuple[int, float]] = deque(maxlen=_MAX_LATENCIES)
        self.counts = [0] * len(EDGES_MS)
        """Number of latencies from each edge to the next, of the whole run."""
        self.sum_ms = 0.0
        """Sum of all latencies of the run (ms)."""

    def add(self, latency_ms: float, at_ns: int) -> None:
        """Add the latency (ms) of a pose that was received at ``at_ns`` (monotonic)."""
        self._kept.append((at_ns, latency_ms))
        self.counts[_bin_of(latency_ms)] += 1
        self.sum_ms += latency_ms

    def message(self, camera: str, at_ns: int) -> Latency:
        """Return the histogram at ``at_ns`` (monotonic ns)."""
        while self._kept and at_ns - self._kept[0][0] > _LATENCY_S * 1e9:
            self._kept.popleft()
        counts = [0] * len(EDGES_MS)
        values = sorted(latency for _, latency in self._kept)
        for value in values:
            counts[_bin_of(value)] += 1
        return Latency(camera, EDGES_MS, counts, _quantile(values, 0.5), _quantile(values, 0.99))


def _bin_of(latency_ms: float) -> int:
    return max(0, bisect_right(EDGES_MS, latency_ms) - 1)


def _quantile(ascending: Sequence[float], share: float) -> float | None:
    """Return the value that ``share`` of the values do not exceed; None without values."""
    return ascending[math.ceil(share * len(ascending)) - 1] if ascending else None


class OccupancyMap:
    """Counts how often the animal was in each cell of the frame."""

    def __init__(self, width: int, height: int) -> None:
        """Create the map of a frame of ``width`` × ``height`` pixels, with square cells."""
        self._cell = max(width, 1) / GRID_W
        self.rows = min(_MAX_GRID_H, max(1, math.ceil(max(height, 1) / self._cell)))
        self.counts = [0] * (GRID_W * self.rows)

    def add(self, row: PoseRow) -> None:
        """Count a tracked pose, at the mean of its likely keypoints. Other poses are left out."""
        likely = [point for point in row.keypoints if point is not None and (point[2] is None or point[2] >= _LIKELY)]
        if row.state != _TRACKING or not likely:
            return
        column = sum(x for x, _, _ in likely) / len(likely) / self._cell
        line = sum(y for _, y, _ in likely) / len(likely) / self._cell
        if 0 <= column < GRID_W and 0 <= line < self.rows:  # also not infinite: what arrives may be absurd
            self.counts[int(line) * GRID_W + int(column)] += 1

    def message(self, camera: str) -> Map:
        """Return the map as a message."""
        return Map(camera, GRID_W, self.rows, self.counts)


class SubjectView:
    """What the page knows of one animal."""

    def __init__(self) -> None:
        self.newest: PoseRow | None = None
        """Its newest row; None before the first."""
        self.seq: int | None = None
        """Number of the last message about it."""
        self.history: deque[PoseRow] = deque()

    @property
    def state(self) -> str:
        """State of its newest pose."""
        return "searching" if self.newest is None else self.newest.state

    @property
    def uncertain(self) -> bool:
        """Whether it may have been taken for another animal."""
        return isinstance(self.newest, SubjectRow) and self.newest.uncertain

    def remember(self, row: PoseRow, max_points: int) -> None:
        """Add a row to the history, unless the last one is too near."""
        kept = self.history
        if not kept or row.t_unix_ms - kept[-1].t_unix_ms >= 1000 / _HISTORY_PER_S - 1:  # 1 ms for uneven frame times
            kept.append(row)
        while row.t_unix_ms - kept[0].t_unix_ms > HISTORY_S * 1000:
            kept.popleft()
        while len(kept) > 1 and len(kept) * len(row.keypoints) > max_points:
            kept.popleft()


class CameraView:
    """The newest run of one camera: what a page that joins now has to know."""

    def __init__(self, camera: str, endpoint: str, hello: HelloMessage) -> None:
        """Begin with the hello message of a run.

        Args:
            camera: The unique name in the page.
            endpoint: The endpoint of the run.
            hello: Its hello message.
        """
        self.camera, self.endpoint = camera, endpoint
        self.link = "connected"
        self._begin(hello)

    def _begin(self, hello: HelloMessage) -> None:
        self.hello = hello
        self.status: StatusMessage | None = None
        self.stream = "live"
        self.state = "searching"
        self.missed = 0
        self.received_ns: int | None = None
        self.latencies = LatencyWindow()
        self.map = OccupancyMap(hello.width, hello.height)
        self.subjects = _subjects(hello)
        """The animals, if there are several; empty for one."""
        self.views = [SubjectView() for _ in self.subjects or (None,)]
        """One for each of them."""
        self._new: list[PoseRow] = []

    def take_hello(self, hello: HelloMessage, at_ns: int) -> bool:
        """Take a hello message; returns whether it begins a new run."""
        is_new = hello.run != self.hello.run or _subjects(hello) != self.subjects
        if is_new:
            self._begin(hello)
        changed = is_new or hello != self.hello
        self.hello, self.received_ns = hello, at_ns
        return changed

    def take_frame(self, message: FrameMessage, latency_ms: float, at_ns: int) -> None:
        """Take a pose, or the poses of several animals, received at ``at_ns`` (monotonic).

        Args:
            message: The message.
            latency_ms: Its age; infinite if it is not known.
            at_ns: Time at which it was received (ns, monotonic).
        """
        rows = self._rows(message, latency_ms)
        if not rows:
            return
        first = self.views[_place(rows[0])]
        if first.seq is not None:
            self.missed += max(0, message.seq - first.seq - 1)
        first.seq = message.seq
        self.stream, self.received_ns = message.stream, at_ns
        if rows[0].latency_ms is not None:
            self.latencies.add(rows[0].latency_ms, at_ns)
        for row in rows:
            view = self.views[_place(row)]
            self.map.add(row)
            view.newest = row
            view.remember(row, _MAX_POINTS // len(self.views))
        self._new += rows
        self.state = best_state(view.state for view in self.views) if self.subjects else rows[0].state

    def _rows(self, message: FrameMessage, latency_ms: float) -> list[PoseRow]:
        """Return a row for each animal of a message; none if it is about an animal that the run has not named."""
        if isinstance(message, AnimalsMessage):
            animals = {animal.number: animal for animal in message.animals}
            numbered = ((place, animals.get(place + 1)) for place in range(len(self.subjects)))
            return [_animal_row(message, animal, place, latency_ms) for place, animal in numbered if animal is not None]
        if not self.subjects:
            return [pose_row(message, latency_ms)]
        place = next((k for k, subject in enumerate(self.subjects) if subject.name == message.region), None)
        return [] if place is None else [SubjectRow(*_values(message, message, latency_ms), place, False, 0)]

    def take_status(self, status: StatusMessage, at_ns: int) -> None:
        """Take a heartbeat, received at ``at_ns`` (monotonic)."""
        self.status, self.stream, self.received_ns, self.state = status, status.stream, at_ns, status.state

    def take_end(self, end: EndMessage, at_ns: int) -> None:
        """Take the end of the run."""
        self.stream, self.received_ns, self.link = "ended", at_ns, "waiting"

    def new_rows(self) -> list[PoseRow]:
        """Return the poses since the last call."""
        rows, self._new = self._new, []
        return rows

    def history_message(self) -> History:
        """Return the last minute."""
        return History(self.camera, [row for view in self.views for row in view.history])

    def camera_message(self, *, takes_orders: bool = False) -> Camera:
        """Return the description of the run.

        Args:
            takes_orders: Whether the program that the run names for orders is known to be this run.
        """
        hello = self.hello
        return Camera(
            camera=self.camera,
            name=hello.camera,
            endpoint=self.endpoint,
            link=self.link,
            run=hello.run,
            source=hello.source,
            keypoint_names=hello.keypoint_names,
            skeleton=hello.skeleton,
            width=hello.width,
            height=hello.height,
            fps=hello.fps,
            version=hello.version,
            arena_unit=hello.arena_unit,
            filter=hello.filter,
            control=hello.control if takes_orders else None,
            preview=hello.preview is not None,
            subjects=self.subjects,
        )

    def status_message(self, at_ns: int) -> Status | None:
        """Return the state at ``at_ns`` (monotonic); None before the first heartbeat."""
        status = self.status
        if status is None or self.received_ns is None:
            return None
        counts = status.counts
        return Status(
            camera=self.camera,
            stream=self.stream,
            state=self.state,
            counts={name: getattr(counts, name) for name in counts.__struct_fields__},
            fps=status.fps,
            detector_fps=status.detector_fps,
            latency_ms={
                stage: protocol.Percentiles(values.p50, values.p95, values.p99, values.max)
                for stage, values in status.latency_ms.items()
            },
            backlog=status.backlog,
            losses={
                "lost": status.lost,
                "stale": status.stale,
                "skipped": counts.skipped,
                "failed": counts.failed,
                "unrecorded": status.unrecorded,
                "unsent": counts.unsent,
                "too_old": status.too_old,
                "missed": self.missed,
            },
            recording=status.recording,
            recording_since_unix_ms=_unix_ms(status.recording_since_ns, status.unix_offset_ns),
            recording_frames=status.recording_frames,
            disk_free_bytes=status.disk_free_bytes,
            disk_hours=_hours_left(status.disk_free_bytes, status.disk_bytes_per_s),
            publishing=status.publishing,
            age_s=round(max(0, at_ns - self.received_ns) / 1e9, 3),
        )


def _unix_ms(time_ns: int | None, unix_offset_ns: int) -> float | None:
    return None if time_ns is None else round((time_ns + unix_offset_ns) / 1e6, 2)


def _hours_left(free_bytes: int | None, bytes_per_s: float | None) -> float | None:
    """Return how long the free space lasts (h); None if that is unknown, or nothing is written."""
    if free_bytes is None or not bytes_per_s or bytes_per_s < 0:
        return None
    return round(free_bytes / bytes_per_s / 3600, 2)


def best_state(states: Iterable[str]) -> str:
    """Return the state of the animal that is tracked best."""
    there = set(states)
    return next((state for state in ("tracking", "coasting", "lost") if state in there), "searching")


def _subjects(hello: HelloMessage) -> list[Subject]:
    """Return the animals of a run with several; empty for one."""
    if hello.regions:
        return [Subject(name, corners) for name, corners in list(hello.regions.items())[:_MAX_SUBJECTS]]
    return [Subject(str(k + 1), []) for k in range(min(hello.animals, _MAX_SUBJECTS))] if hello.animals > 1 else []


def _place(row: PoseRow) -> int:
    """Return the place of the animal of a row."""
    return row.subject if isinstance(row, SubjectRow) else 0


def pose_row(pose: PoseMessage, latency_ms: float) -> PoseRow:
    """Return a pose as a row, with positions to 0.01 px and times to 0.01 ms."""
    return PoseRow(*_values(pose, pose, latency_ms))


def _animal_row(message: AnimalsMessage, animal: Animal, place: int, latency_ms: float) -> SubjectRow:
    return SubjectRow(*_values(message, animal, latency_ms), place, animal.uncertain, animal.meetings)


_Values = tuple[
    int,
    float,
    str,
    tuple[float, float, float, float] | None,
    float | None,
    list[Xyp],
    float | None,
    bool | None,
]
"""The values of a ``PoseRow``."""


def _values(message: FrameMessage, pose: PoseMessage | Animal, latency_ms: float) -> _Values:
    """Return the values of a row: of the frame that a message is about, and of the pose of an animal in it."""
    time, box = message.time, pose.box
    points = [_point(values) for values in pose.keypoints.values()]
    return (
        message.frame,
        round((time.captured_ns + time.unix_offset_ns) / 1e6, 2),
        pose.state,
        None if box is None else (round(box.x, 2), round(box.y, 2), box.w, box.h),
        None if box is None or not math.isfinite(box.age_ms) else round(box.age_ms, 2),
        points if any(points) else [],
        round(latency_ms, 3) if math.isfinite(latency_ms) else None,
        pose.plausible,
    )


def _point(values: tuple[float | None, float | None, float | None]) -> Xyp:
    x, y, likelihood = values
    if x is None or y is None or not math.isfinite(x + y):
        return None
    shown = None if likelihood is None or not math.isfinite(likelihood) else round(likelihood, 3)
    return round(x, 2), round(y, 2), shown
