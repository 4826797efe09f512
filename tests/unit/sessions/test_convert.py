"""What we write for other programs is read by those programs, and frame i is frame i of the video there too."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.films import Footage
from support.offline_fixtures import full_disk
from support.pipelines import at_least, cropzoom, hold_models, make_settings, run_to_end
from support.sessions import write_poses

from realtime_cropzoom.cli.main import main
from realtime_cropzoom.errors import ConfigError, DataError, SinkError
from realtime_cropzoom.sessions.convert import convert
from realtime_cropzoom.sessions.table import load_session, read_session

FRAMES = 60
FORMATS = ["nwb", "h5", "parquet", "csv"]
NAMES = ["middle", "right", "low"]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A live run on a video file that had to skip frames: its pose model is slower than the video."""
    folder = tmp_path_factory.mktemp("recorded")
    video = Footage().write(folder / "clip.mp4", FRAMES, fps=30)
    with pytest.MonkeyPatch.context() as patch:
        hold_models(patch, pose=at_least(0.06))
        pipeline = run_to_end(make_settings(folder, source=str(video), max_lag=1))
    assert pipeline.summary["counts"]["skipped"] > 5
    assert pipeline.folder is not None
    return pipeline.folder


@pytest.fixture
def session(recorded: Path, tmp_path: Path) -> Path:
    """A copy of that session, to write into."""
    return Path(shutil.copytree(recorded, tmp_path / recorded.name))


@pytest.fixture(scope="module")
def movement() -> Any:
    """movement's own loaders."""
    try:
        return importlib.import_module("movement.io.load").load_dataset
    except ImportError:
        pytest.skip("movement is not installed; pip install 'realtime-cropzoom[interop]'")


def nwb_content(path: Path, look: Callable[[Any], None]) -> None:
    """Open an NWB file as pynwb does, and close it again."""
    pynwb = importlib.import_module("pynwb")
    with pynwb.NWBHDF5IO(path, "r") as io:
        look(io.read())


def assert_in_step(positions: Any, skipped: Any) -> None:
    """(n, 2) of the keypoint in the blob's middle: it is where the video has the blob, and not a frame off."""
    assert len(positions) == FRAMES
    assert np.isnan(positions[skipped]).all()
    assert abs(frames_off(positions)) < 0.5
    assert frames_off(np.roll(positions, 1, axis=0)) < -0.5, "a frame off is seen"


def frames_off(positions: Any) -> float:
    """By how many frames positions are ahead of the blob, by least squares; the tiny model errs by a constant, too."""
    found = np.flatnonzero(np.isfinite(positions).all(axis=1))
    before, now, after = (np.array([Footage().blob_at(int(i) + off) for i in found]) for off in (-1, 0, 1))
    columns = [((after - before) / 2).ravel(), np.tile([1, 0], len(found)), np.tile([0, 1], len(found))]
    (off, *_), *_ = np.linalg.lstsq(np.stack(columns, axis=1), (positions[found] - now).ravel(), rcond=None)
    return float(off)


def skipped_frames(session: Path) -> Any:
    return np.flatnonzero(read_session(session).frames["outcome"] == "skipped")


@pytest.mark.parametrize("software", ["DeepLabCut", "LightningPose"])
def test_movement_reads_the_pose_file_of_a_run_as_it_is(session: Path, movement: Any, software: str) -> None:
    dataset = movement(session / "clip.csv", source_software=software, fps=30)
    check_dataset(dataset, session)


def test_movement_reads_the_h5(session: Path, movement: Any) -> None:
    check_dataset(movement(convert(session, "h5"), source_software="DeepLabCut", fps=30), session)


def test_movement_reads_the_nwb(session: Path, movement: Any) -> None:
    dataset = movement(convert(session, "nwb"), source_software="NWB")
    check_dataset(dataset, session)
    assert dataset.attrs["source_software"] == "realtime-cropzoom"


