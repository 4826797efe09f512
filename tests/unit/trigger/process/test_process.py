"""The rule loop as a process beside a run: what fires, what is refused, what is logged, and what ends safely."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pty
import pwd
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pytest
import yaml
import zmq
from support.pipelines import LONG_S, Files, cropzoom, finish, free_port, start_process, the_session, wait_for
from support.pose_stream_process import Feed
from support.publisher import end, event, hello, pose, publishing
from support.serial_boards import Board

from realtime_cropzoom.control.client import send
from realtime_cropzoom.messaging.message import encode
from realtime_cropzoom.sessions.folder import make_given_folder
from realtime_cropzoom.trigger.engine.events import Decision
from realtime_cropzoom.trigger.outputs.base import Job
from realtime_cropzoom.trigger.process.decision_log import read_decisions
from realtime_cropzoom.trigger.process.process import TriggerOptions, TriggerProcess
from realtime_cropzoom.trigger.rules.rules import parse_rules

ARENA = "synthetic:arena,fps=60,size=320x240,seconds={seconds},jump_s=0.4,jump_px=120,seed=4"
"""The snout is at x ≈ 129 or 249."""
PATIENT = {"acknowledge_ms": 1000, "late_after_ms": 20_000, "watchdog_ms": 10_000}
"""For a board that has no core of its own, as beside other tests."""


@pytest.fixture
def board() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A simulated trigger board: its port, and the process that prints what its channels do."""
    command = [sys.executable, "-u", "-m", "realtime_cropzoom.trigger.outputs.simulated_board"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process
        process.kill()


def write_rules(folder: Path, port: str, **more: object) -> tuple[Path, str]:
    """Rules that pulse channel 1 when the snout comes to the right, and hold channel 2 while it is there."""
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    rules = {
        "endpoint": endpoint,
        "max_age_ms": 1000,  # of a machine that is busy with other tests
        "hold_max_age_ms": 1000,
        "zones": {"right": {"rectangle_px": [190, 0, 130, 240]}},
        "outputs": {
            "laser": {"serial": port, "channel": 1, **PATIENT},
            "lamp": {"serial": port, "channel": 2, **PATIENT},
        },
        "rules": {
            "came": {"when": {"entered": "right", "keypoint": "snout"}, "fire": "laser", "pulse_ms": 20},
            "there": {"when": {"inside": "right", "keypoint": "snout"}, "fire": "lamp", "hold": True},
        },
        **more,
    }
    path = folder / "rules.yaml"
    path.write_text(yaml.safe_dump(rules))
    return path, endpoint


def start_trigger(rules: Path, *flags: object) -> subprocess.Popen[str]:
    return start_process("trigger", rules, "--log", rules.parent / "log", *flags)


def run_arena(folder: Path, endpoint: str, seen: Callable[[], bool], what: str) -> Files:
    """Track the arena until the trigger process has ``seen`` enough: it may find a run seconds after its start."""
    publish = ["--publish", endpoint, "--publish-latest", "none", "--publish-echo", "none"]
    run = start_process("run", ARENA.format(seconds=60), *publish, "--out", folder / "out", "--quiet")
    try:
        wait_for(seen, what)
    finally:
        run.send_signal(signal.SIGINT)
        done = finish(run)
    assert done.returncode == 128 + signal.SIGINT, done.stderr
    return Files(the_session(folder / "out"))


def has_fired(folder: Path, times: int) -> Callable[[], bool]:
    """Whether the rule ``came`` has fired so many times, according to the log."""
    return lambda: sum(d.rule == "came" for d in decisions(folder, "fired")) >= times


def decisions(folder: Path, *verdicts: str) -> list[Decision]:
    found = read_decisions(folder / "log" / "rules_decisions.csv")
    return [d for d in found if not verdicts or d.verdict in verdicts]


def outputs(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "log" / "rules_outputs.csv")


def wait_for_log(folder: Path) -> None:
    """Wait until the trigger process has opened everything: it then writes the rules into its log."""
    wait_for((folder / "log" / "rules.yaml").exists, "the trigger process's log")


def test_a_session_fires_logs_and_can_be_replayed_byte_for_byte(
    tmp_path: Path, board: tuple[str, subprocess.Popen[str]]
) -> None:
    port, process = board
    rules, endpoint = write_rules(tmp_path, port)
    trigger = start_trigger(rules, "--arm", "--control", "none")
    wait_for_log(tmp_path)
    files = run_arena(tmp_path, endpoint, has_fired(tmp_path, 3), "triggers")
    ended = finish(trigger)
    assert ended.returncode == 0, ended.stderr
    assert "the run has ended: stopped by SIGINT" in ended.stdout

    snout = files.keypoint("snout")
    fired = [d for d in decisions(tmp_path, "fired") if d.rule == "came"]
    assert len(fired) >= 3
    timing = pd.read_csv(files.folder / f"{files.name}_timing.csv", index_col="frame")
    trusted = timing.index[timing["plausible"] == "yes"].to_numpy()
    for d in fired:  # on the very frame at which a pose that may be trusted shows the snout there for the first time
        before = trusted[trusted < d.frame][-1]
        assert snout[d.frame][0] >= 190 > snout[before][0]
    done = outputs(tmp_path)
    of_fired = done[done["number"].isin([d.number for d in fired])]
    assert (of_fired["act"] == "pulse").all()
    assert of_fired["acknowledged_ns"].notna().all()
    for d in fired:
        assert None not in (d.frame, d.captured_ns, d.published_ns)
        assert d.captured_ns == timing["captured_ns"][d.frame or 0]
        row = of_fired[of_fired["number"] == d.number].iloc[0]
        in_order = [d.captured_ns, d.published_ns, d.now_ns, row["written_ns"], row["acknowledged_ns"]]
        assert in_order == sorted(in_order)
    process.kill()
    assert process.stdout is not None
    changes = [line.split()[1:] for line in process.stdout.read().splitlines()]
    assert changes.count(["channel", "1", "on"]) == len(fired)
    assert changes[-1][2] == "off"

    again = cropzoom("trigger", "--replay", tmp_path / "log")
    assert again.returncode == 0
    assert "the same as in the log" in again.stdout
    session = cropzoom("trigger", rules, "--replay", files.folder, "--log", tmp_path / "replay")
    assert session.returncode == 0
    assert f"{fired[-2].frame}, {fired[-1].frame}\n" in session.stdout
    replayed = read_decisions(tmp_path / "replay" / "rules_decisions.csv")
    frames = [d.frame for d in replayed if d.rule == "came" and d.verdict == "fired"]
    assert frames[-len(fired) :] == [d.frame for d in fired]  # live it may have joined late
    assert (tmp_path / "replay" / "zones.png").stat().st_size > 10_000


def test_it_starts_disarmed_and_obeys_orders(tmp_path: Path, board: tuple[str, subprocess.Popen[str]]) -> None:
    rules, endpoint = write_rules(tmp_path, board[0])
    control = f"ipc://{tmp_path}/orders.sock"
    trigger = start_trigger(rules, "--control", control)
    wait_for_log(tmp_path)
    publish = ["--publish", endpoint, "--publish-latest", "none", "--publish-echo", "none", "--out", tmp_path / "out"]
    run = start_process("run", ARENA.format(seconds=60), *publish, "--quiet")
    try:
        wait_for(lambda: send(control, "state")["poses"] > 60, "poses")
        assert send(control, "state")["fired"] == 0
        refused = {"ok": False, "error": "there is no rule nobody; there are came, there"}
        assert send(control, "arm", "nobody") == refused
        assert send(control, "dance")["ok"] is False
        assert send(control, "arm", "came")["armed"] == ["came"]  # the state after the order, at once
        wait_for(lambda: send(control, "state")["fired"] >= 2, "triggers")
        assert send(control, "state")["armed"] == ["came"]
        assert send(control, "test", "lamp")["ok"]
        disarmed = cropzoom("ctl", "disarm", "--to", control)
        assert disarmed.returncode == 0
        assert "  DISARMED, " in disarmed.stdout
        state = send(control, "state")
        wait_for(lambda: send(control, "state")["poses"] > state["poses"] + 60, "poses of a disarmed process")
        assert send(control, "state")["fired"] == state["fired"]
        assert cropzoom("ctl", "stop", "--to", control).returncode == 0
        assert finish(trigger).returncode == 0
    finally:
        run.send_signal(signal.SIGINT)
        finish(run)
        trigger.kill()
    assert {d.rule for d in decisions(tmp_path, "fired")} == {"came"}
    (test,) = decisions(tmp_path, "test")
    user = pwd.getpwuid(os.getuid()).pw_name
    assert test.reason == f"by {user}, process {os.getpid()}"
    assert re.fullmatch(rf"by ctl \({user}, process \d+\)", decisions(tmp_path, "disarmed")[0].reason)
    assert decisions(tmp_path)[-1].verdict == "safe"


def test_an_order_before_the_first_pose_waits_for_it(tmp_path: Path) -> None:
    rules, endpoint = write_rules(tmp_path, "nowhere")
    control = f"ipc://{tmp_path}/orders.sock"
    trigger = start_trigger(rules, "--dry-run", "--control", control)
    wait_for_log(tmp_path)
    waits = cropzoom("ctl", "arm", "--to", control)
    assert "  will arm with the first pose, " in waits.stdout
    assert "pending" not in send(control, "disarm")
    assert send(control, "arm")["pending"] == "will arm with the first pose"
    run_arena(tmp_path, endpoint, lambda: len(decisions(tmp_path, "armed")) == 2, "both rules to be armed")
    ended = finish(trigger)
    assert "DISARMED, will arm with the first pose" in ended.stderr
    assert [f"process {os.getpid()}" in d.reason for d in decisions(tmp_path, "armed")] == [True] * 2


def test_messages_that_cannot_be_read_are_reported(tmp_path: Path) -> None:
    with zmq.Context() as context, context.socket(zmq.PUB) as odd:
        port = odd.bind_to_random_port("tcp://127.0.0.1")
        rules, _ = write_rules(tmp_path, "nowhere")
        flags = ("--dry-run", "--control", "none", "--endpoint", f"tcp://127.0.0.1:{port}")
        trigger = start_trigger(rules, *flags)
        assert trigger.stderr is not None
        over = threading.Event()

        def send_until_over() -> None:
            while not over.wait(0.02):
                odd.send_multipart([b"pose/cam0", b"no pose"])

        sender = threading.Thread(target=send_until_over)
        sender.start()
        try:
            said = next(line for line in trigger.stderr if "cannot be read" in line)
        finally:
            over.set()
            sender.join()
            trigger.send_signal(signal.SIGTERM)
            finish(trigger)
    assert f"from tcp://127.0.0.1:{port} cannot be read as poses: give the endpoint" in said


def test_another_camera_at_the_endpoint_changes_nothing(tmp_path: Path) -> None:
    """Its end is not ours, nor are its clock and its keypoints: a session of ours would end in the middle."""
    with zmq.Context() as context, context.socket(zmq.PUB) as both:
        port = both.bind_to_random_port("tcp://127.0.0.1")
        rules, _ = write_rules(tmp_path, "nowhere")
        trigger = start_trigger(rules, "--dry-run", "--control", "none", "--endpoint", f"tcp://127.0.0.1:{port}")
        inputs = tmp_path / "log" / "rules_inputs.jsonl"
        numbers = itertools.count()

        def send_until(seen: Callable[[], bool]) -> None:
            def sent() -> bool:
                for message in (hello(), pose(next(numbers))):
                    both.send_multipart([b"cam0", encode(message)])
                return seen()

            wait_for(sent, "the poses of our camera")

        send_until(lambda: inputs.exists() and inputs.read_text().count('"seq"') >= 3)
        for message in (hello("other", "cam7", clock="of another machine"), end("cam7", "other")):
            both.send_multipart([b"cam7", encode(message)])
        so_far = inputs.read_text().count('"seq"')
        send_until(lambda: inputs.read_text().count('"seq"') >= so_far + 3)
        assert trigger.poll() is None
        both.send_multipart([b"cam0", encode(end())])
        ended = finish(trigger)
    assert "the run has ended: finished" in ended.stdout, ended.stderr
    assert "cam7" not in inputs.read_text()


def _open_process(endpoint: str, folder: Path) -> TriggerProcess:
    """Return an open process with a rule that holds ``_Line`` while the animal is tracked."""
    rules = parse_rules(
        {
            "endpoint": endpoint,
            "outputs": {"mine": {"python": f"{__name__}:_Line", "levels": True}},
            "rules": {"r": {"when": {"state": "tracking"}, "fire": "mine", "hold": True}},
        }
    )
    process = TriggerProcess(rules, folder / "rules.yaml", 1, TriggerOptions(control=None))
    assert process.open(make_given_folder(folder / "log"))
    return process


def test_events_of_the_run_change_nothing(tmp_path: Path) -> None:
    with publishing() as publisher:
        process = _open_process(publisher.endpoint, tmp_path)
        try:
            publisher.wait_for_subscriber()
            publisher.send(hello(), pose(0), event(0, kind="stop_asked"), pose(1))
            decided = []
            while process.poses < 2:
                decided += process.step()
            assert [d.reason for d in decided] == ["disarmed: state tracking"]  # of the first pose
            assert not process.over
        finally:
            process.close()


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="Windows stops no process")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_publisher_that_falls_silent_makes_outputs_safe_and_its_successor_is_found(
    tmp_path: Path, board: tuple[str, subprocess.Popen[str]], number: int
) -> None:
    rules, endpoint = write_rules(tmp_path, board[0])
    trigger = start_trigger(rules, "--arm", "--control", "none")
    wait_for_log(tmp_path)
    publish = ["--publish", endpoint, "--publish-latest", "none", "--publish-echo", "none"]
    first = start_process("run", ARENA.format(seconds=60), *publish, "--out", tmp_path / "first", "--quiet")
    log = tmp_path / "log" / "rules_decisions.csv"
    wait_for(lambda: "lamp:on" in log.read_text(), "a hold")
    first.send_signal(number)
    wait_for(lambda: "no fresh pose for 500 ms" in log.read_text(), "the safe level")
    first.kill()
    finish(first)
    run_arena(tmp_path, endpoint, lambda: len({d.run for d in decisions(tmp_path, "fired")}) == 2, "its successor")
    ended = finish(trigger)
    assert ended.returncode == 0, ended.stderr
    safe = decisions(tmp_path, "safe")[0]
    assert {a.output: str(a.act) for a in safe.actions} == {"laser": "safe", "lamp": "safe"}


