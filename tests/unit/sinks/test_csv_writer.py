"""CSV writer: the files of a run can be read by their readers, are never overwritten, and survive a full disk."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.pipelines import (
    ANY_PORT,
    Files,
    Film,
    check_complete,
    cropzoom,
    finish,
    hold_models,
    make_settings,
    model_flags,
    run_to_end,
    start_process,
    tiny_models,
    wait_for,
)
from support.recordings import FULL_DISK

from realtime_cropzoom.errors import SinkError
from realtime_cropzoom.pipeline.pipeline import Pipeline

ARENA = "synthetic:arena,size=160x120,fps=60,seconds={}"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Files of a live run that published. Its first ten frames have no animal."""
    settings = make_settings(
        tmp_path_factory.mktemp("published"), publish=ANY_PORT, publish_latest=ANY_PORT, min_likelihood=0.5, max_lag=64
    )
    return check_complete(run_to_end(settings, Film(60, hidden=range(10))).folder)


def test_the_pose_file_is_what_deeplabcut_readers_expect(published: Files) -> None:
    names = ["middle", "right", "low"]
    rows = published.rows("")
    assert [row[0] for row in rows[:3]] == ["scorer", "bodyparts", "coords"]
    assert rows[1][1:] == [name for name in names for _ in range(3)]
    assert rows[2][1:] == ["x", "y", "likelihood"] * 3
    assert published.pose.columns.names == ["scorer", "bodyparts", "coords"]
    assert published.pose.columns.get_level_values("scorer").unique().tolist() == ["cropzoom_tracker"]
    assert published.pose.dtypes.unique().tolist() == [np.dtype(np.float64)]


def test_frame_0_without_a_pose_keeps_its_row(published: Files) -> None:
    """pandas takes a first row of empty cells for index names, and then every later frame is off by one."""
    assert list(published.pose.index) == list(range(60))
    assert published.pose[:10].isna().all(axis=None)
    assert published.pose[30:].notna().all(axis=None)


def test_the_box_file_keeps_lightning_poses_column_order(published: Files) -> None:
    assert published.rows("_bbox")[0] == ["", "x", "y", "h", "w", "box_frame", "box_age_ms", "state", "box_origin"]
    boxes = published.bbox[["x", "y", "h", "w"]]
    assert boxes[:10].isna().all(axis=None)
    assert (boxes[30:][["h", "w"]] == 64).all(axis=None)


def test_the_timing_row_of_a_published_frame_is_complete(published: Files) -> None:
    timing = published.timing
    assert timing["seq"].tolist() == list(range(60))
    assert timing["published_ns"].notna().all()
    assert (timing["published_ns"] >= timing["inferred_ns"]).all()
    assert (timing["inferred_ns"] >= timing["captured_ns"]).all()
    assert timing["captured_ns"].is_monotonic_increasing
    with_box = timing[timing["box_frame"].notna()]
    assert (with_box["cropped_ns"] >= with_box["captured_ns"]).all()
    assert with_box["detected_ns"].notna().all()
    np.testing.assert_array_equal(timing["pts_ns"], [round(i * 1e9 / 60) for i in range(60)])


