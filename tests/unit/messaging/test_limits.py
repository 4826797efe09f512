"""Few open files, and starts that do not come to an end: one line each, and never a process that hangs."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from realtime_cropzoom.errors import SinkError, SourceError
from realtime_cropzoom.offline.frame_reader import FrameReader
from realtime_cropzoom.pipeline.capture import CaptureStage
from realtime_cropzoom.pipeline.source_reader import CaptureOptions
from realtime_cropzoom.runtime.started import Started
from realtime_cropzoom.runtime.worker import RunControl
from realtime_cropzoom.sources.base import Source

RULES = """
endpoint: tcp://127.0.0.1:1
outputs: {marks: {zmq_publish: "tcp://127.0.0.1:*"}}
zones: {all: {rectangle_px: [0, 0, 640, 480]}}
rules: {came: {when: {entered: all, keypoint: snout}, fire: marks, pulse_ms: 10}}
"""


def with_files(limit: int, *command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command that may have so many files open. It must end by itself."""
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    return subprocess.run(
        [sys.executable, "-m", "realtime_cropzoom", *map(str, command)],
        cwd=cwd, capture_output=True, text=True, timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)),
    )  # fmt: skip


@pytest.mark.parametrize("limit", [20, 34])
@pytest.mark.parametrize(
    "command",
    [
        ("run", "synthetic:arena,fps=60,seconds=1", "--record", "--publish", "tcp://127.0.0.1:*"),
        ("trigger", "rules.yaml"),
    ],
)
def test_with_few_files_a_command_ends_with_one_line(tmp_path: Path, command: tuple[str, ...], limit: int) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    done = with_files(limit, *command, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"cropzoom: open files: this process may have {limit}, and has ")
    assert done.stderr.count("\n") == 1
    assert not [path for path in tmp_path.rglob("*") if path.name not in ("rules.yaml", "sessions", "triggers")]


def test_the_limit_is_raised_as_far_as_it_goes() -> None:
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    code = (
        "import resource\nfrom realtime_cropzoom.messaging.limits import raise_limit\nraise_limit()\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = 1 << 16 if hard == resource.RLIM_INFINITY else min(hard, 1 << 16)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard)),
    )  # fmt: skip
    assert done.stdout == f"{most}\n", done.stderr


def in_a_thread(started: Started, work: Callable[[], None]) -> None:
    def run() -> None:
        with started.reporting():
            work()

    threading.Thread(target=run).start()


def fail() -> None:
    raise OSError("no device")


def test_who_is_ready_is_waited_for() -> None:
    started = Started()
    in_a_thread(started, started.ready)
    started.wait("it")


@pytest.mark.parametrize(
    ("work", "error", "says"), [(fail, OSError, "no device"), (lambda: None, SinkError, "ended before it was ready")]
)
def test_a_thread_that_ends_before_ends_the_wait(work: Callable[[], None], error: type[Exception], says: str) -> None:
    started = Started()
    in_a_thread(started, work)
    with pytest.raises(error, match=says):
        started.wait("it")


def test_the_wait_has_a_limit_and_can_be_stopped() -> None:
    with pytest.raises(SinkError, match=r"the camera was not ready within 0 s"):
        Started().wait("the camera", 0)
    with pytest.raises(SinkError, match="stopped before the camera was ready"):
        Started().wait("the camera", stopped=lambda: True)


def test_what_goes_wrong_later_is_not_the_starts() -> None:
    started = Started()

    def work() -> None:
        with started.reporting():
            started.ready()
            fail()

    with pytest.raises(OSError, match="no device"):
        work()
    started.wait("it")


@pytest.mark.parametrize("command", [("listen", "tcp://127.0.0.1:9"), ("check", "synthetic:arena")])
def test_every_command_looks_first(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = with_files(20, *command, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("cropzoom: open files: this process may have 20, and has ")


def test_a_subscriber_in_a_script_says_it_too(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    done = subprocess.run(
        [sys.executable, "-c", "from realtime_cropzoom import Subscriber\nSubscriber()"],
        capture_output=True, text=True, timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (12, 12)),
    )  # fmt: skip
    assert "ConfigError: open files: this process may have 12" in done.stderr


def test_a_source_that_hangs_while_it_opens_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()

    def hang(*_: object) -> Source:
        let_go.wait(60)
        raise SourceError("late")

    monkeypatch.setattr("realtime_cropzoom.pipeline.capture._OPEN_TIMEOUT_S", 0.0)
    monkeypatch.setattr("realtime_cropzoom.offline.frame_reader._OPENS_WITHIN_S", 0.0)
    monkeypatch.setattr("realtime_cropzoom.offline.frame_reader.open_source", hang)
    capture = CaptureStage(hang, RunControl(), CaptureOptions(realtime=True))
    capture.start()
    try:
        with pytest.raises(SourceError, match="the source was not ready within 0 s; is the camera plugged in"):
            capture.wait_open()
        with pytest.raises(SourceError, match=r"clip\.mp4 was not ready within 0 s"):
            FrameReader("clip.mp4")
    finally:
        let_go.set()
        capture.join(10)
