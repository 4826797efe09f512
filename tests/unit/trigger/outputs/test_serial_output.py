"""The trigger board: its protocol, the sketch and the simulated board, and the host's side against both."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from support.serial_boards import KINDS, Board, wait_for

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import ConfigError, SinkError
from realtime_cropzoom.trigger.engine.events import Action, ActionResult, ActionType, Outcome
from realtime_cropzoom.trigger.outputs import simulated_board
from realtime_cropzoom.trigger.outputs.base import Job
from realtime_cropzoom.trigger.outputs.factory import Outputs, parse_output


@pytest.fixture(params=KINDS)
def board(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Board]:
    board = Board(request.param, tmp_path)
    yield board
    board.unplug()


@pytest.fixture
def sketch(tmp_path: Path) -> Iterator[Board]:
    board = Board("sketch", tmp_path)
    yield board
    board.unplug()


PATIENT = {"late_after_ms": 20_000, "acknowledge_ms": 1000, "watchdog_ms": 10_000}
"""What a busy machine needs, so that tests find what is wrong and not what is slow."""


Connect = Callable[..., Any]
"""Makes a ``Host``, whose rows may have any of their optional values."""
Caplog = pytest.LogCaptureFixture


class Host:
    """Outputs on a board, and what they reported."""

    def __init__(self, port: str, channels: int = 1, **options: object) -> None:
        self.done: list[ActionResult] = []
        names = [f"c{channel}" for channel in range(1, channels + 1)]
        options = PATIENT | options
        settings = {
            name: parse_output(name, {"serial": port, "channel": i + 1, **options}) for i, name in enumerate(names)
        }
        self.outputs = Outputs(settings, self.done.append)
        self.outputs.open()

    def do(self, act: ActionType, ms: float = 0.0, *, channel: int = 1, rule: str = "rule") -> None:
        self.outputs.submit_job(Job(Action(f"c{channel}", act, ms), now_ns(), 7, 42, rule=rule))

    def wait(self, count: int) -> ActionResult:
        wait_for(lambda: len(self.done) >= count, f"{count} rows")
        return self.done[count - 1]


@pytest.fixture
def connect() -> Iterator[Callable[..., Host]]:
    hosts: list[Host] = []

    def connect(board: Board, **options: object) -> Host:
        hosts.append(Host(board.port, **options))  # type: ignore[arg-type]
        return hosts[-1]

    yield connect
    for host in hosts:
        assert host.outputs.close() == []


def test_a_pulse_is_given_acknowledged_and_ended_by_the_board(board: Board, connect: Connect) -> None:
    host = connect(board)
    host.do(ActionType.PULSE, 30)
    done = host.wait(1)
    assert (done.number, done.frame, done.error) == (7, 42, None)
    assert done.queued_ns <= done.written_ns <= done.acknowledged_ns
    wait_for(lambda: board.of() == [True, False])
    length_s = board.changes[1].time_s - board.changes[0].time_s
    assert 0.03 <= length_s < 5


def test_two_channels_of_a_board_share_its_port(board: Board, connect: Connect) -> None:
    host = connect(board, channels=2)
    host.do(ActionType.ON, channel=1)
    host.do(ActionType.ON, channel=2)
    host.wait(2)
    host.do(ActionType.SAFE, channel=1)
    host.wait(3)
    wait_for(lambda: not board.on(1))
    wait_for(lambda: board.on(2))
    assert host.outputs.close() == []
    wait_for(lambda: not board.on(2))


def test_a_hold_ends_with_the_last_rule_that_holds(board: Board, connect: Connect) -> None:
    host = connect(board)
    for act, rule in [(ActionType.ON, "a"), (ActionType.ON, "b"), (ActionType.OFF, "a")]:
        host.do(act, rule=rule)
    still = host.wait(3)
    assert (still.written_ns, still.error) == (None, "still on for b")
    wait_for(board.on)
    host.do(ActionType.OFF, rule="b")
    assert host.wait(4).error is None
    wait_for(lambda: not board.on())
    assert board.of() == [True, False]
    assert host.outputs.errors == {"c1": 0}


def test_a_pulse_during_a_pulse_makes_it_longer_and_safe_ends_it(board: Board, connect: Connect) -> None:
    host = connect(board)
    host.do(ActionType.PULSE, 20)
    host.do(ActionType.PULSE, 60_000)
    host.do(ActionType.PULSE, 10)
    host.wait(3)
    wait_for(lambda: time.monotonic() > board.changes[0].time_s + 0.05, "the end of the first pulse")
    assert board.of() == [True]
    host.do(ActionType.SAFE)
    wait_for(lambda: board.of() == [True, False])


def test_a_board_that_is_unplugged_comes_back_safe(board: Board, connect: Connect, caplog: Caplog) -> None:
    host = connect(board)
    host.do(ActionType.ON)
    host.wait(1)
    board.unplug()
    lost = host.wait(2)
    assert (lost.action.act, lost.written_ns, lost.ended) == (ActionType.SAFE, None, (7,))
    assert "broke off; its watchdog switches it off after 10000 ms (it was on)" in lost.error
    host.do(ActionType.PULSE, 10)
    refused = host.wait(3)
    assert refused.written_ns is None
    assert "not connected" in refused.error
    board.changes.clear()
    board.plug_in()
    off = host.wait(4)
    assert (off.action.act, off.error) == (ActionType.SAFE, None)
    assert "is back" in caplog.text
    assert board.changes == []
    host.do(ActionType.PULSE, 10)
    assert host.wait(5).error is None
    wait_for(lambda: board.of() == [True, False])
    assert host.outputs.errors == {"c1": 2}
    assert caplog.text.count("broke off (") == 1


def test_an_answer_that_safe_does_not_wait_for_is_no_error(board: Board, connect: Connect, caplog: Caplog) -> None:
    """As at the end of a run that ends while a rule fires."""
    host = connect(board)
    board.hang()
    host.do(ActionType.ON)
    wait_for(host.outputs._threads["c1"]._turn.locked, "the thread to wait for the answer")
    host.do(ActionType.SAFE)
    on = host.wait(1)
    board.go_on()

    def are_safe() -> list[str | None]:
        return [done.error for done in host.done if done.action.act is ActionType.SAFE]

    wait_for(lambda: None in are_safe(), "a safe that is acknowledged")  # it is tried again where the board is slow
    assert (on.written_ns is not None, on.acknowledged_ns) == (True, None)
    assert (on.outcome, on.error) == (Outcome.OVERTAKEN, "safe came before its answer")
    assert host.outputs.errors["c1"] == sum(error is not None for error in are_safe())
    assert "safe came" not in caplog.text


def test_a_board_that_is_unplugged_before_its_answer_is_an_error(board: Board, connect: Connect) -> None:
    host = connect(board)
    board.hang()
    host.do(ActionType.ON)
    board.unplug()
    wait_for(lambda: [done.action.act for done in host.done].count(ActionType.ON) == 1, "the row of the on")
    (on,) = [done for done in host.done if done.action.act is ActionType.ON]
    assert on.error == f"{board.port} broke off before it acknowledged"
    assert host.outputs.errors["c1"] >= 1


def test_a_missing_acknowledgement_is_an_error(sketch: Board, connect: Connect, caplog: Caplog) -> None:
    host = connect(sketch, acknowledge_ms=100, watchdog_ms=60_000)
    sketch.hang()
    for _ in range(2):
        host.do(ActionType.ON)
    silent = host.wait(2)
    assert silent.written_ns is not None
    assert silent.acknowledged_ns is None
    assert "did not acknowledge within 100 ms" in silent.error
    assert caplog.text.count("did not acknowledge") == 1
    sketch.go_on()
    host.do(ActionType.OFF)
    wait_for(
        lambda: not host.done[-1].error, "an off that is acknowledged"
    )  # it is tried again where the board is slow
    assert host.done[-1].action.act is ActionType.OFF
    assert host.done[-1].acknowledged_ns is not None
    wait_for(lambda: sketch.of() == [True, False])


def test_a_board_that_hangs_is_opened_again(sketch: Board, connect: Connect, caplog: Caplog) -> None:
    host = connect(sketch, watchdog_ms=100)
    host.do(ActionType.ON)
    host.wait(1)
    sketch.hang()
    assert "broke off" in host.wait(2).error
    assert "no answer to 4 heartbeats" in caplog.text
    sketch.go_on()
    assert host.wait(3).error is None
    assert "is back" in caplog.text
    assert not sketch.on()


@pytest.fixture
def resettable() -> Iterator[tuple[str, list[simulated_board.Board]]]:
    """The port of a simulated board in this process; replacing the board is a reset, as by a drop of its voltage."""
    terminal, port = os.openpty()
    tty.setraw(port)
    boards = [simulated_board.Board(1, lambda *_: None)]
    over = threading.Event()

    class Newest:
        due_us = None

        def answer(self, line: bytes, at_us: int) -> str:
            return boards[-1].answer(line, at_us)

        def pass_time(self, at_us: int) -> str:
            return boards[-1].pass_time(at_us)

    board: Any = Newest()
    thread = threading.Thread(target=simulated_board.serve, args=(terminal, board, over.is_set))
    thread.start()
    yield os.ttyname(port), boards
    over.set()
    thread.join()
    os.close(terminal)
    os.close(port)


def test_a_board_that_restarts_ends_the_hold(resettable: tuple[str, list[simulated_board.Board]]) -> None:
    port, boards = resettable
    host = Host(port, watchdog_ms=500)
    host.do(ActionType.ON)
    assert host.wait(1).error is None
    boards.append(simulated_board.Board(1, lambda *_: None))
    lost = host.wait(2)
    assert (lost.action.act, lost.ended) == (ActionType.SAFE, (7,))
    assert lost.error == "the board has restarted (it was on)"
    host.do(ActionType.PULSE, 1)
    wait_for(lambda: [done.action.act for done in host.done if done.error is None].count(ActionType.PULSE))
    assert host.outputs.close() == []


WATCHDOGS_S = (0.4, 1.0, 4.0)
"""On a busy machine heartbeats come later than a short watchdog allows: then with a longer one."""
HOLDS_FOR_EVER = """
import sys, time
from realtime_cropzoom.trigger.engine.events import ActionType, Action
from realtime_cropzoom.trigger.outputs.factory import Outputs, parse_output
from realtime_cropzoom.trigger.outputs.base import Job
from realtime_cropzoom.clock import now_ns
laser = {"serial": sys.argv[1], "watchdog_ms": int(sys.argv[3]), "late_after_ms": 20_000, "acknowledge_ms": 1000}
outputs = Outputs({"laser": parse_output("laser", laser)}, print)
outputs.open()
if sys.argv[2] != "pulses":
    outputs.submit_job(Job(Action("laser", ActionType.ON), now_ns(), 1, rule="rule"))
