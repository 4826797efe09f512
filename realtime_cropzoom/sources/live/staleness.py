"""Staleness of live frames: finds frames that waited in a buffer, and gives each frame its time. No I/O."""

from __future__ import annotations

from collections import deque

_STALL_NS = 1_000_000_000
"""Minimum duration (ns) of a stall. Frames delayed by a shorter pause are still recent enough to send."""
_STALL_INTERVALS = 5
"""Minimum duration of a stall in frame intervals, for slow streams."""
_AT_ONCE = 0.25
"""A frame that arrived after less than this fraction of an interval was already waiting."""
_BURST_FRAMES = 4
"""Number of frames from which a burst is recognised."""
_RUSHING = 0.5
"""Frames are a burst if ``_BURST_FRAMES`` of them arrive within less than this fraction of their own time span, even if
the reader had to wait for one of them."""
_MAX_UNSETTLED_NS = 2_000_000_000
"""Maximum time (ns) after the start or a stall in which frames are dropped as stale."""
_MAX_CLOCK_ERROR_NS = 1_000_000_000
"""Maximum difference (ns) between the stream's clock and ours, beyond their drift."""
_DRIFT = 1e-3
"""Maximum relative rate error of a camera's clock."""


class StalenessFilter:
    """Distinguishes frames that waited in a buffer from frames that arrive at once.

    A server may start with frames that it stored, a second of frames may arrive in a burst after the
    network stalled, and the buffers of a driver fill while no thread reads them. At the start and after a
    stall, frames are therefore stale until the reader had to wait for one that, by the stream's own clock,
    is neither delayed nor inside a burst. After two seconds at the latest, all frames are accepted again.
    """

    def __init__(self, fps: float | None) -> None:
        self._interval_ns = 1e9 / fps if fps else 1e8
        self._last_ns: int | None = None
        self._settled_at_ns: int | None = None
        """Latest time (ns) until which frames may be stale; None while all are fresh."""
        self._arrivals: deque[tuple[int, int]] = deque(maxlen=_BURST_FRAMES)
        """Arrival times and own times (ns) of the last frames that may be stale."""
        self._lead_ns: int | None = None
        """Arrival time minus own time (ns) of the last fresh frame; None if unknown."""

    def is_stale(self, received_ns: int, waited_ns: int, own_ns: int | None = None) -> bool:
        """Return whether a frame was stale when it arrived.

        Args:
            received_ns: Time (ns) at which it arrived, on the clock of this machine.
            waited_ns: Time (ns) that the reader waited for it.
            own_ns: Its time (ns) on the clock of the stream; None if it has none.
        """
        last_ns, self._last_ns = self._last_ns, received_ns
        if last_ns is None:
            self._settled_at_ns = received_ns + _MAX_UNSETTLED_NS
        elif received_ns - last_ns > max(_STALL_NS, _STALL_INTERVALS * self._interval_ns):
            self._settled_at_ns = received_ns + _MAX_UNSETTLED_NS
            self._arrivals.clear()
            return True  # the frame that was delayed longest
        lead_ns = None if own_ns is None else received_ns - own_ns
        if self._settled_at_ns is not None and received_ns < self._settled_at_ns:
            held_up = lead_ns is not None and self._lead_ns is not None and lead_ns - self._lead_ns > _STALL_NS
            if self._in_burst(received_ns, own_ns) or held_up or waited_ns < _AT_ONCE * self._interval_ns:
                return True
        elif last_ns is not None and self._settled_at_ns is None:
            self._interval_ns += 0.05 * (received_ns - last_ns - self._interval_ns)
        self._settled_at_ns, self._lead_ns = None, lead_ns
        return False

    def _in_burst(self, received_ns: int, own_ns: int | None) -> bool:
        """Return whether frames arrive faster than they were captured. A burst may pause when the network does."""
        if own_ns is None:
            return False
        self._arrivals.append((received_ns, own_ns))
        first_received_ns, first_own_ns = self._arrivals[0]
        took_ns = min(own_ns - first_own_ns, (len(self._arrivals) - 1) * self._interval_ns)
        return received_ns - first_received_ns < _RUSHING * took_ns


class FrameClock:
    """Frame time from the stream's own clock while that agrees with ours; from then on, the time of arrival."""

    def __init__(self) -> None:
        self._trusted = True
        self._first: tuple[int, int] | None = None
        self._offset_ns = 0.0
        self._last_ns = -1
        self._last_received_ns = 0

    def frame_time_ns(self, own_ns: int | None, received_ns: int) -> int:
        """Return the time (ns) of a frame since the first one; it always increases.

        Args:
            own_ns: Its time (ns) on the clock of the stream; None if it has none.
            received_ns: Time (ns) at which it arrived.
        """
        if self._first is None:
            self._first = (received_ns if own_ns is None else own_ns, received_ns)
            self._last_received_ns = received_ns
        own_first_ns, received_first_ns = self._first
        elapsed_ns = received_ns - received_first_ns
        if own_ns is None or not self._is_sane(own_ns - own_first_ns, elapsed_ns, received_ns):
            self._trusted = False
        time_ns = own_ns - own_first_ns if self._trusted and own_ns is not None else elapsed_ns
        self._last_ns = max(time_ns, self._last_ns + 1)
        return self._last_ns

    def _is_sane(self, own_elapsed_ns: int, elapsed_ns: int, received_ns: int) -> bool:
        """Return whether the stream's time is within 1 s of ours. A slow drift between the clocks is tracked."""
        since_ns, self._last_received_ns = received_ns - self._last_received_ns, received_ns
        off_ns = elapsed_ns - own_elapsed_ns - self._offset_ns
        step_ns = _DRIFT * since_ns
        self._offset_ns += min(max(off_ns, -step_ns), step_ns)
        return own_elapsed_ns > self._last_ns and abs(off_ns) < _MAX_CLOCK_ERROR_NS
