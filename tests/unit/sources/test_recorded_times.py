"""Recorded times: exact frame times from the timing file beside a recording."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from support.films import Footage, read_shown

from realtime_cropzoom.sources.recorded_times import recorded_times
from realtime_cropzoom.sources.video_file import VideoFile

Write = Callable[..., Path]


def write_timing(path: Path, pts_ns: list[int]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [["frame", "outcome", "pts_ns"], *([i, "processed", t] for i, t in enumerate(pts_ns))]
        )


TIMES_NS = [0, 33_412_345, 66_999_001, 150_000_400, 183_499_999]


@pytest.mark.parametrize("name", ["cam.mkv", "cam.mp4"])
def test_a_recording_of_a_run_has_its_times_in_ns(
    name: str, make_video: Write, footage: Footage, tmp_path: Path
) -> None:
    path = make_video(name, times_ms=[round(t / 1e6) for t in TIMES_NS])
    rounded = [pts_ns for _, pts_ns in read_shown(VideoFile(path), footage)]
    assert rounded != TIMES_NS
    write_timing(tmp_path / "cam_timing.csv", TIMES_NS)
    assert [pts_ns for _, pts_ns in read_shown(VideoFile(path), footage)] == TIMES_NS
    from_second = [pts_ns for _, pts_ns in read_shown(VideoFile(path, 0.03), footage)]
    assert from_second == [t - TIMES_NS[1] for t in TIMES_NS[1:]]


@pytest.mark.parametrize(
    "pts_ns",
    [
        pytest.param(TIMES_NS[:-1], id="another number of frames"),
        pytest.param([t * 7 for t in TIMES_NS], id="other times"),
        pytest.param(TIMES_NS[::-1], id="times that go back"),
    ],
)
def test_times_of_another_recording_are_ignored(
    pts_ns: list[int], make_video: Write, footage: Footage, tmp_path: Path
) -> None:
    path = make_video("cam.mp4", times_ms=[round(t / 1e6) for t in TIMES_NS])
    rounded = [pts_ns for _, pts_ns in read_shown(VideoFile(path), footage)]
    write_timing(tmp_path / "cam_timing.csv", pts_ns)
    assert [pts_ns for _, pts_ns in read_shown(VideoFile(path), footage)] == rounded


def test_a_timing_file_of_another_program_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "cam_timing.csv").write_text("when,what\n1,2\n")
    assert recorded_times(tmp_path / "cam.mp4", 1).exactly(123) == 123
