"""``cropzoom trigger --test``: the pulse lasts as long as asked, at the receiving end; and starts can be broken off."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
import zmq
from support.pipelines import finish, start_process
from support.serial_boards import KINDS, Board, wait_for

from realtime_cropzoom.trigger.process.pulse_test import fire_test_pulse
from realtime_cropzoom.trigger.rules.rules import Rules, parse_rules

PULSE_MS = 120.0
Heard = list[tuple[float, str]]
"""Seconds of the monotonic clock, and what was heard then."""


def rules_of(**output: Any) -> Rules:
    rule = {"when": {"state": "tracking"}, "fire": "laser", "pulse_ms": 1}
    return parse_rules({"test_pulse_ms": PULSE_MS, "outputs": {"laser": output}, "rules": {"r": rule}})


def check(heard: Heard, on: str, off: str) -> None:
    """On, then off no earlier than asked; nothing else before."""
    assert [what for _, what in heard[:2]] == [on, off]
    assert heard[1][0] - heard[0][0] >= PULSE_MS / 1000


@contextlib.contextmanager
def listening(receive: Callable[[], str | None]) -> Iterator[Heard]:
    """Note what ``receive`` gives, and when; None is nothing."""
    heard: Heard = []
    over = threading.Event()

    def listen() -> None:
        while not over.is_set():
            what = receive()
            if what is not None:
                heard.append((time.monotonic(), what))

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield heard
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("kind", KINDS)
def test_on_a_board(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("serial")
    board = Board(kind, tmp_path)
    try:
        done = fire_test_pulse(rules_of(serial=board.port, acknowledge_ms=1000, watchdog_ms=10_000), "laser")
        assert done is not None
        assert done.acknowledged_ns is not None
        wait_for(lambda: len(board.changes) == 2)
        on, off = board.changes
        assert (on.on, off.on) == (True, False)
        assert off.time_s - on.time_s >= PULSE_MS / 1000 - 0.001  # the board's own clock
    finally:
        board.unplug()


def test_on_a_python_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_pulse.py").write_text(
        "import time\nheard = []\ndef line(job):\n    heard.append((time.monotonic(), str(job.act)))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    import my_pulse  # type: ignore[import-not-found]

    fire_test_pulse(rules_of(python="my_pulse:line", levels=True), "laser")
    check(my_pulse.heard, "on", "off")
    my_pulse.heard.clear()
    fire_test_pulse(rules_of(python="my_pulse:line"), "laser")
    check(my_pulse.heard, "pulse", "safe")


def test_on_zmq_outputs(tmp_path: Path) -> None:
    with zmq.Context() as context, context.socket(zmq.REP) as server:
        server.bind(f"ipc://{tmp_path}/request")

        def answer() -> str | None:
            if not server.poll(20):
                return None
            act: str = json.loads(server.recv())["act"]
            server.send(b"ok")
            return act

        with listening(answer) as heard:
            fire_test_pulse(rules_of(zmq_request=f"ipc://{tmp_path}/request"), "laser")
            check(heard, "pulse", "safe")


def test_on_osc() -> None:
    pytest.importorskip("pythonosc")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(0.02)

        def receive() -> str | None:
            with contextlib.suppress(TimeoutError):
                words = receiver.recv(1000).split(b"\0")
                return next(word.decode() for word in words if word in (b"pulse", b"safe", b"on", b"off"))
            return None

        with listening(receive) as heard:
            fire_test_pulse(rules_of(osc=f"127.0.0.1:{receiver.getsockname()[1]}"), "laser")
            wait_for(lambda: len(heard) == 2)
            check(heard, "pulse", "safe")


def test_on_a_command(tmp_path: Path) -> None:
    began = time.monotonic()
    script = f"trap 'echo ended >> {tmp_path}/log; exit' TERM; echo began >> {tmp_path}/log; sleep 20 & wait"
    fire_test_pulse(rules_of(shell=f'sh -c "{script}"'), "laser")
    assert time.monotonic() - began >= PULSE_MS / 1000
    assert (tmp_path / "log").read_text().split() == ["began", "ended"]


def test_a_signal_ends_a_long_test_pulse_at_once(tmp_path: Path) -> None:
    (tmp_path / "my_line.py").write_text(
        "def line(job):\n    with open('line', 'a') as file:\n        file.write(f'{job.act}\\n')\n"
    )
    built = rules_of(python="my_line:line", levels=True, late_after_ms=60_000)  # of a machine that is busy
    rules = built.model_dump(by_alias=True, exclude_unset=True, mode="json")
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules | {"test_pulse_ms": 10_000}))
    process = start_process("trigger", "rules.yaml", "--test", "laser", cwd=tmp_path)
    line = tmp_path / "line"
    wait_for(lambda: process.poll() is not None or (line.exists() and line.read_text() == "on\n"))
    began = time.monotonic()
    process.send_signal(signal.SIGHUP)
    assert finish(process).returncode == 129
    assert time.monotonic() - began < 9
    assert line.read_text().split() == ["on", "safe"]


SLOW = """
import time
def note(what):
    with open("line", "a") as file:
        file.write(f"{what}\\n")
class Quick:
    def __call__(self, job):
        note(job.act)
    def close(self):
        note("close")
class Slow:
    def __init__(self):
        note("opening")
        time.sleep(60)
    def __call__(self, job):
        pass
"""


@pytest.mark.parametrize("flags", [["--control", "none"], ["--test", "slow"]], ids=["a session", "a test"])
@pytest.mark.parametrize("kind", ["python", "serial", "open_ephys"])
def test_a_start_that_takes_long_is_broken_off(tmp_path: Path, kind: str, flags: list[str]) -> None:
    """A board that does not answer takes four seconds, a module of the experimenter's own as long as it likes."""
    if kind == "serial":
        pytest.importorskip("serial")
    (tmp_path / "my_slow.py").write_text(SLOW)
    with _nobody(kind, tmp_path) as (target, asked):
        outputs = {"slow": {kind: target}}
        if flags[0] == "--control":
            outputs = {"quick": {"python": "my_slow:Quick"}, **outputs}
        rule = {"when": {"state": "tracking"}, "fire": "slow", "pulse_ms": 1}
        (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"outputs": outputs, "rules": {"r": rule}}))
        process = start_process("trigger", "rules.yaml", *flags, "--out", "out", cwd=tmp_path)
        wait_for(lambda: asked() or process.poll() is not None)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        done = finish(process)
        took_s = time.monotonic() - began
    assert done.returncode == 130, done.stderr
    assert done.stderr.endswith("cropzoom: stopped\n")
    assert took_s < 3.5, "opening alone takes longer"
    assert not list((tmp_path / "out").glob("*")), "no empty log is left"
    if flags[0] == "--control":
        assert {"safe", "close"} <= set((tmp_path / "line").read_text().split())


@contextlib.contextmanager
def _nobody(kind: str, folder: Path) -> Iterator[tuple[str, Callable[[], bool]]]:
    """Something to open that does not answer, and whether it was asked."""
    if kind == "python":
        line = folder / "line"
        yield "my_slow:Slow", lambda: line.exists() and "opening" in line.read_text()
    elif kind == "open_ephys":
        with zmq.Context() as context, context.socket(zmq.REP) as server:
            port = server.bind_to_random_port("tcp://127.0.0.1")
            yield f"tcp://127.0.0.1:{port}", lambda: bool(server.poll(0))
    else:
        ours, theirs = os.openpty()
        tty.setraw(theirs)
        try:
            yield os.ttyname(theirs), lambda: bool(select.select([ours], [], [], 0)[0])
        finally:
            os.close(ours)
            os.close(theirs)
