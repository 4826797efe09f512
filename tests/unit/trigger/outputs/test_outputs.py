"""Outputs over real sockets and processes, and the threads that run them."""

from __future__ import annotations

import functools
import json
import re
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from support.serial_boards import LONG_S, wait_for

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import ConfigError, SinkError
from realtime_cropzoom.trigger.engine.events import Action, ActionResult, ActionType, Decision, Outcome, Verdict
from realtime_cropzoom.trigger.outputs import shell
from realtime_cropzoom.trigger.outputs.factory import Outputs, parse_output
from realtime_cropzoom.trigger.outputs.shell import split_command


def decision(*actions: Action, number: int = 7, verdict: Verdict = Verdict.FIRED) -> Decision:
    return Decision(
        number, verdict, "corner", "in it", actions, now_ns(), frame=42, captured_ns=now_ns() - 5_000_000
    )  # fmt: skip


Make = Callable[..., Any]
"""Makes an object of this module, whose rows may have any of their optional values."""
Context = zmq.Context[zmq.Socket[bytes]]
Caplog = pytest.LogCaptureFixture


class Rig:
    """Outputs from a rules file's section, and what they reported."""

    def __init__(self, *, dry_run: bool = False, **section: dict[str, Any]) -> None:
        self.done: list[ActionResult] = []
        settings = {name: parse_output(name, {"late_after_ms": 20_000} | mapping) for name, mapping in section.items()}
        self.outputs = Outputs(settings, self.done.append, dry_run=dry_run)
        self.outputs.open()

    def do(self, output: str, act: ActionType, ms: float = 0.0, *, number: int = 7) -> None:
        self.outputs.submit(decision(Action(output, act, ms), number=number))
        self.outputs.settle()

    def wait(self, count: int = 1, output: str | None = None) -> ActionResult:
        def done() -> list[ActionResult]:
            return [done for done in self.done if output in (None, done.action.output)]

        wait_for(lambda: len(done()) >= count, f"{count} rows")
        return done()[count - 1]


@pytest.fixture
def rig() -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def make(**section: Any) -> Rig:
        rigs.append(Rig(**section))
        return rigs[-1]

    threads = threading.active_count()
    yield make
    for made in rigs:
        assert made.outputs.close() == []
    wait_for(lambda: threading.active_count() <= threads, "the end of all threads")


@pytest.mark.parametrize(
    ("mapping", "line"),
    [
        ({"serial": "/dev/ttyACM0", "chanel": 2}, "outputs.x has no setting chanel; there are late_after_ms, serial"),
        ({"serial": "/dev/ttyACM0", "channel": 0}, "outputs.x.channel: .*greater than or equal to 1 .given: 0"),
        ({"serial": "/dev/ttyACM0", "channel": "1"}, "outputs.x.channel: .*valid integer .given: '1'"),
        ({"seriell": "/dev/ttyACM0"}, "outputs.x is .*; expected one of serial, zmq_publish,"),
        ({"osc": "127.0.0.1:1", "shell": "true"}, "outputs.x has osc and shell; expected one of"),
        ("laser", "outputs.x is 'laser'; expected one of"),
        ({"osc": "9000"}, "outputs.x.osc: expected host:port, such as 127.0.0.1:9000"),
        ({"osc": "127.0.0.1:9000", "address": "no slash"}, "outputs.x.address"),
        ({"python": "no colon"}, "outputs.x.python"),
        ({"shell": "  "}, "outputs.x.shell: expected a command"),
        ({"shell": "unclosed 'quote"}, "outputs.x.shell"),
        ({"open_ephys": "tcp://127.0.0.1:5556", "line": 257}, "outputs.x.line"),
    ],
)
def test_wrong_output_settings_are_an_error_of_one_line(mapping: Any, line: str) -> None:
    with pytest.raises(ConfigError, match=line) as wrong:
        parse_output("x", mapping)
    assert "\n" not in str(wrong.value)


@pytest.mark.parametrize(
    "endpoint",
    ["tcp://*:5670", "tcp://0.0.0.0:5670", "tcp://eth0:5670", "tcp://192.168.1.2:1", "5670", "udp://127.0.0.1"],
)
def test_an_endpoint_that_others_reach_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="would be open to others"):
        Outputs({"x": parse_output("x", {"zmq_publish": endpoint})}, print)


