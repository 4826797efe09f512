"""New rules and zones in a trigger process that runs, with a board: what goes off, what stays, and what is logged."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.pipelines import LONG_S, cropzoom, finish, start_process, wait_for
from support.publisher import Publisher, end, hello, pose, publishing
from support.serial_boards import Board

from realtime_cropzoom.control.client import send
from realtime_cropzoom.trigger.engine.events import Decision
from realtime_cropzoom.trigger.process.decision_log import read_decisions

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="a simulated board is a pseudo terminal"),
]
RULES = """\
# my rules
endpoint: {endpoint}
max_age_ms: 2000        # of a machine that is busy with other tests
hold_max_age_ms: 2000
stream_lost_after_ms: 5000
bridge_ms: 2000
zones:
  right: {{rectangle_px: [190, 0, 130, 240]}}   # by the door
  left: {{rectangle_px: [0, 0, 100, 240]}}
outputs:
  lamp: {{serial: {port}, channel: 1, acknowledge_ms: 1000, late_after_ms: 20000, watchdog_ms: 10000}}
  laser: {{serial: {port}, channel: 2, acknowledge_ms: 1000, late_after_ms: 20000, watchdog_ms: 10000}}
rules:
  there: {{when: {{inside: right, keypoint: snout}}, fire: lamp, hold: true}}
  here: {{when: {{inside: left, keypoint: snout}}, fire: laser, hold: true}}
"""
RIGHT, LEFT, NOWHERE = 250.0, 50.0, 150.0
AWAY = {"right": {"rectangle_px": [300, 0, 20, 240]}, "left": {"rectangle_px": [0, 0, 100, 240]}}
_LISTENER = """
import sys, zmq
socket = zmq.Context().socket(zmq.SUB)
socket.connect(sys.argv[1])
socket.subscribe(b"trigger/")
while True:
    print(socket.recv_multipart()[1].decode(), flush=True)
