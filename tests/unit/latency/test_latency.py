"""The measurement of the loop: what it counts as a trial, that its stages add up, and a light that a camera sees."""

from __future__ import annotations

import json
import os
import sys
import threading
import tty
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.pipelines import cropzoom, start_process, tiny_models, wait_for

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.latency.hardware import find_light, measure_light
from realtime_cropzoom.latency.report import format_table, to_dict
from realtime_cropzoom.latency.trials import STAGES, match
from realtime_cropzoom.sources.base import CapturedFrame, SourceInfo
from realtime_cropzoom.trigger.outputs.factory import parse_output
from realtime_cropzoom.trigger.outputs.simulated_board import Board, serve
from realtime_cropzoom.types import UInt8

pytestmark = pytest.mark.slow

MS = 1_000_000


def timing(frames: int) -> pd.DataFrame:
    """Frames 10 ms apart, each cropped, inferred and published 1, 3 and 4 ms after it was captured."""
    captured = np.arange(frames) * 10.0 * MS
    columns = {"captured_ns": 0, "cropped_ns": 1, "inferred_ns": 3, "published_ns": 4}
    return pd.DataFrame({name: captured + ms * MS for name, ms in columns.items()})


def fired(*frames: int) -> pd.DataFrame:
    """Triggers received 5 ms after the frame, written after 6 and acknowledged after 8."""
    at = np.array(frames, np.float64) * 10 * MS
    return pd.DataFrame(
        {"frame": frames, "received_ns": at + 5 * MS, "written_ns": at + 6 * MS, "acknowledged_ns": at + 8 * MS}
    )


def test_a_trial_begins_with_the_first_frame_that_shows_it_and_ends_with_the_first_answer() -> None:
    trials = match([10, 20, 30], timing(40), fired(10, 23, 25))
    assert trials.latency_ms["frame"].tolist() == [10, 20]
    assert trials.latency_ms["total"].tolist() == pytest.approx([6, 36])
    assert trials.latency_ms["box"].tolist() == pytest.approx([0, 30])  # three frames until a pose was believed
    assert trials.latency_ms["acknowledge"].tolist() == pytest.approx([2, 2])
    assert (trials.missed, trials.extra) == (1, 1)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 99), unique=True, max_size=20), st.lists(st.integers(0, 99), unique=True, max_size=20))
def test_every_trial_and_every_trigger_is_counted_once_and_stages_add_up(arrivals: list[int], at: list[int]) -> None:
    trials = match(sorted(arrivals), timing(100), fired(*sorted(at)))
    answered = len(trials.latency_ms)
    assert answered + trials.missed == len(arrivals)
    assert answered + trials.extra == len(at)
    sums = trials.latency_ms[list(STAGES)].sum(axis=1)
    np.testing.assert_allclose(sums, trials.latency_ms["total"])


def test_a_condition_without_an_answer_is_reported_and_not_hidden() -> None:
    conditions = {"none": match([1, 2], timing(5), fired())}
    assert "2       2        -" in format_table(conditions)
    assert to_dict(conditions)["none"]["missed"] == 2


def test_the_loop_is_measured_with_real_processes(tmp_path: Path) -> None:
    flags = ["--trials", 3, "--fps", 50, "--size", "320x240", "--busy", 0, "--out", tmp_path]
    done = cropzoom("latency", *flags)
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.iterdir()
    report = json.loads((folder / "report.json").read_text())
    assert list(report["conditions"]) == ["within the box, quiet", "out of the box, quiet"]
    for condition in report["conditions"].values():
        assert condition["trials"] == 3
        assert condition["answered"] >= 2
        latency = condition["latency_ms"]["total"]
        assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"] <= latency["max"]
    assert report["machine"]["models"]["pose"]["provider"] == "cpu"
    assert "Closed-loop latency was measured with realtime-cropzoom" in done.stdout
    assert (folder / "latency.png").stat().st_size > 10_000


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_process_stays_behind_a_killed_measurement(tmp_path: Path) -> None:
    """The simulated board and the processes that keep cores busy have no end of their own."""
    flags = ["--trials", "1", "--fps", "30", "--size", "320x240", "--busy", "1", "--out", tmp_path]
    with start_process("latency", *flags) as measurement:
        try:
            wait_for(lambda: any("getppid" in line for line in children(measurement.pid).values()), "a busy core")
            started = children(measurement.pid)
        finally:
            measurement.kill()
    assert any("simulated_board" in line for line in started.values())
    wait_for(lambda: not any(command_line(pid) == line for pid, line in started.items()), "all processes to end")


