"""Every signal that ends a process ends a command in order: outputs safe, logs closed, exit code 128 + its number."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from support.pipelines import LONG_S, finish, start_process, wait_for
from support.pose_stream_process import Feed

from realtime_cropzoom.runtime.signals import (
    Terminated,
    ending_signals,
    interrupts,
    signal_name,
    signals_held_back,
    stop_on_signals,
)
from realtime_cropzoom.trigger.process.decision_log import read_decisions

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows has other signals")

FORGE = """
import ctypes, json, os, signal, sys

def end_with_parent(parent):
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)

end_with_parent(int(sys.argv[1]))
import realtime_cropzoom.trigger.outputs.python_callable, realtime_cropzoom.trigger.process.process
from realtime_cropzoom.cli.main import main

for line in sys.stdin:
    job = json.loads(line)
    forge, pid = os.getpid(), os.fork()
    if not pid:
        end_with_parent(forge)
        os.chdir(job["folder"])
        for number in job["ignored"]:
            signal.signal(number, signal.SIG_IGN)
        for descriptor, name in enumerate([os.devnull, "stdout", "stderr"]):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT, 0o600), descriptor)
        sys.argv = ["cropzoom", *job["argv"]]
        os._exit(main())
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""
"""Starts many processes of ours, one after the other, and imports only once. All of them end with the tests."""

LINE = """
class Line:
    def __call__(self, job):
        with open("line", "a") as file:
            file.write(f"{job.act}\\n")
    def close(self):
        with open("line", "a") as file:
            file.write("close\\n")
"""


class Child(NamedTuple):
    """A command that runs in ``folder``."""

    forge: Forge
    pid: int
    folder: Path

    def ends(self) -> int:
        """Wait for the end of the process and return its exit code."""
        return self.forge.wait_for_child()

    @property
    def told(self) -> list[str]:
        """Return what its output received."""
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "line").read_text().split()
        return []


