"""Recordings are written into ``project.yaml``, and all else in it stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.project.edit import save_recordings, with_recordings, yaml_text
from realtime_cropzoom.project.folder import load_project
from realtime_cropzoom.yaml_file import parse_mapping, parse_yaml

BEGIN = "# my rats\nkeypoints: [nose]  # one\n"
END = "\n# what is trained\ntraining:\n  minutes: 5   # short\n"
FORMS = [
    "recordings: []\n",
    "recordings: []  # filled by cropzoom frames\n",
    "recordings:\n",
    "recordings:   # filled by cropzoom frames\n",
    "recordings: [a.mp4, 'b c.mp4']   # two\n",
    "recordings:  # two\n  - a.mp4\n  # the second\n  - b.mp4  # bad light\n",
    "recordings:\n- a.mp4\n",
    "recordings: [a.mp4,\n   b.mp4]\n",
    "",
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("paths", [["a.mp4"], ["/x/y z.mp4", "a: b#.mp4", "no", "ü"], []])
@pytest.mark.parametrize("eol", ["\n", "\r\n"])
def test_only_the_recordings_change(form: str, paths: list[str], eol: str) -> None:
    text = (BEGIN + form + END).replace("\n", eol)
    new = with_recordings(text, paths)
    assert (parse_mapping(new, "new").get("recordings") or []) == paths
    assert new.startswith(BEGIN.replace("\n", eol))
    assert END.replace("\n", eol) in new
    assert "\n" not in new.replace("\r\n", "") or eol == "\n"


def test_a_comment_behind_the_key_stays() -> None:
    for form in ("recordings: []  # filled\n", "recordings:  # filled\n", "recordings:  # filled\n  - a.mp4\n"):
        assert "recordings:  # filled\n  - b.mp4\n" in with_recordings(BEGIN + form + END, ["b.mp4"])


def test_comments_between_recordings_stay_if_more_are_added() -> None:
    for indent in ("", "  ", "     "):
        form = f"recordings:  # two\n{indent}- a.mp4\n{indent}# the second\n{indent}- b.mp4  # bad light\n"
        new = with_recordings(BEGIN + form + END, ["a.mp4", "b.mp4", "c.mp4"])
        assert new == BEGIN + form + f"{indent}- c.mp4\n" + END


def test_the_same_recordings_change_nothing() -> None:
    for form in FORMS:
        text = BEGIN + form + END
        paths = parse_mapping(text, "text").get("recordings") or []
        assert with_recordings(text, paths) == text


def test_a_form_that_cannot_be_changed_is_refused_and_kept(tmp_path: Path) -> None:
    text = "keypoints: [nose]\nx: &a [b.mp4]\nrecordings: *a\n"
    with pytest.raises(ConfigError, match="write it by hand"):
        with_recordings(text, ["a.mp4"])


def test_the_file_is_replaced_whole_with_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "project.yaml"
    path.write_text(BEGIN + END)
    path.chmod(0o640)
    save_recordings(load_project(tmp_path), ["/a.mp4"])
    assert load_project(tmp_path).recordings == (Path("/a.mp4"),)
    assert path.stat().st_mode & 0o777 == 0o640
    assert [p.name for p in tmp_path.iterdir()] == ["project.yaml"]


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_any_text_comes_back_from_yaml(text: str) -> None:
    assert parse_yaml(f"[{yaml_text(text)}]") == [text]
    assert "\n" not in yaml_text(text)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)))
def test_any_recordings_come_back(paths: list[str]) -> None:
    new = with_recordings(BEGIN + FORMS[1] + END, paths)
    assert parse_mapping(new, "new")["recordings"] == paths
