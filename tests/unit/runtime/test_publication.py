"""Publication times: each row gets the time of its own message, in whatever order the reports come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.inference.schedule import NO_BOX
from realtime_cropzoom.runtime.publication import (
    NOT_PUBLISHED,
    REPORT_WITHIN_NS,
    PublicationTimes,
    PublishedRecords,
)
from realtime_cropzoom.runtime.records import FrameOutcome, Record
from realtime_cropzoom.types import FrameMeta

MADE_NS = 10**12


def processed(index: int, seq: int) -> Record:
    return Record(FrameMeta(index, 0, None, MADE_NS), FrameOutcome.PROCESSED, NO_BOX, inferred_ns=MADE_NS, seq=seq)


def skipped(index: int) -> Record:
    return Record(FrameMeta(index, 0, None, MADE_NS), FrameOutcome.SKIPPED, NO_BOX)


def taken(records: PublishedRecords, at_ns: int = MADE_NS, *, last: bool = False) -> list[tuple[int, int]]:
    return [(record.meta.index, published_ns) for record, published_ns in records.take(at_ns, last=last)]


def test_a_record_waits_for_its_report_and_holds_back_those_after_it() -> None:
    times = PublicationTimes()
    records = PublishedRecords(times)
    records.add([skipped(0), processed(1, 0), skipped(2), processed(3, 1)])
    times.published(1, 21)
    assert taken(records) == [(0, NOT_PUBLISHED)]
    times.published(0, 20)
    assert taken(records) == [(1, 20), (2, NOT_PUBLISHED), (3, 21)]


def test_without_a_publisher_no_record_waits() -> None:
    records = PublishedRecords(None)
    records.add([processed(0, 0), processed(1, 1)])
    assert taken(records) == [(0, NOT_PUBLISHED), (1, NOT_PUBLISHED)]


def test_a_dropped_message_has_no_time() -> None:
    times = PublicationTimes()
    records = PublishedRecords(times)
    records.add([processed(0, 0)])
    times.dropped(0)
    assert taken(records) == [(0, NOT_PUBLISHED)]


def test_no_record_waits_for_a_publisher_that_has_ended() -> None:
    times = PublicationTimes()
    records = PublishedRecords(times)
    records.add([processed(0, 0), processed(1, 1)])
    times.published(0, 20)
    times.close()
    assert taken(records) == [(0, 20), (1, NOT_PUBLISHED)]


def test_no_record_waits_longer_than_the_limit_for_a_publisher_that_hangs() -> None:
    times = PublicationTimes()
    records = PublishedRecords(times)
    records.add([processed(0, 0)])
    assert taken(records, MADE_NS + REPORT_WITHIN_NS - 1) == []
    assert taken(records, MADE_NS + REPORT_WITHIN_NS) == [(0, NOT_PUBLISHED)]
    records.add([processed(1, 1)])
    times.published(0, 20)  # too late: its row is written
    times.published(1, 21)
    assert taken(records) == [(1, 21)]


def test_the_last_records_do_not_wait() -> None:
    times = PublicationTimes()
    records = PublishedRecords(times)
    records.add([processed(0, 0), processed(1, 1)])
    times.published(1, 21)
    assert len(records) == 2
    assert taken(records, last=True) == [(0, NOT_PUBLISHED), (1, 21)]
    assert len(records) == 0


def test_reports_of_records_that_never_came_are_forgotten() -> None:
    """The writer's queue drops the oldest records if the disk hangs; their reports must not pile up."""
    times = PublicationTimes()
    records = PublishedRecords(times)
    for seq in range(1000):
        times.published(seq, 20 + seq)
    records.add([processed(999, 999)])
    assert taken(records) == [(999, 1019)]
    assert records.unused_reports == 0


@given(data=st.data())
def test_every_row_has_the_time_of_its_own_message_whatever_the_order(data: st.DataObject) -> None:
    outcomes = data.draw(st.lists(st.sampled_from(["sent", "dropped", "skipped"]), max_size=40))
    seqs = [sum(o != "skipped" for o in outcomes[:i]) for i in range(len(outcomes))]
    expected = [(i, 1000 + i if outcome == "sent" else NOT_PUBLISHED) for i, outcome in enumerate(outcomes)]
    reports = data.draw(st.permutations([i for i, outcome in enumerate(outcomes) if outcome != "skipped"]))
    steps = data.draw(st.permutations(["record"] * len(outcomes) + ["report"] * len(reports)))

    times, arriving, reporting = PublicationTimes(), iter(range(len(outcomes))), iter(reports)
    records, rows = PublishedRecords(times), list[tuple[int, int]]()
    for step in steps:
        if step == "record":
            i = next(arriving)
            records.add([skipped(i) if outcomes[i] == "skipped" else processed(i, seqs[i])])
        else:
            i = next(reporting)
            if outcomes[i] == "sent":
                times.published(seqs[i], 1000 + i)
            else:
                times.dropped(seqs[i])
        rows += taken(records)
    assert rows == expected
