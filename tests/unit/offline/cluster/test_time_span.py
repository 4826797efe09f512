"""Time limits as users and SLURM write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.offline.cluster.time_span import read_span, show_span


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("2h", 120),
        (" 2 H ", 120),
        ("90min", 90),
        ("90m", 90),
        ("1h30min", 90),
        ("1.5h", 90),
        ("2d", 2880),
        ("90s", 2),  # rounded up, as SLURM counts minutes
        ("02:00:00", 120),
        ("2:00:30", 121),
        ("1-12:00:00", 2160),
        ("1-12", 2160),
    ],
)
def test_spans_in_plain_forms(text: str, minutes: int) -> None:
    assert read_span(text) == minutes


@pytest.mark.parametrize(
    "text", ["", "h", "90", "10:30", "2 hours ago", "-2h", "2h!", "1e3h", "0h", "400d", "nan", "9" * 400 + "h"]
)
def test_what_is_no_span_or_could_be_two_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a time"):
        read_span(text)


@given(st.integers(1, 365 * 1440))
def test_a_shown_span_reads_as_itself(minutes: int) -> None:
    assert read_span(show_span(minutes)) == minutes
    days, rest = divmod(minutes, 1440)
    assert read_span(f"{days}-{rest // 60:02}:{rest % 60:02}:00") == minutes
