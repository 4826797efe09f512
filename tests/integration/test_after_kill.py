"""What ``kill -9`` of ``cropzoom trigger`` leaves: what can notice it goes off by itself."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
import zmq
from support.pipelines import LONG_S, finish, free_port, start_process, wait_for
from support.places import ROOT
from support.pose_stream_process import Feed
from support.serial_boards import Board

EXAMPLE = ROOT / "examples" / "laser_receiver.py"
WATCHDOG_MS = 400


class Said:
    """What somebody says, as it comes."""

    def __init__(self, receive: Callable[[], str | None]) -> None:
        self.lines: list[str] = []
        self.over = threading.Event()
        self._receive = receive
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while not self.over.is_set():
            line = self._receive()
            if line is not None:
                self.lines.append(line)

    def end(self) -> None:
        self.over.set()
        self._thread.join(LONG_S)


@contextlib.contextmanager
def receiver(endpoint: str, output: str) -> Iterator[Said]:
    """The example, as a process; it says on and off."""
    command = [sys.executable, str(EXAMPLE), endpoint, output, "10000"]  # of a busy machine
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        words = iter(process.stdout.readline, "")
        said = Said(lambda: line.split()[1] if (line := next(words, "")) else time.sleep(0.01))
        try:
            yield said
        finally:
            process.kill()
            said.end()


@contextlib.contextmanager
def answering(server: zmq.Socket[bytes]) -> Iterator[Said]:
    """A REP socket that notes what it is asked."""

    def answer() -> str | None:
        if not server.poll(20):
            return None
        act: str = json.loads(server.recv())["act"]
        server.send(b"ok")
        return act

    said = Said(answer)
    try:
        yield said
    finally:
        said.end()


@contextlib.contextmanager
def osc_receiver(receiver: socket.socket) -> Iterator[Said]:
    receiver.bind(("127.0.0.1", 0))
    receiver.settimeout(0.02)

    def receive() -> str | None:
        with contextlib.suppress(TimeoutError):
            return receiver.recv(1000).split(b"\0")[0].decode()
        return None

    said = Said(receive)
    try:
        yield said
    finally:
        said.end()


def write_rules(folder: Path, endpoint: str, outputs: dict[str, Any]) -> None:
    late = {name: {"late_after_ms": 5000, **output} for name, output in outputs.items()}
    rules = {
        **{"endpoint": endpoint, "max_age_ms": 2000, "hold_max_age_ms": 2000, "stream_lost_after_ms": 5000},
        "outputs": late,
        "rules": {"there": {"when": {"state": ["tracking"]}, "fire": list(outputs), "hold": True}},
    }
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules))


def start_trigger(folder: Path) -> subprocess.Popen[str]:
    return start_process(
        "trigger", "rules.yaml", "--arm", "--control", "none", "--log", "log", "--quiet", cwd=folder
    )  # fmt: skip


@contextlib.contextmanager
def killed_at_last(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    try:
        yield process
    finally:
        process.kill()
        finish(process)


@pytest.mark.skipif(os.name != "posix", reason="a pseudo-terminal, and kill -9")
def test_what_can_notice_goes_off_by_itself(tmp_path: Path) -> None:
    pytest.importorskip("serial")
    pytest.importorskip("pythonosc")
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    script = tmp_path / "bell.sh"
    script.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 300\n")
    script.chmod(0o755)
    board = Board("simulated", tmp_path)
    with (
        zmq.Context() as context,
        context.socket(zmq.REP) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        receiver(endpoint, "published") as published,
        answering(server) as asked,
        osc_receiver(udp) as osc,
        Feed() as feed,
    ):
        port = server.bind_to_random_port("tcp://127.0.0.1")
        outputs = {
            "published": {"zmq_publish": endpoint, "watchdog_ms": WATCHDOG_MS},
            "asked": {"zmq_request": f"tcp://127.0.0.1:{port}", "watchdog_ms": WATCHDOG_MS, "acknowledge_ms": 1000},
            "board": {"serial": board.port, "watchdog_ms": WATCHDOG_MS, "acknowledge_ms": 1000},
            "osc": {"osc": f"127.0.0.1:{udp.getsockname()[1]}", "watchdog_ms": WATCHDOG_MS},
            "bell": {"shell": str(script)},
        }
        write_rules(tmp_path, feed.endpoint, outputs)
        trigger = start_trigger(tmp_path)
        # The receiver may miss the very first on: it is subscribed a moment after the trigger process has begun.
        wait_for(lambda: asked.lines.count("alive") >= 3, "heartbeats of the request")
        wait_for(lambda: osc.lines.count("/cropzoom/alive") >= 3, "heartbeats over OSC")
        wait_for((tmp_path / "pid").exists, "the command")
        wait_for(lambda: board.on(1), "the board to be on")
        assert (asked.lines[0], osc.lines[0]) == ("on", "/cropzoom")
        pid = int((tmp_path / "pid").read_text())
        trigger.kill()
        finish(trigger)
        count = len(asked.lines)
        wait_for(lambda: not board.on(1), "the board's watchdog")
        wait_for(lambda: not _runs(pid), "the end of the command")
        wait_for(lambda: not published.lines or published.lines[-1] == "off", "the receiver's watchdog")
        assert asked.lines[count:] in ([], ["alive"])
    board.unplug()


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="Windows stops no process")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_the_example_goes_off_when_the_sender_is_gone(tmp_path: Path, number: int) -> None:
    """On while it is held, through more than one watchdog time; off by itself when the sender says nothing more."""
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    visible = threading.Event()

    def x_of(_: int) -> float:
        return 400.0 if visible.is_set() else 100.0

    with contextlib.ExitStack() as stack, receiver(endpoint, "laser") as laser, Feed(x_of=x_of) as feed:
        write_rules(tmp_path, feed.endpoint, {"laser": {"zmq_publish": endpoint, "watchdog_ms": 1000}})
        rules = yaml.safe_load((tmp_path / "rules.yaml").read_text())
        rules["zones"] = {"right": {"rectangle_px": [300, 0, 300, 300]}}
        rules["rules"]["there"]["when"] = {"inside": "right", "keypoint": "snout"}
        (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
        trigger = stack.enter_context(killed_at_last(start_trigger(tmp_path)))
        wait_for((tmp_path / "log" / "rules_inputs.jsonl").exists, "the trigger process's log")
        log = tmp_path / "log" / "rules_outputs.csv"
        wait_for(log.exists, "the log of the outputs")
        for _ in range(20):  # until the receiver is subscribed
            visible.set()
            wait_for(lambda: ",on," in log.read_text(), "an on")
            with contextlib.suppress(AssertionError):
                wait_for(lambda: laser.lines, "the laser", 0.5)
                break
            visible.clear()
            time.sleep(0.1)
        began = feed.sent
        wait_for(lambda: feed.sent > began + 150, "more than a watchdog time")
        wait_for(lambda: laser.lines[-1] == "on", "the heartbeats")
        trigger.send_signal(number)
        wait_for(lambda: laser.lines[-1] == "off", "the receiver's watchdog")


FORKED = """
if (child := os.fork()) == 0:
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    os.dup2(1, 2)
    time.sleep(300)
