"""The picture of a session over time: every trace is in it, and what is thinned out loses no spike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.pipelines import Film, make_settings, run_to_end
from support.sessions import write_poses

from realtime_cropzoom.cli.common import say_draw
from realtime_cropzoom.cli.main import main
from realtime_cropzoom.errors import DataError
from realtime_cropzoom.offline.provenance import input_entry, write_origin
from realtime_cropzoom.plots.traces import draw_traces, envelope, lone_values
from realtime_cropzoom.sessions.table import SessionTables, read_session


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in lockstep that searches, tracks, coasts and loses the animal."""
    settings = make_settings(
        tmp_path_factory.mktemp("traces"), pace="fast", min_likelihood=0.5, coast_after_ms=200, lost_after_ms=500
    )
    folder = run_to_end(settings, Film(90, hidden={*range(10), *range(40, 90)})).folder
    assert folder is not None
    return folder


def lines_of(tables: SessionTables) -> list[list[Any]]:
    """The curves of each panel, as (x, y) arrays."""
    return [[line.get_data() for line in panel.lines] for panel in draw_traces(tables).axes]


def test_every_keypoint_is_in_every_panel(session: Path) -> None:
    tables = read_session(session)
    panels = lines_of(tables)
    assert len(panels) == 3
    for k, curves in enumerate(panels):
        assert len(curves) == 3
        for trace, (times, values) in zip(tables.poses[:, :, k].T, curves, strict=True):
            np.testing.assert_array_equal(times, tables.seconds)
            np.testing.assert_array_equal(values, trace)


def test_y_goes_down_as_in_the_picture(session: Path) -> None:
    x, y, likelihood = draw_traces(read_session(session)).axes
    assert [panel.yaxis_inverted() for panel in (x, y, likelihood)] == [False, True, False]
    assert "downwards" in y.get_ylabel()


def test_states_are_drawn_behind_the_traces(session: Path) -> None:
    tables = read_session(session)
    figure = draw_traces(tables)
    for panel in figure.axes:
        begins = [np.asarray(path.vertices)[:, 0].min() for shade in panel.collections for path in shade.get_paths()]
        assert begins == [tables.seconds[first] for _, first, _ in tables.state_spans()]
        assert all(shade.get_zorder() < panel.lines[0].get_zorder() for shade in panel.collections)
    words = {text.get_text() for legend in figure.legends for text in legend.get_texts()}
    assert words == {"middle", "right", "low", "searching", "tracking", "coasting", "lost"}


def test_a_long_trace_is_reduced_without_losing_a_spike() -> None:
    values = np.zeros(108_000)
    values[54_321], values[99] = 7, -3
    thin = envelope(np.arange(108_000) / 30, values)
    assert len(thin) == 1000
    assert (thin["low"].min(), thin["high"].max()) == (-3, 7)
    assert 0 <= 54_321 / 30 - float(thin.index[int(thin["high"].argmax())]) < 3.6
    assert (thin["middle"] == 0).all()


def test_a_gap_stays_a_gap() -> None:
    values = np.ones(10_000)
    values[2000:4000] = np.nan
    values[6000:6001] = np.nan
    thin = envelope(np.arange(10_000.0), values, columns=100)
    gap = (thin.index >= 2000) & (thin.index < 4000)
    assert thin[gap].isna().all(axis=None)
    assert (thin[~gap] == 1).all(axis=None)


def test_a_long_session_is_drawn_as_bands(tmp_path: Path) -> None:
    path = write_poses(tmp_path / "clip.csv", {i: float(i % 100) for i in range(3001)})
    panel = draw_traces(read_session(path, fps=30)).axes[0]
    (line,), (band,) = panel.lines, panel.collections
    assert np.size(line.get_xdata()) == 1000
    extent = band.get_paths()[0].get_extents()
    assert (extent.y0, extent.y1) == (0, 99)


@pytest.mark.parametrize(("fps", "label"), [(None, "frame"), (1.0, "time (s)"), (0.005, "time (min)")])
def test_the_axis_is_in_the_unit_that_fits(tmp_path: Path, fps: float | None, label: str) -> None:
    path = write_poses(tmp_path / "clip.csv", {0: 1.0, 1: 2.0, 2: 4.0})
    assert draw_traces(read_session(path, fps=fps)).axes[2].get_xlabel() == label


def test_a_model_without_likelihood_is_said_to_have_none(tmp_path: Path) -> None:
    path = write_poses(tmp_path / "clip.csv", {0: 1.0, 1: 2.0}, likelihood=None)
    (text,) = draw_traces(read_session(path)).axes[2].texts
    assert text.get_text() == "the model gives no likelihood"


def test_a_pose_between_two_skipped_frames_is_a_dot() -> None:
    trace = np.array([1, np.nan, 2, np.nan, 3, 4, np.nan, 5])
    assert lone_values(trace).tolist() == [True, False, True, False, False, False, False, True]


def test_what_was_not_recorded_is_drawn_over_time(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    say_draw(session, None)
    say_draw(session, "synthetic:arena")
    without, with_frames = capsys.readouterr().err.splitlines()
    assert without.endswith(f"cropzoom draw {session} --traces")
    assert with_frames.endswith(f"cropzoom draw {session}")


def test_the_command_draws_sessions_and_pose_files(
    session: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["draw", str(session), "--traces"]) == 0
    assert capsys.readouterr().out == f"{session / 'traces.png'}\n"
    picture = cv2.imread(str(session / "traces.png"))
    assert picture is not None
    assert picture.shape == (1125, 1950, 3)

    path = write_poses(tmp_path / "clip.csv", {0: 1.0, 1: 2.0})
    assert main(["draw", str(path), "--traces"]) == 0
    assert (tmp_path / "clip_traces.png").stat().st_size > 1000
    assert main(["draw", str(path)]) == 2
    assert (
        "Give the recording with --source, or draw the coordinates over time with --traces" in capsys.readouterr().err
    )


def test_predictions_are_drawn_on_the_video_that_their_note_names(
    make_video: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, video = write_poses(tmp_path / "clip.csv", {0: 1.0, 1: 2.0}), make_video("film.mp4", 2)
    write_origin(path, "pipeline", {"source": input_entry(video)})
    assert main(["draw", str(path)]) == 0
    assert (tmp_path / "clip_frames.png").exists()
    video.unlink()
    assert main(["draw", str(path)]) == 2
    assert "is not where it was" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["no/such/folder/traces.png", "traces.unknown"])
def test_a_picture_that_cannot_be_written_is_an_error(
    session: Path, tmp_path: Path, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["draw", str(session), "--traces", "--out", str(tmp_path / where)]) == 2
    assert "cannot write " in capsys.readouterr().err


def test_a_run_of_no_frames_has_no_traces(tmp_path: Path) -> None:
    folder = run_to_end(make_settings(tmp_path), Film(0)).folder
    assert folder is not None
    with pytest.raises(DataError, match="nothing to draw"):
        draw_traces(read_session(folder))
