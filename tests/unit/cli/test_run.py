"""``cropzoom run``: what it says when a signal ends it, and while it writes the recording."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from realtime_cropzoom.cli import terminal
from realtime_cropzoom.cli.run import stop_pipeline_on_signals, watch_pipeline
from realtime_cropzoom.config.resolve import load_settings
from realtime_cropzoom.runtime.signals import ending_signals


@pytest.fixture(autouse=True)
def _signal_handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in ending_signals()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class StoppedRun:
    """The part of a pipeline that a signal stops."""

    def __init__(self, **settings: Any) -> None:
        self.settings = load_settings(settings)
        self.control = SimpleNamespace(stop=threading.Event())
        self.reasons: list[str] = []

    def stop(self, reason: str) -> None:
        self.control.stop.set()
        self.reasons.append(reason)


@pytest.mark.parametrize(
    ("settings", "files"),
    [
        ({}, "finishing the files"),
        ({"record": "h264"}, "finishing the recording and the files"),
        ({"record": "copy"}, "finishing the recording and the files"),
    ],
)
def test_the_first_ctrl_c_says_at_once_what_happens(
    settings: dict[str, str], files: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run: Any = StoppedRun(**settings)
    received = stop_pipeline_on_signals(run, quiet=False)
    signal.raise_signal(signal.SIGINT)
    assert capsys.readouterr().err == (
        f"stopping: {files} (usually less than 3 s; a second Ctrl-C does not shorten it) …\n"
    )
    signal.raise_signal(signal.SIGINT)
    assert capsys.readouterr().err == ""
    assert received == [signal.SIGINT, signal.SIGINT]
    assert run.reasons[0] == "stopped by SIGINT"


def test_a_quiet_run_says_nothing_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    run: Any = StoppedRun()
    stop_pipeline_on_signals(run, quiet=True)
    signal.raise_signal(signal.SIGINT)
    assert capsys.readouterr().err == ""
    assert run.control.stop.is_set()


class RecordingRun:
    """The part of a pipeline that is watched: frames wait for the recorder for two seconds."""

    def __init__(self) -> None:
        self.control = SimpleNamespace(stop=threading.Event())
        self._left = iter([55, 30])

    def wait(self, timeout_s: float) -> bool:
        self.left = next(self._left, None)
        return self.left is None

    def frames_to_record(self) -> int | None:
        return self.left


@pytest.mark.parametrize(
    ("is_terminal", "lines"),
    [
        (True, ["writing the recording: 55 frames left", "writing the recording: 30 frames left"]),
        (False, ["writing the recording: 55 frames left"]),
    ],
)
def test_a_run_says_that_it_writes_the_recording(
    monkeypatch: pytest.MonkeyPatch, is_terminal: bool, lines: list[str]
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(terminal, "is_live", lambda: is_terminal)
    monkeypatch.setattr(terminal, "show", shown.extend)
    run: Any = RecordingRun()
    watch_pipeline(run, quiet=False)
    assert shown == lines
