"""Disk use: growth over the last minute, free space, and a disk that does not answer."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from support.pipelines import ANY_PORT, LONG_S, Film, cropzoom_threads, make_settings, wait_for

from realtime_cropzoom.pipeline import disk_use
from realtime_cropzoom.pipeline.disk_use import DiskUse
from realtime_cropzoom.pipeline.pipeline import Pipeline

S = 1_000_000_000


def write(folder: Path, size: int) -> None:
    (folder / "crops").mkdir(exist_ok=True)
    (folder / "poses.csv").write_bytes(bytes(size // 2))
    (folder / "crops" / "film.mp4").write_bytes(bytes(size - size // 2))


def test_growth_is_that_of_the_last_minute(tmp_path: Path) -> None:
    disk = DiskUse(tmp_path)
    assert disk.free_and_growth(0) == (None, None)
    grown = []
    for second in range(0, 121, 2):  # 1000 bytes a second for a minute, then 3000
        write(tmp_path, 1000 * min(second, 60) + 3000 * max(0, second - 60))
        disk.measure(second * S)
        free, growth = disk.free_and_growth(second * S)
        assert free == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.2)
        grown.append(growth)
    assert grown[:3] == [None, None, None], "too short to know"
    assert grown[3] == pytest.approx(1000)
    assert grown[30] == pytest.approx(1000)
    assert grown[45] == pytest.approx(2000)
    assert grown[60] == pytest.approx(3000)


def test_a_file_that_shrinks_is_no_negative_growth(tmp_path: Path) -> None:
    disk = DiskUse(tmp_path)
    for second, size in ((0, 5000), (6, 100)):
        write(tmp_path, size)
        disk.measure(second * S)
    assert disk.free_and_growth(6 * S)[1] == 0


def test_what_was_measured_long_ago_is_unknown(tmp_path: Path) -> None:
    disk = DiskUse(tmp_path)
    disk.measure(0)
    assert disk.free_and_growth(9 * S)[0] is not None
    assert disk.free_and_growth(11 * S) == (None, None)


def test_a_folder_that_is_gone_is_no_error(tmp_path: Path) -> None:
    disk = DiskUse(tmp_path / "gone")
    disk.measure(0)
    assert disk.free_and_growth(0) == (None, None)


def test_stop_may_be_called_before_start_and_twice(tmp_path: Path) -> None:
    disk = DiskUse(tmp_path)
    disk.stop()
    disk.start()
    disk.stop()
    disk.stop()
    assert "cropzoom-disk" not in cropzoom_threads()


def test_a_disk_that_hangs_holds_up_neither_status_nor_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs, go_on = threading.Event(), threading.Event()

    def hang(_: Path) -> int:
        hangs.set()
        go_on.wait(LONG_S)
        return 0

    monkeypatch.setattr(disk_use, "_size", hang)
    pipeline = Pipeline(make_settings(tmp_path, publish=ANY_PORT, publish_latest="none"), lambda: Film(20))
    pipeline.start()
    try:
        assert hangs.wait(LONG_S)
        assert pipeline.progress().disk_free_bytes is None
        assert pipeline.join()["counts"]["processed"] == 20
    finally:
        go_on.set()
        pipeline.stop()
    wait_for(lambda: "cropzoom-disk" not in cropzoom_threads(), "the end of the thread")


def test_the_status_of_a_run_says_how_much_room_is_left(tmp_path: Path) -> None:
    pipeline = Pipeline(make_settings(tmp_path, publish=ANY_PORT, publish_latest="none"), lambda: Film(2000))
    pipeline.start()
    try:
        free = wait_for(lambda: pipeline.progress().disk_free_bytes, "a measurement")
        assert free == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.2)
    finally:
        pipeline.stop()
        pipeline.join()
    assert "cropzoom-disk" not in cropzoom_threads()
