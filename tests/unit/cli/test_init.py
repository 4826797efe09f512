"""``cropzoom init``: what it makes and says, and one line for what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from realtime_cropzoom.cli.main import main
from realtime_cropzoom.project.folder import load_project


def test_a_project_is_made_and_the_next_command_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "rat arena"
    names = "nose, ear_l,ear_r,tail_base"
    assert main(["init", str(folder), "--keypoints", names, "--skeleton", "nose-ear_l, nose-ear_r"]) == 0
    shown = capfd.readouterr()
    assert "4 keypoints: nose, ear_l, ear_r, tail_base" in shown.out
    assert "symmetric, by their names: ear_l and ear_r" in shown.out
    assert f"cropzoom frames '{folder}' RECORDING.mp4 --count 20" in shown.err
    project = load_project(folder)
    assert project.file.skeleton == (("nose", "ear_l"), ("nose", "ear_r"))
    assert project.file.symmetric == (("ear_l", "ear_r"),)


@pytest.mark.parametrize(
    ("given", "expected", "said"),
    [
        (["--symmetric", "a_l:b"], (("a_l", "b"),), ""),
        (["--symmetric", "none"], (), ""),
        ([], (("a_l", "a_r"),), "by their names"),
    ],
)
def test_symmetric_pairs_are_those_given_or_found(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    given: list[str],
    expected: tuple[tuple[str, str], ...],
    said: str,
) -> None:
    assert main(["init", str(tmp_path / "p"), "--keypoints", "a_l,a_r,b", *given]) == 0
    assert load_project(tmp_path / "p").file.symmetric == expected
    shown = capfd.readouterr().out
    assert said in shown
    assert ("by their names" in shown) == bool(said)


def test_names_with_a_hyphen_can_be_paired(tmp_path: Path) -> None:
    assert (
        main(["init", str(tmp_path / "p"), "--keypoints", "ear-l,ear-r,nose", "--skeleton", "ear-l-nose,nose-ear-r"])
        == 0
    )
    assert load_project(tmp_path / "p").skeleton == ((0, 2), (2, 1))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--keypoints", "a,b,a"], "keypoints: got a twice, expected different names. Rename one"),
        (["--keypoints", "a,,b"], "--keypoints: got 'a,,b', expected names with commas between them"),
        (["--keypoints", ""], "--keypoints: got '', expected names"),
        (["--keypoints", "a:b,c"], "keypoints: got 'a:b': a keypoint's name holds ':'"),
        (["--keypoints", "a/b"], "keypoints: got 'a/b': a keypoint's name holds '/'"),
        ([], "--keypoints is missing"),
        (["--keypoints", "nose,tail", "--skeleton", "nose-tial"], "nose, tail. Did you mean 'tail'?"),
        (["--keypoints", "nose,tail", "--skeleton", "nose:tail"], "expected two keypoints such as nose-tail"),
        (["--keypoints", "nose,tail", "--skeleton", "nose"], "--skeleton: got 'nose', expected two keypoints"),
        (["--keypoints", "nose,tail", "--skeleton", "nose-nose"], "skeleton: got nose with itself"),
        (["--keypoints", "a,a-a", "--skeleton", "a-a-a"], "can be read in 2 ways"),
        (["--keypoints", "a,b,c", "--symmetric", "a:b,b:c"], "symmetric: got b in two pairs"),
        (["--keypoints", "a,b", "--symmetric", "a-b"], "--symmetric: got 'a-b', expected two keypoints such as a:b"),
        (["--keypoints", "a,b", "--symmetric", "a:x"], "--symmetric: got 'x', expected names of --keypoints: a, b"),
    ],
)  # fmt: skip
def test_wrong_names_are_one_line_and_nothing_is_made(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], given: list[str], words: str
) -> None:
    assert main(["init", str(tmp_path / "p"), *given]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert words in line
    assert not (tmp_path / "p").exists()


def test_a_project_that_exists_stays(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path / "p"), "--keypoints", "a"]) == 0
    before = (tmp_path / "p" / "project.yaml").read_bytes()
    capfd.readouterr()
    assert main(["init", str(tmp_path / "p"), "--keypoints", "b"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "got a project, expected a new folder" in line
    assert (tmp_path / "p" / "project.yaml").read_bytes() == before
