"""From any folder: which session is meant by ``latest``, and where its source is."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import yaml
from support.pipelines import Files, make_settings, run_to_end, the_session

from realtime_cropzoom.cli.main import main
from realtime_cropzoom.errors import DataError
from realtime_cropzoom.sessions.latest import find_boxes, find_session


def session(parent: Path, name: str, started: float | None = None) -> Path:
    folder = parent / name
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps({} if started is None else {"started_unix_s": started}))
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
