"""Events of a session as a table."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest
from support.ordered_runs import OrderedRun

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.sessions.events import load_events

COLUMNS = ["number", "kind", "text", "by", "frame", "captured_ns", "time_ns", "time_utc"]


@pytest.mark.skipif(os.name != "posix", reason="without Unix sockets there is no name to give orders to")
def test_the_events_of_a_run_are_a_table(tmp_path: Path, runtime: Path) -> None:
    run = OrderedRun(tmp_path, {40: [("marker", None, 'a, "b"'), ("record", None, "trial")]}, frames=60)
    for path in (run.folder, run.folder / "film.csv"):
        table = load_events(path)
        assert list(table.columns) == COLUMNS
        told = table[table["kind"].isin(["marker", "recording_started"])]
        assert told["text"].tolist() == ['a, "b"', "trial.mp4 from frame 40"]
        assert told["frame"].tolist() == [39, 39]
        assert (told["time_utc"].diff().dropna() >= pd.Timedelta(0)).all()
    with (run.folder / "film_events.csv").open("a") as file:
        file.write('99,marker,"cut o')
    assert load_events(run.folder)["number"].tolist() == table["number"].tolist(), "as after kill -9"


def test_a_session_from_before_has_none(tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_text("scorer,a,a,a\nbodyparts,n,n,n\ncoords,x,y,likelihood\n0,1,2,0.5\n")
    table = load_events(tmp_path / "old.csv")
    assert (len(table), list(table.columns)) == (0, COLUMNS)


def test_a_table_of_another_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_text("scorer,a,a,a\nbodyparts,n,n,n\ncoords,x,y,likelihood\n0,1,2,0.5\n")
    (tmp_path / "old_events.csv").write_text("number,frame\nx,y\n")
    with pytest.raises(DataError, match=r"cannot read .*old_events.csv"):
        load_events(tmp_path / "old.csv")
