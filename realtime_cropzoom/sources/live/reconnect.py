"""Reconnection of live sources: opens a camera or stream again when it is lost, until a limit or the end of the run.

The reader sees one sequence of frames with continuous time: frame time jumps by the duration of the
outage. A new *segment* begins each time the source comes back.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from threading import Event

import cv2
import numpy as np

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import SourceError, advise
from realtime_cropzoom.sources.base import CapturedFrame, Source, SourceInfo
from realtime_cropzoom.types import StreamState, UInt8

_MEASURE_NS = 2_000_000_000
"""Minimum duration (ns) of the measurement of the frame rate."""
_TOLERANCE = 0.1
"""Maximum relative deviation of the frame rate that is not reported."""
_MIN_FRAMES = 2
"""Minimum number of intervals of the measurement."""
_STALL_NS = 500_000_000
"""Minimum time (ns) without a frame that is treated as a stall."""
_STALL_INTERVALS = 3
"""Number of frame intervals without a frame that count as a stall: the default of the capture stage."""
_CATCH_UP_NS = 1_000_000_000
"""Time (ns) after a stall in which frames may still arrive in a burst, and are not counted."""
_MAX_STALLS = 4
"""Maximum number of long pauses in a row that count as stalls. After more, the source is simply slow."""
_DELAYS_S = (0.0, 1.0, 2.0, 4.0, 8.0, 12.0)
"""Delays (s) before the first tries. The last one applies to all further tries."""
_MAX_TRIES_PER_MINUTE = 5
_MINUTE_S = 60.0

logger = logging.getLogger(__name__)


class RateCheck:
    """Measures the frame rate over two seconds and warns once, prominently, if it is too low or too high.

    A stall is no evidence about the rate: the count starts again after one.
    """

    def __init__(self, info: SourceInfo) -> None:
        self._info = info
        self._stall_ns = max(_STALL_NS, round(_STALL_INTERVALS * 1e9 / info.fps) if info.fps else 0)
        self._begin_ns = 0
        """Time (ns) before which frames are not counted."""
        self._first_ns: int | None = None
        self._last_ns: int | None = None
        self._frames = self._stalls = 0
        self.measured_fps: float | None = None
        """Measured frames per second; None until the measurement is complete."""

    def add(self, received_ns: int) -> None:
        """Count a frame that was received at ``received_ns``."""
        if self.measured_fps is not None or self._after_stall(received_ns) or received_ns < self._begin_ns:
            return
        if self._first_ns is None:
            self._first_ns = received_ns
            return
        self._frames += 1
        elapsed_ns = received_ns - self._first_ns
        if elapsed_ns >= _MEASURE_NS and self._frames >= _MIN_FRAMES:
            self.measured_fps = self._frames * 1e9 / elapsed_ns
            self._report(self.measured_fps)

    def _after_stall(self, received_ns: int) -> bool:
        """Return whether a stall has ended with this frame; if so, reset the count."""
        last_ns, self._last_ns = self._last_ns, received_ns
        long = last_ns is not None and received_ns - last_ns > self._stall_ns
        self._stalls = self._stalls + 1 if long else 0
        if not 0 < self._stalls <= _MAX_STALLS:
            return False
        self._begin_ns, self._first_ns, self._frames = received_ns + _CATCH_UP_NS, None, 0
        return True

    def _report(self, fps: float) -> None:
        info = self._info
        for what, expected in (("asked for", info.asked_fps), ("it announces", info.fps)):
            if expected is not None and abs(fps - expected) > _TOLERANCE * expected:
                logger.warning(
                    "%s GIVES %.1f FRAMES PER SECOND; %s %.4g. Frequent causes: a long exposure, too little light, "
                    "the pixel format, the cable", info.name, fps, what, expected,
                )  # fmt: skip
                return
        logger.info("%s gives %.1f frames per second", info.name, fps)


class ReconnectBackoff:
    """Delay before each reconnection: none at first, then increasing; at most five tries per minute.

    A source that comes back and is soon lost again is not tried faster: the delays start again
    only after a minute without a try.
    """

    def __init__(self) -> None:
        self._tries = deque[int](maxlen=_MAX_TRIES_PER_MINUTE)
        self._step = 0

    def delay_s(self, at_ns: int) -> float:
        """Return the time (s) to wait from ``at_ns`` on before the next try."""
        if self._tries and at_ns - self._tries[-1] >= _MINUTE_S * 1e9:
            self._step = 0
        delay_s = _DELAYS_S[min(self._step, len(_DELAYS_S) - 1)]
        if len(self._tries) == _MAX_TRIES_PER_MINUTE:
            delay_s = max(delay_s, _MINUTE_S - (at_ns - self._tries[0]) / 1e9)
        return delay_s

    def tried(self, at_ns: int) -> None:
        """Record a try at ``at_ns``."""
        self._tries.append(at_ns)
        self._step += 1


@dataclass(frozen=True, slots=True)
class ReconnectPolicy:
    """Policy for a live source that is lost."""

    give_up_after_s: float | None = None
    """Time (s) without frames after which the run ends; None for no limit."""
    adapt: bool = False
    """Whether to scale frames of another size to the size of the first one, instead of refusing them."""


class ReconnectingSource:
    """Live source that is opened again when it is lost. One thread uses it; other threads may read ``state``."""

    def __init__(self, source: Source, reopen: Callable[[], Source], policy: ReconnectPolicy, stop: Event) -> None:
        self.info: SourceInfo = source.info
        self.state = StreamState.LIVE
        self.reconnects = 0
        self._source: Source | None = source
        self._open_again, self._policy, self._stop = reopen, policy, stop
        self._problems: list[str] = []
        self._first_ns: int | None = None
        self._last_pts_ns = -1
        self._backoff = ReconnectBackoff()
        self._lost_ns: int | None = None
        """Time (ns) since which no frame came; None while frames come. Reopening without a frame does not count."""

    def frames(self) -> Iterator[CapturedFrame]:
        """Yield frames until the run stops.

        Raises:
            SourceError: if the source stays away for longer than the limit of the policy.
        """
        while self._source is not None and not self._stop.is_set():
            reason = "it ended"
            try:
                yield from self._segment(self._source)
            except SourceError as error:
                reason = str(error)
            if self._stop.is_set():
                return
            self._leave(self._source)
            self._source = self._reconnect(reason)

    def problems(self) -> list[str]:
        """Return the messages of all segments. A loss is no problem here: ``segment`` of the frames shows it."""
        return self._problems + (self._source.problems() if self._source else [])

    def close(self) -> None:
        """Close the source that is open, if any."""
        if self._source is not None:
            self._source.close()

    def _segment(self, source: Source) -> Iterator[CapturedFrame]:
        offset_ns: int | None = None
        rate = RateCheck(source.info)
        for captured in source.frames():
            received_ns = now_ns()
            rate.add(received_ns)
            if offset_ns is None:
                begun_ns = received_ns
                self._first_ns = begun_ns if self._first_ns is None else self._first_ns
                offset_ns = begun_ns - self._first_ns - captured.pts_ns
            self._last_pts_ns = max(captured.pts_ns + offset_ns, self._last_pts_ns + 1)
            self.state, self._lost_ns = StreamState.LIVE, None
            yield replace(self._fit_size(captured), pts_ns=self._last_pts_ns, segment=self.reconnects)

    def _fit_size(self, captured: CapturedFrame) -> CapturedFrame:
        """Return the frame, scaled if necessary to the first frame's size, so that coordinates keep their meaning."""
        width, height = self.info.width, self.info.height
        if (captured.width, captured.height) == (width, height) or not self._policy.adapt:
            return captured  # the capture stage refuses another size, in words

        def copy_to(out: UInt8) -> None:
            image = np.empty((captured.height, captured.width, 3), np.uint8)
            captured.copy_to(image)
            cv2.resize(image, (width, height), dst=out, interpolation=cv2.INTER_LINEAR)

        return replace(captured, width=width, height=height, copy_to=copy_to, image=None)

    def _leave(self, source: Source) -> None:
        self.state = StreamState.RECONNECTING
        self._problems += source.problems()
        source.close()

    def _reconnect(self, reason: str) -> Source | None:
        """Try until the source can be opened. Returns None if the run stops; raises SourceError at the limit."""
        logger.warning("%s broke off: %s; reconnecting", self.info.name, reason)
        self._lost_ns = lost_ns = now_ns() if self._lost_ns is None else self._lost_ns
        while True:
            at_ns, limit_s = now_ns(), self._policy.give_up_after_s
            delay_s, lost_s = self._backoff.delay_s(at_ns), (at_ns - lost_ns) / 1e9
            if limit_s is not None:  # the last try is at the limit, not when the next one would be due
                if lost_s >= limit_s:
                    raise SourceError(f"{self.info.name} has been gone for {lost_s:.0f} s ({reason}); giving up")
                delay_s = min(delay_s, limit_s - lost_s)
            if self._stop.wait(delay_s):
                return None
            self._backoff.tried(now_ns())
            try:
                source = self._open_again()
            except SourceError as error:
                reason = str(error)
                logger.info("%s is not back yet: %s", self.info.name, reason)
            else:
                self.reconnects += 1
                self._report_return(source.info)
                return source

    def _report_return(self, info: SourceInfo) -> None:
        logger.warning("%s is back (segment %d)", self.info.name, self.reconnects)
        if (info.width, info.height) != (self.info.width, self.info.height):
            how = (
                "scaled to the size of the first ones"
                if self._policy.adapt
                else "refused" + advise("; --changed adapt scales them")
            )
            logger.warning(
                "%s came back as %dx%d instead of %dx%d; its frames are %s",
                self.info.name, info.width, info.height, self.info.width, self.info.height, how,
            )  # fmt: skip
        if info.fps != self.info.fps:
            logger.warning("%s came back with %s fps instead of %s", self.info.name, info.fps, self.info.fps)