def test_a_board_that_is_unplugged_ends_the_hold_and_switches_nothing_on_when_it_is_back(tmp_path: Path) -> None:
    inside, board = threading.Event(), Board("simulated", tmp_path)
    inside.set()
    with Feed(x_of=lambda _: 250.0 if inside.is_set() else 100.0) as feed:
        rules, _ = write_rules(tmp_path, board.port, endpoint=feed.endpoint)
        trigger = start_trigger(rules, "--arm", "--control", "none")

        def decided(text: str, count: int = 1) -> None:
            log = tmp_path / "log" / "rules_decisions.csv"
            wait_for(lambda: log.exists() and log.read_text().count(text) >= count, text)

        try:
            wait_for(lambda: board.on(2), "the lamp")
            board.unplug()
            decided("lamp is off: ")
            board.plug_in()
            began, sent = len(board.changes), feed.sent
            wait_for(lambda: "lamp,safe" in actions_without_error(tmp_path), "a safe that the board received")
            wait_for(lambda: feed.sent > sent + 50, "poses inside the zone")
            assert board.changes[began:] == []
            inside.clear()
            sent = feed.sent
            wait_for(lambda: feed.sent > sent + 30, "poses outside")
            inside.set()
            wait_for(lambda: board.on(2), "the lamp, by a new decision")
            decided("lamp:on", 2)
        finally:
            trigger.send_signal(signal.SIGINT)
            ended = finish(trigger)
            board.unplug()
    assert "output lamp: " in ended.stderr
    assert "(it was on)" in ended.stderr
    gone = outputs(tmp_path).query("number == -1 and output == 'lamp'")
    assert gone["written_ns"].isna().iloc[0]
    assert "broke off" in gone["error"].iloc[0]
    released = next(d for d in decisions(tmp_path, "released") if d.rule == "there")
    assert released.reason.startswith("lamp is off: ")
    again = cropzoom("trigger", "--replay", tmp_path / "log")
    assert "the same as in the log" in again.stdout


