"""A new project: its file says what each key is, and which keypoints are symmetric is found by their names."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.places import ROOT

from realtime_cropzoom.errors import ConfigError, SinkError
from realtime_cropzoom.project.folder import load_project
from realtime_cropzoom.project.schema import HeldOut, ProjectFile, Training, name_fault, parse_project
from realtime_cropzoom.project.template import make_project, project_text, side_pairs

NAMES = ["nose", "ear_l", "ear_r"]
PAGE = (ROOT / "docs" / "reference" / "project-file.md").read_text(encoding="utf-8")
KEYS = [
    *(name for name in ProjectFile.model_fields if name not in ("held_out", "training")),
    *(f"held_out.{name}" for name in HeldOut.model_fields),
    *(f"training.{name}" for name in Training.model_fields),
]


def test_a_new_file_has_the_names_and_the_defaults() -> None:
    text = project_text(NAMES, [("nose", "ear_l")], [("ear_l", "ear_r")])
    expected = ProjectFile(
        keypoints=("nose", "ear_l", "ear_r"), skeleton=(("nose", "ear_l"),), symmetric=(("ear_l", "ear_r"),)
    )
    assert parse_project(text, "new") == expected


def test_each_key_is_in_the_file_with_a_comment() -> None:
    text = project_text(NAMES, [], [])
    for key in KEYS:
        name = key.partition(".")[2]
        assert (f"\n  {name}: " if name else f"\n{key}: ") in text, key
    lines = [line for line in text.splitlines() if line.startswith("  ")]
    assert all("  # " in line for line in lines)
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("key", KEYS)
def test_each_key_is_on_its_page(key: str) -> None:
    assert f"\n| `{key}` |" in PAGE


def test_the_page_has_no_other_key_and_its_example_is_valid() -> None:
    table = PAGE.partition("| key | value |")[2]
    assert [line.split("`")[1] for line in table.splitlines() if line.startswith("| `")] == KEYS
    block = PAGE.partition("nearest one.\n\n")[2].partition("\n\n|")[0]
    parse_project("\n".join(line[4:] for line in block.splitlines()), "the page")


@given(st.lists(st.text(min_size=1, max_size=20).filter(lambda name: not name_fault(name)), min_size=1, unique=True))
def test_any_names_come_back(names: list[str]) -> None:
    assert parse_project(project_text(names, [], side_pairs(names)), "new").keypoints == tuple(names)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("nose ear_l ear_r", "ear_l:ear_r"),
        ("ear_r ear_l", "ear_l:ear_r"),
        ("left_ear right_ear left_hip right_hip", "left_ear:right_ear left_hip:right_hip"),
        ("LeftEar RightEar", "LeftEar:RightEar"),
        ("earLeft earRight", "earLeft:earRight"),
        ("leftear rightear snout tailbase", "leftear:rightear"),
        ("EAR_LEFT EAR_RIGHT", "EAR_LEFT:EAR_RIGHT"),
        ("earL earR", "earL:earR"),
        ("L_ear R_ear", "L_ear:R_ear"),
        ("lEar rEar", "lEar:rEar"),
        ("paw-l-front paw-r-front", "paw-l-front:paw-r-front"),
        ("paw1L paw1R", "paw1L:paw1R"),
        ("ear_l nose", ""),
        ("tail_l ear_r", ""),
        ("nail nair", ""),
        ("snout mouth", ""),
        ("left", ""),
        ("left right", "left:right"),
    ],
)
def test_symmetric_keypoints_are_found_by_their_names(names: str, expected: str) -> None:
    assert [":".join(pair) for pair in side_pairs(names.split())] == expected.split()


@given(st.lists(st.sampled_from(["a_l", "a_r", "LeftA", "RightA", "b", "l", "r", "left l", "right r", "rightleft"])))
def test_found_pairs_are_never_refused(names: list[str]) -> None:
    names = list(dict.fromkeys(names))
    parse_project(project_text(names or ["x"], [], side_pairs(names)), "new")


def test_a_project_is_made_in_a_new_or_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "deep" / "new", tmp_path / "empty"):
        assert make_project(folder, NAMES, [], []) == load_project(folder)
        assert sorted(path.name for path in folder.iterdir()) == ["frames", "labels", "models", "project.yaml"]


@pytest.mark.parametrize("there", ["project", "file", "files"])
def test_what_is_there_stays(tmp_path: Path, there: str) -> None:
    folder = tmp_path / "rat"
    if there == "file":
        folder.write_text("x")
    else:
        folder.mkdir()
        (folder / ("project.yaml" if there == "project" else "notes.txt")).write_text("x")
    with pytest.raises(ConfigError, match="expected a new"):
        make_project(folder, NAMES, [], [])
    assert [p.read_text() for p in tmp_path.rglob("*") if p.is_file()] == ["x"]


@pytest.mark.parametrize("empty", [True, False])
def test_nothing_stays_of_a_project_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty: bool
) -> None:
    def full(*_: object) -> None:
        raise SinkError("cannot write: the disk is full")

    monkeypatch.setattr("realtime_cropzoom.project.template.write_whole", full)
    folder = tmp_path / "rat"
    if empty:
        folder.mkdir()
    with pytest.raises(SinkError, match="full"):
        make_project(folder, NAMES, [], [])
    assert list(tmp_path.iterdir()) == ([folder] if empty else [])
    if empty:
        assert list(folder.iterdir()) == []
