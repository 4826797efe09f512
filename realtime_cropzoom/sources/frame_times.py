"""Times for the frames of a file, always going on, whatever its own times do.

Files that were joined begin anew in the middle; video recorders stamp whole seconds; AVI knows no
order but that of decoding. A frame then comes one usual interval after the one before it.
"""

from __future__ import annotations

import heapq
from typing import Any

_REORDERED = 16
"""No codec shows frames further from where they are stored; who goes back further begins anew."""


class FrameTimes:
    """Gives each frame the time it has in the file, or one that goes on from the frame before."""

    def __init__(self, interval_ns: int) -> None:
        """``interval_ns`` is between two frames, where the file's times do not say."""
        self._interval_ns = interval_ns
        self._last_ns: int | None = None
        self._shift_ns = 0
        self.corrected = 0
        """Frames whose own time is not later than that of the frame before."""
        self.last_corrected: tuple[int, int, int] | None = None
        """Of the last of them: its number, its own time, and that of the frame before."""
        self._own_before_ns = 0

    def time(self, index: int, own_ns: int | None) -> int:
        """Return the time of the next frame; None where it has no time of its own."""
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
            self._shift_ns = time_ns - own_ns  # all that follows goes on from here
        return time_ns


class DecodingOrder:
    """Times of frames in a container that has none: of those of the packets so far, the earliest belongs to the next.

    AVI counts its packets. With B-frames the count of a packet is not that of the frame which it holds.
    """

    def __init__(self) -> None:
        self._ticks: list[int] = []

    def add(self, packet: Any) -> None:
        """Take a packet that has gone to the decoder."""
        if packet.dts is not None:
            heapq.heappush(self._ticks, packet.dts)

    def leave_out(self, packet: Any) -> None:
        """Take back a packet that did not decode."""
        if packet.dts in self._ticks:
            self._ticks.remove(packet.dts)
            heapq.heapify(self._ticks)

    def next(self) -> int | None:
        """Return the time of the next frame, in the ticks of its stream."""
        return heapq.heappop(self._ticks) if self._ticks else None
