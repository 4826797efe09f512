"""What other programs compute is told apart from what this one computes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from realtime_cropzoom.bench import others
from realtime_cropzoom.bench.others import OtherPrograms, wait_for_calm

STAT = "cpu  {user} 0 0 500 0 0 0 {steal} 0 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n"


@pytest.fixture
def stat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "stat"
    path.write_text(STAT.format(user=1000, steal=0))
    monkeypatch.setattr(others, "_STAT", path)
    monkeypatch.setattr(others, "_own_s", lambda: 0.0)
    return path


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="the clock ticks of Linux")
def test_computing_and_stolen_time_count_and_idle_time_does_not(stat: Path) -> None:
    counted = OtherPrograms()
    counted._begun = time.monotonic() - 10
    ticks = os.sysconf("SC_CLK_TCK")
    stat.write_text(STAT.format(user=1000 + 5 * ticks, steal=5 * ticks))
    assert counted.cores() == pytest.approx(1.0, abs=0.05)


def test_what_this_program_and_its_children_compute_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    before = others._own_s()
    begun = time.process_time()
    while time.process_time() < begun + 0.2:
        pass
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.3: pass"], check=True)
    assert others._own_s() - before >= 0.45


def test_a_system_without_proc_and_psutil_does_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "_STAT", tmp_path / "none")
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert OtherPrograms().cores() is None
    stop = threading.Event()
    stop.set()
    assert wait_for_calm(stop) is None


def test_psutil_stands_in_for_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("psutil")
    monkeypatch.setattr(others, "_STAT", tmp_path / "none")
    assert OtherPrograms().cores() is not None


def test_the_wait_ends_when_it_is_asked_to(stat: Path) -> None:
    stop = threading.Event()
    stop.set()
    begun = time.monotonic()
    wait_for_calm(stop)
    assert time.monotonic() - begun < others._WINDOW_S