"""


class Stream:
    """Poses of a snout, fifty a second, at a place that a test sets."""

    def __init__(self, publisher: Publisher) -> None:
        self.x = NOWHERE
        self._publisher, self._over = publisher, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._publisher.wait_for_subscriber()
        self._publisher.send(hello())
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._over.wait(0.02):
            self._publisher.send(msgspec.structs.replace(pose(number), keypoints={"snout": (self.x, 50.0, 0.9)}))
            number += 1
        self._publisher.send(end())


class Rig:
    """A trigger process with a board, and the poses that it gets."""

    def __init__(self, folder: Path, board: Board, stream: Stream, rules: Path) -> None:
        self.folder, self.board, self.stream, self.rules = folder, board, stream, rules
        self._control = f"ipc://{folder}/orders.sock"
        self.process = start_process("trigger", rules, "--log", folder / "log", "--control", self._control)
        stream.start()
        wait_for(lambda: self.state()["poses"] > 2, "poses")

    def give(self, order: str, target: str | None = None, **value: Any) -> dict[str, Any]:
        return send(self._control, order, target, value or None, by="test", timeout_s=LONG_S)

    def state(self) -> dict[str, Any]:
        return self.give("state")

    def wait_on(self, channel: int) -> None:
        wait_for(lambda: self.board.on(channel), f"channel {channel} to be on")

    def wait_off(self, channel: int) -> None:
        wait_for(lambda: not self.board.on(channel), f"channel {channel} to be off")

    def end(self) -> list[Decision]:
        """End the stream, so that the process ends too; return what was decided. A replay must decide the same."""
        self.stream.close()
        ended = finish(self.process)
        assert ended.returncode == 0, ended.stderr
        again = cropzoom("trigger", "--replay", self.folder / "log")
        assert "the same as in the log" in again.stdout, again.stderr
        return read_decisions(self.folder / "log" / "rules_decisions.csv")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    tmp_path.chmod(0o700)
    with publishing() as publisher, _board(tmp_path) as board:
        rules = tmp_path / "rules.yaml"
        rules.write_text(RULES.format(endpoint=publisher.endpoint, port=board.port))
        stream = Stream(publisher)
        rig = None
        try:
            rig = Rig(tmp_path, board, stream, rules)
            yield rig
        finally:
            stream.close()
            if rig is not None:
                rig.process.kill()
                finish(rig.process)


@contextmanager
def _board(folder: Path) -> Iterator[Board]:
    board = Board("simulated", folder)
    try:
        yield board
    finally:
        board.unplug()


def told(decisions: list[Decision], *verdicts: str) -> list[tuple[str, str, str]]:
    return [(str(d.verdict), d.rule, d.reason) for d in decisions if d.verdict in verdicts]


def test_zones_that_move_while_a_rule_holds_switch_off_first(rig: Rig) -> None:
    rig.stream.x = RIGHT
    rig.give("arm")
    rig.wait_on(1)
    answer = rig.give("zones", zones=AWAY, save=True)
    assert answer["ok"], answer
    assert (answer["changes"]["moved"], answer["changes"]["kept"]) == (["there"], ["here"])
    assert (answer["armed"], answer["holding"], answer["zones"]) == (["here"], [], AWAY)
    rig.wait_off(1)
    rig.stream.x = LEFT  # the other rule goes on
    rig.wait_on(2)
    rig.stream.x = 310.0
    rig.wait_off(2)
    assert not rig.board.on(1)
    rig.give("arm", "there")
    rig.wait_on(1)
    back = {"right": {"rectangle_px": [190, 0, 130, 240]}, "left": AWAY["left"]}
    assert rig.give("zones", zones=back, keep_armed=True)["armed"] == ["there", "here"]
    wait_for(lambda: rig.state()["holding"] == ["there"], "the hold in the zone that moved again")
    decisions = rig.end()

    released = [d for d in decisions if d.reason == "its zones have moved" and d.verdict == "released"]
    assert [[(a.output, str(a.act)) for a in d.actions] for d in released] == [[("lamp", "safe")]] * 2
    assert told(decisions, "disarmed") == [("disarmed", "there", "its zones have moved")]
    first, second = told(decisions, "replaced")
    who = f"by test ({_user()}, process {os.getpid()})"
    assert first == ("replaced", "", f"{who}, rules 2: moved there")
    assert second == ("replaced", "", f"{who}, rules 3: moved there")
    saved = rig.rules.read_text()
    assert "right: {rectangle_px: [300, 0, 20, 240]}   # by the door\n" in saved
    assert (rig.folder / "log" / "rules-2.yaml").read_text() == saved
    assert "[190, 0, 130, 240]}   # by the door" in rig.rules.with_name("rules.yaml.bak").read_text()
    assert "[190, 0, 130, 240]}   # by the door" in (rig.folder / "log" / "rules-3.yaml").read_text()


def test_a_broken_text_leaves_everything_as_it_was(rig: Rig) -> None:
    rig.stream.x = RIGHT
    rig.give("arm")
    rig.wait_on(1)
    before = {key: value for key, value in rig.state().items() if key != "poses"}
    text = rig.rules.read_text()
    for broken, says in {
        text.replace("snout", "tail"): "rules.there: no keypoint 'tail'; the model has snout",
        text.replace("fire: lamp", "fire: lap")
        + "odd: 1\n": "the new rules, line 14: rules.there.fire: no output 'lap'",
        text.replace("channel: 1", "channel: 3"): "line 10: outputs: cannot change while the rules run; end ",
        text.replace("zones:", "zones: ["): "the new rules is not YAML",
    }.items():
        for dry in (True, False):
            answer = rig.give("rules", yaml=broken, dry=dry)
            assert not answer["ok"]
            assert says in answer["error"]
    assert {key: value for key, value in rig.state().items() if key != "poses"} == before
    assert rig.board.on(1)
    assert sum(change.channel == 1 for change in rig.board.changes) == 1
    assert not told(rig.end(), "replaced", "disarmed")
    assert not (rig.folder / "log" / "rules-2.yaml").exists()


def test_disarm_then_new_rules_then_arm(rig: Rig) -> None:
    rig.give("arm")
    rig.give("disarm")
    text = rig.rules.read_text().replace("inside: right", "outside: left").replace("  here:", "  elsewhere:")
    answer = rig.give("rules", yaml=text)
    changes = {name: names for name, names in answer["changes"].items() if names}
    assert changes == {"changed": ["there"], "added": ["elsewhere"], "removed": ["here"]}
    assert answer["armed"] == []
    assert [rule["name"] for rule in answer["rules"]] == ["there", "elsewhere"]
    assert rig.give("arm")["armed"] == ["there", "elsewhere"]
    rig.wait_on(1)
    rig.stream.x = LEFT
    rig.wait_off(1)
    rig.wait_on(2)
    assert rig.give("arm", "here")["error"] == "there is no rule here; there are there, elsewhere"
    decisions = rig.end()
    assert ("fired", "elsewhere") in {(str(d.verdict), d.rule) for d in decisions}


def test_the_feed_reaches_a_second_process_while_another_subscriber_is_suspended(rig: Rig) -> None:
    feed = rig.state()["feed"]
    assert feed == f"ipc://{rig.folder}/orders.feed.sock"
    with _listening(feed) as hangs, _listening(feed) as listens:
        for process in (hangs, listens):
            assert _next(process, "trigger_state")["zones"]["left"] == {"rectangle_px": [0, 0, 100, 240]}
        hangs.send_signal(signal.SIGSTOP)
        rig.give("arm", "there")
        ordered = _next(listens, "order")
        assert (ordered["order"], ordered["target"], ordered["ok"]) == ("arm", "there", True)
        assert ordered["by"] == f"test ({_user()}, process {os.getpid()})"
        rig.stream.x = RIGHT
        while (decided := _next(listens, "decision"))["verdict"] != "fired":
            pass
        assert (decided["rule"], decided["outputs"]) == ("there", [["lamp", "on"]])
        while _next(listens, "trigger_state")["outputs"]["lamp"]["level"] != "on":
            pass
        hangs.send_signal(signal.SIGCONT)
        while _next(hangs, "decision")["verdict"] != "fired":
            pass
    rig.end()


@contextmanager
def _listening(feed: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", _LISTENER, feed], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _next(process: subprocess.Popen[str], kind: str) -> dict[str, Any]:
    assert process.stdout is not None
    for line in process.stdout:
        message: dict[str, Any] = json.loads(line)
        if message["type"] == kind:
            return message
    raise AssertionError("the feed has ended")


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name
