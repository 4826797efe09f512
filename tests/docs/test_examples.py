"""The example programs in other languages, against a real run."""

from __future__ import annotations

import importlib.util
import itertools
import shutil
import signal
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path

import msgspec
import pytest
import zmq
from support.pipelines import LONG_S, Files, finish, free_port, start_process, the_session, wait_for
from support.places import ROOT
from support.publisher import end, hello, pose, publishing
from support.serial_boards import Board

EXAMPLES = ROOT / "examples"


def _compiled(folder: Path) -> list[str]:
    if shutil.which("cc") is None or not Path("/usr/include/zmq.h").exists() or not Path("/usr/include/cjson").exists():
        pytest.skip("needs a C compiler, libzmq3-dev and libcjson-dev")
    program = folder / "subscriber"
    flags = [
        "-O2",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-o",
        str(program),
        str(EXAMPLES / "c" / "subscriber.c"),
        "-lzmq",
        "-lcjson",
    ]
    subprocess.run(["cc", *flags], check=True)
    return [str(program)]


def _javascript(_: Path) -> list[str]:
    if not (EXAMPLES / "javascript" / "node_modules" / "zeromq").is_dir():
        pytest.skip("needs Node.js, and 'npm install' in examples/javascript")
    return ["node", str(EXAMPLES / "javascript" / "subscriber.js")]


def _octave(folder: Path) -> list[str]:
    if shutil.which("octave") is None:
        pytest.skip("needs GNU Octave with its package zeromq (octave, octave-zeromq)")
    script = folder / "go.m"
    script.write_text(
        f"addpath('{EXAMPLES / 'matlab'}'); arguments = argv(); cropzoom_subscriber(arguments{{1}}, arguments{{2}})\n"
    )
    return ["octave", "--no-gui", "--quiet", "--no-init-file", str(script)]


@pytest.mark.parametrize("program", [_compiled, _javascript, _octave], ids=["c", "javascript", "octave"])
def test_program_prints_the_poses_of_the_files_and_ends_with_the_run(program, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    reader = subprocess.Popen(
        [*program(tmp_path), endpoint, "snout"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    publish = ["--publish", endpoint, "--publish-latest", "none", "--out", tmp_path, "--quiet"]
    run = start_process("run", "synthetic:arena,fps=30,seconds=120", *publish)
    try:
        assert reader.stdout is not None
        first = list(itertools.islice(reader.stdout, 6))  # Octave takes seconds to start on a busy machine
        run.send_signal(signal.SIGINT)
        assert finish(run).returncode == 128 + signal.SIGINT
        rest, said = reader.communicate(timeout=LONG_S)
    finally:
        run.kill()
        reader.kill()
    assert "the run ended: stopped by SIGINT; 0 poses missed" in said
    printed = "".join(first) + rest
    rows = [line.split() for line in printed.splitlines()]
    snout = Files(the_session(tmp_path)).keypoint("snout")
    assert len(rows) >= 6
    for frame, *values in rows:
        assert [float(v) for v in values[:2]] == pytest.approx(snout[int(frame)].tolist(), abs=6e-4)


def _to_serial(folder: Path) -> list[str]:
    """``poses_to_serial.py`` with a port that prints what is written to it."""
    (folder / "serial.py").write_text(
        "import sys\nfrom contextlib import contextmanager\n\n\n@contextmanager\ndef Serial(port, *_, **__):\n"
        "    yield type('Port', (), {'write': lambda self, line: sys.stdout.buffer.write(line)})()\n"
    )
    argv = "sys.argv = ['example', 'port', '--endpoint', sys.argv[1]]"
    script = f"runpy.run_path({str(EXAMPLES / 'poses_to_serial.py')!r}, run_name='__main__')"
    return [sys.executable, "-c", f"import runpy, sys; sys.path.insert(0, {str(folder)!r}); {argv}; {script}"]


@pytest.mark.parametrize("program", [_compiled, _javascript, _octave, _to_serial], ids=["c", "js", "octave", "serial"])
def test_program_ignores_poses_that_are_not_plausible(program, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    command = program(tmp_path)
    with publishing() as publisher:
        publisher.socket.set(zmq.RCVTIMEO, round(LONG_S * 1000))
        reader = subprocess.Popen(
            [*command, publisher.endpoint, "snout"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            while publisher.socket.recv() not in (b"\x01", b"\x01end/"):
                pass  # the subscription to poses comes first
            publisher.send(hello())
            for seq in range(6):
                doubt = "jump" if seq % 2 else None
                publisher.send(msgspec.structs.replace(pose(seq), plausible=doubt is None, doubt=doubt))
            publisher.send(end())
            printed, said = reader.communicate(timeout=LONG_S)
        finally:
            reader.kill()
            reader.wait()
    assert reader.returncode == 0, said
    acted = [line.split()[0] for line in printed.splitlines() if "nan" not in line]
    assert acted == ["0", "2", "4"]


def test_board_follows_the_poses_that_it_receives(tmp_path: Path) -> None:
    if importlib.util.find_spec("serial") is None:
        pytest.skip("needs pyserial")
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    board = Board("sketch", tmp_path, "cropzoom_poses")
    command = [sys.executable, str(EXAMPLES / "poses_to_serial.py"), board.port, "--endpoint", endpoint]
    sender = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    publish = ["--publish", endpoint, "--publish-latest", "none", "--out", tmp_path, "--quiet"]
    source = "synthetic:arena,fps=30,seconds=60,jump_s=0.5,jump_px=200"  # the snout is at x = 279 or 479
    run = start_process("run", source, *publish)
    try:
        wait_for(lambda: sum(change.on for change in board.changes) >= 2, "the board to go high twice")
        run.send_signal(signal.SIGINT)
        assert finish(run).returncode == 128 + signal.SIGINT
        ended = finish(sender)
        assert ended.returncode == 0, ended.stderr
        wait_for(lambda: not board.changes[-1].on, "the board to go low by itself when no pose comes any more")
    finally:
        run.kill()
        sender.kill()
        board.unplug()


def test_bonsai_workflow_is_well_formed() -> None:
    tree = xml.etree.ElementTree.parse(EXAMPLES / "bonsai" / "cropzoom.bonsai")
    space = "{https://bonsai-rx.org/2018/workflow}"
    nodes = tree.findall(f".//{space}Nodes/{space}Expression")
    edges = [(int(e.get("From", -1)), int(e.get("To", -1))) for e in tree.findall(f".//{space}Edges/{space}Edge")]
    assert edges == [(i, i + 1) for i in range(len(nodes) - 1)]
