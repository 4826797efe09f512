"""Records: frozen, and their counts add up. Their messages are tested in ``messaging/test_message``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.inference.schedule import NO_BOX
from realtime_cropzoom.runtime.records import FrameCounts, FrameOutcome, Record
from realtime_cropzoom.types import FrameMeta


@given(st.lists(st.sampled_from(FrameOutcome)))
def test_each_frame_counts_once_by_its_outcome(outcomes: list[FrameOutcome]) -> None:
    counts = FrameCounts()
    for outcome in outcomes:
        counts = counts.plus(outcome)
    assert counts.captured == len(outcomes) == counts.processed + counts.skipped + counts.failed
    for outcome in FrameOutcome:
        assert getattr(counts, outcome.value) == outcomes.count(outcome)


def test_a_record_cannot_be_changed() -> None:
    record = Record(FrameMeta(0, 0, None, 0), FrameOutcome.PROCESSED, NO_BOX)
    with pytest.raises(AttributeError):
        record.seq = 1  # type: ignore[misc]
