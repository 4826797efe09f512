"""The sync line: its code, and what arrives at a board for every frame that is logged."""

from __future__ import annotations

import csv
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.serial_boards import Board, wait_for

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.trigger.engine.events import ActionResult
from realtime_cropzoom.trigger.outputs.barcode import Code, Edge, decode
from realtime_cropzoom.trigger.outputs.factory import Outputs, parse_output
from realtime_cropzoom.trigger.outputs.sync_line import COLUMNS, SyncLine, open_sync_log, parse_sync


@pytest.mark.parametrize(
    ("mapping", "why"),
    [
        ({"output": "ephys"}, "give either every: 1"),
        ({"output": "ephys", "every": 1, "barcode": True}, "give either every: 1"),
        ({"output": "ephys", "every": 0}, "sync: every: .*greater than or equal to 1"),
        ({"output": "nothing", "every": 1}, "there is no output 'nothing'; there are ephys, laser"),
        ({"output": "ephys", "evry": 1, "barcode": True}, "sync: evry"),
        ({"output": "ephys", "barcode": True, "unit_ms": 20}, "a code lasts 70 x unit_ms = 1400 ms; expected at most"),
        ({"every": 1}, "sync: output: Field required"),
    ],
)
def test_wrong_sync_settings_are_an_error(mapping: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        parse_sync(mapping, {"laser", "ephys"})


Make = Callable[..., Any]
"""Makes a ``SyncRig``."""


class SyncRig:
    """A sync line on an output, with its log."""

    def __init__(self, folder: Path, output: dict[str, Any], **sync: Any) -> None:
        self.others: list[ActionResult] = []
        self.outputs = Outputs({"ephys": parse_output("ephys", {"late_after_ms": 20_000} | output)}, self._report)
        self.outputs.open()
        self.log = open_sync_log(folder, "arena")
        settings = parse_sync({"output": "ephys", **sync}, {"ephys"})
        self.line = SyncLine(settings, self.outputs.submit_job, self.log, holds_level=self.outputs.holds_level("ephys"))
        self.line.start()

    def _report(self, done: ActionResult) -> None:
        if not self.line.take(done):
            self.others.append(done)

    def rows(self) -> list[dict[str, str]]:
        text = self.log.path.read_text().splitlines()
        assert text[0] == COLUMNS
        return list(csv.DictReader(text))

    def close(self) -> None:
        self.line.close()
        assert self.outputs.close() == []
        self.log.close()
        assert self.log.problems() == []


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Callable[..., SyncRig]]:
    rigs: list[SyncRig] = []

    def make(output: dict[str, Any], **sync: Any) -> SyncRig:
        folder = tmp_path / str(len(rigs))
        folder.mkdir()
        rigs.append(SyncRig(folder, output, **sync))
        return rigs[-1]

    yield make
    for made in rigs:
        made.close()


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    board = Board("sketch", tmp_path)
    yield board
    board.unplug()


def test_every_second_frame_has_its_pulse_and_its_row(board: Board, rig: Make) -> None:
    sync = rig({"serial": board.port, "acknowledge_ms": 1000, "watchdog_ms": 10_000}, every=2, pulse_ms=0.5)
    captured_ns = now_ns()

    def has_pulses(count: int) -> bool:
        return board.of().count(False) == count

    for i, frame in enumerate([10, 11, 13, 14, 15]):
        sync.line.frame(frame, captured_ns + i)
        wait_for(functools.partial(has_pulses, i // 2 + 1))
    wait_for(lambda: len(sync.rows()) == 3)
    rows = sync.rows()
    assert [(row["frame"], row["kind"], row["value"], row["error"]) for row in rows] == [
        ("10", "pulse", "0", ""),
        ("13", "pulse", "1", ""),
        ("15", "pulse", "2", ""),
    ]
    assert [int(row["captured_ns"]) - captured_ns for row in rows] == [0, 2, 4]
    rises = [change.time_s for change in board.changes if change.on]
    for row, at_s in zip(rows, rises, strict=True):  # the board saw it between hand-over and acknowledgement
        assert int(row["queued_ns"]) / 1e9 - 1e-6 <= at_s <= int(row["acknowledged_ns"]) / 1e9 + 1e-6
    sync.close()
    assert [done.action.act for done in sync.others] == ["safe"]


def shown_and_logged(board: Board, sync: SyncRig, unit_ms: float, codes: int) -> list[tuple[Code, dict[str, str]]]:
    """The codes that the board has seen and the log has; waits for one, or until so many were sent in vain."""
    before = len(board.changes)

    def both() -> list[tuple[Code, dict[str, str]]]:
        changes = [Edge(change.time_s, change.on) for change in board.changes[before:]]
        seen = decode(changes, unit_ms / 1000)
        rows = [row for row in sync.rows() if not row["error"]]  # a slow board may acknowledge too late
        return [(code, row) for code in seen for row in rows if int(row["value"]) == code.value]

    wait_for(lambda: both() or len(sync.rows()) >= codes)
    return both()


def test_the_codes_that_the_line_shows_are_those_of_the_log(board: Board, rig: Make) -> None:
    """On a busy machine edges come late by more than a short unit allows: then with a longer one."""
    for unit_ms, codes in ((8, 3), (40, 3), (160, 3), (300, 2)):
        sync = rig(
            {"serial": board.port, "acknowledge_ms": 1000, "watchdog_ms": 10_000},
            barcode=True,
            unit_ms=unit_ms,
            each_s=unit_ms * 80 / 1000,
        )
        sync.line.frame(77, 123)
        if found := shown_and_logged(board, sync, unit_ms, codes):
            break
        sync.close()
        board.unplug()  # what waits for a slow board may keep its port for a while
        board.plug_in()
    code, row = found[0]
    assert (row["kind"], row["error"]) == ("barcode", "")
    assert int(row["queued_ns"]) / 1e9 - 1e-6 <= code.time <= int(row["acknowledged_ns"]) / 1e9 + 1e-6


def test_an_output_of_messages_gets_the_code_as_one(rig: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "marks.py").write_text("got = []\ndef take(job):\n    got.append(job.rule)\n")
    monkeypatch.syspath_prepend(tmp_path)
    sync = rig({"python": "marks:take"}, barcode=True, unit_ms=0.1, each_s=0.02)
    wait_for(lambda: len(sync.rows()) >= 3)
    import marks  # type: ignore[import-not-found]

    values = [row["value"] for row in sync.rows()[:3]]
    assert marks.got[:3] == [f"barcode {value}" for value in values]
    assert len(set(values)) == 3