def check_dataset(dataset: Any, session: Path) -> None:
    tables = read_session(session)
    dataset = dataset.isel({dim: 0 for dim in dataset.dims if dim.startswith("individual")})
    keypoints = next(dim for dim in dataset.dims if dim.startswith("keypoint"))
    dataset = dataset.sel({keypoints: NAMES}).transpose("time", keypoints, "space")
    np.testing.assert_allclose(dataset.position, tables.poses[:, :, :2], rtol=1e-6)
    np.testing.assert_allclose(dataset.confidence, tables.poses[:, :, 2], rtol=1e-6)
    np.testing.assert_allclose(dataset.time, np.arange(FRAMES) / 30, atol=1e-4)
    assert_in_step(dataset.position.sel({keypoints: "middle"}).to_numpy(), skipped_frames(session))


def test_pandas_reads_the_h5_as_deeplabcuts(session: Path) -> None:
    pytest.importorskip("tables")
    table = pd.read_hdf(convert(session, "h5"))
    assert isinstance(table, pd.DataFrame)
    expected = pd.read_csv(session / "clip.csv", header=[0, 1, 2], index_col=0)
    assert table.columns.equals(expected.columns)
    assert table.columns.names == ["scorer", "bodyparts", "coords"]
    pd.testing.assert_frame_equal(table, expected, check_names=False)
    assert_in_step(table[table.columns[0][0]]["middle"][["x", "y"]].to_numpy(), skipped_frames(session))


def test_the_nwb_file_is_valid(session: Path) -> None:
    pynwb = pytest.importorskip("pynwb")
    path = convert(session, "nwb")
    assert pynwb.validate(path=path) == []


def test_the_nwb_file_holds_the_session(session: Path) -> None:
    pytest.importorskip("pynwb")
    tables = read_session(session)

    def look(content: Any) -> None:
        poses = content.processing["behavior"]["PoseEstimation"]
        assert poses.scorer == tables.scorer
        assert poses.source_software == "realtime-cropzoom"
        assert list(poses.skeleton.nodes[:]) == NAMES
        for k, name in enumerate(NAMES):
            series = poses.pose_estimation_series[name]
            assert series.unit == "pixels"
            assert series.data.dtype == np.float32
            np.testing.assert_array_equal(series.data[:], tables.poses[:, k, :2].astype(np.float32))
            # Rounding can carry a likelihood a little beyond 1, where a confidence must not be.
            np.testing.assert_array_equal(series.confidence[:], np.minimum(tables.poses[:, k, 2].astype(np.float32), 1))
            np.testing.assert_array_equal(series.timestamps[:], tables.seconds)
        np.testing.assert_array_equal(content.processing["behavior"]["box"].data[:], tables.boxes.astype(np.float32))
        states = content.intervals["states"].to_dataframe()
        assert states["state"].tolist() == [state for state, _, _ in tables.state_spans()]
        assert states["start_time"].tolist() == [tables.seconds[first] for _, first, _ in tables.state_spans()]
        video = poses.source_video
        assert (session / video.external_file[0]).resolve() == Path(str(tables.source))
        assert list(video.dimension) == [160, 96]

    nwb_content(convert(session, "nwb"), look)


def test_the_nwb_session_begins_when_the_first_frame_was_captured(session: Path) -> None:
    pytest.importorskip("pynwb")
    path = session / "summary.json"
    summary = json.loads(path.read_text())
    first_ns = int(pd.read_csv(session / "clip_timing.csv")["captured_ns"][0])
    path.write_text(json.dumps({**summary, "unix_offset_ns": 1_700_000_000_500_000_000 - first_ns}))

    def anchored(content: Any) -> None:
        assert content.session_start_time.timestamp() == pytest.approx(1_700_000_000.5, abs=1e-5)
        assert content.identifier == f"clip_{summary['run']}"

    def named(content: Any) -> None:
        assert content.session_start_time.strftime("clip_%Y%m%d-%H%M%S") == session.name
        assert "folder's name" in content.session_description

    nwb_content(convert(session, "nwb"), anchored)
    path.unlink()
    nwb_content(convert(session, "nwb", overwrite=True), named)


