"""Fine waits on Windows are asked for while they are needed, and given back; elsewhere nothing is asked."""

from __future__ import annotations

import sys
import time
from unittest.mock import Mock

import pytest

from realtime_cropzoom.runtime import fine_waits
from realtime_cropzoom.runtime.fine_waits import begin_fine_waits
from realtime_cropzoom.runtime.tuning import tuned


class Timer:
    """winmm of Windows, with the ticks that it is asked for."""

    def __init__(self, *, has_it: bool = True) -> None:
        self.asked: list[int] = []
        self._refuses = not has_it

    def timeBeginPeriod(self, ms: int) -> int:
        self.asked.append(ms)
        return 97 if self._refuses else 0

    def timeEndPeriod(self, ms: int) -> int:
        self.asked.remove(ms)
        return 0


def test_a_run_has_ticks_of_a_millisecond_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    timer = Timer()
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(fine_waits, "_timer", lambda: timer)
    monkeypatch.setattr("realtime_cropzoom.runtime.tuning.threadpool_limits", Mock())  # old ones look for psapi.dll
    with tuned():
        assert timer.asked == [1]
    assert timer.asked == []


@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_elsewhere_nothing_is_asked(monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    timer = Timer()
    monkeypatch.setattr(sys, "platform", system)
    begin_fine_waits(lambda: timer)()
    assert timer.asked == []


def test_a_windows_that_refuses_is_not_asked_to_take_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    timer = Timer(has_it=False)
    monkeypatch.setattr(sys, "platform", "win32")
    begin_fine_waits(lambda: timer)()
    assert timer.asked == [1]


def test_a_windows_without_that_library_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Timer:
        raise OSError("there is no winmm")

    monkeypatch.setattr(sys, "platform", "win32")
    begin_fine_waits(missing)()


@pytest.mark.skipif(sys.platform != "win32", reason="other systems need no help")
def test_a_wait_of_a_thread_is_fine_on_windows() -> None:
    import threading

    with fine_waits.fine_waits():
        begun = time.perf_counter()
        for _ in range(20):
            threading.Event().wait(0.002)
    assert time.perf_counter() - begun < 20 * 0.010
