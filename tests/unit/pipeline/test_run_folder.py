"""Run folder: made once, and small files that cannot be written are problems, not errors."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from realtime_cropzoom.errors import SinkError
from realtime_cropzoom.pipeline import run_folder
from realtime_cropzoom.pipeline.run_folder import RunFolder


def never() -> bool:
    return False


def test_a_new_folder_is_made_below_out_and_has_the_name_of_the_source(tmp_path: Path) -> None:
    assert RunFolder(tmp_path / "out", None, never).path is None
    folder = RunFolder(tmp_path / "out", None, never)
    path = folder.make("film")
    assert folder.path == path
    assert path.is_dir()
    assert path.parent == tmp_path / "out"
    assert path.name.startswith("film_")


def test_a_given_folder_must_not_exist(tmp_path: Path) -> None:
    assert RunFolder(tmp_path, tmp_path / "top", never).make("film") == tmp_path / "top"
    with pytest.raises(SinkError, match="top"):
        RunFolder(tmp_path, tmp_path / "top", never).make("film")


def test_a_small_file_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, tmp_path / "run", never)
    path = folder.make("film")
    folder.save("config.yaml", "a: 1\n")
    assert (path / "config.yaml").read_text() == "a: 1\n"
    assert folder.problems == []
    (path / "summary.json").mkdir()
    assert folder.save_at_end("summary.json", "{}") == folder.problems
    (problem,) = folder.problems
    assert "summary.json" in problem


def test_a_disk_that_does_not_answer_does_not_hold_up_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, let_go = RunFolder(tmp_path, tmp_path / "run", never), threading.Event()
    folder.make("film")
    monkeypatch.setattr(run_folder, "_SAVE_TIMEOUT_S", 0.01)
    monkeypatch.setattr(run_folder, "try_write_whole", lambda *_: let_go.wait(60) and None)
    try:
        (problem,) = folder.save_at_end("summary.json", "{}")
    finally:
        let_go.set()
    assert problem.endswith("summary.json: the disk does not answer; it is not written, and says 'running'")


def test_the_folder_of_a_run_that_did_not_start_is_removed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, tmp_path / "run", never)
    folder.remove()
    path = folder.make("film")
    (path / "film.csv").write_text("")
    folder.remove()
    assert not path.exists()
