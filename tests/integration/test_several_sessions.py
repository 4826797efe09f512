"""Every command that takes a session, on one of several animals and on one of several regions: it works, or it says in
one line what to give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.pipelines import cropzoom
from support.several import animals_session, boxes_session

from realtime_cropzoom import load_session
from realtime_cropzoom.errors import DataError

PROJECT = "keypoints: [snout, leftear, rightear, tailbase]\nskeleton: []\nsymmetric: []\n"
OF_A_SESSION: dict[str, list[str]] = {
    "convert": ["convert", "{session}", "--to", "csv", "--overwrite"],
    "compare": ["compare", "{session}", "{session}"],
    "doctor": ["doctor", "{session}", "--out", "{out}.png"],
    "evaluate": ["evaluate", "{project}", "{session}"],
    "view": ["view", "{session}", "--no-browser", "--port", "0"],
    "frames": ["frames", "{project}", "--uncertain", "{session}", "--count", "3"],
}
WORKS_ON_ONE = ("convert", "compare", "evaluate")
"""What the file of one needs no more for: the arena has no recording to pick frames of, and a page would not end."""


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    pytest.importorskip("scipy", reason="assignment needs scipy, of the extra animals")
    folder = tmp_path_factory.mktemp("several")
    (folder / "project").mkdir()
    (folder / "project" / "project.yaml").write_text(PROJECT)
    return {
        "animals": animals_session(tmp_path_factory.mktemp("animals"), frames=40),
        "regions": boxes_session(tmp_path_factory.mktemp("boxes")),
        "folder": folder,
    }


def words(command: str, session: Path, sessions: dict[str, Path], out: Path) -> list[str]:
    given = {"session": session, "project": sessions["folder"] / "project", "out": out / "out"}
    return [word.format(**given) for word in OF_A_SESSION[command]]


@pytest.mark.parametrize("kind", ["animals", "regions"])
@pytest.mark.parametrize("command", OF_A_SESSION)
def test_the_folder_is_refused_in_one_line_that_names_a_file(
    sessions: dict[str, Path], tmp_path: Path, command: str, kind: str
) -> None:
    one = {"animals": "arena_animal1.csv", "regions": "arena_box1.csv"}[kind]
    ran = cropzoom(*words(command, sessions[kind], sessions, tmp_path))
    assert ran.returncode == 2
    assert f"holds 3 {kind}: " in ran.stderr
    assert f"such as {sessions[kind] / one}" in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("kind", ["animals", "regions"])
@pytest.mark.parametrize("command", WORKS_ON_ONE)
def test_the_file_of_one_works(sessions: dict[str, Path], tmp_path: Path, command: str, kind: str) -> None:
    one = sessions[kind] / {"animals": "arena_animal1.csv", "regions": "arena_box1.csv"}[kind]
    ran = cropzoom(*words(command, one, sessions, tmp_path))
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("command", OF_A_SESSION)
def test_the_file_of_all_animals_is_refused_in_one_line(
    sessions: dict[str, Path], tmp_path: Path, command: str
) -> None:
    ran = cropzoom(*words(command, sessions["animals"] / "arena_animals.csv", sessions, tmp_path))
    assert ran.returncode == 2
    assert "has the poses of several animals. Give the file of one, such as " in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1


def test_draw_takes_the_folder(sessions: dict[str, Path], tmp_path: Path) -> None:
    for kind in ("animals", "regions"):
        out = tmp_path / f"{kind}.png"
        assert cropzoom("draw", sessions[kind], "--frames", 1, "--out", out).returncode == 0
        assert out.stat().st_size > 1000


def test_a_run_does_not_take_the_boxes_of_several(sessions: dict[str, Path], tmp_path: Path) -> None:
    source = "synthetic:arena,size=320x240,seconds=1"
    quiet = ("--pace", "fast", "--publish", "none", "--publish-latest", "none", "--out", tmp_path)
    for kind, advice in (("animals", "give --animals and --detector"), ("regions", "Give them: --regions ")):
        ran = cropzoom("run", source, "--schedule", sessions[kind], *quiet)
        assert ran.returncode == 2
        assert f"has the boxes of several {kind}" in ran.stderr
        assert advice in ran.stderr


def test_a_pass_over_a_recording_takes_the_boxes_of_one(
    sessions: dict[str, Path], tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    video = make_video("clip.mp4", frames=40)
    for kind, one in (("animals", "arena_animal1_bbox.csv"), ("regions", "arena_box1_bbox.csv")):
        ran = cropzoom("pipeline", video, "--schedule", sessions[kind], "--out", tmp_path / "out")
        assert ran.returncode == 2
        assert (
            f"has the boxes of several animals; expected those of one. Give the file {sessions[kind] / one}"
            in ran.stderr
        )


def test_a_script_is_told_as_a_command_is(sessions: dict[str, Path]) -> None:
    with pytest.raises(DataError, match=r"holds 3 animals: .* Give the file"):
        load_session(sessions["animals"])
    table = load_session(sessions["animals"] / "arena_animal1.csv")
    assert {"uncertain", "meetings"} <= set(table.columns)
    assert not {"uncertain", "meetings"} & set(load_session(sessions["regions"] / "arena_box1.csv").columns)
