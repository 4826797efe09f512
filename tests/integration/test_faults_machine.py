"""What happens when the machine fails: a disk that stands still, a wall clock that is set, things that pile up."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.live_film import Camera, Segment, listen
from support.pipelines import (
    ANY_PORT,
    LONG_S,
    Film,
    check_complete,
    finish,
    make_settings,
    model_flags,
    start_process,
    the_session,
    tiny_models,
    wait_for,
)

from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.files.append import RowFile

ENDLESS = "synthetic:arena,size=160x120,fps=60,seconds=endless"


def settings_of(tmp_path: Path, **chosen: Any) -> Settings:
    return make_settings(tmp_path, publish=ANY_PORT, publish_latest=ANY_PORT, max_lag=100, **chosen)


def test_a_disk_that_hangs_delays_neither_tracking_nor_publishing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go, real = threading.Event(), RowFile.flush

    def held(self: RowFile) -> None:
        let_go.wait(LONG_S)
        real(self)

    monkeypatch.setattr(RowFile, "flush", held)
    run = listen(
        settings_of(tmp_path),
        Film(60),
        each=lambda message: let_go.set() if getattr(message, "seq", 0) == 59 else None,
    )
    assert [pose.seq for pose in run.poses] == list(range(60))
    assert len(check_complete(run.folder).timing) == 60


@pytest.mark.parametrize("step_s", [3600.0, -3600.0], ids=["an hour forward", "an hour back"])
def test_a_wall_clock_that_is_set_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step_s: float
) -> None:
    real, real_ns, shift = time.time, time.time_ns, 0.0
    monkeypatch.setattr(time, "time", lambda: real() + shift)
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() + round(shift * 1e9))

    def set_clock(index: int) -> None:
        nonlocal shift
        shift = step_s if index >= 30 else 0.0

    run = listen(settings_of(tmp_path), Film(60, before=set_clock))
    assert run.end.counts.processed == 60
    assert len({pose.time.unix_offset_ns for pose in run.poses}) == 1
    assert {status.stream for status in run.statuses} <= {"live", "ended"}
    assert {pose.state for pose in run.poses} <= {"searching", "tracking"}
    timing = check_complete(run.folder).timing
    assert np.diff(timing["captured_ns"]).max() < LONG_S * 1e9


STEPPED = r"""
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, id, now);
    if (id == CLOCK_REALTIME && access(getenv("STEPPED_ONCE"), F_OK) == 0) now->tv_sec += atol(getenv("STEPPED_BY"));
    return failed;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec, now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (out) *out = exact.tv_sec;
    return exact.tv_sec;
}
"""


@pytest.fixture(scope="module")
def stepped_clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that moves the wall clock of a process once a file is there."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("there is no C compiler (cc) to build the clock with")
    library = tmp_path_factory.mktemp("clock") / "stepped.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", library], input=STEPPED, text=True, check=True)
    return library


@pytest.mark.parametrize("step_s", [3600, -3600])
def test_a_process_continues_when_its_wall_clock_is_set(tmp_path: Path, stepped_clock: Path, step_s: int) -> None:
    """All of the process sees the clock jump, native code too; the monotonic one goes on, as it does in Linux."""
    set_now, out = tmp_path / "now", tmp_path / "out"
    environment = {"LD_PRELOAD": str(stepped_clock), "STEPPED_ONCE": str(set_now), "STEPPED_BY": str(step_s)}
    flags = ["run", ENDLESS.replace("endless", "1.6"), "--out", out, *model_flags(tiny_models(tmp_path / "models"))]
    process = start_process(*flags, "--max-lag", 200, env=environment)

    def rows() -> int:
        timing = next(iter(out.glob("*/*_timing.csv")), None)
        return 0 if timing is None else timing.read_bytes().count(b"\n")

    wait_for(lambda: rows() > 30, "rows")
    set_now.touch()
    done = finish(process)
    assert done.returncode == 0, done.stderr
    files = check_complete(the_session(out))
    assert files.summary["counts"]["processed"] == 96
    assert files.summary["seconds"] < LONG_S
    assert files.summary["problems"] == []


def test_a_camera_that_comes_and_goes_leaves_neither_threads_nor_files_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime_cropzoom.sources.live.reconnect._DELAYS_S", (0.0,))
    monkeypatch.setattr("realtime_cropzoom.sources.live.reconnect._MINUTE_S", 0.0)
    seen: list[tuple[int, int]] = []

    def count(index: int) -> None:
        if index % 10 == 5:
            seen.append((threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))))

    camera = Camera(*[Segment(10, fps=200.0) for _ in range(30)], before=count)
    run = listen(settings_of(tmp_path, frames=280), camera)
    assert run.end.reason == "finished"
    assert run.poses[-1].segment >= 27
    assert len(set(seen[5:])) == 1, "the same from the sixth time on"
