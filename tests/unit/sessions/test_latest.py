"""From any folder: which session is meant by ``latest``, and where its source is."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path

import pytest
import yaml
from support.pipelines import Files, cropzoom, make_settings, model_flags, run_to_end, the_session, tiny_models

from realtime_cropzoom.cli.main import main
from realtime_cropzoom.errors import DataError
from realtime_cropzoom.sessions.latest import (
    SESSIONS,
    TRIGGERS,
    describe_latest,
    find_boxes,
    find_session,
    note_session,
)
from realtime_cropzoom.sessions.table import load_session


def session(parent: Path, name: str, started: float | None = None) -> Path:
    folder = parent / name
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps({} if started is None else {"started_unix_s": started}))
    return folder


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the last session is noted: nothing is, at first."""
    folder = tmp_path / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: one without sessions."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_the_newest_is_by_what_sessions_say_and_not_by_the_dates_of_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    newest = session(Path("sessions"), "renamed", started=4e9)
    session(Path("sessions"), "b_20261122-101500-2")
    session(Path("sessions"), "no session at all")
    os.utime(newest, (1, 1))
    assert find_session("latest") == newest


@pytest.mark.parametrize(
    ("names", "newest"),
    [
        (["b_20261122-101500", "a_20261122-101501"], "a_20261122-101501"),
        (["a_20261122-101500-2", "a_20261122-101500-10", "a_20261122-101500"], "a_20261122-101500-10"),
    ],
)
def test_without_a_time_in_it_the_date_in_the_name_counts(names: list[str], newest: str, tmp_path: Path) -> None:
    for name in names:
        session(tmp_path, name)
    assert find_session(tmp_path / "latest") == tmp_path / newest


def test_where_it_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = session(tmp_path / "sessions", "a_20261122-101500").resolve()
    for here in (tmp_path, tmp_path / "sessions", below):
        monkeypatch.chdir(here)
        assert find_session("latest").resolve() == below
    assert find_session("latest/left.csv").resolve() == below / "left.csv"


def test_a_folder_that_is_called_latest_is_meant_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    session(Path("sessions"), "a_20261122-101500")
    Path("latest").mkdir()
    assert find_session("latest") == Path("latest")


def test_the_last_session_is_found_from_any_folder(tmp_path: Path, elsewhere: Path) -> None:
    last = session(tmp_path / "lab", "a_20261122-101500")
    note_session(last)
    assert find_session("latest") == last
    assert find_session("latest/left.csv") == last / "left.csv"
    with pytest.raises(DataError, match="no session in"):
        find_session("latest", TRIGGERS)
    with pytest.raises(DataError, match="no session in"):
        find_session(elsewhere / "latest")
    newer = session(tmp_path / "lab", "b_20261122-101501")  # made by a script, which notes nothing
    assert find_session("latest") == newer


def test_a_session_of_the_current_folder_comes_before_a_newer_one_of_another_folder(
    tmp_path: Path, elsewhere: Path
) -> None:
    for kind in (SESSIONS, TRIGGERS):
        near, far = session(Path(kind), "a_20261122-101500"), session(tmp_path / "lab" / kind, "a_20261122-101501")
        note_session(far, kind)
        assert find_session("latest", kind) == near
        assert describe_latest("latest", near, kind) == f"latest is {near}"


def test_a_session_of_another_folder_is_said_to_be_one(
    tmp_path: Path, elsewhere: Path, caplog: pytest.LogCaptureFixture
) -> None:
    last = session(tmp_path / "lab", "a_20261122-101500")
    note_session(last)
    line = f"latest is {last}, of another folder: there is no session in {elsewhere / 'sessions'}"
    assert describe_latest("latest", last) == line
    with pytest.raises(DataError):  # the session has no poses
        load_session("latest")
    assert line in caplog.text


