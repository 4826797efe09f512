"""``cropzoom bench``: it measures the real pipeline, says when its figures do not count, and ends at once if asked to.

How fast this machine is, is not looked at.
"""

from __future__ import annotations

import json
import signal
import threading
from itertools import takewhile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.pipelines import start_process
from support.places import ROOT

from realtime_cropzoom.bench import measure, table
from realtime_cropzoom.bench.live import run_from_memory
from realtime_cropzoom.bench.material import MemorySource, arena_frames, decode, write_video
from realtime_cropzoom.bench.networks import make_ready, time_ms
from realtime_cropzoom.cli.main import main
from realtime_cropzoom.config.resolve import load_settings
from realtime_cropzoom.inference.model import Model, Models
from realtime_cropzoom.inference.model_paths import shipped_model
from realtime_cropzoom.types import UInt8

PAGE = ROOT / "docs" / "how-to" / "boards.md"


class Quiet:
    """A machine on which nothing else runs, whatever this one does."""

    def cores(self) -> float:
        return 0.0


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "wait_for_calm", lambda stop: 0.01)
    monkeypatch.setattr(measure, "OtherPrograms", Quiet)


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


@pytest.mark.usefixtures("quiet")
def test_it_measures_all_and_prints_a_row_with_the_same_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bench.json"
    assert main(["bench", "--seconds", "2", "--fps", "20", "--provider", "cpu", "--json", str(out)]) == 0
    found, printed = json.loads(out.read_text()), capsys.readouterr().out
    assert found["counts"] is True
    assert found["live"]["frames"] == 24  # 60 % of two seconds
    assert 0 < found["live"]["with_box"] <= 24
    assert found["live"]["pose_age_ms"]["p50"] > found["networks_ms"]["pose"]["p50"] / 3
    assert found["decoded_fps"] > 0
    assert found["models"]["pose"]["shipped"] is True
    *_, head, row = printed.splitlines()
    assert cells(head) == list(table.COLUMNS)
    values = dict(zip(table.COLUMNS, cells(row), strict=True))
    assert values["pose model, ms"] == f"{found['networks_ms']['pose']['p50']:.2f}"
    assert values["detector, ms"] == f"{found['networks_ms']['detector']['p50']:.2f}"
    assert values["dropped frames"] == f"{found['live']['dropped']} of 24"
    assert values["live, fps"].endswith(" of 20")
    assert values["models, frames"] == "shipped, arena 640×480"
    assert values["ONNX Runtime"].endswith(", cpu")