@pytest.mark.parametrize(
    ("library", "mapping", "package"),
    [
        ("serial", {"serial": "/dev/ttyACM0"}, "pyserial"),
        ("pylsl", {"lsl": "markers"}, "pylsl"),
        ("pythonosc", {"osc": "127.0.0.1:9000"}, "python-osc"),
    ],
)
def test_a_missing_library_is_an_error_with_the_command_to_install_it(
    monkeypatch: pytest.MonkeyPatch, library: str, mapping: Any, package: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigError, match=rf"needs {package}: .*pip install -e \"\.\[outputs\]\""):
        Outputs({"x": parse_output("x", mapping)}, print)


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    with zmq.Context() as context:
        yield context


def test_zmq_publish_sends_topic_and_json(rig: Make, context: Context, tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/marks"
    outputs = rig(marks={"zmq_publish": endpoint})
    sent = 0
    with context.socket(zmq.SUB) as subscriber:
        subscriber.connect(endpoint)
        subscriber.subscribe(b"trigger/")
        while not subscriber.poll(20):  # until it is subscribed, nothing arrives
            sent += 1
            outputs.do("marks", ActionType.PULSE, 10, number=sent)
        topic, body = subscriber.recv_multipart()
    message = json.loads(body)
    assert topic == b"trigger/marks"
    assert message.pop("captured_ns") < now_ns()
    assert message.pop("number") <= sent
    assert message == {"frame": 42, "rule": "corner", "output": "marks", "act": "pulse", "ms": 10, "test": False}
    assert outputs.wait().error is None


def test_an_endpoint_in_use_is_an_error_at_the_start(rig: Make, tmp_path: Path) -> None:
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    with taken, pytest.raises(SinkError, match=r"output x: cannot publish at .*in use"):
        rig(x={"zmq_publish": f"tcp://127.0.0.1:{taken.getsockname()[1]}"}, y={"zmq_publish": f"ipc://{tmp_path}/y"})


@pytest.mark.slow
def test_zmq_request_takes_the_reply_as_acknowledgement_and_recovers(
    rig: Make, context: Context, tmp_path: Path
) -> None:
    endpoint = f"ipc://{tmp_path}/store"
    outputs = rig(store={"zmq_request": endpoint, "acknowledge_ms": 150})
    outputs.do("store", ActionType.PULSE, 10)
    alone = outputs.wait(1)
    assert (alone.written_ns, alone.error) == (None, f"no program answers at {endpoint}; start it")

    def asked(act: ActionType) -> dict[str, Any]:
        """What the server gets once it is connected."""
        while not server.poll(20):
            outputs.do("store", act)
        request: dict[str, Any] = json.loads(server.recv())
        return request

    with context.socket(zmq.REP) as server:
        server.bind(endpoint)
        assert asked(ActionType.PULSE)["frame"] == 42  # the server takes it and says nothing
        wait_for(lambda: any("did not reply within 150 ms" in (done.error or "") for done in outputs.done))
        server.send(b"much too late")
        wait_for(lambda: (server.send(str(asked(ActionType.ON)).encode()), outputs.done[-1].acknowledged_ns)[1])
    answered = next(done for done in outputs.done if done.acknowledged_ns)
    assert answered.error is None
    assert answered.queued_ns <= answered.written_ns <= answered.acknowledged_ns


@pytest.mark.slow
def test_a_reply_that_safe_does_not_wait_for_is_no_error(rig: Make, context: Context, tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/store"
    with context.socket(zmq.REP) as program:
        program.bind(endpoint)
        outputs = rig(store={"zmq_request": endpoint, "acknowledge_ms": 1000})
        outputs.do("store", ActionType.PULSE, 10)
        assert json.loads(program.recv())["act"] == "pulse"
        outputs.do("store", ActionType.SAFE)
        pulse = outputs.wait(1)
        program.send(b"after safe")
        assert json.loads(program.recv())["act"] == "safe"
        program.send(b"ok")
        safe = outputs.wait(2)
    assert (pulse.written_ns is not None, pulse.acknowledged_ns) == (True, None)
    assert (pulse.outcome, pulse.error) == (Outcome.OVERTAKEN, "safe came before its answer")
    assert (safe.action.act, safe.error) == (ActionType.SAFE, None)
    assert outputs.outputs.errors == {"store": 0}


@pytest.mark.parametrize("how", ["ends", "hangs"])
def test_a_program_that_fails_while_it_holds_ends_the_hold_and_gets_a_safe(
    rig: Make, context: Context, tmp_path: Path, how: str
) -> None:
    endpoint = f"ipc://{tmp_path}/store"
    program = context.socket(zmq.REP)
    program.bind(endpoint)
    outputs = rig(store={"zmq_request": endpoint, "acknowledge_ms": 100, "watchdog_ms": 100})
    outputs.do("store", ActionType.ON)
    for _ in range(2):
        assert program.poll(round(LONG_S * 1000))
        act = json.loads(program.recv())["act"]
        program.send(b"ok")
    assert act == "alive"
    if how == "ends":
        program.close()
    lost = outputs.wait(2)
    assert re.search(r"(has ended|no program answers|did not reply).* \(it was on\)$", lost.error)
    assert (lost.action.act, lost.number, lost.written_ns, lost.ended) == (ActionType.SAFE, -1, None, (7,))
    program = program if how == "hangs" else context.socket(zmq.REP)
    if how == "ends":
        program.bind(endpoint)
    asked: list[str] = []
    while not asked or asked[-1] == "alive":
        assert program.poll(round(LONG_S * 1000))
        asked.append(json.loads(program.recv())["act"])
        program.send(b"ok")
    assert asked[-1] == "safe", "never switched on again from the old decision"
    assert outputs.wait(3).error is None
    program.close(linger=0)


def test_safe_does_not_wait_for_an_earlier_reply(rig: Make, context: Context, tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/store"
    with context.socket(zmq.REP) as server:
        server.bind(endpoint)
        outputs = rig(store={"zmq_request": endpoint, "acknowledge_ms": 1000})
        outputs.do("store", ActionType.ON, number=0)
        assert server.poll(round(LONG_S * 1000))
        server.recv()
        outputs.do("store", ActionType.SAFE, number=1)
        assert outputs.wait(1).acknowledged_ns is None  # given up for what is urgent
        server.send(b"late")
        assert json.loads(server.recv())["act"] == "safe"
        server.send(b"done")
        safe = outputs.wait(2)
    assert (safe.number, safe.error) == (1, None)
    assert safe.acknowledged_ns is not None


PLUGIN = """
import sys, zmq
words, acquiring = sys.argv[2].split(), sys.argv[3]
server = zmq.Context().socket(zmq.REP)
server.bind(sys.argv[1])
while True:
    command, *options = server.recv_string().split()
    if command == "IsAcquiring":
        server.send_string(acquiring)
        continue
    line, state = 1, 0  # what it takes where it does not know the words
    for option in options:
        key, value = option.split("=")
        if key == words[0]:
            line = int(value)
        elif key == words[1]:
            state = int(value)
    print(line, state, flush=True)
    server.send_string(f"TTLHandled: {words[0]}={line} {words[1]}={state}")
"""
"""Answers as Open Ephys' plugin does: of each version the words that it knows, all others ignored."""


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Callable[..., tuple[str, subprocess.Popen[str]]]]:
    processes: list[subprocess.Popen[str]] = []

    def start(words: str = "Line State", acquiring: str = "1") -> tuple[str, subprocess.Popen[str]]:
        endpoint = f"ipc://{tmp_path}/plugin"
        command = [sys.executable, "-c", PLUGIN, endpoint, words, acquiring]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        wait_for((tmp_path / "plugin").exists)
        return endpoint, processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.parametrize("words", ["Line State", "Channel on"], ids=["GUI 0.6 and later", "before"])
def test_open_ephys_gets_both_edges_of_a_pulse(rig: Make, plugin: Any, words: str) -> None:
    endpoint, process = plugin(words)
    outputs = rig(ephys={"open_ephys": endpoint, "line": 3, "acknowledge_ms": 1000})
    outputs.do("ephys", ActionType.PULSE, 20)
    on, off = outputs.wait(1), outputs.wait(2)
    assert [process.stdout.readline() for _ in range(3)] == ["3 0\n", "3 1\n", "3 0\n"]
    assert (on.action.act, off.action.act, on.number, off.number) == (ActionType.PULSE, ActionType.OFF, 7, 7)
    assert on.error is off.error is None
    assert off.written_ns - on.written_ns >= 20_000_000
    assert on.acknowledged_ns >= on.written_ns


def test_an_unexpected_reply_of_open_ephys_is_an_error(rig: Make, plugin: Any) -> None:
    endpoint, _ = plugin("Other Words")
    outputs = rig(ephys={"open_ephys": endpoint, "line": 3, "acknowledge_ms": 1000})
    outputs.do("ephys", ActionType.ON)
    assert "Open Ephys replied 'TTLHandled: Other=1 Words=0'" in outputs.wait(1).error


def test_open_ephys_without_acquisition_is_a_warning(rig: Make, plugin: Any, caplog: Caplog) -> None:
    endpoint, _ = plugin(acquiring="0")
    rig(ephys={"open_ephys": endpoint})
    assert "does not acquire yet" in caplog.text


def test_a_missing_open_ephys_is_an_error_at_the_start(rig: Make, tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"output ephys: Open Ephys does not answer at .*; start its GUI with"):
        rig(ephys={"open_ephys": f"ipc://{tmp_path}/nothing"})


def test_an_off_that_did_not_get_through_is_sent_until_it_does(rig: Make, plugin: Any) -> None:
    endpoint, process = plugin()
    outputs = rig(ephys={"open_ephys": endpoint, "acknowledge_ms": 50})
    outputs.do("ephys", ActionType.ON)
    outputs.wait(1)
    process.kill()
    process.wait()
    outputs.do("ephys", ActionType.OFF)
    assert outputs.wait(2).error is not None
    _, again = plugin()
    assert again.stdout.readline() == "1 0\n"
    assert outputs.wait(3).error is None


def test_open_ephys_that_ends_while_a_rule_holds_its_line_is_said_to_be_gone(rig: Make, plugin: Any) -> None:
    endpoint, process = plugin()
    outputs = rig(ephys={"open_ephys": endpoint, "acknowledge_ms": 100})
    outputs.do("ephys", ActionType.ON)
    assert outputs.wait(1).error is None
    process.kill()
    process.wait()
    lost = outputs.wait(2)
    assert (lost.number, lost.written_ns, lost.ended) == (-1, None, (7,))
    assert "(it was on)" in lost.error
    _, again = plugin()
    assert again.stdout.readline() == "1 0\n"
    assert outputs.wait(3).error is None


INLET = """
import sys, time, pylsl
streams = pylsl.resolve_byprop("name", sys.argv[1], timeout=20)
inlet = pylsl.StreamInlet(streams[0])
inlet.open_stream(timeout=20)
print("open", flush=True)
sample, at = inlet.pull_sample(timeout=20)
correction = inlet.time_correction(timeout=20)
label = inlet.info().desc().child("channels").child("channel").child_value("label")
print("|".join(sample), at + correction, inlet.info().type(), label, sep="|", flush=True)
"""


@pytest.fixture
def lsl_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps LSL's discovery on the loopback; a session of its own, so that no other stream answers."""
    config = tmp_path / "lsl_api.cfg"
    config.write_text(
        "[lab]\nSessionID = cropzoom-tests\nKnownPeers = {127.0.0.1}\n"
        "[multicast]\nResolveScope = machine\n[ports]\nIPv6 = disable\n[log]\nlevel = -3\n"
    )
    monkeypatch.setenv("LSLAPICFG", str(config))


def test_lsl_markers_carry_the_time_of_their_frame(lsl_on_this_machine: Any) -> None:
    script = """
import subprocess, sys
from realtime_cropzoom.trigger.engine.events import ActionType, Action, Decision, Verdict
from realtime_cropzoom.trigger.outputs.factory import Outputs, parse_output
outputs = Outputs({"lsl": parse_output("lsl", {"lsl": "cropzoom_test"})}, lambda done: None)
outputs.open()
inlet = subprocess.Popen([sys.executable, "-c", sys.argv[1], "cropzoom_test"], stdout=subprocess.PIPE, text=True)
assert inlet.stdout.readline() == "open\\n"
action = Action("lsl", ActionType.PULSE, 10)
captured_ns = 123_456_789_000_000_500
decision = Decision(7, Verdict.TEST, "corner", "in it", (action,), 0, frame=42, captured_ns=captured_ns)
outputs.submit(decision, offset_ns=500)
print(inlet.stdout.readline(), end="")
inlet.wait()
print(outputs.close())
"""
    done = subprocess.run(
        [sys.executable, "-c", script, INLET], capture_output=True, text=True, timeout=60, check=False
    )  # fmt: skip
    marker, hung = done.stdout.splitlines() or ["", done.stderr]
    *sample, at, kind, label = marker.split("|")
    assert sample == ["test corner pulse", "7", "42"]
    assert float(at) == pytest.approx(123_456_789.0, abs=1)  # the two processes measure the same clock
    assert (kind, label, hung) == ("Markers", "marker", "[]")


LISTENING = """
import os, socket, sys
from realtime_cropzoom.trigger.outputs.factory import Outputs, parse_output
outputs = Outputs({"lsl": parse_output("lsl", {"lsl": "x", "network": sys.argv[1] == "network"})}, lambda done: None)
outputs.open()
for number in os.listdir("/proc/self/fd"):
    try:
        one = socket.socket(fileno=os.dup(int(number)))
    except OSError:
        continue
    if one.family in (socket.AF_INET, socket.AF_INET6) and one.getsockname()[1]:
        device = one.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).strip(b"\\0").decode()
        print(one.type.name, one.getsockname()[0], device or "any")
outputs.close()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can keep a socket on this machine once it is bound")
@pytest.mark.parametrize("reach", ["this machine", "network"])
def test_lsl_is_for_this_machine_unless_asked(lsl_on_this_machine: Any, reach: str) -> None:
    pytest.importorskip("pylsl")
    done = subprocess.run([sys.executable, "-c", LISTENING, reach], capture_output=True, text=True, timeout=60)
    sockets = [line.split() for line in done.stdout.splitlines()]
    assert {kind for kind, *_ in sockets} == {"SOCK_STREAM", "SOCK_DGRAM"}, done.stderr
    open_to_all = [one for one in sockets if one[1] not in ("127.0.0.1", "::1") and one[2] != "lo"]
    assert bool(open_to_all) is (reach == "network"), sockets


def test_lsl_is_refused_if_it_cannot_be_restricted_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pylsl")
    monkeypatch.setattr("realtime_cropzoom.trigger.outputs.lsl.CAN_KEEP", False)
    with pytest.raises(ConfigError, match="LSL cannot be kept on this machine here"):
        parse_output("marks", {"lsl": "markers"}).make("marks", {})
    parse_output("marks", {"lsl": "markers", "network": True}).make("marks", {})


def test_osc_arrives_at_a_real_server(rig: Make) -> None:
    from pythonosc.dispatcher import Dispatcher
    from pythonosc.osc_server import ThreadingOSCUDPServer

    got: list[tuple[Any, ...]] = []
    dispatcher = Dispatcher()
    dispatcher.map("/cropzoom", lambda *message: got.append(message))
    with ThreadingOSCUDPServer(("127.0.0.1", 0), dispatcher) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        outputs = rig(osc={"osc": f"127.0.0.1:{server.server_address[1]}"})
        outputs.do("osc", ActionType.PULSE, 12.5)
        assert outputs.wait().error is None
        wait_for(lambda: got)
        server.shutdown()
        thread.join()
    assert got == [("/cropzoom", "pulse", 12.5, "corner", 7, 42)]


LAB = """
import threading, time
jobs, go_on = [], threading.Event()
def fire(job):
    jobs.append((str(job.act), job.ms, job.rule, job.frame, threading.current_thread().name))
def slow(job):
    jobs.append(("slow", job.number))
    go_on.wait(20)
def wrong(job):
    raise ValueError("no such\\nvalve")
class Valve:
    opened = 0
    def __init__(self):
        Valve.opened += 1
    def __call__(self, job):
        jobs.append(str(job.act))
    def close(self):
        Valve.opened -= 1
number = 5
"""


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A module of the experimenter's own, in the folder where the command runs."""
    (tmp_path / "my_lab.py").write_text(LAB)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    import my_lab  # type: ignore[import-not-found]

    yield my_lab
    my_lab.go_on.set()
    del sys.modules["my_lab"]


def test_a_function_is_called_in_a_thread_of_its_own(rig: Make, lab: Any) -> None:
    outputs = rig(mine={"python": "my_lab:fire"})
    outputs.do("mine", ActionType.PULSE, 10)
    done = outputs.wait()
    assert lab.jobs == [("pulse", 10, "corner", 42, "cropzoom-output-mine")]
    assert done.written_ns <= done.acknowledged_ns


def test_a_class_is_opened_closed_and_gets_both_edges_if_asked(rig: Make, lab: Any) -> None:
    outputs = rig(mine={"python": "my_lab:Valve", "levels": True})
    assert lab.Valve.opened == 1
    outputs.do("mine", ActionType.PULSE, 5)
    outputs.wait(2)
    assert lab.jobs == ["on", "off"]
    assert outputs.outputs.close() == []
    assert (lab.jobs, lab.Valve.opened) == (["on", "off", "safe"], 0)


def test_an_error_of_a_function_is_logged_and_counted(rig: Make, lab: Any, caplog: Caplog) -> None:
    outputs = rig(mine={"python": "my_lab:wrong"})
    for _ in range(3):
        outputs.do("mine", ActionType.PULSE, 10)
    assert outputs.wait(3).error == "my_lab:wrong raised ValueError: no such valve"
    assert outputs.outputs.errors == {"mine": 3}
    assert caplog.text.count("no such valve") == 1


@pytest.mark.parametrize(
    ("target", "why"),
    [("my_lab:absent", "AttributeError"), ("absent:fire", "No module named"), ("my_lab:number", "is a int; expected")],
)
def test_a_target_that_cannot_be_called_is_an_error_at_the_start(rig: Make, lab: Any, target: str, why: str) -> None:
    with pytest.raises(SinkError, match=f"output mine: .*{why}"):
        rig(mine={"python": target})


@pytest.mark.slow
def test_a_slow_function_delays_neither_the_loop_nor_others(rig: Make, lab: Any) -> None:
    outputs = rig(slow={"python": "my_lab:slow"}, quick={"python": "my_lab:fire"})
    outputs.do("slow", ActionType.PULSE, 1, number=0)
    wait_for(lambda: lab.jobs == [("slow", 0)])
    for number in range(1, 301):
        outputs.do("slow", ActionType.PULSE, 1, number=number)
        outputs.do("quick", ActionType.PULSE, 1, number=number)
        outputs.wait(number, "quick")
    assert len([job for job in lab.jobs if job[0] == "pulse"]) == 300
    dropped = [done for done in outputs.done if done.action.output == "slow"]
    assert [done.number for done in dropped] == list(range(257, 301))  # one is at work, 256 wait
    assert "256 jobs wait already" in dropped[0].error
    lab.go_on.set()


def test_safe_overtakes_the_queue(rig: Make, lab: Any) -> None:
    outputs = rig(slow={"python": "my_lab:slow"})
    outputs.do("slow", ActionType.PULSE, number=0)
    wait_for(lambda: lab.jobs)
    for number in (1, 2):
        outputs.do("slow", ActionType.PULSE, number=number)
    outputs.do("slow", ActionType.SAFE, number=3)
    lab.go_on.set()
    outputs.wait(4)
    assert lab.jobs == [("slow", 0), ("slow", 3)]
    assert {done.number: done.error for done in outputs.done} == {
        0: None, 1: "overtaken by safe", 2: "overtaken by safe", 3: None
    }  # fmt: skip


def test_a_job_that_waited_too_long_is_not_written_but_an_off_is(rig: Make, lab: Any) -> None:
    outputs = rig(slow={"python": "my_lab:slow", "late_after_ms": 20})
    outputs.do("slow", ActionType.PULSE, number=0)
    wait_for(lambda: lab.jobs)
    for number, act in enumerate((ActionType.PULSE, ActionType.ON, ActionType.OFF), start=1):
        outputs.do("slow", act, number=number)
    waited_from_ns = now_ns()
    wait_for(lambda: now_ns() > waited_from_ns + 25_000_000, "the time that a job may wait")
    lab.go_on.set()
    outputs.wait(4)
    assert lab.jobs == [("slow", 0), ("slow", 3)]
    assert ["late: it had waited" in (done.error or "") for done in outputs.done] == [False, True, True, False]


@pytest.mark.slow
def test_close_does_not_wait_for_an_output_that_hangs(lab: Any, caplog: Caplog) -> None:
    outputs = Rig(slow={"python": "my_lab:slow"}, quick={"python": "my_lab:Valve"})
    outputs.do("slow", ActionType.PULSE)
    wait_for(lambda: lab.jobs)
    outputs.do("slow", ActionType.OFF, number=8)

    def is_said() -> bool:
        outputs.outputs.alive()
        return "slow has hung for a second: it may be on" in caplog.text

    wait_for(is_said)
    began = time.monotonic()
    assert outputs.outputs.close() == ["slow"]
    undone = [(done.number, done.error) for done in outputs.done if done.action.output == "slow"]
    hangs = "the output hangs; not done"
    assert undone == [(8, "overtaken by safe"), (7, hangs), (-1, hangs)], "each job has its row"
    assert time.monotonic() - began < LONG_S
    assert "output slow hangs; its thread is left behind" in caplog.text
    assert "safe" in lab.jobs
    lab.go_on.set()
    wait_for(lambda: not any("output-slow" in thread.name for thread in threading.enumerate()))


def test_a_command_gets_its_values_by_environment_and_no_shell(rig: Make, tmp_path: Path) -> None:
    script = tmp_path / "write.py"
    script.write_text("import os, sys; open(sys.argv[1], 'w').write(os.environ['TRIGGER_FRAME'] + sys.argv[2])")
    python = shlex.quote(sys.executable)
    outputs = rig(bell={"shell": f"{python} {script} {tmp_path}/out '; touch {tmp_path}/injected $HOME'"})
    outputs.do("bell", ActionType.PULSE, 10)
    assert outputs.wait().written_ns is not None
    wait_for(lambda: (tmp_path / "out").exists() and (tmp_path / "out").read_text())
    assert (tmp_path / "out").read_text() == f"42; touch {tmp_path}/injected $HOME"
    assert not (tmp_path / "injected").exists()


def test_commands_are_bounded_and_ended(rig: Make, tmp_path: Path) -> None:
    outputs = rig(bell={"shell": f"sh -c 'sleep 60 & echo $! >> {tmp_path}/pids; wait'", "at_once": 2})
    for _ in range(3):
        outputs.do("bell", ActionType.PULSE, 10)
    assert "2 of sh still run; not started" in outputs.wait(3).error
    wait_for(lambda: (tmp_path / "pids").exists() and len((tmp_path / "pids").read_text().split()) == 2)
    outputs.do("bell", ActionType.SAFE)
    assert outputs.wait(4).error is None
    for pid in (tmp_path / "pids").read_text().split():
        wait_for(functools.partial(_ended, int(pid)))


def _ended(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().split()[2] == "Z"


def test_a_command_that_fails_while_a_rule_holds_is_reported(rig: Make, tmp_path: Path) -> None:
    script = tmp_path / "stimulus.sh"
    script.write_text(f"#!/bin/sh\nwhile [ ! -e {tmp_path}/now ]; do sleep 0.01; done\nexit $1\n")
    script.chmod(0o755)
    outputs = rig(bad={"shell": f"{script} 3"}, done={"shell": f"{script} 0"})
    for name in ("bad", "done"):
        outputs.do(name, ActionType.ON)
        outputs.wait(1, name)
    (tmp_path / "now").touch()
    lost = outputs.wait(2, "bad")
    assert (lost.error, lost.ended) == (f"{script} ended with exit code 3 (it was on)", (7,))
    outputs.do("done", ActionType.OFF)
    assert outputs.wait(2, "done").action.act is ActionType.OFF


@pytest.mark.parametrize("command", ["no-such-command-at-all", "./no-such-file --flag", __file__])
def test_a_missing_command_is_an_error_at_the_start(rig: Make, command: str) -> None:
    with pytest.raises(SinkError, match=f"output bell: there is no command {command.split()[0]} that can be run"):
        rig(bell={"shell": command})


def test_a_command_that_disappears_is_logged_once_and_again_when_it_works(
    rig: Make, tmp_path: Path, caplog: Caplog
) -> None:
    bell = tmp_path / "bell"
    bell.write_text("#!/bin/sh\n")
    bell.chmod(0o755)
    outputs = rig(bell={"shell": str(bell)})
    bell.rename(tmp_path / "away")
    outputs.do("bell", ActionType.PULSE, 10)
    assert outputs.wait().error == f"cannot run {bell}: No such file or directory"
    outputs.do("bell", ActionType.OFF)
    outputs.wait(2)
    assert "works again" not in caplog.text  # there was nothing to end
    (tmp_path / "away").rename(bell)
    outputs.do("bell", ActionType.PULSE, 10)
    assert outputs.wait(3).error is None
    assert "output bell works again, after 1 error\n" in caplog.text


def test_a_dry_run_opens_and_writes_nothing(rig: Make, tmp_path: Path, caplog: Caplog) -> None:
    outputs = rig(
        dry_run=True,
        laser={"serial": str(tmp_path / "nowhere")},
        mine={"python": "not.there:fire"},
        bell={"shell": f"touch {tmp_path}/rung"},
    )
    for name in ("laser", "mine", "bell"):
        outputs.do(name, ActionType.PULSE, 10)
        done = outputs.wait(1, name)
        assert (done.written_ns, done.acknowledged_ns, done.error) == (None, None, "dry run")
    assert not (tmp_path / "rung").exists()
    assert outputs.outputs.errors == {"laser": 0, "mine": 0, "bell": 0}
    assert caplog.text == ""


def test_rows_are_in_the_publishers_clock(rig: Make, lab: Any) -> None:
    outputs = rig(mine={"python": "my_lab:fire"})
    hour_ns = 3_600_000_000_000
    before = now_ns()
    outputs.outputs.submit(decision(Action("mine", ActionType.PULSE, 1)), offset_ns=hour_ns)
    done = outputs.wait()
    times = (done.queued_ns, done.written_ns, done.acknowledged_ns)
    in_order = [before + hour_ns, *times, now_ns() + hour_ns]
    assert in_order == sorted(in_order)


@pytest.mark.parametrize(
    ("system", "words"),
    [("linux", ["C:binbell.exe", "a b"]), ("win32", [r"C:\bin\bell.exe", "a b"])],
)
def test_a_backslash_in_a_command_is_a_part_of_a_path_on_windows(
    monkeypatch: pytest.MonkeyPatch, system: str, words: list[str]
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    assert split_command(r"C:\bin\bell.exe 'a b'") == words


class FakeJob:
    """A job object: ends its processes."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self.closed = False

    def add(self, process: subprocess.Popen[bytes]) -> None:
        self.processes.append(process)

    def end(self) -> None:
        for process in self.processes:
            process.kill()

    def close(self) -> None:
        self.end()
        self.closed = True


def test_on_windows_a_job_ends_the_commands(rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch) -> None:
    job = FakeJob()
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(shell, "apart", dict)  # the flags of Windows mean nothing here
    monkeypatch.setattr("realtime_cropzoom.trigger.outputs.windows_job.Job", lambda: job)
    sleeps = f"{shlex.quote(sys.executable)} -c 'import time; time.sleep(60)'"
    switched = rig(bell={"shell": sleeps})
    switched.do("bell", ActionType.ON)
    assert switched.wait().error is None
    switched.do("bell", ActionType.OFF)
    assert switched.wait(2).error is None
    assert [process.returncode is None for process in job.processes] == [False]
    assert switched.outputs.close() == []
    assert job.closed