def children(parent: int) -> dict[int, str]:
    """Return the command lines of the processes that a process has started, by pid."""
    pids = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return {int(pid): command_line(int(pid)) for pid in pids}


def command_line(pid: int) -> str:
    """Return the command line of a process; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_models_that_miss_every_trial_are_said_and_end_with_3(tmp_path: Path) -> None:
    """A model of the right keypoints that never finds the arena's mouse."""
    models = tiny_models(tmp_path / "models", keypoints=("snout", "leftear", "rightear"))
    flags = ["--trials", 1, "--fps", 30, "--size", "320x240", "--busy", 0, "--out", tmp_path / "out"]
    done = cropzoom("latency", *flags, "--detector", models["detector"], "--pose", models["pose"], "--crop-size", 64)
    assert done.returncode == 3, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("cropzoom: ")]
    assert said[0].startswith("cropzoom: within the box, quiet: 0 of 1 trials were answered. The models may not find")
    assert len(said) == 2
    (report,) = (tmp_path / "out").glob("*/report.json")
    assert [c["missed"] for c in json.loads(report.read_text())["conditions"].values()] == [1, 1]


def test_models_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    done = cropzoom("latency", "--trials", 1, "--pose", tmp_path / "nothing", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert str(tmp_path / "nothing") in done.stderr
    assert "Traceback" not in done.stderr


class Lamp:
    """A board at a pseudo-terminal, and a camera that sees its first channel with a delay."""

    def __init__(self, delay_ns: int) -> None:
        self._delay_ns = delay_ns
        self._changes: list[tuple[int, bool]] = []
        self._terminal, port = os.openpty()
        tty.setraw(port)
        self.port = os.ttyname(port)
        self.info = SourceInfo("lamp", 64, 48, 200.0, None, live=True)
        board = Board(1, lambda _, on, at_us: self._changes.append((at_us * 1000, on)))
        threading.Thread(target=serve, args=(self._terminal, board), daemon=True).start()

    def frames(self) -> Iterator[CapturedFrame]:
        pause = threading.Event()
        while True:
            pause.wait(0.005)
            yield CapturedFrame(0, None, 64, 48, self._draw)

    def _draw(self, out: UInt8) -> None:
        seen = [on for at_ns, on in self._changes if at_ns <= now_ns() - self._delay_ns]
        out[:] = np.random.default_rng(1).integers(20, 40, out.shape)
        if seen and seen[-1]:
            out[10:16, 20:30] += 150

    def problems(self) -> list[str]:
        return []

    def close(self) -> None:
        pass


def test_a_light_is_found_and_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime_cropzoom.latency.hardware._SETTLED_S", 0.12)
    lamp = Lamp(delay_ns=40 * MS)
    board = parse_output("board", {"serial": lamp.port}).make("board", {})
    board.open()
    try:
        blinks = measure_light(lamp, board, "board", 5, lambda _: None)
    finally:
        board.close()
    assert blinks.missed == 0
    assert len(blinks.latency_ms) == 5
    assert all(40 <= ms < 500 for ms in blinks.latency_ms)  # never less than the camera's own delay


def test_a_light_that_is_not_in_the_picture_is_said() -> None:
    dark = np.full((48, 64), 30, np.float32)
    with pytest.raises(SourceError, match="does not see the light: where it changes most it is 5 gray levels brighter"):
        find_light(dark, dark + 5)


def test_the_light_is_where_the_picture_changes() -> None:
    dark = np.full((48, 64), 30, np.float32)
    bright = dark.copy()
    bright[10:20, 30:40] = 200
    light = find_light(dark, bright)
    assert light.mask.sum() == 100
    assert light.threshold == pytest.approx(115)
    image = np.full((48, 64, 3), 30, np.uint8)
    assert not light.shines(image)
    image[10:20, 30:40] = 180
    assert light.shines(image)