def test_a_busy_machine_gets_no_row(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(measure, "wait_for_calm", lambda stop: 1.5)
    monkeypatch.setattr(measure, "OtherPrograms", Quiet)
    assert main(["bench", "--seconds", "1", "--fps", "10"]) == 3
    shown = capsys.readouterr()
    printed, said = " ".join(shown.out.split()), " ".join(shown.err.split())
    assert "This does not count: other programs kept 1.50 of" in printed
    assert "|" not in printed
    assert said.index("the figures will not count: other programs kept 1.50") < said.index("networks: ")


@pytest.mark.usefixtures("quiet")
def test_models_that_find_no_animal_give_no_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    black: list[UInt8] = [np.zeros((120, 160, 3), np.uint8)] * 10
    write_video(tmp_path / "black.mp4", black, (160, 120))
    assert main(["bench", "--seconds", "1", "--fps", "20", "--video", str(tmp_path / "black.mp4")]) == 3
    printed = " ".join(capsys.readouterr().out.split())
    assert "the models found an animal in 0% of the frames" in printed
    assert "a video 160×120" in printed


def test_ctrl_c_ends_it_at_once_with_what_was_measured(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    bench = start_process("bench", "--seconds", 20, "--fps", 10, "--json", out)
    try:
        assert bench.stderr is not None
        assert any("decoding" in line for line in iter(bench.stderr.readline, ""))
        bench.send_signal(signal.SIGINT)
        printed, said = bench.communicate(timeout=60)
    finally:
        bench.kill()
    assert bench.returncode == 128 + signal.SIGINT
    assert "it was stopped before its end" in printed
    assert "Traceback" not in said
    found = json.loads(out.read_text())
    assert found["stopped"] is True
    assert found["networks_ms"]["pose"]["n"] > 0
    assert found["live"] is None


class AfterTenPoses(threading.Event):
    """Is set as soon as the run's table has rows of ten poses."""

    def __init__(self, out: Path) -> None:
        super().__init__()
        self._out = out

    def is_set(self) -> bool:
        return any(path.read_text().count("processed") > 10 for path in self._out.glob("*/*_timing.csv"))


def test_a_live_run_that_is_stopped_keeps_its_poses(tmp_path: Path) -> None:
    settings = load_settings({"out": tmp_path, "control": "none", "crop_size": 240})
    live = run_from_memory(settings, arena_frames(640, 480, 20), 20.0, 10_000, AfterTenPoses(tmp_path))
    assert 0 < live.poses < 10_000
    assert live.summary["reason"] == "stopped"


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--pose", "nowhere"], "no pose model at nowhere; expected a model folder or an .onnx file"),
        (["--json", "nowhere/bench.json"], "--json: nowhere is no folder, expected one that exists"),
        (["--json", "."], "--json: . "),
        (["--seconds", "0"], "--seconds: got '0', expected seconds from 1 to 3600"),
        (["--fps", "0"], "--fps: got '0', expected frames per second"),
        (["--video", "nowhere.mp4"], "no video at nowhere.mp4"),
        (["--provider", "gpu"], "provider: got 'gpu', expected"),
        (["--project", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_one_line_before_anything_is_measured(
    flags: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *flags]) == 2
    printed = capsys.readouterr()
    assert says in " ".join(printed.err.split())
    assert printed.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder in which nobody can write, not even root")
def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["bench", "--json", "/proc/bench.json"]) == 2
    assert capsys.readouterr().err.startswith("cropzoom: --json: cannot write into /proc: ")


def test_an_existing_file_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bench.json"
    out.write_text("mine")
    assert main(["bench", "--json", str(out)]) == 2
    assert "add --overwrite to replace it, or give another file with --json" in " ".join(
        capsys.readouterr().err.split()
    )
    assert out.read_text() == "mine"


def test_frames_from_memory_go_forwards_and_backwards() -> None:
    images: list[UInt8] = [np.full((2, 2, 3), value, np.uint8) for value in range(4)]
    played = [int(frame.image[0, 0, 0]) for frame in MemorySource(images, 10.0, 8).frames()]  # type: ignore[index]
    assert played == [0, 1, 2, 3, 2, 1, 0, 1]


def test_a_written_video_has_the_frames_that_were_given(tmp_path: Path) -> None:
    images = arena_frames(160, 120, 5)
    write_video(tmp_path / "arena.mp4", images, (160, 120))
    assert len(decode(tmp_path / "arena.mp4", 100)) == 5
    assert len(decode(tmp_path / "arena.mp4", 3)) == 3


def test_a_pose_model_alone_sees_the_whole_frame_and_with_a_detector_the_animal() -> None:
    (image,) = arena_frames(640, 480, 1)
    pose, detector = Model(shipped_model("pose"), "pose"), Model(shipped_model("detector"), "detector")
    alone, whole = make_ready(Models(None, pose), image, 240)
    assert alone is None
    ready, cropped = make_ready(Models(detector, pose), image, 240)
    assert ready is not None
    assert not np.array_equal(whole.prepared, cropped.prepared)
    assert np.nanmin(cropped.keypoints().likelihood) > 0.5
    assert (time_ms(cropped.infer, 3) > 0).all()


def result(**given: Any) -> measure.Result:
    return measure.Result(measure.Plan(load_settings({}), 1.0, 100.0), **given)


@pytest.mark.parametrize(("cores", "limit"), [(1, 0.1), (2, 0.1), (64, 3.2)])
def test_the_limit_of_other_programs_grows_with_the_cores(
    cores: int, limit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "usable_cores", lambda: cores)
    assert result().busy_limit == pytest.approx(limit)
    assert result(others_before=limit, others_during=limit).doubts() == []
    assert len(result(others_before=limit + 0.1, others_during=limit + 0.1).doubts()) == 2


def test_a_system_that_does_not_tell_the_load_gives_no_doubt() -> None:
    assert result().doubts() == []
    assert "unknown what other programs compute" in table.text(result())


def test_what_was_not_measured_is_a_dash() -> None:
    values = dict(zip(table.COLUMNS, cells(table.row(result())), strict=True))
    assert values["detector, ms"] == values["live, fps"] == values["pose age, ms: median, p95"] == table.UNKNOWN


def test_percentiles_of_nothing_are_none() -> None:
    assert table.percentiles(np.empty(0)) is None
    assert table.percentiles(np.arange(1.0, 102.0)) == {"p50": 51.0, "p95": 96.0, "p99": 100.0, "max": 101.0, "n": 101}


def test_lost_frames_do_not_count_as_frames_without_an_animal() -> None:
    counts = {"captured": 100, "skipped": 50, "failed": 0, "unsent": 0}
    live: Any = SimpleNamespace(summary={"counts": counts}, lost=50, poses=50)
    assert result(live=live).found_share == 1.0


def test_the_table_of_the_page_has_the_columns_of_the_row() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    begin = lines.index(table.heading()[0])
    rows = list(takewhile(lambda line: line.startswith("|"), lines[begin + 2 :]))
    assert lines[begin + 1] == table.heading()[1]
    assert rows
    assert {len(cells(row)) for row in rows} == {len(table.COLUMNS)}