print(child, flush=True)
"""
"""A program that forks after it has opened its output: the child keeps the pipe of the guardian open."""


@pytest.mark.skipif(os.name != "posix", reason="process groups are of POSIX")
@pytest.mark.parametrize("fork", ["print(0, flush=True)\n", FORKED], ids=["alone", "forked"])
def test_the_command_of_a_shell_output_is_ended_with_all_that_it_started(tmp_path: Path, fork: str) -> None:
    code = (
        "import os, sys, time\n"
        "from realtime_cropzoom.trigger.engine.events import ActionType, Action\n"
        "from realtime_cropzoom.trigger.outputs.base import Job\n"
        "from realtime_cropzoom.trigger.outputs.shell import Shell\n"
        "shell = Shell(['sh', '-c', f'sleep 300 & echo $! > {sys.argv[1]}/pid; wait'], 4)\n"
        f"shell.open()\nshell.perform(Job(Action('x', ActionType.ON), 0))\n{fork}\ntime.sleep(300)\n"
    )
    process = start_process(tmp_path, code=code)
    assert process.stdout is not None
    forked = int(process.stdout.readline())
    path = tmp_path / "pid"
    wait_for(lambda: path.exists() and path.read_text().strip(), "the command")
    pid = int(path.read_text())
    assert _runs(pid)
    (guardian,) = [child for child in psutil.Process(process.pid).children() if "guardian.py" in str(child.cmdline())]
    process.kill()
    finish(process)
    try:
        wait_for(lambda: not _runs(pid), "the end of the command")
        wait_for(lambda: not _runs(guardian.pid), "the end of the guardian")
    finally:
        if forked:
            os.kill(forked, signal.SIGKILL)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    return True


@pytest.fixture
def laser(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[bool]]:
    spec = importlib.util.spec_from_file_location("laser_receiver", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    switched: list[bool] = []
    monkeypatch.setattr(module, "switch", switched.append)
    return module.Laser(late_ms=float("inf")), switched


ON = {"act": "on", "watchdog_ms": 500, "max_on_ms": 2000.0, "captured_ns": 1}


@pytest.mark.parametrize(
    ("messages", "off_at"),
    [
        pytest.param([(0.0, ON)], 0.5, id="the watchdog"),
        pytest.param([(0.0, ON), (0.4, {"act": "alive"}), (0.8, {"act": "alive"})], 1.3, id="heartbeats"),
        pytest.param([(0.0, ON)] + [(0.1 * i, {"act": "alive"}) for i in range(30)], 2.0, id="the longest time on"),
        pytest.param([(0.0, ON), (0.3, {"act": "off"})], 0.3, id="off"),
        pytest.param([(0.0, ON), (0.3, {"act": "safe"})], 0.3, id="safe"),
        pytest.param([(0.0, {"act": "pulse", "ms": 700.0, "captured_ns": 1})], 0.7, id="a pulse needs no heartbeat"),
        pytest.param(
            [(0.0, {"act": "pulse", "ms": 700.0, "captured_ns": 1}), (0.2, {"act": "safe"})], 0.2, id="a pulse cut off"
        ),
    ],
)
def test_when_the_example_goes_off(laser: Any, messages: list[tuple[float, dict[str, Any]]], off_at: float) -> None:
    receiving, switched = laser
    at = 0.0
    while at < 4.0:
        for _, message in [m for m in messages if abs(m[0] - at) < 1e-6]:
            receiving.obey(message, at)
        receiving.update(at)
        if switched == [True, False]:
            break
        at = round(at + 0.05, 6)
    assert switched == [True, False]
    assert at == pytest.approx(off_at)
