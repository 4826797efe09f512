"""A lock on a file keeps other processes out until its own has ended, on POSIX and as Windows does it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.places import TESTS

from realtime_cropzoom.files.locks import lock_file, wait_for_lock

fake_msvcrt = pytest.importorskip("support.fake_msvcrt", reason="the stand-in for Windows is for POSIX systems")

HOLDS = """
import os, sys
from realtime_cropzoom.files.locks import lock_file
descriptor = os.open(sys.argv[1], os.O_RDWR)
print(lock_file(descriptor), flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=["posix", "windows"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Code with which a further process locks as this one does."""
    if request.param == "posix":
        return HOLDS
    fake_msvcrt.stand_in(monkeypatch)
    return str(fake_msvcrt.STAND_IN + HOLDS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "lock"
    path.write_text("who has it")
    return path


@pytest.fixture
def holder(system: str, path: Path) -> Callable[[], subprocess.Popen[str]]:
    def hold() -> subprocess.Popen[str]:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}
        command = [sys.executable, "-c", system, str(path)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    return hold


def test_it_keeps_others_out_until_its_process_is_killed(
    path: Path, holder: Callable[[], subprocess.Popen[str]]
) -> None:
    with holder() as process, path.open("r+b", buffering=0) as file:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        assert not lock_file(file.fileno())
        assert file.read(100) == b"who has it", "what is written there can be read meanwhile"
        process.kill()
        process.wait()
        wait_for_lock(file.fileno())


def test_a_second_process_is_refused(path: Path, holder: Callable[[], subprocess.Popen[str]]) -> None:
    with path.open("r+b", buffering=0) as file:
        assert lock_file(file.fileno())
        with holder() as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "False\n"
            process.kill()
