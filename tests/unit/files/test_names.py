"""Names that Windows cannot give to a file are found, and replaced by names that it can."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.config.multi_camera import load_cameras
from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.files.names import why_not_on_windows, windows_name
from realtime_cropzoom.messaging.keys import check_client
from realtime_cropzoom.sessions.folder import file_stem


@pytest.mark.parametrize("name", ["con", "NUL", "aux.csv", "Com1", "lpt9.mkv", "prn .txt", "COM²", "conin$"])
def test_devices_are_found_with_any_ending(name: str) -> None:
    assert why_not_on_windows(name) == "is the name of a device on Windows"
    assert windows_name(name) == f"_{name}"


@pytest.mark.parametrize("name", ["console", "null", "com10", "auxiliary.csv", "mouse 3", "a.b-c_d", ".hidden"])
def test_names_that_only_look_like_them_stay(name: str) -> None:
    assert why_not_on_windows(name) is None
    assert windows_name(name) == name


def test_characters_and_ends_are_said_and_replaced() -> None:
    assert why_not_on_windows("left:right") == "has ':', which no name may have on Windows"
    assert why_not_on_windows("mouse.") == "ends in a dot or space, which Windows leaves out"
    assert [windows_name(name) for name in ("left:right?", "mouse. ", "...", "nul.")] == [
        "left_right_", "mouse", "_", "_nul"
    ]  # fmt: skip


@given(st.text(min_size=1))
def test_every_name_becomes_one_that_windows_can_give(name: str) -> None:
    assert why_not_on_windows(windows_name(name)) is None


def test_a_session_on_windows_gets_such_a_name_and_elsewhere_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert file_stem("cam:0") == "cam:0"
    monkeypatch.setattr(sys, "platform", "win32")
    assert [file_stem(name) for name in ("cam:0", "aux")] == ["cam_0", "_aux"]


def test_a_client_of_such_a_name_is_refused_everywhere(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        check_client(tmp_path, "aux")
    assert str(refused.value) == (
        "client: aux is the name of a device on Windows, and becomes the name of a file; give another name"
    )


def test_a_camera_of_such_a_name_is_refused_everywhere(tmp_path: Path) -> None:
    """Its name is that of a folder in the session."""
    config = tmp_path / "rig.yaml"
    config.write_text("cameras:\n  aux: {source: 'camera:0'}\n  top: {source: 'camera:1'}\n")
    with pytest.raises(ConfigError) as refused:
        load_cameras({}, config)
    assert str(refused.value) == (
        f"{config}: camera aux: it is the name of a device on Windows, and becomes the name of a folder; give another "
        "name"
    )
