"""Clock drift: fits how fast a camera's clock runs against the host's clock, while frames arrive, in constant memory.

A frame arrives some time after the camera stamped it, never before. This delay is mostly small and sometimes large.
So of each second only the frame with the smallest delay is used for the fit: late frames carry no information about the
clocks. A line through these frames is fitted by least squares.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

_BIN_NS = 1_000_000_000
"""Duration (ns) of an interval. Only its frame with the smallest delay is used."""
_STEP_NS = 1_000_000_000
"""Minimum change (ns) of the distance of the clocks between two frames that means that one of them was set."""
_MIN_BINS = 3
"""Minimum number of bins for a result."""


@dataclass(frozen=True, slots=True)
class ClockDrift:
    """The camera's clock, measured by the host's monotonic clock."""

    ppm: float
    """Parts per million by which the camera's clock runs faster (> 0) or slower (< 0) than the host's."""
    ppm_error: float
    """Standard error of ``ppm``. It is large for a short run."""
    jitter_us: float
    """Root mean square (µs) of the residuals of all frames: how evenly frames arrive."""
    seconds: float
    """Host time (s) that the fit covers."""
    frames: int
    """Number of frames with a camera timestamp."""


@dataclass(slots=True)
class _Line:
    """Least squares of y over x by running sums. They are centred, so that a run of days loses no precision."""

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

    def residual_variance(self, parameters: int) -> float:
        """Return the variance of the residuals of a line with this number of fitted parameters."""
        rest = self.syy - (self.sxy**2 / self.sxx if self.sxx else 0.0)
        return max(rest, 0.0) / max(self.n - parameters, 1)


@dataclass(slots=True)
class _Pool:
    """Lines of one slope, each with its own offset: one for each stretch between two jumps of a clock."""

    done: _Line = field(default_factory=_Line)
    now: _Line = field(default_factory=_Line)
    lines: int = 1

    def start_line(self) -> None:
        """Start a line with another offset."""
        self.done, self.now, self.lines = self.whole(), _Line(), self.lines + 1

    def whole(self) -> _Line:
        """Return the sums of all lines: within-group sums add up."""
        a, b = self.done, self.now
        return _Line(a.n + b.n, 0.0, 0.0, a.sxx + b.sxx, a.sxy + b.sxy, a.syy + b.syy)


class DriftFit:
    """Receives the two times of each frame, and returns the fit at any moment."""

    def __init__(self) -> None:
        self._earliest, self._all = _Pool(), _Pool()
        self._first: tuple[int, int] | None = None
        """Camera and host time (ns) of the first frame of this stretch. The sums are relative to it."""
        self._last = (0, 0)
        """Camera and host time (ns) of the last frame."""
        self._segment = 0
        self._best: tuple[int, int] | None = None
        """Host time and delay (ns, relative) of the frame with the smallest delay in this bin."""
        self._bin = 0
        self._span_ns = 0
        self._frames = 0

    def add(self, device_ns: int, host_ns: int, segment: int = 0) -> None:
        """Add the times of a frame.

        A new segment and a clock that was set start a new stretch: the slope stays the same, the distance of the two
        clocks does not.

        Args:
            device_ns: Time (ns) on the camera's clock.
            host_ns: Time (monotonic, ns) at which the frame arrived.
            segment: Number of times that the camera was lost before.
        """
        if self._first is None or segment != self._segment or self._has_jumped(device_ns, host_ns):
            self._start_stretch(device_ns, host_ns, segment)
        assert self._first is not None
        since_ns = host_ns - self._first[1]
        delay_ns = since_ns - (device_ns - self._first[0])
        self._all.now.add(since_ns / 1e9, delay_ns / 1e9)
        second = (device_ns - self._first[0]) // _BIN_NS  # of the camera's clock, on which frames are evenly spaced
        if second != self._bin:
            self._close_bin()
            self._bin = second
        if self._best is None or delay_ns < self._best[1]:
            self._best = (since_ns, delay_ns)
        self._span_ns += host_ns - self._last[1]
        self._last = (device_ns, host_ns)
        self._frames += 1

    def result(self) -> ClockDrift | None:
        """Return the fit; None with fewer than three full seconds, or without camera times."""
        line = self._earliest.whole()
        if line.n < _MIN_BINS + self._earliest.lines - 1 or line.sxx == 0:
            return None
        error = math.sqrt(line.residual_variance(self._earliest.lines + 1) / line.sxx)
        jitter_s = math.sqrt(self._all.whole().residual_variance(self._all.lines + 1))
        return ClockDrift(
            -line.sxy / line.sxx * 1e6 + 0.0, error * 1e6, jitter_s * 1e6, self._span_ns / 1e9, self._frames
        )

    def _has_jumped(self, device_ns: int, host_ns: int) -> bool:
        device_step, host_step = device_ns - self._last[0], host_ns - self._last[1]
        return device_step < 0 or abs(device_step - host_step) > _STEP_NS + host_step // 100

    def _start_stretch(self, device_ns: int, host_ns: int, segment: int) -> None:
        if self._first is not None:
            self._close_bin()
            self._earliest.start_line()
            self._all.start_line()
        self._first, self._last, self._segment, self._bin = (device_ns, host_ns), (device_ns, host_ns), segment, 0

    def _close_bin(self) -> None:
        if self._best is not None:
            since_ns, delay_ns = self._best
            self._earliest.now.add(since_ns / 1e9, delay_ns / 1e9)
        self._best = None