def test_a_pose_that_is_too_old_has_no_time_of_publication_but_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model holds up frame 10 for longer than ``max_age_ms``."""

    def hold_up(call: int) -> None:
        if call == 10:
            time.sleep(0.4)

    hold_models(monkeypatch, pose=hold_up)
    settings = make_settings(tmp_path, publish=ANY_PORT, max_lag=64, max_age_ms=300)
    files = check_complete(run_to_end(settings, Film(60)).folder)
    published = files.timing["published_ns"].notna()
    too_old = files.summary["too_old"]
    assert 0 < too_old < 30
    assert files.summary["counts"]["unsent"] == too_old == (~published).sum()
    assert files.timing["seq"].tolist() == list(range(60))
    assert files.timing["published_ns"].dropna().is_monotonic_increasing


def test_two_runs_in_the_same_second_get_two_folders(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, pace="fast")
    folders = [run_to_end(settings, Film(3)).folder for _ in range(4)]
    assert len(set(folders)) == 4
    for folder in folders:
        check_complete(folder)


def test_a_run_of_no_frames_leaves_readable_files(tmp_path: Path) -> None:
    files = check_complete(run_to_end(make_settings(tmp_path), Film(0)).folder)
    assert len(files.pose) == 0
    assert files.summary["counts"]["captured"] == 0


def test_the_settings_in_the_folder_make_the_same_run_again(tmp_path: Path) -> None:
    models = tiny_models(tmp_path / "models")
    source = ARENA.format(0.5)
    first = cropzoom("run", source, "--out", tmp_path / "first", "--pace", "fast", *model_flags(models))
    assert first.returncode == 0, first.stderr
    (folder,) = (tmp_path / "first").iterdir()
    second = cropzoom("run", "--config", folder / "config.yaml", "--out", tmp_path / "second")
    assert second.returncode == 0, second.stderr
    (again,) = (tmp_path / "second").iterdir()
    assert (folder / "arena.csv").read_bytes() == (again / "arena.csv").read_bytes()
    assert (folder / "arena_bbox.csv").read_bytes() == (again / "arena_bbox.csv").read_bytes()


@pytest.mark.parametrize("below", ["file", "file/deeper/still"])
def test_an_output_folder_below_a_file_is_refused_before_the_start(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(SinkError, match="--out"):
        Pipeline(make_settings(tmp_path, out=tmp_path / below), Film).start()


def test_a_full_disk_stops_neither_tracking_nor_publishing(tmp_path: Path) -> None:
    """A limit on the size of files makes real writes fail in the middle of a row, as on a disk that fills up."""
    out, limit = tmp_path / "out", 8000
    flags = ["--out", out, *model_flags(tiny_models(tmp_path / "models")), "--max-lag", 100]
    flags += ["--publish", ANY_PORT, "--publish-latest", ANY_PORT]
    done = finish(start_process(limit, "run", ARENA.format(2), *flags, code=FULL_DISK))
    assert done.returncode == 3, done.stderr
    assert "120 frames in" in done.stdout
    assert "120 processed, 0 skipped, 0 failed, 0 unsent" in done.stdout
    warnings = [line for line in done.stderr.splitlines() if line.startswith("WARNING: ")]
    assert sum("arena.csv: File too large; its rows are kept and tried again" in line for line in warnings) == 1
    complaints = [line for line in done.stderr.splitlines() if line.startswith("cropzoom: ")]
    assert any("arena.csv" in line and "rows are lost" in line for line in complaints), done.stderr
    assert "Traceback" not in done.stderr

    (folder,) = out.iterdir()
    for path in folder.glob("*.csv"):
        if path.name.endswith("_events.csv"):
            continue
        assert path.stat().st_size <= limit
        rows = pd.read_csv(path, header=[0, 1, 2] if path.name == "arena.csv" else 0, index_col=0)[:-1]
        assert len(rows) > 20
        assert list(rows.index.astype(int)) == list(range(len(rows)))


def test_a_full_disk_is_one_line_for_the_files_of_all_regions(tmp_path: Path) -> None:
    regions = tmp_path / "boxes.yaml"
    boxes = "".join(f"  box{i}: {{rectangle_px: [{40 * i}, 0, 40, 120]}}\n" for i in range(4))
    regions.write_text(f"regions:\n{boxes}")
    flags = ["--out", tmp_path / "out", *model_flags(tiny_models(tmp_path / "models")), "--max-lag", 100]
    flags += ["--publish", "none", "--regions", regions, "--crop-size", 60]
    done = finish(start_process(8000, "run", ARENA.format(2), *flags, code=FULL_DISK))
    assert done.returncode == 3, done.stderr
    said = [line for line in done.stderr.splitlines() if "File too large" in line]
    assert len(said) == 2, said
    assert said[0].startswith("WARNING: ")
    assert said[0].endswith("its rows are kept and tried again")
    assert re.search(r"rows are lost in each of \d+ files, arena_box0.*\.csv to arena_box3_timing.csv$", said[1])


SPACE_AGAIN = """
import resource, sys, threading, time
from pathlib import Path
from realtime_cropzoom.cli.main import main
sys.dont_write_bytecode = True
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))

def make_room():
    while not any(p.stat().st_size == 4000 for p in Path(sys.argv[1]).glob("*/*_timing.csv")):
        time.sleep(0.05)
    time.sleep(0.5)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

threading.Thread(target=make_room, daemon=True).start()
sys.exit(main(sys.argv[2:]))
"""


def test_a_disk_that_has_room_again_loses_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    flags = ["--out", out, *model_flags(tiny_models(tmp_path / "models")), "--max-lag", 100]
    done = finish(start_process(out, "run", ARENA.format(2), *flags, code=SPACE_AGAIN))
    assert done.returncode == 0, done.stderr
    (folder,) = out.iterdir()
    files = check_complete(folder)
    assert len(files.timing) == 120
    assert files.summary["problems"] == []


def test_the_disk_is_full_from_the_start(tmp_path: Path) -> None:
    flags = ["--out", tmp_path / "out", *model_flags(tiny_models(tmp_path / "models"))]
    done = finish(start_process(10, "run", ARENA.format(1), *flags, code=FULL_DISK))
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("cropzoom: cannot write ")
    assert done.stderr.endswith("File too large; give another folder with --out\n")
    assert done.stderr.count("\n") == 1
    assert not list((tmp_path / "out").iterdir()), "half a session was left"


def _replace(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_text("x")
    other.replace(path)


@pytest.mark.parametrize(
    ("take_away", "said"),
    [
        (shutil.rmtree, " was moved or deleted while it was written"),
        (lambda folder: folder.rename(folder.with_name("moved")), " was moved or deleted while it was written"),
        (lambda folder: _replace(folder / "arena_timing.csv"), "/arena_timing.csv was replaced or cut short"),
        (lambda folder: (folder / "arena.csv").write_text(""), "/arena.csv was replaced or cut short"),
        (lambda folder: (folder / "arena.mkv").unlink(), "/arena.mkv was moved or deleted"),
    ],
    ids=["folder deleted", "folder moved", "file replaced", "file emptied", "recording deleted"],
)
def test_files_that_are_moved_or_deleted_are_reported(
    tmp_path: Path, take_away: Callable[[Path], object], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The system does not report a deleted file to its writer: a session would be lost, with exit code 0."""
    models = tiny_models(tmp_path / "models")
    settings = make_settings(tmp_path, source=ARENA.format(600), pace="realtime", record="ffv1", **models)
    pipeline = Pipeline(settings)
    pipeline.start()
    folder = pipeline.folder
    assert folder is not None
    wait_for(lambda: (folder / "arena_timing.csv").stat().st_size > 1000, "rows")
    take_away(folder)
    if not (folder / "arena.csv").exists():
        wait_for(lambda: "was moved or deleted" in caplog.text, "a warning while there is time")
    pipeline.stop()
    (problem,) = pipeline.join()["problems"]
    assert problem.startswith(f"{folder}{said}")
    if (folder / "arena.csv").exists():
        assert b"\0" not in (folder / "arena.csv").read_bytes()
