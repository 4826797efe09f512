"""The folder of a project: how it is opened, and where its things are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.project.folder import is_project, load_project


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "rat arena"
    made.mkdir()
    text = "keypoints: [nose, ear_l, ear_r]\nskeleton: [[ear_r, nose]]\nsymmetric: [[ear_l, ear_r]]\n"
    (made / "project.yaml").write_text(text + f"recordings: [videos/a.mp4, {tmp_path}/b.mp4]\n", encoding="utf-8")
    return made


def test_a_project_knows_its_places_and_its_pairs(folder: Path, tmp_path: Path) -> None:
    project = load_project(folder)
    assert project.name == "rat arena"
    assert project.keypoints == ("nose", "ear_l", "ear_r")
    assert project.skeleton == ((2, 0),)
    assert project.symmetric_pairs == ((1, 2),)
    assert project.labels_file == folder / "labels" / "CollectedData.csv"
    assert project.frames_table == folder / "frames" / "frames.csv"
    assert project.split_file == folder / "models" / "split.csv"
    assert project.recordings == (folder / "videos" / "a.mp4", tmp_path / "b.mp4")


def test_its_folder_is_absolute_wherever_it_is_opened_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    for given in ("rat arena", Path("rat arena/project.yaml"), f"{folder}{os.sep}"):
        assert load_project(given).folder == folder
        assert is_project(Path(given))
    monkeypatch.chdir(folder)
    assert load_project(".").name == "rat arena"
    assert load_project("project.yaml").folder == folder


def test_what_is_no_project_is_refused_with_the_command_that_makes_one(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    for given, found in (
        (tmp_path, "a folder without"),
        (tmp_path / "none", "nothing"),
        (tmp_path / "a.txt", "a file"),
    ):
        assert not is_project(given)
        with pytest.raises(ConfigError, match=rf"got {found}.*cropzoom init") as refused:
            load_project(given)
        assert "\n" not in str(refused.value)


def test_a_fault_names_the_file_as_it_was_given(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "project.yaml").write_text("keypoints: [a, a]\n")
    monkeypatch.chdir(folder.parent)
    with pytest.raises(ConfigError, match=r"^rat arena/project.yaml, line 1: keypoints"):
        load_project("rat arena")
