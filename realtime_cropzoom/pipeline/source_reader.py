"""Source reader: the thread that opens the source, keeps its pace, and puts each frame into the ring."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.pipeline.clock_drift import DriftFit
from realtime_cropzoom.runtime.priority import raise_priority
from realtime_cropzoom.runtime.ring import Ring
from realtime_cropzoom.runtime.started import Started
from realtime_cropzoom.runtime.stats import Rate
from realtime_cropzoom.runtime.worker import POLL_S, RunControl
from realtime_cropzoom.sources.base import CapturedFrame, Source, SourceInfo
from realtime_cropzoom.sources.live.reconnect import ReconnectingSource, ReconnectPolicy
from realtime_cropzoom.types import FrameMeta, StreamState

_PAUSE_SHARE = 0.25
"""Pause after each frame of a recording, as a share of the frame interval. Decoding the next frame at once would
take a core and the interpreter from the pose stage just when it has a frame to process."""
_MAX_PAUSE_NS = 4_000_000
"""Maximum of that pause (ns)."""

Tap = Callable[[FrameMeta, CapturedFrame], None]
"""Receives each frame after it is in the ring, in the thread of the reader."""


@dataclass(frozen=True, slots=True)
class CaptureOptions:
    """Options of the capture."""

    realtime: bool
    """Whether a recording is played at its own pace."""
    frames: int | None = None
    """Number of frames after which the run ends; None for no limit."""
    speed: float = 1.0
    """Factor on the pace of a recording."""
    reconnect: ReconnectPolicy = field(default_factory=ReconnectPolicy)
    """Policy for a live source that is lost."""
    stall_after_ms: float = 500.0
    """Time (ms) without a frame after which a live source is treated as stalled."""
    urgent: bool = False
    """Whether the thread of the source has real-time priority."""


class SourceReader(threading.Thread):
    """Reads one source to its end, or to the end of the run.

    Only this thread writes the public attributes but ``tap``; any thread may read them. ``begin`` is called once, by
    the thread that starts the run. The thread is a daemon, because a call that waits for a camera cannot be
    interrupted.
    """

    def __init__(self, open_source: Callable[[], Source], control: RunControl, options: CaptureOptions) -> None:
        """Create the thread; ``open_source`` is called in it."""
        super().__init__(name="cropzoom-source", daemon=True)
        self._open_source = open_source
        self._control = control
        self._options = options
        self._reconnecting: ReconnectingSource | None = None
        self._begun = threading.Event()
        self._ring: Ring | None = None
        self.tap: Tap | None = None
        """Receives each frame; None for none. An order replaces it while frames flow."""
        self.opened = Started(SourceError, "is the camera plugged in?")
        """Reports that the source is open, or why it is not."""
        self.info: SourceInfo | None = None
        """Properties of the source; None until it is open."""
        self.lost = 0
        """Number of frames that the camera counted and that never arrived."""
        self.stale = 0
        """Number of frames left out because they waited in a buffer and were old when they arrived."""
        self.drift = DriftFit()
        """Clock drift of a live source that has a clock."""
        self.rate = Rate()
        """Rate of captured frames."""
        self.first_ns = self.last_ns = 0
        """Capture times (monotonic, ns) of the first and the last frame; 0 before the first."""
        self._arrived_ns = 0
        """Time (monotonic, ns) of the last frame, captured or thrown away before ``begin``; 0 before the first."""
        self._problems: list[str] | None = None
        """Problems of the source, once it is closed."""

    def begin(self, ring: Ring, tap: Tap | None) -> None:
        """Start to capture into ``ring``. Frames that came before are thrown away."""
        self.tap = tap
        self._ring = ring
        self._begun.set()

    def stream(self, at_ns: int) -> StreamState:
        """Return whether frames arrive at ``at_ns`` (monotonic, ns). A recording is always live."""
        if self._reconnecting is None or self.info is None:
            return StreamState.LIVE
        if self._reconnecting.state is StreamState.RECONNECTING:
            return StreamState.RECONNECTING
        silent_ns = at_ns - self._arrived_ns if self._arrived_ns else 0
        stalled = is_stalled(silent_ns, self.info.fps, self._options.stall_after_ms)
        return StreamState.STALLED if stalled else StreamState.LIVE

    def problems(self) -> list[str]:
        """Return the problems of the source so far. Another thread may call this if the source hangs."""
        if self._problems is not None:
            return self._problems
        return [] if self._reconnecting is None else self._reconnecting.problems()

    def run(self) -> None:
        """Read the source. An error ends the run after the frames before it."""
        if self._options.urgent:
            raise_priority()
        try:
            self._read()
        except BaseException as error:  # the outermost call of the thread: the error would be lost
            self._control.fail("capture", error)
        finally:
            self.opened.fail(self._control.error or SourceError("stopped before the source was ready"))

    def _read(self) -> None:
        source = self._open_source()
        if source.info.live:
            source = self._reconnecting = ReconnectingSource(
                source, self._open_source, self._options.reconnect, self._control.stop
            )
        try:
            self.info = source.info
            self.opened.ready()
            frames = self._frames_since_begin(source) if source.info.live else self._frames_after_begin(source)
            self._capture(frames, source.info)
        except Exception as error:  # no stop: the frames before it are good, and some are still in the ring
            self._control.keep("capture", error)
        finally:
            self._problems = source.problems()
            source.close()

    def _frames_after_begin(self, source: Source) -> Iterator[CapturedFrame]:
        """Yield all frames of a recording, from ``begin`` on."""
        while not self._begun.wait(POLL_S):
            if self._control.stop.is_set():
                return
        yield from source.frames()

    def _frames_since_begin(self, source: Source) -> Iterator[CapturedFrame]:
        """Yield the frames of a live source that arrive after ``begin``.

        Earlier frames, while the models load, are read and thrown away. Otherwise they would fill the buffers of
        drivers and networks, and be old when they are used.
        """
        first_ns = None
        for captured in source.frames():
            if self._control.stop.is_set():
                return
            self._arrived_ns = now_ns()
            if self._begun.is_set():
                first_ns = captured.pts_ns if first_ns is None else first_ns
                yield replace(captured, pts_ns=captured.pts_ns - first_ns)

    def _capture(self, frames: Iterator[CapturedFrame], info: SourceInfo) -> None:
        start_ns, speed = None, self._options.speed
        paced = self._options.realtime and not info.live
        pause_ns = round(min(_PAUSE_SHARE / info.fps / speed * 1e9, _MAX_PAUSE_NS)) if paced and info.fps else 0
        for index, captured in enumerate(frames):
            _check_size(captured, info, index)
            start_ns = now_ns() if start_ns is None else start_ns
            if paced:
                self._control.sleep_until(start_ns + round(captured.pts_ns / speed))
            if self._control.stop.is_set():
                return
            meta = FrameMeta(index, captured.pts_ns, captured.device_ns, now_ns(), captured.segment)
            if not self._hand_over(captured, meta):
                return
            self._count(captured, meta, info)
            if index + 1 == self._options.frames:
                return
            self._control.sleep_until(meta.captured_ns + pause_ns)

    def _hand_over(self, captured: CapturedFrame, meta: FrameMeta) -> bool:
        """Put a frame into the ring and show it to the tap; return False if the run stops first."""
        self._arrived_ns = meta.captured_ns
        ring = self._ring
        assert ring is not None  # there are no frames before ``begin``
        while (slot := ring.claim(POLL_S)) is None:
            if self._control.stop.is_set():
                return False
        if captured.image is None:
            captured.copy_to(ring.memory(slot))
        ring.publish(slot, meta, captured.image)
        time.sleep(0)  # the pose stage gets the interpreter before this thread does its counting
        tap = self.tap
        if tap is not None:
            tap(meta, captured)
        return True

    def _count(self, captured: CapturedFrame, meta: FrameMeta, info: SourceInfo) -> None:
        if info.live and meta.device_ns is not None:
            self.drift.add(meta.device_ns, meta.captured_ns, meta.segment)
        self.lost += captured.lost_before
        self.stale += captured.stale_before
        self.rate.add(meta.captured_ns)
        self.first_ns = self.first_ns or meta.captured_ns
        self.last_ns = meta.captured_ns


def is_stalled(silent_ns: int, fps: float | None, stall_after_ms: float) -> bool:
    """Return whether a live source is silent for too long: for ``stall_after_ms``, and for three frame intervals.

    Args:
        silent_ns: Time (ns) since the last frame; 0 before the first.
        fps: Nominal frames per second; None if unknown.
        stall_after_ms: Time (ms) without a frame.
    """
    return silent_ns > max(stall_after_ms, 3000 / fps if fps else 0.0) * 1e6


def _check_size(captured: CapturedFrame, info: SourceInfo, index: int) -> None:
    if (captured.width, captured.height) != (info.width, info.height):
        raise SourceError(
            f"frame {index} of {info.name} is {captured.width}x{captured.height}, but the stream began as "
            f"{info.width}x{info.height}; the run ends here, with everything before it written"
        )
