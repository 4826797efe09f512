"""Processes that a command starts: kept apart from its Ctrl-C, interrupted, and their ends in words."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Any

import pytest

from realtime_cropzoom.runtime.processes import apart, interrupt, violent_end, wait_or_kill

WAITS = """
import os, time
try:
    print(os.getpgrp() == os.getpid(), flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="process groups are of POSIX")
def test_a_process_is_apart_and_can_be_interrupted() -> None:
    command = [sys.executable, "-c", WAITS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **apart()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n", (
            "a group of its own, to which Ctrl-C of the terminal does not come"
        )
        interrupt(process)
        assert process.stdout.read() == "interrupted\n"
    assert process.returncode == 0


@pytest.mark.parametrize(("code", "returncode"), [("input()", 0), ("import time; time.sleep(600)", -9)])
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is of POSIX")
def test_a_process_that_was_asked_to_end_is_killed_if_it_does_not(code: str, returncode: int) -> None:
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b"end\n")
        process.stdin.close()
        wait_or_kill(process, 30.0 if returncode == 0 else 0.1)
        assert process.returncode == returncode


class Sent:
    """A process that notes what it is sent."""

    def __init__(self) -> None:
        self.signals: list[int] = []

    def send_signal(self, number: int) -> None:
        self.signals.append(number)


def test_on_windows_it_is_a_group_that_ctrl_break_reaches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    process: Any = Sent()
    interrupt(process)
    assert apart() == {"creationflags": 0x200}  # CREATE_NEW_PROCESS_GROUP, for which Ctrl-C is off
    assert process.signals == [1]  # CTRL_BREAK_EVENT: CTRL_C_EVENT, 0, would reach nobody


@pytest.mark.parametrize(
    ("code", "by"),
    [
        (0, None),
        (1, None),  # also what is left of a process of Windows that another one has ended
        (-int(signal.SIGTERM), "SIGTERM"),
        (0xC0000005, "a forbidden memory access (0xC0000005)"),
        (0xC0000409, "a fault (0xC0000409)"),
    ],
)
def test_what_ended_a_process_is_said(code: int, by: str | None) -> None:
    assert violent_end(code) == by
