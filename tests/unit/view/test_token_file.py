"""A token in a file is made once, stays, and is a secret of this user."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.view.token_file import read_or_make_token


def test_a_token_is_made_for_this_user_alone_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "token"
    token = read_or_make_token(path)
    assert len(token) == 43
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_or_make_token(path) == token


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_token_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "token"
    read_or_make_token(path)
    path.chmod(mode)
    with pytest.raises(ConfigError, match="others can read it"):
        read_or_make_token(path)


@pytest.mark.parametrize("text", ["", "short", "a" * 31, "a" * 31 + " b", "é" * 40, "a" * 2000])
def test_what_is_no_token_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "token"
    path.touch(0o600)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="expected 32 or more") as error:
        read_or_make_token(path)
    assert not text or text not in str(error.value)


def test_a_file_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is nothing of that name; choose another file"):
        read_or_make_token(tmp_path / "no" / "token")
    with pytest.raises(ConfigError, match="choose another file"):
        read_or_make_token(tmp_path)
