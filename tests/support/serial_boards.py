"""Trigger boards for tests: the sketch itself, compiled for this computer, and the simulated board."""

from __future__ import annotations

import functools
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from support.places import ROOT

SKETCHES = ROOT / "examples" / "arduino"
KINDS = ("sketch", "simulated")
LONG_S = 60.0


class Change(NamedTuple):
    """A channel of the board changed, at a time of the monotonic clock."""

    time_s: float
    channel: int
    on: bool


@functools.cache
def compiled_sketch(name: str = "cropzoom_trigger") -> Path:
    """A sketch as a program; the test is skipped where there is no compiler."""
    if shutil.which("g++") is None:
        pytest.skip("there is no g++ to compile the sketch with")
    program = Path(tempfile.mkdtemp(prefix="cropzoom-sketch-")) / "board"
    flags = [
        "-std=c++11",
        "-Wall",
        "-Wextra",
        "-Werror",
        f"-I{ROOT / 'tests' / 'support' / 'arduino'}",
        f"-I{SKETCHES / name}",
    ]
    flags.append(f'-DSKETCH="{name}.ino"')
    subprocess.run(
        ["g++", *flags, str(ROOT / "tests" / "support" / "arduino" / "main.cpp"), "-o", str(program)], check=True
    )
    return program


class Board:
    """A board as a process; ``port`` is a link that stays the same when the board is plugged in again."""

    def __init__(self, kind: str, folder: Path, sketch: str = "cropzoom_trigger") -> None:
        self.port = str(folder / "port")
        module = [sys.executable, "-m", "realtime_cropzoom.trigger.outputs.simulated_board"]
        self._command = [str(compiled_sketch(sketch))] if kind == "sketch" else module
        self.changes: list[Change] = []
        self.plug_in()

    def plug_in(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        Path(self.port).unlink(missing_ok=True)
        Path(self.port).symlink_to(self._process.stdout.readline().strip())
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def unplug(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def hang(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def on(self, channel: int = 1) -> bool:
        return next((change.on for change in reversed(self.changes) if change.channel == channel), False)

    def of(self, channel: int = 1) -> list[bool]:
        return [change.on for change in self.changes if change.channel == channel]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            at, _, channel, level = line.split()
            self.changes.append(Change(float(at), int(channel), level == "on"))


def wait_for(condition: Callable[[], object], what: str = "what was expected") -> None:
    """Wait until ``condition()`` is true."""
    deadline = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.002)
