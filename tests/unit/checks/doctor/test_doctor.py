"""``cropzoom doctor`` as users run it: sources, sessions, the picture, exit codes, and one line for bad input."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.blob_films import draw
from support.pipelines import make_settings, run_to_end
from support.several import animals_session, boxes_session

from realtime_cropzoom.checks.doctor.samples import FOLLOWING, MOMENTS, Sample, spread, take_samples
from realtime_cropzoom.checks.doctor.session import choose_places, read_of_session
from realtime_cropzoom.cli.main import main
from realtime_cropzoom.offline.video_writer import VideoWriter
from realtime_cropzoom.sessions.latest import note_session
from realtime_cropzoom.sources.base import SourceOptions
from realtime_cropzoom.types import UInt8

PRESENCE = {"min_likelihood": 0.5, "min_sharpness": 0.5, "share": 0.5, "distances": []}


def write_film(path: Path, change: Callable[[UInt8], UInt8] = lambda image: image, frames: int = 90) -> Path:
    """Write a video of the blob, three steps a frame."""
    with VideoWriter(path, (320, 240), 30.0) as video:
        for number in range(frames):
            video.write(change(draw(3 * number)), round(number * 1e9 / 30))
        video.commit()
    return path


@pytest.fixture
def models(make_model: Callable[..., Path]) -> list[str]:
    """Flags of models of a bright blob."""
    described = {"presence": PRESENCE}
    given = {role: str(make_model(role, described=described)) for role in ("detector", "pose")}
    return [word for role, path in given.items() for word in (f"--{role}", path)] + ["--crop-size", "96"]


def test_a_recording_with_the_animal_is_well(
    tmp_path: Path, models: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    video = write_film(tmp_path / "film.mp4")
    assert main(["doctor", str(video), *models]) == 0
    said = capsys.readouterr()
    assert "animal found in 24 of 24 frames (100 %)" in said.out
    assert "All is well: nothing was found that hinders" in said.out
    assert "cropzoom run" in said.err
    [picture] = tmp_path.glob("film_*_doctor.png")  # named after the models, too
    assert cv2.imread(str(picture)) is not None


def test_the_project_of_a_session_comes_back_in_the_next_command(
    tmp_path: Path,
    models: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = tmp_path / "rat_arena"
    project.mkdir()
    (project / "project.yaml").write_text("keypoints: [nose, tail]\nskeleton: []\nsymmetric: []\n")
    video = write_film(tmp_path / "film.mp4")
    given: dict[str, Any] = {
        "project": str(project),
        "detector": models[1],
        "pose": models[3],
        "crop_size": 96,
        "pace": "fast",
    }
    folder = run_to_end(make_settings(tmp_path, source=str(video), **given)).folder
    assert folder is not None
    assert main(["doctor", str(folder)]) == 0
    assert f"--project {project}" in " ".join(capsys.readouterr().err.split()).replace("'", "")
    assert (folder / "doctor.png").exists()


def test_a_cause_gives_exit_code_1_and_the_same_in_json(
    tmp_path: Path, models: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    video = write_film(tmp_path / "film.mp4", lambda image: np.asarray(255 - image, np.uint8))
    out = tmp_path / "picture.png"
    assert main(["doctor", str(video), *models, "--json", "--out", str(out)]) == 1
    values = json.loads(capsys.readouterr().out)
    assert values["findings"][0]["cause"] == "contrast"
    assert values["facts"]["seen"]["frames"] == 24
    assert values["picture"] == str(out)
    assert out.exists()
    assert main(["doctor", str(video), *models, "--out", str(out)]) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_a_session_is_looked_at_with_its_own_models_and_where_it_was_lost(
    tmp_path: Path, models: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0)

    def hide(image: UInt8) -> UInt8:
        hide.calls += 1  # type: ignore[attr-defined]
        away = np.asarray(noise.integers(46, 54, image.shape), np.uint8)  # no two frames are the same
        return away if hide.calls > 60 else image  # type: ignore[attr-defined]

    hide.calls = 0  # type: ignore[attr-defined]
    video = write_film(tmp_path / "film.mp4", hide)
    given: dict[str, Any] = {"detector": models[1], "pose": models[3], "crop_size": 96, "pace": "fast"}
    pipeline = run_to_end(make_settings(tmp_path, source=str(video), **given))
    assert pipeline.folder is not None
    of_session = read_of_session(pipeline.folder)
    assert sum(number >= 60 for number in of_session.wanted) >= 12
    assert of_session.settings["pose"] == models[3]
    assert of_session.facts.longest_lost == (60, 90)
    assert main(["doctor", str(pipeline.folder)]) == 1
    said = capsys.readouterr().out
    assert "the session: tracked in 67 % of 90 frames; longest without the animal: frames 60 to 89" in said
    assert "is the animal there?" in said
    assert (pipeline.folder / "doctor.png").exists()
    video.unlink()
    assert main(["doctor", str(pipeline.folder)]) == 2
    assert "its frames were not recorded, or the recording is not where it was" in capsys.readouterr().err


def test_the_picture_of_a_session_is_written_where_the_user_may_expect_it(
    tmp_path: Path, models: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    video = write_film(tmp_path / "film.mp4")
    given: dict[str, Any] = {"detector": models[1], "pose": models[3], "crop_size": 96, "pace": "fast"}
    pipeline = run_to_end(make_settings(tmp_path, source=str(video), **given))
    session, here = pipeline.folder, tmp_path / "here"
    assert session is not None
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    note_session(session)
    here.mkdir()
    monkeypatch.chdir(here)
    assert main(["doctor", "latest"]) == 0
    shown = capsys.readouterr()
    assert f"latest is {session}, of another folder" in shown.err
    assert f"picture: {session.name}_doctor.png\n" in shown.out
    assert (here / f"{session.name}_doctor.png").exists()
    assert not (session / "doctor.png").exists(), "the user has not named that folder"
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", "latest"]) == 0
    found = Path("sessions") / session.name / "doctor.png"
    assert f"picture: {found}\n" in capsys.readouterr().out
    assert found.exists()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert main(["doctor", str(session)]) == 0
    assert f"picture: {session.name}_doctor.png\n" in capsys.readouterr().out, "nothing can be written there"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["missing.mp4"], "missing.mp4"),
        (["camera:77"], "camera:77"),
        (["latest"], "there is no session"),
        (["film.mp4", "--source", "other.mp4"], "--source: expected a session"),
        (["film.mp4", "--detector", "no_such_model"], "no_such_model"),
        (["film.mp4", "--project", "no_project"], "no_project"),
        (["film.mp4", "--crop-size", "9000"], "crop_size"),
        (["empty.mp4"], "empty.mp4"),
        (["poses.csv"], "poses.csv"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    tmp_path: Path,
    words: list[str],
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    write_film(tmp_path / "film.mp4", frames=4)
    (tmp_path / "empty.mp4").write_bytes(b"")
    assert main(["doctor", *words]) == 2
    said = capsys.readouterr()
    assert says in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert said.out == ""
    assert not list(tmp_path.glob("*.png"))


@pytest.mark.parametrize(
    ("lost", "of_them"),
    [
        pytest.param(range(0), 0, id="never lost"),
        pytest.param(range(600), 24, id="always lost"),
        pytest.param(range(100, 500), 16, id="mostly lost"),
        pytest.param(range(200, 400), 12, id="a third"),
        pytest.param(range(590, 600), 5, id="the last frames"),
        pytest.param(range(0, 600, 7), 12, id="now and then"),
    ],
)
def test_frames_of_a_session_are_spread_over_it_and_never_neighbours(lost: range, of_them: int) -> None:
    where = np.isin(np.arange(600), lost)
    places = choose_places(where)
    assert np.diff(places).min() > (FOLLOWING if len(lost) != 10 else 1), "each is looked at with those that follow"
    assert int(where[places].sum()) == pytest.approx(of_them, abs=1)
    assert 20 <= len(places) <= MOMENTS
    assert places[0] < 30
    assert places[-1] >= 570
    assert np.diff(places).max() < 80


def test_of_a_short_session_as_many_frames_are_looked_at_as_it_has() -> None:
    assert choose_places(np.arange(10) > 6).tolist() == list(range(10))
    assert choose_places(np.zeros(0, bool)).tolist() == []


def test_samples_of_a_file_are_spread_over_it_and_each_has_the_frames_that_follow(tmp_path: Path) -> None:
    video = write_film(tmp_path / "film.mp4")
    sampled = take_samples(str(video), SourceOptions(), 1)
    assert [sample.number for sample in sampled.samples] == spread(90, 24)
    assert all(len(sample.following) == 2 for sample in sampled.samples)
    assert sampled.count == 90
    again = take_samples(str(video), SourceOptions(), 1, wanted=(5, 89))
    assert [(sample.number, len(sample.following)) for sample in again.samples] == [(5, 2), (89, 0)]


def test_samples_of_a_source_that_is_read_in_order_are_the_same(tmp_path: Path) -> None:
    sampled = take_samples("synthetic:arena,size=160x120,seconds=2", SourceOptions(), 1)
    numbers = spread(60, 24)
    assert [sample.number for sample in sampled.samples] == numbers
    assert all(isinstance(sample, Sample) for sample in sampled.samples)
    gaps = [after - before for before, after in itertools.pairwise(numbers)]
    followed = [len(sample.following) for sample in sampled.samples[:-1]]
    assert followed == [min(2, gap - 1) for gap in gaps]


def test_samples_of_a_live_source_are_spread_over_the_time() -> None:
    sampled = take_samples("lavfi:testsrc2=size=160x120:rate=60", SourceOptions(), 1.2)
    assert sampled.live
    assert 8 <= len(sampled.samples) <= 24
    assert all(len(sample.following) == 2 for sample in sampled.samples[:-1])


def test_the_animal_of_a_region_is_looked_for_in_its_region(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = boxes_session(tmp_path)
    assert main(["doctor", str(folder / "arena_box2.csv"), "--out", str(tmp_path / "box2.png")]) == 0
    said = capsys.readouterr()
    assert "region box2: looked at" in said.out
    assert "160×120" in said.out
    assert "(100 %)" in said.out
    assert f"--regions {folder / 'config.yaml'}" in " ".join(said.err.split()).replace("'", "")
    assert main(["doctor", str(folder / "arena_box3.csv"), "--out", str(tmp_path / "box3.png")]) == 1
    assert "animal found in 0 of" in capsys.readouterr().out
    assert cv2.imread(str(tmp_path / "box3.png")) is not None


def test_the_other_animals_of_a_session_are_no_cause(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("scipy", reason="assignment needs scipy, of the extra animals")
    folder = animals_session(tmp_path, frames=60)
    main(["doctor", str(folder / "arena_animal1.csv"), "--out", str(tmp_path / "one.png")])
    said = capsys.readouterr().out
    assert "of 3 animals, the one that is seen best is found in" in said
    assert "more than one animal" not in said


def test_settings_with_regions_need_a_session(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "boxes.yaml"
    config.write_text("regions:\n  box1: {rectangle_px: [0, 0, 160, 120]}\n")
    video = write_film(tmp_path / "film.mp4")
    assert main(["doctor", str(video), "--config", str(config), "--out", str(tmp_path / "no.png")]) == 2
    said = capsys.readouterr().err
    assert "give the file of one region" in said
    assert said.count("\n") == 1
