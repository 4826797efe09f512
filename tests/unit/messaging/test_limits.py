"""Limits of open files: a command that may open too few files ends with one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RULES = """
endpoint: tcp://127.0.0.1:1
outputs: {marks: {zmq_publish: "tcp://127.0.0.1:*"}}
zones: {all: {rectangle_px: [0, 0, 640, 480]}}
rules: {came: {when: {entered: all, keypoint: snout}, fire: marks, pulse_ms: 10}}
"""


def with_files(limit: int, *command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command with a limit of open files. It must end by itself."""
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


def test_the_limit_is_raised_to_the_maximum() -> None:
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


@pytest.mark.parametrize("command", [("listen", "tcp://127.0.0.1:9"), ("check", "synthetic:arena")])
def test_every_command_checks_the_limit_first(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = with_files(20, *command, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("cropzoom: open files: this process may have 20, and has ")


def test_a_subscriber_checks_the_limit_too(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    done = subprocess.run(
        [sys.executable, "-c", "from realtime_cropzoom import Subscriber\nSubscriber()"],
        capture_output=True, text=True, timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (12, 12)),
    )  # fmt: skip
    assert "ConfigError: open files: this process may have 12" in done.stderr
