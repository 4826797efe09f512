"""Small output files are complete or as they were."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from realtime_cropzoom.errors import SinkError
from realtime_cropzoom.files.atomic import ResumableCsv, replacing, try_write_whole, write_all, write_whole


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no file get its final name."""

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)


def test_text_is_written_as_utf_8(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.txt", "größe\n")
    assert (tmp_path / "a.txt").read_bytes() == "größe\n".encode()


@pytest.mark.usefixtures("full_disk")
def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    path.write_text("first")
    with pytest.raises(SinkError, match=r"cannot write .*summary\.json: No space left on device; give another file"):
        write_whole(path, "second")
    assert try_write_whole(path, "second") == f"cannot write {path}: No space left on device"
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_files_that_belong_together_are_all_written_or_none(tmp_path: Path) -> None:
    first, folder = tmp_path / "first.csv", tmp_path / "second.csv"
    first.write_text("old")
    folder.mkdir()
    with pytest.raises(SinkError, match=r"second\.csv: got a folder, expected a file"):
        write_all({first: "new", folder: "new"})
    assert first.read_text() == "old"
    assert sorted(tmp_path.iterdir()) == [first, folder]


def test_a_folder_that_was_removed_is_named(tmp_path: Path) -> None:
    path = tmp_path / "session" / "summary.json"
    problem = try_write_whole(path, "text")
    assert (
        problem == f"{path.parent} was moved or deleted while it was written: "
        "later data go to the moved files, or are lost if they were deleted"
    )


def test_a_block_that_fails_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")

    def fail_halfway() -> None:
        with replacing(path) as file:
            file.write("half")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail_halfway()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("resume", [False, True])
def test_two_commands_do_not_write_one_table(tmp_path: Path, resume: bool) -> None:
    path = tmp_path / "poses.csv"
    with ResumableCsv(path, "x\n", {"source": 1}, resume=False) as first:
        first.add("1\n")
        first.flush()
        with pytest.raises(SinkError, match=r"another command is writing .*poses\.csv\. Wait until it has ended"):
            ResumableCsv(path, "x\n", {"source": 1}, resume=resume)
        first.add("2\n")
        first.commit()
    assert path.read_text() == "x\n1\n2\n"
    assert list(tmp_path.iterdir()) == [path]
    with ResumableCsv(path, "x\n", {"source": 1}, resume=resume) as second:
        second.commit()
    assert path.read_text() == "x\n"


def test_a_table_has_the_usual_permissions(tmp_path: Path) -> None:
    with ResumableCsv(tmp_path / "a.csv", "x\n", {}, resume=False) as table:
        table.commit()
    (tmp_path / "b.csv").touch()
    assert (tmp_path / "a.csv").stat().st_mode == (tmp_path / "b.csv").stat().st_mode