def actions_without_error(folder: Path) -> str:
    rows = (folder / "log" / "rules_outputs.csv").read_text().splitlines()
    return "\n".join(row for row in rows if row.endswith(","))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_safely(tmp_path: Path, board: tuple[str, subprocess.Popen[str]], number: int) -> None:
    rules, _ = write_rules(tmp_path, board[0])
    trigger = start_trigger(rules, "--control", "none")
    wait_for_log(tmp_path)
    trigger.send_signal(number)
    assert finish(trigger).returncode == 128 + number
    assert decisions(tmp_path)[-1].verdict == "safe"
    assert json.loads((tmp_path / "log" / "summary.json").read_text())["ended"].startswith("stopped by SIG")


def test_keys_arm_disarm_and_end(tmp_path: Path, board: tuple[str, subprocess.Popen[str]]) -> None:
    rules, endpoint = write_rules(tmp_path, board[0])
    ours, theirs = pty.openpty()
    trigger = start_process("trigger", rules, "--log", tmp_path / "log", "--control", "none", stdin=theirs)
    os.close(theirs)
    wait_for_log(tmp_path)
    publish = ["--publish", endpoint, "--publish-latest", "none", "--publish-echo", "none", "--out", tmp_path / "out"]
    run = start_process("run", ARENA.format(seconds=60), *publish, "--quiet")
    log = tmp_path / "log" / "rules_decisions.csv"
    try:
        wait_for(lambda: (os.write(ours, b"a"), "fired" in log.read_text())[1], "a trigger")
        os.write(ours, b"d")
        wait_for(lambda: "disarmed" in log.read_text(), "disarming")
        os.write(ours, b"q")
        ended = finish(trigger)
    finally:
        run.send_signal(signal.SIGINT)
        finish(run)
        trigger.kill()
        os.close(ours)
    assert ended.returncode == 0
    assert "stopped by key" in ended.stdout
    assert "a arms, d disarms, q ends" in ended.stderr