while True:
    if sys.argv[2] != "hangs":
        outputs.alive()
    if sys.argv[2] == "pulses":
        outputs.submit_job(Job(Action("laser", ActionType.PULSE, 1), now_ns(), 1, rule="rule"))
    time.sleep(0.01)
"""


def holding(board: Board, what: str, watchdog_s: float, stderr: IO[str] | None = None) -> subprocess.Popen[bytes]:
    """A process that holds the board on."""
    command = [sys.executable, "-c", HOLDS_FOR_EVER, board.port, what, str(round(watchdog_s * 1000))]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_the_firmware_goes_safe_when_our_process_dies(board: Board, how: signal.Signals) -> None:
    for watchdog_s in WATCHDOGS_S:
        board.changes.clear()
        process = holding(board, "lives", watchdog_s)
        try:
            wait_for(board.on)
            time.sleep(1.5 * watchdog_s)
            is_kept_on = board.of() == [True]
            os.kill(process.pid, how)
            wait_for(lambda: not board.on())
        finally:
            process.kill()
            process.wait()
        if is_kept_on:
            break
    assert is_kept_on, "the heartbeats keep it on"
    assert board.of() == [True, False]


def test_a_hold_ends_when_the_rule_loop_hangs(board: Board) -> None:
    process = holding(board, "hangs", WATCHDOGS_S[-1])
    try:
        wait_for(lambda: board.of() == [True, False])
    finally:
        process.kill()
        process.wait()


def test_after_the_watchdog_the_board_can_be_used_again(board: Board, tmp_path: Path) -> None:
    answer = tmp_path / "stderr"
    with answer.open("w") as stderr:
        process = holding(board, "pulses", WATCHDOGS_S[1], stderr)
    try:
        wait_for(lambda: len(board.changes) > 4)
        process.send_signal(signal.SIGSTOP)
        time.sleep(1.5 * WATCHDOGS_S[1])
        before = len(board.changes)
        process.send_signal(signal.SIGCONT)
        wait_for(lambda: len(board.changes) > before + 4)
    finally:
        process.kill()
        process.wait()
    assert "went to its safe level: watchdog" in answer.read_text()


def test_a_port_without_a_board_is_an_error_of_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime_cropzoom.trigger.outputs.serial_link._IDENTIFY_TIMEOUT_S", 0.1)
    terminal, port = os.openpty()
    try:
        with pytest.raises(
            SinkError, match=r"output c1: nothing at .* answers as cropzoom_trigger does; upload"
        ) as refused:
            Host(os.ttyname(port))
        assert "\n" not in str(refused.value)
    finally:
        os.close(terminal)
        os.close(port)
    with pytest.raises(SinkError, match=r"cannot open .*nowhere .*is the board plugged in\?"):
        Host(str(tmp_path / "nowhere"))


def test_a_port_in_use_is_said_to_be_in_use_with_the_way_to_a_test_pulse(sketch: Board) -> None:
    first = Host(sketch.port)
    try:
        expected = r"output c1: cannot open .*: another program uses it, perhaps another 'cropzoom trigger'\. .*"
        with pytest.raises(SinkError, match=expected + r"cropzoom ctl test c1$") as refused:
            Host(sketch.port)
        assert "Errno" not in str(refused.value)
    finally:
        first.outputs.close()


def test_channels_that_do_not_fit_are_refused(sketch: Board) -> None:
    with pytest.raises(SinkError, match=r"channel 5: the board at .* has 4"):
        Host(sketch.port, channels=5)
    same = {name: parse_output(name, {"serial": sketch.port}) for name in ("a", "b")}
    with pytest.raises(ConfigError, match=r"outputs\.b: channel 1 of .* is another output's already"):
        Outputs(same, print)
    other = {"a": same["a"], "b": parse_output("b", {"serial": sketch.port, "channel": 2, "baud": 9600})}
    with pytest.raises(ConfigError, match="need the same baud and watchdog_ms"):
        Outputs(other, print)


def test_the_simulated_board_ends_with_the_reader_of_its_output() -> None:
    """As after kill -9 of the program that started it."""
    command = [sys.executable, "-m", "realtime_cropzoom.trigger.outputs.simulated_board"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        assert process.poll() is None
        process.stdout.close()
        wait_for(lambda: process.poll() is not None, "the board to end")
    assert process.returncode == 0
