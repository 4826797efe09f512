"""Detection of missing frames inside a file, from gaps between frame times and from bytes outside all packets.

If the frame rate is constant otherwise, a gap is a loss. If it is not, a gap may be a pause: it is treated as
a loss only if the file has bytes there that belong to no packet, which means damage.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass

_PLACES = 200
"""Maximum number of gaps whose place is kept; the longest ones are."""
_CONSTANT_SHARE = 0.95
"""Minimum fraction of intervals near the usual one with which the frame rate is treated as constant."""
_REORDERED = 16
"""Maximum reordering (frames) of any codec."""
_FEWEST = 10
"""Minimum number of intervals for judging whether the frame rate is constant."""
_SKIPPED_BYTES = 1024
"""Bytes between two packets above which the file is damaged. Container headers in an intact file are far smaller."""


@dataclass(frozen=True, slots=True, order=True)
class Gap:
    """Interval between two consecutive frames."""

    ns: int
    after: int
    """Index of the frame before the gap."""
    at_ns: int
    """Time (ns) of that frame."""


class GapDetector:
    """Collects frame times in presentation order and packet positions in the file, and finds the gaps."""

    def __init__(self, tick_ns: float) -> None:
        """``tick_ns`` is the interval (ns) to which the container rounds times."""
        self._tick_ns = tick_ns
        self._intervals: Counter[int] = Counter()
        self._longest: list[Gap] = []
        self._before: tuple[int, int] | None = None
        self._end: int | None = None
        self._skipped: list[int] = []

    def frame(self, index: int, time_ns: int) -> None:
        """Add the time (ns) that the file gives for frame ``index``."""
        if self._before is not None and time_ns > self._before[1]:
            gap = Gap(time_ns - self._before[1], self._before[0], self._before[1])
            self._intervals[round(gap.ns / 1e5)] += 1
            if len(self._longest) < _PLACES:
                heapq.heappush(self._longest, gap)
            elif gap > self._longest[0]:
                heapq.heapreplace(self._longest, gap)
        self._before = (index, time_ns)

    def packet(self, position: int | None, size: int, time_ns: int | None) -> None:
        """Add a packet of a file that has only this stream. Packets without position or time are ignored.

        Args:
            position: Byte offset of the packet in the file; None if unknown.
            size: Size in bytes.
            time_ns: Time (ns) of the packet; None if unknown.
        """
        if position is None or time_ns is None:
            return
        if self._end is not None and position - self._end > _SKIPPED_BYTES:
            self._skipped.append(time_ns)
        self._end = position + size

    def lost(self, *, own: bool, reordered: bool) -> list[Gap]:
        """Return the gaps in which frames are lost, in order of time.

        Args:
            own: Whether the file is a recording of a run. Its table lists the frames that were not captured, so
                only damage is used.
            reordered: Whether the file has B-frames. If such a file was cut without encoding again, its last frames
                lack those stored after the cut, which are not lost.

        Returns:
            The gaps; empty if there are too few frames to know the usual interval.
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
        """Return how many frames are missing and where, in words. ``gaps`` is not empty."""
        frames = self.frames_in(gaps)
        longest = max(gaps)
        seconds, length_s = longest.at_ns / 1e9, longest.ns / 1e9
        where = f"after frame {longest.after}, at {seconds:.2f} s: the next one comes {length_s:.2f} s later"
        many = "" if len(gaps) == 1 else f" in {len(gaps)} places, most of them"
        return f"about {frames} frame{'s are' if frames > 1 else ' is'} missing{many} {where}"

    def frames_in(self, gaps: list[Gap]) -> int:
        """Return the approximate number of frames that are missing in ``gaps``."""
        usual_ns = self._usual_ns() or 1
        return sum(max(1, round(g.ns / usual_ns) - 1) for g in gaps)

    def _usual_ns(self) -> int | None:
        """Return the median interval (ns); None if there are fewer than ``_FEWEST`` intervals."""
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
        """Return the maximum rounding error (ns) of the container: its tick, at most a quarter of an interval."""
        return min(self._tick_ns, usual_ns / 4)

    def _is_constant(self, usual_ns: int) -> bool:
        tolerance_ns = self._rounding_ns(usual_ns) + 0.02 * usual_ns + 1e5
        near = sum(n for value, n in self._intervals.items() if abs(value * 1e5 - usual_ns) <= tolerance_ns)
        return near >= _CONSTANT_SHARE * self._intervals.total()
