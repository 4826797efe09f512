"""How far a camera's clock runs from the host's: a line fitted while frames arrive, in constant memory.

A frame is received some time after the camera has stamped it, never before. That delay is mostly
small and now and then large, so of each second only the frame with the smallest delay counts for
the line: whoever came late says nothing about clocks. Seconds are joined by least squares.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

_BIN_NS = 1_000_000_000
_STEP_NS = 1_000_000_000
"""The two clocks cannot part by so much from one frame to the next, unless one of them was set."""
_LEAST_BINS = 3


@dataclass(frozen=True, slots=True)
class ClockDrift:
    """The camera's clock as the host's monotonic clock sees it."""

    ppm: float
    """Parts per million by which the camera's clock runs faster (> 0) or slower (< 0) than the host's."""
    ppm_error: float
    """Standard error of ``ppm``; a short run cannot know it well."""
    jitter_us: float
    """Root mean square of what the line leaves over, all frames counted: how evenly frames are received."""
    seconds: float
    """Host time that the fit covers."""
    frames: int
    """Frames that had a camera timestamp."""


@dataclass(slots=True)
class _Line:
    """Least squares of y over x by running sums, centred, so that nothing is lost over days."""

    n: int = 0
    mean_x: float = 0.0
    mean_y: float = 0.0
    sxx: float = 0.0
    sxy: float = 0.0
    syy: float = 0.0

    def add(self, x: float, y: float) -> None:
        self.n += 1
        dx, dy = x - self.mean_x, y - self.mean_y
        self.mean_x += dx / self.n
        self.mean_y += dy / self.n
        self.sxx += dx * (x - self.mean_x)
        self.sxy += dx * (y - self.mean_y)
        self.syy += dy * (y - self.mean_y)

    def left_over(self, freedom: int) -> float:
        """Return the variance that the line leaves."""
        rest = self.syy - (self.sxy**2 / self.sxx if self.sxx else 0.0)
        return max(rest, 0.0) / max(self.n - freedom, 1)


@dataclass(slots=True)
class _Pool:
    """Lines of one slope, each at its own height: the stretches between two jumps of a clock."""

    done: _Line = field(default_factory=_Line)
    now: _Line = field(default_factory=_Line)
    lines: int = 1

    def part(self) -> None:
        """Begin a line at another height."""
        self.done, self.now, self.lines = self.whole(), _Line(), self.lines + 1

    def whole(self) -> _Line:
        """Return all lines as one: within-group sums add up."""
        a, b = self.done, self.now
        return _Line(a.n + b.n, 0.0, 0.0, a.sxx + b.sxx, a.sxy + b.sxy, a.syy + b.syy)


class DriftFit:
    """Takes the two times of each frame and can be asked at any moment."""

    def __init__(self) -> None:
        self._earliest, self._all = _Pool(), _Pool()
        self._first: tuple[int, int] | None = None
        """Camera and host time of the first frame of this stretch: sums are kept relative to it."""
        self._last = (0, 0)
        self._segment = 0
        self._best: tuple[int, int] | None = None
        """Host time and delay of this second's earliest frame."""
        self._bin = 0
        self._span_ns = 0
        self._frames = 0

    def add(self, device_ns: int, host_ns: int, segment: int = 0) -> None:
        """Take a frame's camera time and the host time at which it was there.

        A new ``segment`` (the camera was gone) and a clock that was set begin a new stretch: the slope
        goes on, the distance of the two clocks does not.
        """
        if self._first is None or segment != self._segment or self._has_jumped(device_ns, host_ns):
            self._part(device_ns, host_ns, segment)
        assert self._first is not None
        since_ns = host_ns - self._first[1]
        delay_ns = since_ns - (device_ns - self._first[0])
        self._all.now.add(since_ns / 1e9, delay_ns / 1e9)
        second = (device_ns - self._first[0]) // _BIN_NS  # the camera's, in which frames are evenly spread
        if second != self._bin:
            self._close_bin()
            self._bin = second
        if self._best is None or delay_ns < self._best[1]:
            self._best = (since_ns, delay_ns)
        self._span_ns += host_ns - self._last[1]
        self._last = (device_ns, host_ns)
        self._frames += 1

    def result(self) -> ClockDrift | None:
        """Return what is known; None with less than three full seconds, or without camera times."""
        line = self._earliest.whole()
        if line.n < _LEAST_BINS + self._earliest.lines - 1 or line.sxx == 0:
            return None
        error = math.sqrt(line.left_over(self._earliest.lines + 1) / line.sxx)
        jitter_s = math.sqrt(self._all.whole().left_over(self._all.lines + 1))
        return ClockDrift(
            -line.sxy / line.sxx * 1e6 + 0.0, error * 1e6, jitter_s * 1e6, self._span_ns / 1e9, self._frames
        )

    def _has_jumped(self, device_ns: int, host_ns: int) -> bool:
        device_step, host_step = device_ns - self._last[0], host_ns - self._last[1]
        return device_step < 0 or abs(device_step - host_step) > _STEP_NS + host_step // 100

    def _part(self, device_ns: int, host_ns: int, segment: int) -> None:
        if self._first is not None:
            self._close_bin()
            self._earliest.part()
            self._all.part()
        self._first, self._last, self._segment, self._bin = (device_ns, host_ns), (device_ns, host_ns), segment, 0

    def _close_bin(self) -> None:
        if self._best is not None:
            since_ns, delay_ns = self._best
            self._earliest.now.add(since_ns / 1e9, delay_ns / 1e9)
        self._best = None
