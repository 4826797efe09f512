"""Pictures, calibrations and tables that a command is told to write: whole, or not at all and with the reason."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.pipelines import make_settings, run_to_end
from support.places import ROOT

from realtime_cropzoom.cli.main import main
from realtime_cropzoom.errors import DataError, ScheduleError, SinkError
from realtime_cropzoom.files.atomic import write_whole
from realtime_cropzoom.offline.bbox_csv import read_boxes
from realtime_cropzoom.plots.image_files import write_png
from realtime_cropzoom.sessions.folder import make_session_folder
from realtime_cropzoom.sessions.schedule_file import read_schedule_file
from realtime_cropzoom.sources.image_file import read_image

ARENA = "synthetic:arena,size=160x120,fps=30,seconds=0.3,seed=3"
PICTURE = np.zeros((8, 8, 3), np.uint8)
FULL_DISK = """
import json, resource, sys
from realtime_cropzoom.cli.main import main
commands = json.loads(sys.argv[1])
sys.dont_write_bytecode = True
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
for command in commands:
    print(main(command), file=sys.stderr, flush=True)
"""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    pipeline = run_to_end(make_settings(folder, source=ARENA, pace="fast", crop_size=64))
    assert pipeline.folder is not None
    return pipeline.folder


@pytest.mark.parametrize("bytes_free", [0, 700])
def test_a_full_disk_leaves_nothing_behind_and_is_the_reason(session: Path, tmp_path: Path, bytes_free: int) -> None:
    pytest.importorskip("resource", reason="no limits of file sizes here")
    rules = tmp_path / "rules.yaml"
    rules.write_text((ROOT / "configs" / "triggers.yaml").read_text(encoding="utf-8"))
    out = tmp_path / "out"
    out.mkdir()
    other = run_to_end(make_settings(tmp_path / "b", source=ARENA, pace="fast", crop_size=96)).folder
    commands = [
        ["draw", str(session), "--out", str(out / "a.png")],
        ["draw", str(session), "--traces", "--out", str(out / "b.png")],
        ["calibrate", "scale", ARENA, "--px-per-cm", "10", "--out", str(out / "cal.yaml")],
        ["zones", str(rules), "synthetic:arena,size=640x480", "--out", str(out / "z.png")],
        ["compare", str(session), str(other), "--out", str(out / "c.png")],
        ["convert", str(session), "--to", "csv", "--out", str(out / "t.csv")],
    ]
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, json.dumps(commands), str(bytes_free)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    lines = [line for line in done.stderr.splitlines() if line]
    assert lines[1::2] == ["2"] * len(commands), done.stderr
    for line in lines[::2]:
        assert line.startswith("cropzoom: cannot write ")
        assert "File too large; give another file with --out" in line
    assert not list(out.iterdir()), "what is there is in the way of the next try"


def test_a_name_that_is_no_text_is_no_matter(session: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"b\xff.png")
    out = tmp_path / name
    try:
        out.touch()
        out.unlink()
    except OSError:
        pytest.skip("names are text on this file system")
    assert main(["draw", str(session), "--frames", "1", "--out", str(out)]) == 0
    assert main(["draw", str(session), "--traces", "--overwrite", "--out", str(out)]) == 0
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with pytest.raises(SinkError, match=r"give a name such as frames\.png"):
        write_png(tmp_path / os.fsdecode(b"b.\xff"), PICTURE)


def test_a_file_is_replaced_where_a_link_points_and_a_device_never(tmp_path: Path) -> None:
    (tmp_path / "link.png").symlink_to("real.png")
    write_png(tmp_path / "link.png", PICTURE)
    assert (tmp_path / "link.png").is_symlink()
    assert read_image(tmp_path / "real.png").shape == (8, 8, 3)
    with pytest.raises(SinkError, match="got a folder, expected a file"):
        write_whole(tmp_path, "")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SinkError, match="got a device, expected a file"):
        write_whole(tmp_path / "pipe", "")


def test_more_frames_than_there_are_is_all_of_them(session: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.png"
    assert main(["draw", str(session), "--frames", "3000000000", "--out", str(out)]) == 0
    picture = read_image(out)
    assert picture.shape[0] < 4 * 700


def test_a_folder_that_is_a_link_to_nothing_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "dang").symlink_to("gone")
    with pytest.raises(SinkError, match="dang is a link to gone, which is not there; give a folder with --out"):
        make_session_folder(tmp_path / "dang", "x")


@pytest.mark.parametrize("cells", ["1e300,5,64,64", "5,-1e300,64,64", "3000000,5,64,64", "5,5,1e300,64"])
def test_a_box_in_no_picture_is_refused_with_its_row(tmp_path: Path, cells: str) -> None:
    path = tmp_path / "clip_bbox.csv"
    path.write_text(f",x,y,h,w\n0,5,5,64,64\n1,{cells}\n", encoding="utf-8")
    with pytest.raises(ScheduleError, match=r"clip_bbox\.csv.*row 1"):
        read_schedule_file(path)
    with pytest.raises(DataError, match=r"clip_bbox\.csv.*row 1"):
        read_boxes(path)