@pytest.mark.slow
def test_a_model_without_likelihood_has_no_confidence_in_nwb(tmp_path: Path) -> None:
    pynwb = pytest.importorskip("pynwb")
    path = write_poses(tmp_path / "clip.csv", {0: 1.0, 1: 2.0, 2: 4.0}, likelihood=None)
    out = convert(path, "nwb", fps=10)
    assert pynwb.validate(path=out) == []

    def look(content: Any) -> None:
        poses = content.processing["behavior"]["PoseEstimation"]
        assert poses["nose"].confidence is None
        assert poses.source_video is None
        np.testing.assert_allclose(poses["nose"].timestamps[:], [0, 0.1, 0.2])
        written = datetime.fromtimestamp(path.stat().st_mtime).astimezone()
        assert abs((content.session_start_time - written).total_seconds()) < 1e-3

    nwb_content(out, look)


def test_times_that_the_run_has_forgotten_lie_between_their_neighbours(session: Path) -> None:
    pytest.importorskip("pynwb")
    path = session / "clip_timing.csv"
    timing = pd.read_csv(path, index_col=0)
    timing.loc[7:8, ["pts_ns", "captured_ns"]] = 0
    timing.to_csv(path)

    def look(content: Any) -> None:
        times = content.processing["behavior"]["PoseEstimation"]["middle"].timestamps[:]
        np.testing.assert_allclose(times, np.arange(FRAMES) / 30, atol=1e-3)

    nwb_content(convert(session, "nwb"), look)


def test_the_tables_are_what_load_session_gives(session: Path) -> None:
    expected = load_session(session)
    text = {name: kind for name, kind in expected.dtypes.items() if kind in ("string", "Int64", "boolean")}
    written = pd.read_csv(convert(session, "csv"), dtype=text)
    pd.testing.assert_frame_equal(written, expected, check_dtype=False)
    pytest.importorskip("pyarrow")
    pd.testing.assert_frame_equal(pd.read_parquet(convert(session, "parquet")), expected)


def test_there_is_a_row_for_each_frame_of_the_video(tmp_path: Path, make_video: Any) -> None:
    """The predictions lack frames 1 and 4; all that read rows in order need theirs all the same."""
    pytest.importorskip("tables")
    video = make_video("clip.mkv", times_ms=[0, 40, 90, 200, 210])
    path = write_poses(tmp_path / "clip.csv", {0: 5.0, 2: 7.0, 3: 8.0})
    table = pd.read_hdf(convert(path, "h5", video=video))
    np.testing.assert_array_equal(table["me"]["nose"]["x"], [5, np.nan, 7, 8, np.nan])
    tidy = pd.read_csv(convert(path, "csv", video=video))
    np.testing.assert_allclose(tidy["time_s"], [0, 0.04, 0.09, 0.2, 0.21])


