"""Names of keypoints with commas, quotes and line breaks: files keep them, and no message hides where one ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from realtime_cropzoom.cli.main import main
from realtime_cropzoom.sessions.dlc_csv import read_header
from realtime_cropzoom.sessions.foreign import read_poses
from realtime_cropzoom.sessions.pose_rows import pose_header
from realtime_cropzoom.sessions.table import load_session

NAMES = ("tail, base", 'the "nose"', "line\nbreak", "$x_1$", "_hidden", "a/b", "a:b", "a_b", "semi;colon", "Schwanz ä")
FRAMES = 5


@pytest.fixture
def poses(tmp_path: Path) -> Path:
    """A file of poses with these names."""
    path = tmp_path / "poses.csv"
    numbers = np.random.default_rng(0).uniform(0.1, 0.9, (FRAMES, len(NAMES), 3)) * [100, 100, 1]
    rows = [",".join([str(i), *map(repr, map(float, row.ravel()))]) for i, row in enumerate(numbers)]
    path.write_text(pose_header(NAMES, 'a "scorer", odd') + "\n".join(rows) + "\n")
    return path


def test_the_poses_keep_them(poses: Path) -> None:
    assert read_header(poses).keypoint_names == NAMES
    assert tuple(pd.read_csv(poses, header=[0, 1, 2], index_col=0).columns.unique("bodyparts")) == NAMES
    assert tuple(load_session(poses, fps=10)["keypoint"].unique()) == NAMES
    assert read_poses(poses).keypoint_names == NAMES


@pytest.mark.parametrize("form", ["csv", "h5", "parquet"])
def test_converted_files_keep_them(poses: Path, form: str) -> None:
    for library in {"h5": ("tables", "h5py"), "parquet": ("pyarrow",)}.get(form, ()):
        pytest.importorskip(library)
    assert main(["convert", str(poses), "--to", form, "--fps", "10"]) == 0
    made = next(path for path in poses.parent.iterdir() if path != poses)
    if form == "parquet":
        assert tuple(pd.read_parquet(made)["keypoint"].unique()) == NAMES
    else:
        assert read_poses(made).keypoint_names == NAMES
        assert main(["compare", str(poses), "--against", str(made), "--max-px", "0"]) == 0


def test_names_that_nwb_cannot_have_stay_apart(poses: Path) -> None:
    pynwb = pytest.importorskip("pynwb")
    assert main(["convert", str(poses), "--to", "nwb", "--fps", "10"]) == 0
    made = next(path for path in poses.parent.iterdir() if path != poses)
    with pynwb.NWBHDF5IO(made, "r") as io:
        series = io.read().processing["behavior"]["PoseEstimation"].pose_estimation_series
        assert len(series) == len(NAMES)
        assert {"a_b", "a_b_", "a_b__"} <= set(series)
        assert series["a_b"].description.startswith("where a_b was")
        assert series["tail, base"].description.startswith("where 'tail, base' was")


def test_pictures_and_tables_show_them(poses: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert main(["draw", str(poses), "--traces"]) == 0
    table = pd.read_csv(poses, header=[0, 1, 2], index_col=0) + 1
    table.to_csv(tmp_path / "other.csv")
    capsys.readouterr()
    assert main(["compare", str(poses), str(tmp_path / "other.csv")]) == 0
    shown = capsys.readouterr().out
    for name in ("'tail, base'", "'the \"nose\"'", "'line\\nbreak'", "Schwanz ä "):
        assert f"\n{name}" in shown
    assert list(pd.read_csv(tmp_path / "other_compare.csv"))[4] == "tail, base_px"


def test_a_message_shows_where_a_name_ends(poses: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = poses.with_name("other.csv")
    other.write_text(pose_header(("x", "y,z"), "me") + "0,1,2,0.5,1,2,0.5\n")
    assert main(["compare", str(poses), str(other)]) == 2
    error = capsys.readouterr().err
    assert "'tail, base', 'the \"nose\"', 'line\\nbreak'" in error
    assert "has x, 'y,z'" in error


def test_the_same_name_twice_is_refused_and_quoted(poses: Path, capsys: pytest.CaptureFixture[str]) -> None:
    poses.write_text(pose_header(("a, b", "a, b"), "me") + "0,1,2,0.5,1,2,0.5\n")
    for command in (["draw", str(poses), "--traces"], ["convert", str(poses), "--to", "csv", "--fps", "10"]):
        assert main(command) == 2
        assert "has two keypoints with the name 'a, b'; rename one of them" in capsys.readouterr().err
