"""Publication times: the publisher reports when each message was sent, and the CSV writer joins them to its rows.

Records are frozen, so the time does not travel in the record. Each record with a sequence number gets exactly one
report, which says when its message was sent or that it was dropped. ``PublishedRecords`` holds a record back until its
report is there. No thread waits for another one to write into a shared object.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator

from realtime_cropzoom.runtime.records import Record

NOT_PUBLISHED = 0
"""The time of a message that was dropped, and of a frame without a message."""
REPORT_WITHIN_NS = 2_000_000_000
"""Maximum age (ns) of a result whose row still waits for its report. A publisher that is silent for longer hangs."""
_LIMIT = 1 << 17
"""Maximum number of reports that wait for the writer: two for each place in its queue."""


class PublicationTimes:
    """Reports of the publisher: when each message was sent. Any thread may call each method.

    If more than ``_LIMIT`` reports wait, the oldest is dropped: its record has left the writer's queue long before.
    """

    def __init__(self) -> None:
        self._reports: deque[tuple[int, int]] = deque(maxlen=_LIMIT)
        self._closed = threading.Event()

    def published(self, seq: int, published_ns: int) -> None:
        """Report that message ``seq`` was sent at ``published_ns`` (monotonic, ns)."""
        self._reports.append((seq, published_ns))

    def dropped(self, seq: int) -> None:
        """Report that message ``seq`` is not sent."""
        self._reports.append((seq, NOT_PUBLISHED))

    def close(self) -> None:
        """Announce that no further report follows."""
        self._closed.set()

    @property
    def closed(self) -> bool:
        """Whether the publisher has ended."""
        return self._closed.is_set()

    def wait_closed(self, timeout_s: float) -> bool:
        """Wait up to ``timeout_s`` (s) for the end of the publisher; return whether it has ended."""
        return self._closed.wait(timeout_s)

    def take(self) -> list[tuple[int, int]]:
        """Return the (seq, published_ns) of all reports since the last call."""
        return [self._reports.popleft() for _ in range(len(self._reports))]


class PublishedRecords:
    """Records in capture order, each held back until its report is there. Used by one thread. No I/O."""

    def __init__(self, publications: PublicationTimes | None) -> None:
        """Create it empty; without ``publications`` no record is held back."""
        self._publications = publications
        self._records: deque[Record] = deque()
        self._times: dict[int, int] = {}
        """Reports whose record has not been returned yet: seq → published_ns."""
        self._next_seq = 0
        """Sequence number after that of the last record returned."""

    def __len__(self) -> int:
        return len(self._records)

    @property
    def unused_reports(self) -> int:
        """Number of reports whose record has not come yet."""
        return len(self._times)

    def add(self, records: Iterable[Record]) -> None:
        """Add the next records."""
        self._records.extend(records)

    def take(self, at_ns: int, *, last: bool = False) -> Iterator[tuple[Record, int]]:
        """Yield the records that are complete, each with its time of publication.

        A record whose report is missing holds back those after it, unless its result is older than
        ``REPORT_WITHIN_NS`` or the publisher has ended. Its time is then ``NOT_PUBLISHED``.

        Args:
            at_ns: The current time (monotonic, ns).
            last: Whether to return all records, complete or not.
        """
        ended = self._collect() or last
        while self._records:
            record = self._records[0]
            published_ns = self._times.pop(record.seq, None)
            if published_ns is None and not ended and self._awaits_report(record, at_ns):
                return
            self._records.popleft()
            self._forget_up_to(record.seq)
            yield record, published_ns or NOT_PUBLISHED

    def _collect(self) -> bool:
        """Take the new reports; return whether there will be no more."""
        if self._publications is None:
            return True
        closed = self._publications.closed  # asked first: all reports from before the end are taken below
        for seq, published_ns in self._publications.take():
            if seq >= self._next_seq:  # else its row was written without it
                self._times[seq] = published_ns
        return closed

    def _awaits_report(self, record: Record, at_ns: int) -> bool:
        return record.seq >= 0 and at_ns - record.inferred_ns < REPORT_WITHIN_NS

    def _forget_up_to(self, seq: int) -> None:
        """Remove the reports of records that were dropped before they came here."""
        if seq > self._next_seq:
            for dropped in [each for each in self._times if each < seq]:
                del self._times[dropped]
        self._next_seq = max(self._next_seq, seq + 1)
