"""Source → ring: opens the source, keeps its pace, stamps each frame, copies it into the ring."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.pipeline.clock_drift import DriftFit
from realtime_cropzoom.runtime.ring import Ring
from realtime_cropzoom.runtime.stats import Rate
from realtime_cropzoom.runtime.worker import POLL_S, RunControl, Stage
from realtime_cropzoom.sources.base import CapturedFrame, Source, SourceInfo
from realtime_cropzoom.sources.live.reconnect import ReconnectingSource, ReconnectPolicy
from realtime_cropzoom.types import FrameMeta, StreamState

logger = logging.getLogger(__name__)

_OPENS_WITHIN_S = 120.0
"""Sources have time limits of their own, much shorter; a driver or a disk that hangs has none."""
_LEFT_AFTER_S = 0.5
"""How long a live source that waits for its next frame may hold up the end of a run."""
_REST_OF_INTERVAL = 0.25
_REST_NS = 4_000_000
"""A replayed source rests after each frame, as a camera does: decoding the next one at once would take
the core, and the interpreter, from the pose stage just when it has a frame to work on."""


class CaptureStage(Stage):
    """Opens the source at once, but takes no frame before ``begin`` gives it a ring."""

    def __init__(
        self,
        open_source: Callable[[], Source],
        control: RunControl,
        *,
        realtime: bool,
        frames: int | None,
        speed: float = 1.0,
        reconnect: ReconnectPolicy | None = None,
        stall_after_ms: float = 500.0,
    ) -> None:
        """``speed`` is of files that play at their own pace, ``reconnect`` and ``stall_after_ms`` of live sources."""
        super().__init__("capture", control)
        self._open_source = open_source
        self._realtime = realtime
        self._limit = frames
        self._speed = speed
        self._policy = reconnect or ReconnectPolicy()
        self._stall_after_ms = stall_after_ms
        self._reconnecting: ReconnectingSource | None = None
        self._last_ns = 0
        self.lost = 0
        """Frames that the camera says it has taken and that never came."""
        self.stale = 0
        """Frames that had been waiting somewhere, were old when they came, and were left out."""
        self.drift = DriftFit()
        """Of the clock of a live source that has one; a file's plays by ours."""
        self._opened = threading.Event()
        self._begin = threading.Event()
        self._finished = threading.Event()
        self._ring: Ring | None = None
        self._tap: Callable[[FrameMeta, CapturedFrame], None] | None = None
        self.info: SourceInfo | None = None
        self.problems: list[str] = []
        self.rate = Rate()
        self._span_ns = (0, 0)

    def wait_open(self) -> SourceInfo:
        """Wait until the source is open. Raises what went wrong instead."""
        deadline_ns = now_ns() + round(_OPENS_WITHIN_S * 1e9)
        while not self._opened.wait(POLL_S):
            if self.control.stop.is_set():  # a source may hang while it is opened: nobody waits for it then
                break
            if now_ns() > deadline_ns:
                raise SourceError(f"the source was not open within {_OPENS_WITHIN_S:g} s; is the camera plugged in?")
        if self.info is None:
            raise self.control.error or SourceError("stopped before the source was open")
        return self.info

    def begin(self, ring: Ring, tap: Callable[[FrameMeta, CapturedFrame], None] | None = None) -> None:
        """Start capturing into ``ring``; ``tap`` is shown each frame after that, in the thread that captures."""
        self._tap = tap
        self._ring = ring
        self._begin.set()
        if self._finished.is_set():  # a live source may be given up before; the other order is in ``finish``
            ring.close()

    def stream(self, at_ns: int) -> StreamState:
        """Whether frames arrive: of a live source, none for half a second (or three frames) is a stall."""
        if not self.is_alive():
            return StreamState.ENDED
        if self._reconnecting is None or self.info is None:
            return StreamState.LIVE
        if self._reconnecting.state is StreamState.RECONNECTING:
            return StreamState.RECONNECTING
        if self._last_ns == 0:
            return StreamState.LIVE
        patience_ms = max(self._stall_after_ms, 3000 / self.info.fps if self.info.fps else 0.0)
        return StreamState.STALLED if at_ns - self._last_ns > patience_ms * 1e6 else StreamState.LIVE

    def seconds(self) -> float:
        """Return the time between the first and the last frame that was captured."""
        first_ns, last_ns = self._span_ns
        return (last_ns - first_ns) / 1e9

    def work(self) -> None:
        """Have the source read by a thread of its own, and leave that one behind if need be.

        A call that waits for a network or a camera cannot be interrupted; it ends by its own time
        limit, and nobody waits for it when the run stops. Files are waited for.
        """
        reader = threading.Thread(target=self._read, name="cropzoom-source", daemon=True)
        reader.start()
        while reader.is_alive():
            reader.join(POLL_S)
            if self.control.stop.is_set() and (self.info is None or self.info.live):
                reader.join(_LEFT_AFTER_S)
                if reader.is_alive():
                    logger.warning(
                        "%s still waits for a frame and is left alone; it closes by itself", self._source_name()
                    )
                    if self._reconnecting is not None:
                        self.problems = self._reconnecting.problems()
                return

    def _read(self) -> None:
        try:
            self._read_source()
        except BaseException as error:  # the thread's last frame, as in ``run``
            self.control.fail(self.stage, error)

    def _read_source(self) -> None:
        """Open the source, then capture until it ends or the run does."""
        source = self._open_source()
        if source.info.live:
            source = self._reconnecting = ReconnectingSource(source, self._open_source, self._policy, self.control.stop)
        try:
            self.info = source.info
            self._opened.set()
            frames = self._drained(source) if source.info.live else self._awaited(source)
            self._capture(frames, source.info)
        except Exception as error:  # the frames before it are good, and some are still in the ring: no stop
            self.control.keep(self.stage, error)
        finally:
            self.problems = source.problems()
            source.close()

    def finish(self) -> None:
        """Let the readers end, and whoever waits for the source to open."""
        self._finished.set()
        if self._ring is not None:
            self._ring.close()
        self._opened.set()

    def _source_name(self) -> str:
        return self.info.name if self.info is not None else "the source"

    def _awaited(self, source: Source) -> Iterator[CapturedFrame]:
        """Yield the frames, once there is a ring for them."""
        while not self._begin.wait(POLL_S):
            if self.control.stop.is_set():
                return
        yield from source.frames()

    def _drained(self, source: Source) -> Iterator[CapturedFrame]:
        """Yield the frames of a live source that come once there is a ring.

        Those before, while models are loaded, are taken and thrown away: left where they are they
        would fill the buffers of drivers and networks, and be old by then.
        """
        first_ns = None
        for captured in source.frames():
            if self.control.stop.is_set():
                return
            self._last_ns = now_ns()
            if self._begin.is_set():
                first_ns = captured.pts_ns if first_ns is None else first_ns
                yield replace(captured, pts_ns=captured.pts_ns - first_ns)

    def _capture(self, frames: Iterator[CapturedFrame], info: SourceInfo) -> None:
        start_ns = None
        paced = self._realtime and not info.live
        rest_ns = round(min(_REST_OF_INTERVAL / info.fps / self._speed * 1e9, _REST_NS)) if paced and info.fps else 0
        for index, captured in enumerate(frames):
            ring = self._ring
            assert ring is not None
            _check_size(captured, info, index)
            start_ns = now_ns() if start_ns is None else start_ns
            if paced:
                self.sleep_until(start_ns + round(captured.pts_ns / self._speed))
            if self.control.stop.is_set():
                return
            stamp = FrameMeta(index, captured.pts_ns, captured.device_ns, now_ns(), captured.segment)
            self._last_ns = stamp.captured_ns
            if info.live and stamp.device_ns is not None:
                self.drift.add(stamp.device_ns, stamp.captured_ns, stamp.segment)
            self.lost += captured.lost_before
            self.stale += captured.stale_before
            slot = self._claim(ring)
            if slot is None:
                return
            captured.copy_to(ring.pixels[slot])
            ring.publish(slot, stamp)
            if self._tap is not None:
                self._tap(stamp, captured)
            self.rate.add(stamp.captured_ns)
            self._span_ns = (self._span_ns[0] or stamp.captured_ns, stamp.captured_ns)
            if index + 1 == self._limit:
                return
            self.sleep_until(stamp.captured_ns + rest_ns)

    def _claim(self, ring: Ring) -> int | None:
        while not self.control.stop.is_set():
            slot = ring.claim(POLL_S)
            if slot is not None:
                return slot
        return None


def _check_size(captured: CapturedFrame, info: SourceInfo, index: int) -> None:
    if (captured.width, captured.height) != (info.width, info.height):
        raise SourceError(
            f"frame {index} of {info.name} is {captured.width}x{captured.height}, but the stream began as "
            f"{info.width}x{info.height}; the run ends here, with everything before it written"
        )
