"""Frames that are missing in the middle of a file: gaps between the times of its frames, and bytes that nobody read.

A gap is a loss where the frames have a constant rate otherwise. Where they have not, it may be a pause, and
is a loss only where bytes of the file lie in it that are no packet: those are damaged.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass

_PLACES = 200
"""Of so many gaps it is kept where they are."""
_CONSTANT_SHARE = 0.95
_REORDERED = 16
"""No codec stores frames further from where they are shown."""
_FEWEST = 10
"""Intervals from which a rate can be told to be constant."""
_SKIPPED_BYTES = 1024
"""What lies between two packets of a file that is whole is far less: the headers of the container."""


@dataclass(frozen=True, slots=True, order=True)
class Gap:
    """Between two frames that follow on each other."""

    ns: int
    after: int
    """Number of the frame before it."""
    at_ns: int
    """When that one was."""


class Gaps:
    """Takes the times of frames as they come, in presentation order, and the places of packets in the file."""

    def __init__(self, tick_ns: float) -> None:
        """``tick_ns`` is what the container rounds times to."""
        self._tick_ns = tick_ns
        self._intervals: Counter[int] = Counter()
        self._longest: list[Gap] = []
        self._before: tuple[int, int] | None = None
        self._end: int | None = None
        self._skipped: list[int] = []

    def frame(self, index: int, time_ns: int) -> None:
        """Take a frame's own time."""
        if self._before is not None and time_ns > self._before[1]:
            gap = Gap(time_ns - self._before[1], self._before[0], self._before[1])
            self._intervals[round(gap.ns / 1e5)] += 1
            if len(self._longest) < _PLACES:
                heapq.heappush(self._longest, gap)
            elif gap > self._longest[0]:
                heapq.heapreplace(self._longest, gap)
        self._before = (index, time_ns)

    def packet(self, position: int | None, size: int, time_ns: int | None) -> None:
        """Take where in the file a packet is, and when, of a file with this one stream; None where nobody knows."""
        if position is None or time_ns is None:
            return
        if self._end is not None and position - self._end > _SKIPPED_BYTES:
            self._skipped.append(time_ns)
        self._end = position + size

    def lost(self, *, own: bool, reordered: bool) -> list[Gap]:
        """Return the gaps in which frames are lost, in order.

        With ``reordered``, of a file with B-frames that was cut without coding it anew, the last frames lack those
        that were stored after the cut: nobody has lost them.
        With ``own``, the recorder's own files know of what it had not captured, and only damage counts.
        """
        usual_ns = self._usual_ns()
        if usual_ns is None:
            return []
        limit_ns = 1.5 * usual_ns + self._rounding_ns(usual_ns)
        gaps = sorted((g for g in self._longest if g.ns > limit_ns), key=lambda g: g.at_ns)
        if reordered and self._before is not None:
            last = self._before[0]
            gaps = [g for g in gaps if last - g.after > _REORDERED or g.ns > _REORDERED * usual_ns]
        if not own and self._is_constant(usual_ns):
            return gaps
        return [g for g in gaps if any(g.at_ns < t <= g.at_ns + g.ns + usual_ns for t in self._skipped)]

    def describe(self, gaps: list[Gap]) -> str:
        """Say how many frames are missing, and where."""
        frames = self.frames_in(gaps)
        longest = max(gaps)
        seconds, length_s = longest.at_ns / 1e9, longest.ns / 1e9
        where = f"after frame {longest.after}, at {seconds:.2f} s: the next one comes {length_s:.2f} s later"
        many = "" if len(gaps) == 1 else f" in {len(gaps)} places, most of them"
        return f"about {frames} frame{'s are' if frames > 1 else ' is'} missing{many} {where}"

    def frames_in(self, gaps: list[Gap]) -> int:
        """Return about how many frames are missing there."""
        usual_ns = self._usual_ns() or 1
        return sum(max(1, round(g.ns / usual_ns) - 1) for g in gaps)

    def _usual_ns(self) -> int | None:
        """The median interval."""
        total = self._intervals.total()
        if total < _FEWEST:
            return None
        seen = 0
        for tenths_of_ms, count in sorted(self._intervals.items()):
            seen += count
            if 2 * seen >= total:
                return round(tenths_of_ms * 1e5) or 1
        return None

    def _rounding_ns(self, usual_ns: int) -> float:
        """By how much the container has rounded; where its tick is the frame itself, nothing is rounded."""
        return min(self._tick_ns, usual_ns / 4)

    def _is_constant(self, usual_ns: int) -> bool:
        tolerance_ns = self._rounding_ns(usual_ns) + 0.02 * usual_ns + 1e5
        near = sum(n for value, n in self._intervals.items() if abs(value * 1e5 - usual_ns) <= tolerance_ns)
        return near >= _CONSTANT_SHARE * self._intervals.total()
