"""Sessions as files of the Rerun viewer, read back with Rerun's own reader."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.films import Footage
from support.pipelines import Film, make_settings, run_to_end

from realtime_cropzoom.cli.main import main
from realtime_cropzoom.errors import ConfigError, SinkError
from realtime_cropzoom.view.rerun_file import export_rerun

FRAMES = 40
SKELETON = [["middle", "right"], ["right", "low"]]


@pytest.fixture(scope="module")
def read() -> Callable[[Path], dict[str, pd.DataFrame]]:
    """Return a function that reads a file: one table per entity, with all of its rows."""
    chunk = pytest.importorskip("rerun.chunk", reason="the extra rerun is not installed")

    def read_file(path: Path) -> dict[str, pd.DataFrame]:
        parts: dict[str, list[pd.DataFrame]] = {}
        for piece in chunk.RrdReader(path).stream():
            parts.setdefault(piece.entity_path, []).append(piece.to_record_batch().to_pandas())
        return {entity: pd.concat(tables) for entity, tables in parts.items()}

    return read_file


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    film = Film(FRAMES, hidden=range(20, 32))
    folder = tmp_path_factory.mktemp("run")
    settings = make_settings(folder, pace="fast", record="h264", lost_after_ms=100, coast_after_ms=50)
    session = run_to_end(settings, film).folder
    assert session is not None
    path = session / "summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "skeleton": SKELETON}))
    return session


def column(table: pd.DataFrame, name: str) -> list[Any]:
    """Return the filled cells of a component, in the order of frames."""
    (found,) = [c for c in table.columns if c.endswith(name)]
    rows = table[table[found].notna()]
    return list(rows.sort_values("frame")[found] if "frame" in rows else rows[found])


def test_a_session_reads_back(read: Callable[[Path], dict[str, pd.DataFrame]], recorded: Path, tmp_path: Path) -> None:
    path, pictures = export_rerun(recorded, tmp_path / "a session.rrd")
    assert pictures == "the recording of the run: film.mp4"
    tables = read(path)
    poses = pd.read_csv(recorded / "film.csv", header=[0, 1, 2], index_col=0).to_numpy().reshape(FRAMES, 3, 3)
    points = tables["/picture/points"]
    assert sorted(points["frame"]) == list(range(FRAMES))
    assert pd.to_timedelta(points.sort_values("frame")["time"]).dt.total_seconds().tolist() == pytest.approx(
        [n / 60 for n in range(FRAMES)], abs=1e-6
    )
    for frame, positions in enumerate(column(points, "positions")):
        assert np.allclose(np.stack(positions), poses[frame, :, :2] + 0.5, atol=1e-3)
    likelihoods = [float(cell[0]) for cell in column(tables["/likelihood/right"], "scalars")]
    assert likelihoods == pytest.approx(poses[:, 1, 2])
    boxes = pd.read_csv(recorded / "film_bbox.csv", index_col=0)
    halves = [np.asarray(cell[0]).tolist() for cell in column(tables["/picture/box"], "half_sizes") if len(cell)]
    assert halves == (boxes[["w", "h"]].dropna() / 2).to_numpy().tolist()


def test_each_frame_has_its_place_in_the_video(
    read: Callable[[Path], dict[str, pd.DataFrame]], recorded: Path, tmp_path: Path
) -> None:
    """Also where the recording lacks frames."""
    session = Path(shutil.copytree(recorded, tmp_path / "session"))
    kept = [n for n in range(FRAMES) if n not in (5, 6, 30)]
    footage = Footage()
    footage.draw = lambda index: Footage.draw(footage, kept[index])  # type: ignore[method-assign]
    footage.write(session / "film.mp4", len(kept), codec="libx264", options={"bf": "2"})
    rows = [f"{n},{kept.index(n)},,0" if n in kept else f"{n},,too_slow,0" for n in range(FRAMES)]
    (session / "film_recording.csv").write_text("\n".join(["frame,recorded,dropped,segment", *rows, ""]))
    path, _ = export_rerun(session)
    video = read(path)["/picture/video"]
    references = video[video["frame"].notna()].sort_values("frame")
    assert references["frame"].tolist() == kept
    times_s = [int(np.asarray(cell)[0]) / 1e9 for cell in column(references, "timestamp")]
    assert times_s == pytest.approx([n / 30 for n in range(len(kept))], abs=1e-3)


def test_states_and_events_are_there(
    read: Callable[[Path], dict[str, pd.DataFrame]], recorded: Path, tmp_path: Path
) -> None:
    tables = read(export_rerun(recorded, tmp_path / "x.rrd")[0])
    states = pd.read_csv(recorded / "film_bbox.csv", index_col=0)["state"]
    changes = states[states != states.shift()]
    shown = tables["/state"][tables["/state"]["frame"].notna()].sort_values("frame")
    assert shown["frame"].tolist() == changes.index.tolist()
    assert [cell[0] for cell in column(shown, "state")] == changes.tolist()
    assert any("lost: lost for" in cell[0] for cell in column(tables["/events"], "text"))


def test_without_a_video_there_are_poses(
    read: Callable[[Path], dict[str, pd.DataFrame]], recorded: Path, tmp_path: Path
) -> None:
    session = Path(shutil.copytree(recorded, tmp_path / "session"))
    (session / "film.mp4").unlink()
    path, pictures = export_rerun(session)
    assert pictures.startswith("no pictures: ")
    assert {"/picture/points", "/likelihood/low"} <= set(read(path))


def test_what_rerun_cannot_play_becomes_pictures(
    read: Callable[[Path], dict[str, pd.DataFrame]], tmp_path: Path
) -> None:
    session = run_to_end(make_settings(tmp_path, pace="fast", record="ffv1"), Film(FRAMES)).folder
    assert session is not None
    tables = read(export_rerun(session)[0])
    assert sorted(tables["/picture/image"]["frame"].dropna()) == [0, 12, 24, 36]


def test_the_command_writes_it_once(
    read: Callable[[Path], dict[str, pd.DataFrame]], recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = Path(shutil.copytree(recorded, tmp_path / "session"))
    assert main(["convert", str(session), "--to", "rrd"]) == 0
    assert capsys.readouterr().out.strip() == str(session / "film.rrd")
    assert "/picture/video" in read(session / "film.rrd")
    with pytest.raises(SinkError, match="exists; add --overwrite"):
        export_rerun(session)
    assert sorted(path.name for path in session.glob("*.rrd")) == ["film.rrd"]


def test_flags_that_it_does_not_use_are_refused(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(recorded), "--to", "rrd", "--fps", "30"]) == 2
    assert "got --fps, which it does not use" in capsys.readouterr().err


def test_without_the_library_one_line_says_how_to_install_it(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(ConfigError, match=r"rrd: rerun is not installed; run: pip install -e \"\.\[rerun\]\""):
        export_rerun(recorded)
