"""The log of the outputs."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.serial_boards import wait_for

from realtime_cropzoom.errors import SinkError
from realtime_cropzoom.trigger.engine.events import Action, ActionResult, ActionType
from realtime_cropzoom.trigger.outputs.output_log import COLUMNS, OutputLog

Caplog = pytest.LogCaptureFixture


def test_the_log_has_a_row_an_action_as_soon_as_it_is_there(tmp_path: Path) -> None:
    log = OutputLog(tmp_path, "arena")
    path = tmp_path / "arena_outputs.csv"
    assert path.read_text() == COLUMNS + "\n"
    log.add(ActionResult(7, 42, Action("laser", ActionType.PULSE, 10.0), 100, 200, 300, None))
    log.add(ActionResult(-1, None, Action("laser", ActionType.SAFE), 400, None, None, 'a "reason", with a comma'))
    wait_for(lambda: len(path.read_text().splitlines()) == 3)  # still open
    log.close()
    assert log.problems() == []
    assert path.read_text().splitlines()[1:] == [
        "7,42,laser,pulse,10,100,200,300,",
        '-1,,laser,safe,0,400,,,"a ""reason"", with a comma"',
    ]
    with pytest.raises(SinkError, match=r"arena_outputs\.csv"):
        OutputLog(tmp_path, "arena")


def test_a_full_disk_is_logged_and_stops_nothing(tmp_path: Path, caplog: Caplog) -> None:
    import resource

    log = OutputLog(tmp_path, "arena")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(COLUMNS) + 10, limits[1]))
    try:
        for number in range(20):
            log.add(ActionResult(number, 0, Action("laser", ActionType.PULSE, 1.0), 1, 2, 3, None))
        wait_for(lambda: "cannot be written" in caplog.text)
        log.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    (problem,) = log.problems()
    assert "rows are lost" in problem
    assert caplog.text.count("cannot be written") == 1
