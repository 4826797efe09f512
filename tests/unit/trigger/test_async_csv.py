"""The log with a thread of its own: a disk that hangs or is full holds up neither its callers nor the end."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from realtime_cropzoom.files.append import RowFile
from realtime_cropzoom.trigger import async_csv
from realtime_cropzoom.trigger.async_csv import AsyncCsv


def test_rows_are_in_the_file_after_the_close(tmp_path: Path) -> None:
    log = AsyncCsv(tmp_path / "log.csv", "a,b")
    for number in range(100):
        log.add(f"{number},x\n")
    log.close()
    log.close()
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert lines == ["a,b", *(f"{number},x" for number in range(100))]
    assert log.problems() == []


def test_a_full_queue_on_a_disk_that_hangs_does_not_hold_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go, real = threading.Event(), RowFile.flush

    def hang(self: RowFile) -> None:
        let_go.wait(60)
        real(self)

    monkeypatch.setattr(RowFile, "flush", hang)
    monkeypatch.setattr(async_csv, "_MAX_QUEUED", 10)
    log = AsyncCsv(tmp_path / "log.csv", "a")
    for number in range(40):
        log.add(f"{number}\n")
    ended = threading.Thread(target=log.close, args=(0.05,))
    ended.start()
    ended.join(30)
    assert not ended.is_alive()
    let_go.set()
    log.close(30)
    rows = (tmp_path / "log.csv").read_text().splitlines()[1:]
    assert len(rows) + log.dropped == 40
    assert rows == [str(number) for number in range(len(rows))], "what was queued is written once the disk answers"
    assert log.problems() == [f"{log.path}: the disk was too slow; {log.dropped} rows are lost"]