def test_a_dry_run_opens_nothing_and_decides_all_the_same(tmp_path: Path) -> None:
    rules, endpoint = write_rules(tmp_path, "/dev/there_is_no_such_board")
    trigger = start_trigger(rules, "--arm", "--dry-run", "--control", "none")
    wait_for_log(tmp_path)
    run_arena(tmp_path, endpoint, has_fired(tmp_path, 2), "triggers")
    ended = finish(trigger)
    assert ended.returncode == 0, ended.stderr
    assert "DRY RUN" in ended.stderr
    assert outputs(tmp_path)["written_ns"].isna().all()


def test_a_test_pulse_reports_its_times(tmp_path: Path, board: tuple[str, subprocess.Popen[str]]) -> None:
    rules, _ = write_rules(tmp_path, board[0])
    done = cropzoom("trigger", rules, "--test", "lamp")
    assert done.returncode == 0, done.stderr
    assert "lamp: test pulse of 10 ms, written after" in done.stdout
    assert re.search(r"written after \S+ ms, answered \S+ ms later", done.stdout)
    wrong = cropzoom("trigger", rules, "--test", "lazer")
    assert wrong.returncode == 2
    assert wrong.stderr == "cropzoom: there is no output lazer; there are lamp, laser\n"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"outputs": {"laser": {"serial": "/dev/no_such_port"}, "lamp": {"shell": "true"}}}, "/dev/no_such_port"),
        ({"outputs": {"laser": {"cereal": "x"}, "lamp": {"shell": "true"}}}, "expected one of serial"),
        ({"zones": {"wrong": {"circle_px": [1, 2, 3]}}}, "no zone 'right'"),
        ({"calibration": "none.yaml"}, "none.yaml"),
        ({"sync": {"output": "nobody", "every": 1}}, "there is no output 'nobody'"),
        ({"sync": {"output": "lamp", "every": 1}}, "the sync line lamp is fired by there, too"),
    ],
)
def test_wrong_rules_are_an_error_of_one_line_and_leave_no_folder(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    rules, _ = write_rules(tmp_path, "/dev/no_such_port", **change)
    done = finish(start_trigger(rules, "--control", "none"))
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "log").exists()


