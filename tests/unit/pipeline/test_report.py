"""Report of a run: its progress line, and its lines about lost and old frames."""

from __future__ import annotations

from pathlib import Path

from support.live_film import Camera, Segment, listen
from support.pipelines import ANY_PORT, Files, make_settings

from realtime_cropzoom.pipeline.report import expected_frame_count, report


def test_progress_counts_to_the_smallest_known_number_of_frames() -> None:
    assert [expected_frame_count(150, 100), expected_frame_count(150, 200), expected_frame_count(None, 100)] == [
        100,
        150,
        100,
    ]
    assert expected_frame_count(None, None) is None


def test_frames_that_arrived_old_are_not_reported_as_lost(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, publish=ANY_PORT, publish_latest=ANY_PORT, max_lag=100, frames=20)
    run = listen(settings, Camera(Segment(20, lost={3: 2}, stale={5: 7})))
    assert (run.statuses[-1].lost, run.statuses[-1].stale) == (2, 7)
    summary = Files(run.folder).summary
    assert (summary["lost"], summary["stale"]) == (2, 7)
    said = report(summary)
    assert "2 frames were lost on the way from the camera" in said
    assert "7 frames were old when they came, as after a start or a break, and were left out" in said