class Forge:
    """Process that starts commands by ``fork``. At most one of them runs at a time."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", FORGE, str(os.getpid())]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self._child: int | None = None

    @property
    def pid(self) -> int:
        return self._process.pid

    def _read_number(self) -> int:
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], LONG_S)
        assert readable, f"waited {LONG_S} s for the command to start or to end"
        return int(self._process.stdout.readline())

    def start(self, folder: Path, *argv: object, ignored: tuple[int, ...] = ()) -> Child:
        """Start a command. One that a failed test left behind is killed first: the forge waits for it."""
        assert self._process.stdin is not None
        self._kill_child()
        job = {"folder": str(folder), "argv": [*map(str, argv)], "ignored": [*map(int, ignored)]}
        self._process.stdin.write(json.dumps(job).encode() + b"\n")
        self._child = self._read_number()
        return Child(self, self._child, folder)

    def wait_for_child(self) -> int:
        """Wait for the end of the command and return its exit code."""
        code = self._read_number()
        self._child = None
        return code

    def _kill_child(self) -> None:
        if self._child is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child, signal.SIGKILL)
            self.wait_for_child()

    def close(self) -> None:
        """End the command that runs, and the forge."""
        try:
            self._kill_child()
        finally:
            self._process.kill()
            self._process.communicate()


@pytest.fixture(scope="module")
def forge() -> Iterator[Forge]:
    with contextlib.closing(Forge()) as forge:
        yield forge


@pytest.fixture(scope="module")
def feed() -> Iterator[Feed]:
    with Feed() as feed:
        yield feed


def holding(forge: Forge, feed: Feed, folder: Path, ignored: tuple[int, ...] = ()) -> Child:
    """A trigger process that holds its output on."""
    (folder / "my_line.py").write_text(LINE)
    rules = {
        "endpoint": feed.endpoint,
        **{"max_age_ms": 2000, "hold_max_age_ms": 2000, "stream_lost_after_ms": 5000},  # of a busy machine
        "outputs": {"mine": {"python": "my_line:Line", "levels": True, "late_after_ms": 5000}},
        "rules": {"there": {"when": {"state": ["tracking"]}, "fire": "mine", "hold": True}},
    }
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
    child = forge.start(
        folder, "trigger", "rules.yaml", "--arm", "--control", "none", "--log", "log", "--quiet", ignored=ignored
    )
    wait_for(lambda: child.told == ["on"], "the output to be on")
    return child


def _some() -> list[int]:
    """Return the signals to test: of the many real-time signals only three."""
    first, last = int(signal.SIGRTMIN), int(signal.SIGRTMAX)
    plain = [n for n in ending_signals() if not first <= n <= last and signal.getsignal(n) is not signal.SIG_IGN]
    return [*plain, first, first + 3, last]


@pytest.mark.parametrize("number", _some(), ids=signal_name)
def test_a_signal_takes_outputs_to_safe_and_closes_the_logs(
    forge: Forge, feed: Feed, tmp_path: Path, number: int
) -> None:
    child = holding(forge, feed, tmp_path)
    os.kill(child.pid, number)
    assert child.ends() == 128 + number, (tmp_path / "stderr").read_text()
    assert child.told == ["on", "safe", "close"]
    assert json.loads((tmp_path / "log" / "summary.json").read_text())["ended"] == f"stopped by {signal_name(number)}"
    assert read_decisions(tmp_path / "log" / "rules_decisions.csv")[-1].verdict == "safe"
    assert (tmp_path / "stderr").read_text() == ""


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGPIPE], ids=signal_name)
def test_a_signal_that_was_ignored_at_the_start_stays_ignored(
    forge: Forge, feed: Feed, tmp_path: Path, number: int
) -> None:
    child = holding(forge, feed, tmp_path, ignored=(number,))
    os.kill(child.pid, number)
    before = feed.sent
    wait_for(lambda: feed.sent > before + 20, "poses")
    assert child.told == ["on"]
    os.kill(child.pid, signal.SIGTERM)
    assert child.ends() == 143
    assert child.told == ["on", "safe", "close"]


@pytest.mark.parametrize("number", [signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU], ids=signal_name)
def test_ctrl_z_does_not_suspend_a_process_that_holds_an_output_on(
    forge: Forge, feed: Feed, tmp_path: Path, number: int
) -> None:
    child = holding(forge, feed, tmp_path)
    os.kill(child.pid, number)
    os.kill(child.pid, signal.SIGTERM)
    assert child.ends() == 143
    assert child.told == ["on", "safe", "close"]


def test_the_first_of_two_signals_counts(forge: Forge, feed: Feed, tmp_path: Path) -> None:
    """A terminal that closes sends more than one."""
    child = holding(forge, feed, tmp_path)
    os.kill(child.pid, signal.SIGHUP)
    wait_for(lambda: "safe" in child.told, "the safe level")
    with contextlib.suppress(ProcessLookupError):
        os.kill(child.pid, signal.SIGTERM)
    assert child.ends() == 129
    assert child.told == ["on", "safe", "close"]


def test_a_command_that_a_failed_test_left_behind_does_not_stop_the_next(
    forge: Forge, feed: Feed, tmp_path: Path
) -> None:
    left = holding(forge, feed, tmp_path)
    (tmp_path / "next").mkdir()
    child = holding(forge, feed, tmp_path / "next")
    with pytest.raises(ProcessLookupError):
        os.kill(left.pid, 0)
    os.kill(child.pid, signal.SIGTERM)
    assert child.ends() == 143


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_command_ends_with_the_process_that_started_it(feed: Feed, tmp_path: Path) -> None:
    """As after a test run that was killed: no trigger process stays behind with an output on."""
    with contextlib.closing(Forge()) as forge:
        child = holding(forge, feed, tmp_path)
        os.kill(forge.pid, signal.SIGKILL)
        wait_for(lambda: not _runs(child.pid), "the command to end")


def _runs(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_all_signals_that_end_a_process_are_handled() -> None:
    """Compare with the table of the system: signals that end a process by default, can be handled and are no faults."""
    faults = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}
    harmless = {signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH}
    stops = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
    expected = signal.valid_signals() - faults - harmless - stops - {signal.SIGKILL}
    assert set(ending_signals()) == {int(number) for number in expected}


def test_names_of_signals() -> None:
    assert signal_name(signal.SIGHUP) == "SIGHUP"
    assert signal_name(signal.SIGRTMIN + 3) == "SIGRTMIN+3"


@pytest.fixture
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in ending_signals()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_handlers")
def test_a_handler_of_other_code_is_kept() -> None:
    def theirs(number: int, frame: object) -> None:
        pass

    signal.signal(signal.SIGPROF, theirs)
    stop_on_signals(lambda why: None)
    assert signal.getsignal(signal.SIGPROF) is theirs
    assert signal.getsignal(signal.SIGHUP) not in (signal.SIG_DFL, signal.SIG_IGN)


@pytest.mark.usefixtures("_handlers")
def test_an_interrupt_is_raised_once_and_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGUSR1)

    def be_ended() -> None:
        with interrupts():
            try:
                signal.raise_signal(signal.SIGUSR1)
            finally:
                signal.raise_signal(signal.SIGTERM)  # must not break off what closes things

    with pytest.raises(Terminated) as raised:
        be_ended()
    assert raised.value.number == signal.SIGUSR1
    assert signal.getsignal(signal.SIGUSR1) is before


def test_interrupts_does_nothing_in_another_thread() -> None:
    done = []

    def work() -> None:
        with interrupts():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(LONG_S)
    assert done


def test_a_signal_that_another_thread_receives_is_held_back_too() -> None:
    """Threads of numerical libraries receive signals, and Python then runs the handler in the main thread."""
    done, reached = threading.Event(), False
    taker = threading.Thread(target=done.wait)
    taker.start()

    def imports() -> None:
        nonlocal reached
        with signals_held_back():
            os.kill(os.getpid(), signal.SIGTERM)
            for _ in range(100_000):
                pass
            reached = True

    try:
        with pytest.raises(Terminated), interrupts():
            imports()
    finally:
        done.set()
        taker.join()
    assert reached


class Finalised:
    """An object whose finaliser takes a while, as that of an import lock does on a loaded machine."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000):  # the handler runs in here, and Python forgets what it raises
            pass


