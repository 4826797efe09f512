"""The console of Windows, with a stand-in: its encoding, and whether lines can be replaced there."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

import pytest

from realtime_cropzoom.cli import terminal
from realtime_cropzoom.cli.windows_console import prepare_console


class Kernel:
    """kernel32 with a console of code page 850, new enough for the codes of terminals or not."""

    def __init__(self, *, new: bool) -> None:
        self.new, self.mode = new, 3

    def GetConsoleMode(self, handle: Any, mode: Any) -> int:
        mode._obj.value = self.mode
        return 1

    def SetConsoleMode(self, handle: Any, mode: int) -> int:
        self.mode = mode if self.new else self.mode
        return int(self.new)

    def GetConsoleOutputCP(self) -> int:
        return 850


def test_a_new_console_learns_the_codes_and_keeps_its_other_modes() -> None:
    kernel = Kernel(new=True)
    assert prepare_console(1, kernel, ctypes.c_void_p(7)) == ("cp850", True)
    assert kernel.mode == 3 | 4


def test_an_old_console_gets_plain_lines() -> None:
    assert prepare_console(1, Kernel(new=False), ctypes.c_void_p(7)) == ("cp850", False)


@pytest.mark.parametrize(("encoding", "shown"), [("cp850", "2.5 µs ->  5° ... ≥"), ("cp1252", "2.5 µs ->  5° … ≥")])
def test_what_its_encoding_lacks_becomes_plain(encoding: str, shown: str) -> None:
    text = "2.5 µs →  5° … ≥".encode(encoding, terminal.ENCODING_ERRORS).decode(encoding)
    assert text == shown.replace("≥", ">=")


def test_two_pipes_are_two_files_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows numbers no pipes: with the numbers alone, errors would go to the pipe of the results."""
    (read, one), (also_read, other) = os.pipe(), os.pipe()
    monkeypatch.setattr(sys, "platform", "win32")
    real = os.fstat
    monkeypatch.setattr(os, "fstat", lambda fd: os.stat_result((0, 0, *real(fd)[2:])))
    try:
        assert not terminal._is_same_file(one, other)
        monkeypatch.setattr(os, "isatty", lambda fd: True)
        assert terminal._is_same_file(one, other), "a process has one console"
    finally:
        for descriptor in (read, one, also_read, other):
            os.close(descriptor)
