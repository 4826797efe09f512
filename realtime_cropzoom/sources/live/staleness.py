"""Which frames of a live source are old although they come now, and which time a frame has. Pure."""

from __future__ import annotations

from collections import deque

_STALL_NS = 1_000_000_000
"""Shorter hiccups lose nothing: what they hold up is not yet too old to be sent."""
_STALL_INTERVALS = 5
_AT_ONCE = 0.25
"""A frame that took less than this part of an interval to come was already waiting."""
_BURST_OF = 4
_RUSHING = 0.5
"""So many frames that take less than this part of their time are of a burst, whatever one of them had to wait."""
_SETTLED_WITHIN_NS = 2_000_000_000
_SANE_NS = 1_000_000_000
_DRIFT = 1e-3
"""No clock of a camera is off by more than this."""


class Freshness:
    """Tells frames that had been waiting somewhere from those that come as they are taken.

    A server may begin with what it has kept; after a network has stood still, a second's frames
    come in a burst; a driver's buffers fill while nobody reads them. At the start and after a
    stall, frames are old until one had to be waited for, and by the stream's own clock is neither
    held up nor in the middle of a burst. Within two seconds all are taken again, whatever they look like.
    """

    def __init__(self, fps: float | None) -> None:
        self._interval_ns = 1e9 / fps if fps else 1e8
        self._last_ns: int | None = None
        self._settled_at_ns: int | None = None
        """Until when at the latest frames may be old; None while all are fresh."""
        self._arrivals: deque[tuple[int, int]] = deque(maxlen=_BURST_OF)
        """When the last frames came that may be old, and their own times."""
        self._lead_ns: int | None = None
        """How far the clock here was ahead of the stream's own, for the last fresh frame."""

    def is_old(self, received_ns: int, waited_ns: int, own_ns: int | None = None) -> bool:
        """Whether the frame received now, after a wait of ``waited_ns`` for it, was old when it came."""
        last_ns, self._last_ns = self._last_ns, received_ns
        if last_ns is None:
            self._settled_at_ns = received_ns + _SETTLED_WITHIN_NS
        elif received_ns - last_ns > max(_STALL_NS, _STALL_INTERVALS * self._interval_ns):
            self._settled_at_ns = received_ns + _SETTLED_WITHIN_NS
            self._arrivals.clear()
            return True  # the one that was held up longest
        lead_ns = None if own_ns is None else received_ns - own_ns
        if self._settled_at_ns is not None and received_ns < self._settled_at_ns:
            held_up = lead_ns is not None and self._lead_ns is not None and lead_ns - self._lead_ns > _STALL_NS
            if self._rushes(received_ns, own_ns) or held_up or waited_ns < _AT_ONCE * self._interval_ns:
                return True
        elif last_ns is not None and self._settled_at_ns is None:
            self._interval_ns += 0.05 * (received_ns - last_ns - self._interval_ns)
        self._settled_at_ns, self._lead_ns = None, lead_ns
        return False

    def _rushes(self, received_ns: int, own_ns: int | None) -> bool:
        """Whether frames still come faster than they were taken: a burst may pause when the network does."""
        if own_ns is None:
            return False
        self._arrivals.append((received_ns, own_ns))
        first_received_ns, first_own_ns = self._arrivals[0]
        took_ns = min(own_ns - first_own_ns, (len(self._arrivals) - 1) * self._interval_ns)
        return received_ns - first_received_ns < _RUSHING * took_ns


class FrameClock:
    """Frame time: the stream's own as long as it goes on as the clock does, else when the frame came."""

    def __init__(self) -> None:
        self._trusted = True
        self._first: tuple[int, int] | None = None
        self._offset_ns = 0.0
        self._last_ns = -1
        self._last_received_ns = 0

    def frame_time_ns(self, own_ns: int | None, received_ns: int) -> int:
        """Return the time since the first frame; it always increases."""
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
        """Within a second of the clock here; a slow drift between two clocks is followed."""
        since_ns, self._last_received_ns = received_ns - self._last_received_ns, received_ns
        off_ns = elapsed_ns - own_elapsed_ns - self._offset_ns
        step_ns = _DRIFT * since_ns
        self._offset_ns += min(max(off_ns, -step_ns), step_ns)
        return own_elapsed_ns > self._last_ns and abs(off_ns) < _SANE_NS
