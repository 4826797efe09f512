"""A file is replaced while a reader has it open: at once on POSIX, and when the reader is done on Windows."""

from __future__ import annotations

import errno
import os
import sys
import threading
from pathlib import Path

import pytest

from realtime_cropzoom.errors import SinkError
from realtime_cropzoom.files import replacing
from realtime_cropzoom.files.atomic import write_whole


class WindowsFiles:
    """Renames as Windows does: not onto a file that somebody has open."""

    def __init__(self, opened: set[Path]) -> None:
        self.opened, self.refused = opened, 0

    def __call__(self, new: str | Path, final: str | Path) -> None:
        if Path(final) in self.opened:
            self.refused += 1
            raise PermissionError(errno.EACCES, "Access is denied", str(new))
        os.rename(new, final)


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> WindowsFiles:
    files = WindowsFiles({tmp_path / "summary.json"})
    monkeypatch.setattr(os, "replace", files)
    monkeypatch.setattr(sys, "platform", "win32")
    return files


def test_windows_is_asked_again_until_the_reader_has_closed_the_file(files: WindowsFiles, tmp_path: Path) -> None:
    final = tmp_path / "summary.json"
    final.write_text("old")
    threading.Timer(0.1, files.opened.clear).start()
    write_whole(final, "new")
    assert final.read_text() == "new"
    assert files.refused > 1
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


def test_a_reader_that_keeps_it_is_named_in_one_line_and_the_old_file_stays(
    files: WindowsFiles, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(replacing, "_WITHIN_S", 0.1)
    final = tmp_path / "summary.json"
    final.write_text("old")
    with pytest.raises(SinkError) as refused:
        write_whole(final, "new")
    assert str(refused.value) == (
        f"cannot write {final}: another program has it open; close it there; give another file with --out"
    )
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_elsewhere_a_missing_permission_is_said_at_once(
    files: WindowsFiles, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(SinkError, match="Access is denied"):
        write_whole(tmp_path / "summary.json", "new")
    assert files.refused == 1