@pytest.mark.parametrize("to", FORMATS)
def test_a_file_is_replaced_only_when_asked(tmp_path: Path, to: str, capsys: pytest.CaptureFixture[str]) -> None:
    if to != "csv":
        pytest.importorskip({"nwb": "pynwb", "h5": "tables", "parquet": "pyarrow"}[to])
    path = write_poses(tmp_path / "clip.csv", {0: 1.0, 1: 2.0})
    out = tmp_path / f"out.{to}"
    out.write_text("mine")
    command = ["convert", str(path), "--to", to, "--out", str(out), "--fps", "10"]
    assert main(command) == 2
    assert capsys.readouterr().err == f"cropzoom: {out} exists; add --overwrite, or give another with --out\n"
    assert out.read_text() == "mine"
    assert main([*command, "--overwrite"]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert out.stat().st_size > 50
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.csv", out.name]


def test_what_is_converted_is_never_replaced(tmp_path: Path) -> None:
    path = write_poses(tmp_path / "clip.csv", {0: 1.0})
    before = path.read_bytes()
    with pytest.raises(SinkError, match="it is the input"):
        convert(path, "csv", path, overwrite=True)
    assert path.read_bytes() == before


def test_a_failure_leaves_the_old_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, out = write_poses(tmp_path / "clip.csv", {0: 1.0}), tmp_path / "table.csv"
    out.write_text("old")

    def fail(_: pd.DataFrame, partial: Path, **__: Any) -> None:
        partial.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", fail)
    with pytest.raises(SinkError, match=r"cannot write .*table\.csv: No space left on device; give another file"):
        convert(path, "csv", out, overwrite=True)
    assert out.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.csv", "table.csv"]


@pytest.mark.parametrize("to", ["nwb", "h5"])
def test_a_full_disk_is_one_line_although_hdf5_has_many(session: Path, tmp_path: Path, to: str) -> None:
    pytest.importorskip({"nwb": "pynwb", "h5": "tables"}[to])
    out = tmp_path / "out"
    out.mkdir()
    path = out / f"clip.{to}"
    done = cropzoom("convert", session, "--to", to, "--out", path, code=full_disk(50))
    assert done.returncode == 2
    assert done.stderr == f"cropzoom: cannot write {path}: File too large; give another file with --out\n"
    assert not list(out.iterdir())


@pytest.mark.parametrize("to", FORMATS)
def test_a_missing_folder_is_an_error(tmp_path: Path, to: str) -> None:
    if to != "csv":
        pytest.importorskip({"nwb": "pynwb", "h5": "tables", "parquet": "pyarrow"}[to])
    path = write_poses(tmp_path / "clip.csv", {0: 1.0})
    with pytest.raises(SinkError, match="cannot write"):
        convert(path, to, tmp_path / "no" / f"clip.{to}", fps=10)


def test_nwb_needs_frame_times(tmp_path: Path) -> None:
    pytest.importorskip("pynwb")
    path = write_poses(tmp_path / "clip.csv", {0: 1.0})
    with pytest.raises(DataError, match="no frame times, which NWB needs; give --video or --fps"):
        convert(path, "nwb")
    assert not (tmp_path / "clip.nwb").exists()


@pytest.mark.parametrize(
    ("to", "module", "extra"),
    [("nwb", "ndx_pose", "nwb"), ("h5", "tables", "tables"), ("parquet", "pyarrow", "tables")],
)
def test_a_missing_library_is_named(
    tmp_path: Path,
    to: str,
    module: str,
    extra: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if to == "nwb":
        pytest.importorskip("pynwb")
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["convert", str(write_poses(tmp_path / "clip.csv", {0: 1.0})), "--to", to]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"cropzoom: {to}: {module} is not installed")
    assert f'pip install -e ".[{extra}]"' in err


def test_other_mistakes_are_named(tmp_path: Path) -> None:
    header = tmp_path / "clip.csv"
    header.write_text("scorer,me,me\nbodyparts,nose,nose\ncoords,x,y\n")
    (tmp_path / "clip_timing.csv").write_text("frame,outcome,seq,pts_ns,captured_ns\n")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no frames; there is nothing to convert"):
        convert(header, "csv")
    with pytest.raises(ConfigError, match="unknown format xlsx; expected one of nwb, h5, parquet, csv"):
        convert(header, "xlsx")
    with pytest.raises(DataError, match="not a session folder"):
        convert(tmp_path / "empty", "csv")
    with pytest.raises(DataError, match=f"holds 1 sessions: {tmp_path.name}. Give the folder of one, as in"):
        convert(Path(shutil.copytree(tmp_path, tmp_path / "all" / tmp_path.name)).parent, "csv")
