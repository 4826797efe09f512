"""An incomplete recording and a model that sees the frames around each: no window reaches over what is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.models import ALONE, SEES
from support.offline_fixtures import poses_in, run_here
from support.pipelines import Film, check_complete, cropzoom, make_settings, run_to_end, tiny_models
from support.sessions import drop_from_recording

from realtime_cropzoom.inference.schedule import Gaps
from realtime_cropzoom.sessions.schedule_file import find_gaps

CONTEXT, ALL = "heatmap_mhcrnn", (*SEES, ALONE)
MISSING = {9, 10, 30}


@pytest.mark.parametrize(
    ("frames", "seen", "expected"),
    [
        ([0, 1, 2, 3], (), Gaps()),
        ([0, 1, 3, 6], (), Gaps((2, 3), 3)),
        ([1, 2], (), Gaps((0,), 1)),
        ([0, 1], (True,) * 4, Gaps((), 2)),
        ([0, 2, 4], (True, False, True, True, True), Gaps((2,), 1)),
    ],
    ids=["whole", "two gaps", "the first", "the last", "one was skipped"],
)
def test_gaps_are_at_missing_frames_that_the_run_used(
    frames: list[int], seen: tuple[bool, ...], expected: Gaps
) -> None:
    assert Gaps.between(frames, seen) == expected


def test_a_recording_of_a_part_lacks_nothing_outside_of_its_time() -> None:
    seen = (True,) * 20
    assert Gaps.between(list(range(5, 12)), seen, range(5, 12)) == Gaps()
    assert Gaps.between([5, 6, 9, 10], seen, range(5, 12)) == Gaps((2,), 3)
    assert Gaps.between([7, 8], (True,) * 5 + (False,) * 15, range(5, 9)) == Gaps()


@pytest.fixture(scope="module")
def incomplete(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A lockstep run of context models whose recording lacks frames, and the models."""
    folder = tmp_path_factory.mktemp("incomplete")
    models = tiny_models(folder, pose=CONTEXT, keypoints=ALL)
    film = Film(60)
    live = check_complete(run_to_end(make_settings(folder, **models, record="ffv1", pace="fast"), film).folder)
    drop_from_recording(live, film, MISSING)
    return live.folder, models


def kept(poses: np.ndarray) -> np.ndarray:
    return np.delete(poses, sorted(MISSING), axis=0)


def far_from_gaps() -> np.ndarray:
    """Rows of the recording whose five frames are all there."""
    captured = [frame for frame in range(60) if frame not in MISSING]
    return np.array([not {frame + d for d in range(-2, 3)} & MISSING for frame in captured])


def test_a_replay_reports_frames_without_poses(incomplete: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    folder, models = incomplete
    boxes = folder / "film_bbox.csv"
    flags = ["--pose", models["pose"], "--schedule", boxes, "--edge", "pad", "--out", tmp_path / "out", "--skip-viz"]
    done = cropzoom("pipeline", folder / "film.mkv", *flags)
    assert done.returncode == 3, done.stderr
    assert "film.mkv lacks 3 frames that were captured" in done.stderr
    assert "the poses next to a gap differ" in done.stderr
    live, replayed = kept(poses_in(folder / "film.csv")), poses_in(tmp_path / "out/film.csv")
    whole = far_from_gaps()
    np.testing.assert_array_equal(replayed[whole], live[whole])
    # What sees a gap repeats a neighbour's answer of the same side, as at the ends of a recording.
    np.testing.assert_array_equal(replayed[[7, 8]], replayed[[6, 6]])
    np.testing.assert_array_equal(replayed[[9, 10]], replayed[[11, 11]])


def test_run_and_pipeline_give_the_same(incomplete: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    folder, models = incomplete
    source, boxes = folder / "film.mkv", folder / "film_bbox.csv"
    common = {**models, "source": source, "schedule": boxes, "pace": "fast"}
    replay = run_to_end(make_settings(tmp_path, **common))
    assert replay.folder is not None
    assert any("lacks 3 frames" in problem for problem in replay.summary["problems"])
    assert (
        run_here("pipeline", source, "--pose", models["pose"], "--schedule", boxes, "--out", tmp_path, "--skip-viz")
        == 3
    )
    np.testing.assert_array_equal(poses_in(replay.folder / "film.csv"), poses_in(tmp_path / "film.csv"))


def test_a_model_without_context_has_no_missing_poses(incomplete: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    folder, _ = incomplete
    models = tiny_models(tmp_path)
    replay = run_to_end(
        make_settings(tmp_path, **models, source=folder / "film.mkv", schedule=folder / "film_bbox.csv", pace="fast")
    )
    assert replay.summary["problems"] == []


def test_other_videos_have_no_gaps(tmp_path: Path) -> None:
    (tmp_path / "clip_recording.csv").write_text("something,else\n1,2\n")
    assert find_gaps(str(tmp_path / "clip.mp4")) == find_gaps("camera:0") == find_gaps(None) == Gaps()