def test_a_signal_that_comes_in_a_finaliser_is_not_lost() -> None:
    def waits() -> None:
        Finalised()
        threading.Event().wait(LONG_S)

    with pytest.raises(Terminated), interrupts():
        waits()


EARLY = """
import importlib.abc, os, signal, sys

module, number = sys.argv.pop(1), int(sys.argv.pop())

class Signalled(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == module:
            os.kill(os.getpid(), number)

sys.meta_path.insert(0, Signalled())
from realtime_cropzoom.cli.entry import main
sys.exit(main())
"""
"""``cropzoom`` with its first argument the module at whose import a signal comes, and its last the signal."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=signal_name)
@pytest.mark.parametrize("module", ["runtime.signals", "cli.main", "cli.trigger", "trigger.rules.rules"])
def test_a_signal_during_the_imports_gives_no_traceback(tmp_path: Path, module: str, number: int) -> None:
    (tmp_path / "rules.yaml").write_text("rules: {}\n")
    arguments = (f"realtime_cropzoom.{module}", "trigger", tmp_path / "rules.yaml", int(number))
    ended = finish(start_process(*arguments, code=EARLY))
    assert ended.stderr == ("" if module == "runtime.signals" else "cropzoom: stopped\n")
    assert ended.returncode == (-number if module == "runtime.signals" else 128 + number)