def test_rules_on_a_keypoint_that_the_model_has_not_are_refused_with_the_first_hello(
    tmp_path: Path, board: tuple[str, subprocess.Popen[str]]
) -> None:
    rule = {"when": {"likelihood": "nose", "above": 0.5}, "fire": "laser", "pulse_ms": 5}
    rules, endpoint = write_rules(tmp_path, board[0], rules={"nosy": rule})
    trigger = start_trigger(rules, "--control", "none")
    wait_for_log(tmp_path)
    run_arena(tmp_path, endpoint, lambda: trigger.poll() is not None, "the refusal")
    done = finish(trigger)
    assert done.returncode == 2
    assert "rules.nosy: no keypoint 'nose'; the model has snout, leftear, rightear, tailbase" in done.stderr


def test_a_terminal_that_is_held_up_holds_up_nothing(tmp_path: Path) -> None:
    rules, endpoint = write_rules(tmp_path, "/dev/null")
    read, write = os.pipe()
    os.set_blocking(write, False)
    with contextlib.suppress(BlockingIOError):  # nobody reads, and nothing more fits in
        while True:
            os.write(write, b"." * 4096)
    os.set_blocking(write, True)
    trigger = start_process(
        "trigger", rules, "--log", tmp_path / "log", "--arm", "--dry-run", "--control", "none", stderr=write
    )
    wait_for_log(tmp_path)
    run_arena(tmp_path, endpoint, has_fired(tmp_path, 2), "triggers")
    assert trigger.wait(LONG_S) == 0
    os.close(read)
    os.close(write)
    assert trigger.stdout is not None
    trigger.stdout.close()
    assert decisions(tmp_path)[-1].verdict == "safe"


class _Line:
    """An output of the experimenter's own."""

    acts: ClassVar[list[str]] = []

    def __call__(self, job: Job) -> None:
        self.acts.append(str(job.act))


def test_outputs_go_safe_even_if_the_engine_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = parse_rules(
        {
            "outputs": {"mine": {"python": f"{__name__}:_Line", "levels": True}},
            "rules": {"r": {"when": {"state": "tracking"}, "fire": "mine", "hold": True}},
        }
    )
    process = TriggerProcess(rules, tmp_path / "rules.yaml", 1, TriggerOptions(control=None))
    assert process.open(make_given_folder(tmp_path / "log"))
    monkeypatch.setattr(process.engine, "take", lambda event: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        process.close()
    assert _Line.acts[-1] == "safe"


def test_messages_without_a_known_clock_are_counted(tmp_path: Path) -> None:
    with publishing() as publisher:
        process = _open_process(publisher.endpoint, tmp_path)
        try:
            publisher.wait_for_subscriber()
            publisher.send(pose(0), pose(1))  # and no hello
            while process.without_time < 2:
                assert process.step() == []
        finally:
            process.close()
        assert (process.summary()["poses"], process.summary()["without_time"]) == (0, 2)