def test_a_noted_session_that_is_gone_does_not_count(tmp_path: Path, elsewhere: Path) -> None:
    last = session(tmp_path / "lab", "a_20261122-101500")
    note_session(last)
    shutil.rmtree(last)
    with pytest.raises(DataError, match="no session in"):
        find_session("latest")


def test_the_note_is_for_its_user_alone(tmp_path: Path, state_home: Path) -> None:
    last = session(tmp_path, "na\udcffme_20261122-101500")
    note_session(last)
    note_session(last)
    assert [path.name for path in (state_home / "cropzoom").iterdir()] == ["last_sessions"]
    note = state_home / "cropzoom" / "last_sessions"
    assert note.read_bytes() == os.fsencode(last)
    assert stat.S_IMODE(note.stat().st_mode) == 0o600
    assert stat.S_IMODE(note.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("state", ["", "relative", "/dev/null/state"])
def test_a_note_that_cannot_be_written_is_left_out(
    tmp_path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """Without XDG_STATE_HOME, or with a relative one, it is ~/.local/state."""
    monkeypatch.setenv("XDG_STATE_HOME", state)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    last = session(tmp_path / "lab", "a_20261122-101500")
    note_session(last)
    note = tmp_path / "home" / ".local" / "state" / "cropzoom" / "last_sessions"
    assert note.exists() == (not state.startswith("/dev"))
    assert not (elsewhere / "relative").exists()


def test_run_notes_its_session_and_commands_say_which_one_latest_is(
    tmp_path: Path, elsewhere: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    flags = [*model_flags(tiny_models(tmp_path / "models")), "--publish", "none", "--out", str(tmp_path / "lab")]
    arena = "synthetic:arena,size=160x120,fps=60,seconds=0.3"
    done = cropzoom("run", arena, "--pace", "fast", "--quiet", *flags)
    assert (done.returncode, done.stderr) == (0, "")
    made = the_session(tmp_path / "lab")
    assert main(["draw", "latest"]) == 0
    assert f"latest is {made}, of another folder: there is no session in " in " ".join(capfd.readouterr().err.split())
    assert (made / "frames.png").exists()
    again = cropzoom("run", arena, "--pace", "fast", "--schedule", "latest", *flags)
    assert again.returncode == 0
    assert again.stderr.startswith(f"latest is {made / 'arena_bbox.csv'}, of another folder")


def test_no_session_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="latest: there is no session in"):
        find_session("latest")
    for command in (["draw", "latest"], ["convert", "latest", "--to", "csv"], ["compare", "latest", "latest"],
                    ["trigger", "--replay", "latest"], ["run", "x.mp4", "--schedule", "latest"]):  # fmt: skip
        assert main(command) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("cropzoom: latest: there is no session in ")


def test_a_session_is_used_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its source was given by a path that holds in one folder only."""
    from support.films import Footage

    lab, elsewhere = tmp_path / "lab", tmp_path / "elsewhere"
    lab.mkdir()
    elsewhere.mkdir()
    Footage((160, 96)).write(lab / "clip.mp4", frames=20)
    monkeypatch.chdir(lab)
    run_to_end(make_settings(Path(), source="clip.mp4", pace="fast"))
    made = the_session(Path("sessions")).absolute()
    assert yaml.safe_load((made / "config.yaml").read_text())["source"] == str(lab / "clip.mp4")

    monkeypatch.chdir(elsewhere)
    assert main(["draw", str(made)]) == 0
    assert main(["draw", str(lab / "sessions" / "latest"), "--traces"]) == 0
    assert f"cropzoom convert {made} --to csv" in " ".join(capsys.readouterr().err.split())
    assert main(["convert", str(made), "--to", "csv"]) == 0
    assert (made / "frames.png").is_file()

    assert find_boxes(lab / "sessions" / "latest") == made / "clip_bbox.csv"
    replayed = run_to_end(make_settings(elsewhere, source=lab / "clip.mp4", pace="fast", schedule=made)).folder
    assert replayed is not None
    assert Files(replayed).bbox.equals(Files(made).bbox)
    shutil.rmtree(replayed)
