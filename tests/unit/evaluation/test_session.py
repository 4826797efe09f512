"""What ran in a session, beside the labels of its frames, and what can be said without any."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.judged_projects import KEYPOINTS, make_project, write_frames, write_labels

from realtime_cropzoom.cli.main import main
from realtime_cropzoom.errors import DataError
from realtime_cropzoom.evaluation import evaluate_session
from realtime_cropzoom.evaluation.session import labelled_frames, open_session, session_facts
from realtime_cropzoom.evaluation.session_findings import session_signs
from realtime_cropzoom.labelling.frame_table import FrameRow, write_frame_table
from realtime_cropzoom.project.folder import Project, load_project
from realtime_cropzoom.sinks.video_encoder import VideoEncoder
from realtime_cropzoom.sources.arena.source import Arena, ArenaSettings
from realtime_cropzoom.train.dataset import LabelledFrame

_FRAMES, _GONE = 40, range(20, 26)
"""Number of frames of the film, and those that do not show the animal."""
_LABELLED = range(2, 40, 6)


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose labels are frames of a film, and the film's poses by ``cropzoom pipeline``."""
    project = make_project(tmp_path_factory.mktemp("films") / "mouse", held_out=1, train=0)
    arena = Arena(ArenaSettings(seed=4))
    shots = {i: arena.render(i) for i in range(_FRAMES)}
    film = VideoEncoder(project.folder / "film.mp4", (shots[0].shape[1], shots[0].shape[0]), 30.0, "h264")
    for i, image in shots.items():
        frame = film.convert(np.full_like(image, 200) if i in _GONE else image)
        assert frame is not None
        film.write(frame, round(i * 1e9 / 30))
    film.close()
    order = [arena.keypoint_names.index(name) for name in KEYPOINTS]
    images = [f"frames/film/img{i:08d}.png" for i in _LABELLED]
    frames = [LabelledFrame("", shots[i], arena.truth(i)[order].astype(np.float32)) for i in _LABELLED]
    write_frames(project.folder, images, frames)
    write_labels(project.labels_file, images, frames)
    path = str(project.folder / "film.mp4")
    write_frame_table(project, [FrameRow(image, path, i, 1) for image, i in zip(images, _LABELLED, strict=True)])
    sets = ["train", *["held_out"] * (len(images) - 1)]
    pd.DataFrame({"image": images, "set": sets}).to_csv(project.split_file, index=False)
    assert main(["pipeline", path, "--skip-viz", "--out", str(project.folder / "poses")]) == 0
    return project


@pytest.fixture
def project(_made: Project, tmp_path: Path) -> Project:
    """A copy that a test may change; the film stays where it was."""
    shutil.copytree(_made.folder, tmp_path / "mouse")
    return load_project(tmp_path / "mouse")


@pytest.fixture
def poses(project: Project) -> Path:
    return project.folder / "poses" / "film.csv"


def test_a_session_is_judged_on_its_own_frames_but_never_on_those_of_the_training(
    project: Project, poses: Path
) -> None:
    summary = evaluate_session(project, poses)
    judged = summary.judged
    assert judged is not None
    assert [int(image[-12:-4]) for image in judged.results.truth.images] == list(_LABELLED)[1:]
    seen = [i not in _GONE for i in list(_LABELLED)[1:]]
    assert judged.results.tracking.tolist() == seen
    assert np.nanmedian(judged.results.errors[seen]) < 3
    assert summary.report.name == "report_film.html"
    assert summary.report.is_file()
    assert any("1 labelled frame of this session: not judged" in line for line in summary.lines)


def test_the_poses_are_those_of_the_session_and_not_new_ones(project: Project, poses: Path) -> None:
    before = evaluate_session(project, poses).judged
    table = pd.read_csv(poses, header=[0, 1, 2], index_col=0)
    table.loc[:, (slice(None), "snout", "x")] += 25.0
    table.to_csv(poses)
    after = evaluate_session(project, poses).judged
    assert before is not None
    assert after is not None
    np.testing.assert_allclose(
        after.results.found - before.results.found,
        np.array([[25.0, 0], [0, 0], [0, 0], [0, 0]]) + 0 * before.results.found,
        atol=1e-3,
    )


def test_without_labels_there_are_facts_and_no_errors(project: Project, poses: Path) -> None:
    project.labels_file.unlink()
    summary = evaluate_session(project, poses)
    assert summary.judged is None
    assert summary.errors is None
    facts = summary.facts
    assert facts is not None
    assert facts.frames == _FRAMES
    assert facts.tracked == pytest.approx(1 - len(_GONE) / _FRAMES)
    assert [(stretch.first, stretch.frames) for stretch in facts.lost] == [(_GONE.start, len(_GONE))]
    assert "errors are unknown" in summary.report.read_text(encoding="utf-8")


def test_a_recording_of_the_same_name_elsewhere_is_another_one(project: Project, poses: Path) -> None:
    rows = [FrameRow(f"frames/film/img{i:08d}.png", "/elsewhere/film.mp4", i, 1) for i in _LABELLED]
    write_frame_table(project, rows)
    assert evaluate_session(project, poses).judged is None


def test_frames_of_the_runs_own_recording_are_found_although_it_lacks_some(project: Project, poses: Path) -> None:
    video = shutil.copy(project.folder / "film.mp4", poses.with_suffix(".mp4"))
    rows = ["0,0,,0", "1,1,,0", "2,,too_slow,0", *(f"{i},{i - 1},,0" for i in range(3, _FRAMES))]
    poses.with_name("film_recording.csv").write_text("\n".join(["frame,recorded,dropped,segment", *rows, ""]))
    table = [FrameRow(f"frames/film/img{i:08d}.png", str(video), i, 1) for i in (1, 2, 30)]
    frames = labelled_frames(open_session(poses, KEYPOINTS), tuple(table))
    assert list(frames.values()) == [1, 3, 31]


def test_jumps_and_an_animal_of_another_size_are_signs_of_trouble(project: Project, poses: Path) -> None:
    table = pd.read_csv(poses, header=[0, 1, 2], index_col=0)
    table.loc[5:9:2, (slice(None), "snout", "x")] += 300.0
    table.to_csv(poses)
    facts = session_facts(open_session(poses, KEYPOINTS), KEYPOINTS, 115.0, "film")
    assert facts.jumps == 6, "there and back, three times"
    assert any("jumps" in line for line in session_signs(facts))
    small = session_facts(open_session(poses, KEYPOINTS), KEYPOINTS, 230.0, "film")
    assert any("smaller" in line for line in session_signs(small))


def test_a_session_without_its_states_is_refused_and_not_called_lost(project: Project, poses: Path) -> None:
    next(poses.parent.glob("*_bbox.csv")).unlink()
    with pytest.raises(DataError, match=r"in which frames the animal was tracked; expected the run's file"):
        evaluate_session(project, poses)


def test_a_session_of_other_keypoints_is_refused_in_one_line(project: Project, poses: Path) -> None:
    poses.write_text(poses.read_text().replace("snout", "beak"))
    with pytest.raises(DataError, match=r"snout.*another project") as raised:
        evaluate_session(project, poses)
    assert "\n" not in str(raised.value)
