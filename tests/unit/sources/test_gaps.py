"""Gap detector: frames that a file lacks, told from pauses by the frame rate and by bytes outside all packets."""

from __future__ import annotations

from collections.abc import Collection

from realtime_cropzoom.sources.gaps import Gap, GapDetector

INTERVAL_NS = 33_333_333
TICK_NS = 1e6


def detector(frames: int, missing: Collection[int] = ()) -> GapDetector:
    """Return a detector that was given the times of ``frames`` frames, without the missing ones."""
    gaps = GapDetector(TICK_NS)
    for index, number in enumerate(number for number in range(frames) if number not in missing):
        gaps.frame(index, number * INTERVAL_NS)
    return gaps


def test_a_file_without_gaps_lacks_nothing() -> None:
    assert detector(100).lost(own=False, reordered=False) == []


def test_gaps_at_a_constant_rate_are_losses() -> None:
    gaps = detector(100, missing=(20, 50, 51))
    lost = gaps.lost(own=False, reordered=False)
    assert [(gap.after, round(gap.ns / INTERVAL_NS)) for gap in lost] == [(19, 2), (48, 3)]
    assert gaps.frames_in(lost) == 3
    assert gaps.describe(lost).startswith("about 3 frames are missing in 2 places, most of them after frame 48")


def test_few_frames_do_not_give_a_rate() -> None:
    assert detector(8, missing=(4,)).lost(own=False, reordered=False) == []


def test_pauses_at_a_variable_rate_are_no_losses() -> None:
    gaps, time_ns = GapDetector(TICK_NS), 0
    for index in range(60):
        gaps.frame(index, time_ns)
        time_ns += INTERVAL_NS * (1 if index % 3 else 4)
    assert gaps.lost(own=False, reordered=False) == []


def test_in_a_recording_of_a_run_only_damage_is_a_loss() -> None:
    gaps = detector(100, missing=(50,))
    assert gaps.lost(own=True, reordered=False) == []
    gaps.packet(0, 1000, 49 * INTERVAL_NS)
    gaps.packet(9000, 1000, 51 * INTERVAL_NS)  # 8000 bytes belong to no packet
    assert [gap.after for gap in gaps.lost(own=True, reordered=False)] == [49]


def test_the_last_frames_of_a_file_with_b_frames_may_be_incomplete() -> None:
    gaps = detector(100, missing=(20, 95))
    assert [gap.after for gap in gaps.lost(own=False, reordered=True)] == [19]


def test_gaps_are_ordered_by_length() -> None:
    assert max(Gap(5, 9, 0), Gap(7, 1, 0)) == Gap(7, 1, 0)
