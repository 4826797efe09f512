"""Frame times that always increase, even if the timestamps of the file do not.

The timestamps of joined files restart in the middle, some recorders stamp whole seconds, and AVI
stores only the decoding order. If a timestamp does not increase, the frame gets a time one usual
interval after the previous frame.
"""

from __future__ import annotations

import heapq
from typing import Any

_REORDERED = 16
"""Maximum reordering (frames) of any codec. Timestamps that go back further have restarted."""


class FrameTimes:
    """Gives each frame its time in the file, or a time that continues from the previous frame."""

    def __init__(self, interval_ns: int) -> None:
        """``interval_ns`` is the interval (ns) between two frames that the file's timestamps do not separate."""
        self._interval_ns = interval_ns
        self._last_ns: int | None = None
        self._shift_ns = 0
        self.corrected = 0
        """Number of frames whose own time is not later than that of the previous frame."""
        self.last_corrected: tuple[int, int, int] | None = None
        """The last such frame: its index, its own time (ns) and the own time (ns) of the previous frame."""
        self._own_before_ns = 0

    def time(self, index: int, own_ns: int | None) -> int:
        """Return the time (ns) of the next frame, later than that of the previous one.

        Args:
            index: Number of the frame.
            own_ns: Time (ns) of the frame in the file; None if it has none.
        """
        last_ns = self._last_ns
        if last_ns is None:
            time_ns = own_ns or 0
        elif own_ns is None:
            time_ns = last_ns + self._interval_ns
        else:
            time_ns = own_ns + self._shift_ns
            if time_ns <= last_ns:
                time_ns = self._gone_back(index, own_ns, last_ns)
        self._last_ns = time_ns
        self._own_before_ns = self._own_before_ns if own_ns is None else own_ns
        return time_ns

    def _gone_back(self, index: int, own_ns: int, last_ns: int) -> int:
        self.corrected += 1
        self.last_corrected = (index, own_ns, self._own_before_ns)
        time_ns = last_ns + self._interval_ns
        if self._own_before_ns - own_ns > _REORDERED * self._interval_ns:
            self._shift_ns = time_ns - own_ns  # all later frames continue from here
        return time_ns


class DecodingOrder:
    """Frame times for AVI, which stores none: the earliest unused packet time belongs to the next frame.

    AVI counts its packets. With B-frames, the count of a packet is not that of the frame that it holds.
    """

    def __init__(self) -> None:
        self._ticks: list[int] = []

    def add(self, packet: Any) -> None:
        """Add the time of a packet that was given to the decoder."""
        if packet.dts is not None:
            heapq.heappush(self._ticks, packet.dts)

    def next(self) -> int | None:
        """Return the time of the next frame in ticks of its stream; None if no packet time is left."""
        return heapq.heappop(self._ticks) if self._ticks else None
