"""Report of a run: its progress line, and its lines about lost and old frames."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.dark_animals import write_dark_animals
from support.live_film import Camera, Segment, listen
from support.pipelines import ANY_PORT, Files, make_settings, run_to_end

from realtime_cropzoom.pipeline.report import expected_frame_count, progress_line, report


def test_progress_counts_to_the_smallest_known_number_of_frames() -> None:
    assert [expected_frame_count(150, 100), expected_frame_count(150, 200), expected_frame_count(None, 100)] == [
        100,
        150,
        100,
    ]
    assert expected_frame_count(None, None) is None


def test_progress_names_no_rate_of_boxes_where_they_come_from_an_earlier_run(tmp_path: Path) -> None:
    source = "synthetic:arena,seconds=0.4"
    live = run_to_end(make_settings(tmp_path / "live", source=source, pace="fast"))
    again = run_to_end(make_settings(tmp_path / "again", source=source, pace="fast", schedule=live.folder))
    said = progress_line(again.progress(), 12, 100, lockstep=True, scheduled=True)
    assert said.startswith("frame 12/12")
    assert "boxes/s" not in said
    assert "boxes/s" in progress_line(live.progress(), 12, 100)


def test_it_says_in_how_many_frames_the_detector_looked_and_found_an_animal(tmp_path: Path) -> None:
    source = "synthetic:arena,seconds=0.2"
    summary = run_to_end(make_settings(tmp_path, source=source, pace="fast", detector_every=2)).summary
    assert summary["detector"]["detections"] == 3
    assert "the detector looked at 3 frames, and found the animal in " in report(summary)
    half = {**summary, "detector": {"detections": 425, "unusable": 316, "failed": 0}}
    assert "the detector looked at 425 frames, and found the animal in 109 of them" in report(half)


def test_several_animals_are_reported_by_animal_and_a_look_for_all_is_one(tmp_path: Path) -> None:
    pytest.importorskip("scipy", reason="assignment needs scipy, of the extra animals")
    detector = write_dark_animals(tmp_path / "dark_animals.onnx", 24)
    source = "synthetic:arena,animals=2,size=320x240,seconds=0.2,seed=8"
    settings = make_settings(
        tmp_path, source=source, animals=2, pace="fast", detector=str(detector), pose="shipped", crop_size=120
    )
    summary = run_to_end(settings).summary
    assert summary["counts"]["processed"] == summary["detector"]["detections"] == 6
    said = report(summary)
    assert "the detector looked for an animal 6 times, and found it 6 times" in said
    assert "animal found in 100 % of 12 processed frames, those of 2 animals added up" in said
    assert "by animal: animal1 100 %, animal2 100 %" in said


def test_frames_that_arrived_old_are_not_reported_as_lost(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, publish=ANY_PORT, publish_latest=ANY_PORT, max_lag=100, frames=20)
    run = listen(settings, Camera(Segment(20, lost={3: 2}, stale={5: 7})))
    assert (run.statuses[-1].lost, run.statuses[-1].stale) == (2, 7)
    summary = Files(run.folder).summary
    assert (summary["lost"], summary["stale"]) == (2, 7)
    said = report(summary)
    assert "2 frames were lost on the way from the camera" in said
    assert "7 frames were old when they came, as after a start or a break, and were left out" in said


@pytest.mark.parametrize(
    ("source", "ppm", "ppm_error", "jitter_us", "is_reported"),
    [
        ("camera:0", 84.5, 0.5, 50.0, True),
        ("camera:0", -84.5, 0.5, 50.0, True),
        ("camera:0", -24.8, 21.5, 50.0, False),
        ("camera:0", 0.0, 0.0, 50.0, False),
        ("camera:0", 84.5, 0.5, 88_140.0, False),
        ("lavfi:testsrc2=rate=30", 84.5, 0.5, 50.0, False),
    ],
)
def test_clock_drift_is_reported_in_plain_words_if_the_run_measured_it(
    tmp_path: Path, source: str, ppm: float, ppm_error: float, jitter_us: float, is_reported: bool
) -> None:
    summary = run_to_end(make_settings(tmp_path, source="synthetic:arena,seconds=0.2", pace="fast")).summary
    drift = {"ppm": ppm, "ppm_error": ppm_error, "jitter_us": jitter_us, "seconds": 60.0, "frames": 1800}
    said = report({**summary, "source": source, "fps": 30.0, "clock_drift": drift})
    gains = "gains" if ppm > 0 else "loses"
    line = (
        f"the camera's clock {gains} {abs(ppm) * 0.0036:.2g} s an hour against the clock of this machine "
        f"({abs(ppm):.1f} ± {ppm_error:.1f} ppm); the delay of its frames varies by 0.05 ms"
    )
    assert (line in said) == is_reported
    assert ("camera's clock" in said) == is_reported
